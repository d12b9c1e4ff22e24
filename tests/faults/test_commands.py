"""Commands: an ack means committed, one order for all, stop stops, and nothing happens twice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.faults import scenarios
from tests.support.fold import fold
from tests.support.oracle import rows
from tests.support.upstream import numbered
from tests.support.world import world


async def test_ten_retries_make_one_message(tmp_path: Path) -> None:
    async with world(tmp_path, seed=1) as scene:
        (await scenarios.retries(scene, 8)).hold()


async def test_storms_keep_their_order(tmp_path: Path) -> None:
    async with world(tmp_path, seed=2) as scene:
        (await scenarios.storms(scene, 40)).hold()


async def test_a_stop_that_races_the_end(tmp_path: Path) -> None:
    async with world(tmp_path, seed=3) as scene:
        (await scenarios.stop_races(scene, 120)).hold()


async def test_an_ack_means_committed(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        first = await scene.device("raw", straight=True)
        for turn in range(20):
            ack = await first.send(f"tokens 1 rate 0 turn {turn}")
            stored = rows(scene.path, "SELECT 1 FROM events WHERE run_id = ?", ack["run_id"])
            assert stored, "it is in the file when the ack is here"
            await first.done(ack["run_id"])


async def test_the_same_id_is_the_same_message_after_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        first = await scene.device("raw")
        ack = await first.send("tokens 3 rate 0", client_msg_id="mine")
        await first.done(ack["run_id"])
        await scene.restart()
        again = await first.say("tokens 3 rate 0", client_msg_id="mine")
        assert again == {**ack, "status": "duplicate"}
        other = await first.send("tokens 4 rate 0", client_msg_id="mine")
        assert other["error"]["code"] == "conflict"
        assert len(scene.upstream.asked("tokens 3 rate 0")) == 1


async def test_a_pipeline_of_sends_runs_in_the_order_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        first = await scene.device("raw", straight=True)
        await scene.device("stock", of=first, straight=True)
        texts = [f"tokens 2 rate 0 gate p at 1 n {n}" for n in range(6)]
        acks = await asyncio.gather(*map(first.send, texts))
        assert [ack["status"] for ack in acks] == ["started"] + ["queued"] * 5
        scene.upstream.gate("p").set()
        await first.done(acks[-1]["run_id"])
        assert [tape.said[-1] for tape in scene.upstream.tapes] == list("012345")
        assert [run["user_text"][-1] for run in fold(first.entries)] == list("012345")
        (await scene.verdict()).hold()


async def test_what_happens_while_it_is_busy_is_seen_by_every_device(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        first = await scene.device("raw", straight=True)
        other = await scene.device("stock", of=first, straight=True)
        running = await first.send("tokens 20 rate 0 gate a at 10")
        await first.until(lambda: first.events("token") or None)
        queued = [await other.send(f"tokens 2 rate 0 wait {n}") for n in range(5)]
        assert {ack["status"] for ack in queued} == {"queued"}
        full = await other.send("one too many")
        assert (full["error"]["code"], full["error"]["retryable"]) == ("queue_full", True)
        busy = await first.send("not now", if_busy="reject")
        assert busy["error"]["code"] == "busy"
        third = await scene.device("raw", of=first, straight=True)
        assert [q["run_id"] for q in third.pages[0]["queue"]] == [a["run_id"] for a in queued]
        for device in (first, other, third):
            await device.until(lambda d=device: len(d.events("run", status="queued")) == 5 or None)
        urgent = await first.send("tokens 3 rate 0 now", if_busy="interrupt")
        assert urgent["status"] == "started"
        assert (await other.done(running["run_id"]))["status"] == "cancelled"
        await scene.upstream.until(lambda: scene.upstream.tapes[0].closed_at)
        await first.done(queued[-1]["run_id"])
        order = [run["run_id"] for run in fold(first.entries)]
        assert order == [running["run_id"], urgent["run_id"], *(a["run_id"] for a in queued)]
        (await scene.verdict()).hold()


async def test_a_stop_hurts_no_other_run(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        first = await scene.device("raw", straight=True)
        one = await first.send("tokens 5 rate 0")
        await first.done(one["run_id"])
        two = await first.send("tokens 50 rate 0 gate b at 20")
        three = await first.send("tokens 5 rate 0 unsaid")
        late = await first.call("stop", run_id=one["run_id"])
        assert late["status"] == "already_done"
        waiting = await first.call("stop", run_id=three["run_id"])
        assert waiting["status"] == "cancelled"
        assert (await first.call("stop", run_id="nobody's"))["status"] == "not_found"
        scene.upstream.gate("b").set()
        assert (await first.done(two["run_id"]))["text"] == numbered(50)
        assert (await first.done(three["run_id"]))["status"] == "cancelled"
        four = await first.send("tokens 1 rate 0 last")
        await first.done(four["run_id"])
        assert "unsaid" not in str(scene.upstream.tapes[-1].body), "it stays outside the context"
        assert not scene.upstream.asked("tokens 5 rate 0 unsaid")
        (await scene.verdict()).hold()


async def test_stop_closes_the_upstream_request(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        first = await scene.device("raw", straight=True)
        other = await scene.device("stock", of=first, straight=True)
        for turn in range(40):
            text = f"tokens 100000 rate {(50, 1000)[turn % 2]} turn {turn}"
            ack = await first.send(text)
            await first.until(lambda a=ack: first.events("token", run_id=a["run_id"]) or None)
            (tape,) = scene.upstream.asked(text)
            stopped = await (first, other)[turn % 2].call("stop")
            assert (stopped["status"], stopped["upstream_closed"]) == ("cancelled", True)
            await scene.upstream.until(lambda t=tape: t.closed_at)
            for device in (first, other):
                assert (await device.done(ack["run_id"]))["status"] == "cancelled"
        partial = first.events("done")[-1]["text"]
        assert partial
        last = await first.send("tokens 1 rate 0")
        await first.done(last["run_id"])
        assert {"role": "assistant", "content": partial} in scene.upstream.tapes[-1].body[
            "messages"
        ]
        (await scene.verdict()).hold()


async def test_what_a_sender_wishes_when_nobody_is_left(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        for wish, seconds in (("cancel", 0), ({"cancel_after_s": 0.5}, 0.5)):
            device = await scene.device("raw", straight=True)
            await device.send(f"tokens 9000 rate 100 {seconds}", on_abandon=wish)
            await device.until(lambda d=device: d.events("token") or None)
            await device.close()
            left = time.monotonic()
            tape = scene.upstream.tapes[-1]
            await scene.upstream.until(lambda t=tape: t.closed_at)
            assert seconds - 0.1 <= tape.closed_at - left < seconds + 10
            await device.back()
            await device.until(lambda d=device: d.events("done") or None)
            assert device.events("done")[0]["status"] == "cancelled"
        device = await scene.device("raw", straight=True)
        await device.send("tokens 2100 rate 300", on_abandon={"cancel_after_s": 5})
        for _ in range(4):  # counted from the last leaving, so this never runs out
            await device.close()
            await asyncio.sleep(1.4)
            await device.back()
        await device.until(lambda: device.events("done") or None)
        assert device.events("done")[0]["status"] == "completed"
        device = await scene.device("raw", straight=True)
        await device.send("tokens 200 rate 400 go on")
        await device.close()
        await scene.upstream.until(lambda: scene.upstream.tapes[-1].ended)
        await device.back()
        await device.until(lambda: device.events("done") or None)
        assert device.events("done")[0]["text"] == numbered(200)
        (await scene.verdict()).hold()
