"""kill -9, SIGTERM and storms: one `done` a run, one summary a session, no ghost."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults import scenarios
from tests.support.fold import fold
from tests.support.oracle import journal, rows
from tests.support.recorder import Lost, Recorder
from tests.support.upstream import TOKEN, numbered
from tests.support.world import World, world

CRASH = {"TOOLS": "tests.faults.crash"}


async def died(scene: World) -> None:
    """The server has killed itself: nothing of it is left."""
    await scene.process.ended()
    await scene.kill()


async def summarised(scene: World, device: Recorder, count: int = 1) -> list[dict[str, Any]]:
    """The session's summaries in the journal, once there are so many."""
    async with asyncio.timeout(20):
        while True:
            log = journal(scene.path)[device.auth["session_id"]]
            found = [e for e in log if e["event"] == "summary" and e["status"] == "done"]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.02)


async def test_killed_at_random_moments(tmp_path: Path) -> None:
    async with world(tmp_path, seed=1) as scene:
        (await scenarios.kills(scene, 5)).hold()


@pytest.mark.parametrize(
    ("point", "after"), [("committed", 0), ("committed", 1), ("committed", 5), ("emitted", 0)]
)
async def test_killed_between_commit_emit_and_ack(tmp_path: Path, point: str, after: int) -> None:
    """After the commit: of the user's message (0), of the answer's events (1 and more)."""
    async with world(tmp_path, seed=2, GRACE_SECONDS="600", **CRASH) as scene:
        one = await scene.device("raw")
        two = await scene.device("stock", of=one)
        await scene.restart(CRASH_AT=point, CRASH_AFTER=str(after))
        await asyncio.gather(one.reaches(1), two.reaches(1))
        text = "tokens 300 rate 600"
        with contextlib.suppress(Lost):
            await one.send(text, client_msg_id="key")
        await died(scene)
        assert bool(two.events("user_message")) == (point == "emitted" or after > 0)
        await scene.start()
        ack = await one.say(text, client_msg_id="key")
        assert ack["status"] == "duplicate", "it was committed before anybody could know"
        for device in (one, two):
            assert (await device.done(ack["run_id"], 10))["status"] == "interrupted"
        (await scene.verdict()).hold()


async def test_killed_between_the_last_token_and_done(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        one = await scene.device("raw")
        ack = await one.send("tokens 100 rate 0 gate end at 100")
        await one.until(lambda: (len(fold(one.entries)[0]["text"]) == 800) or None)
        await scene.restart()
        done = await one.done(ack["run_id"], 10)
        assert (done["status"], done["text"]) == ("interrupted", numbered(100))
        (await scene.verdict()).hold()


async def test_what_waited_goes_on_after_a_kill(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        one = await scene.device("raw")
        wishes = ("tokens 50 rate 0 gate never at 20", "tokens 3 rate 0", "tokens 4 rate 0")
        ids = [(await one.send(wish))["run_id"] for wish in wishes]
        await one.until(lambda: one.events("token") or None)
        await scene.restart()
        statuses = [(await one.done(run_id, 10))["status"] for run_id in ids]
        assert statuses == ["interrupted", "completed", "completed"]
        assert [run["run_id"] for run in fold(one.entries)] == ids
        assert len(scene.upstream.tapes) == 3, "no run was asked for twice"
        (await scene.verdict()).hold()


async def test_a_tool_whose_effect_may_have_happened_is_not_run_again(tmp_path: Path) -> None:
    async with world(tmp_path, **CRASH) as scene:
        one = await scene.device("raw")
        await scene.restart(CRASH_AT="effect")
        await one.reaches(1)
        with contextlib.suppress(Lost):
            await one.send('tool pay {"amount": 7} tokens 3', client_msg_id="pay")
        await died(scene)
        await scene.start()
        ack = await one.say('tool pay {"amount": 7} tokens 3', client_msg_id="pay")
        done = await one.done(ack["run_id"], 10)
        assert done["status"] == "interrupted"
        last = one.events("tool_call")[-1]
        assert (last["status"], last["error"]["code"]) == ("failed", "unknown_outcome")
        after = await one.say("tokens 2 rate 0")
        await one.done(after["run_id"])
        effects = (tmp_path / "effects.txt").read_text().splitlines()
        assert effects == [f"{last['tool_call_id']} 7"], "once, under the key of the record"
        assert "unknown_outcome" in str(scene.upstream.tapes[-1].body), "the model is told"
        (await scene.verdict()).hold()


async def test_an_interrupted_answer_goes_on_at_its_seam(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        one = await scene.device("raw")
        await scene.device("stock", of=one)
        await scene.device("node", of=one)
        ack = await one.send("tokens 400 rate 500 gate more at 200")
        await one.until(lambda: (len(fold(one.entries)[0]["text"]) >= 800) or None)
        await scene.restart()
        run_id = ack["run_id"]
        scene.upstream.gate("more").set()
        assert (await one.done(run_id, 10))["status"] == "interrupted"
        more = await one.call("continue", run_id=run_id)
        assert more["ok"]
        await one.done(more["run_id"])
        (run,) = fold(one.entries)
        assert run["text"] == numbered(400)
        assert len(TOKEN.findall(run["text"])) == 400
        (await scene.verdict()).hold()


async def test_sigterm_answers_every_send_and_is_soon_gone(tmp_path: Path) -> None:
    async with world(tmp_path, DRAIN_SECONDS="1") as scene:
        devices = [await scene.device(make, straight=True) for make in ("raw", "stock", "raw")]
        long = await devices[0].send("tokens 100000 rate 200")
        answers: list[dict[str, Any]] = []
        slowest = 0.0
        stopping = asyncio.Event()

        async def talk(device: Recorder) -> None:
            nonlocal slowest
            while True:
                began = time.monotonic()
                try:
                    answers.append(await device.send("tokens 1 rate 0", if_busy="interrupt"))
                except Lost:
                    return  # the connection said so, and at once
                finally:
                    if stopping.is_set():
                        slowest = max(slowest, time.monotonic() - began)
                await asyncio.sleep(0.01)

        talking = [asyncio.create_task(talk(device)) for device in devices[1:]]
        await devices[0].until(lambda: devices[0].events("token") or None)
        began = time.monotonic()
        stopping.set()
        scene.process.child.send_signal(signal.SIGTERM)
        for device in devices:
            await device.until(lambda d=device: [n for n in d.notices if n[0] == "server"] or None)
        assert await scene.process.ended() == 0
        assert time.monotonic() - began < 20
        await asyncio.gather(*talking)
        assert slowest < 5
        refused = [answer["error"] for answer in answers if not answer["ok"]]
        assert refused
        assert {error["code"] for error in refused} == {"draining"}
        assert all(error["retryable"] and error["retry_after_ms"] > 0 for error in refused)
        await scene.kill()
        await scene.start()
        for device in devices:
            await device.until(lambda d=device: d.live or None)
        done = await devices[0].done(long["run_id"], 10)
        assert done["status"] == "interrupted"
        assert done["text"]
        stored = {
            e["message_id"] for log in journal(scene.path).values() for e in log if "text" in e
        }
        assert {answer["message_id"] for answer in answers if answer["ok"]} <= stored
        (await scene.verdict()).hold()


async def test_a_summary_pending_at_sigterm_stays_pending(tmp_path: Path) -> None:
    async with world(tmp_path, GRACE_SECONDS="0.1") as scene:
        gate = scene.upstream.gate("summary")
        one = await scene.device("raw", straight=True)
        await one.done((await one.send("tokens 2 rate 0"))["run_id"])
        await one.close()
        await scene.upstream.until(lambda: scene.upstream.summaries)
        scene.process.child.send_signal(signal.SIGTERM)
        assert await scene.process.ended() == 0
        assert rows(scene.path, "SELECT summary_status FROM sessions") == [("pending",)]
        gate.set()
        await scene.kill()
        await scene.start()
        assert len(await summarised(scene, one)) == 1


async def test_one_summary_after_a_storm_of_connections(tmp_path: Path) -> None:
    async with world(tmp_path, GRACE_SECONDS="0.5") as scene:
        one = await scene.device("raw")
        other = await scene.device("stock", of=one)
        await one.done((await one.send("tokens 3 rate 0"))["run_id"])
        for turn in range(25):
            first, second = ((one, other), (other, one))[turn % 2]
            await first.close()
            await second.close()
            await asyncio.gather(first.back(), second.back())
        assert not scene.upstream.summaries, "it was never away for long"
        await asyncio.gather(other.close(), one.close())
        await summarised(scene, one)
        await one.back()
        await one.close()
        await asyncio.sleep(1)  # nothing may follow, so there is no event to wait for
        log = journal(scene.path)[one.auth["session_id"]]
        assert [e["event"] for e in log].count("session_ended") == 1
        assert [e["event"] for e in log].count("summary") == 1
        assert len(scene.upstream.summaries) == 1


async def test_a_summary_is_redone_only_after_something_was_said(tmp_path: Path) -> None:
    async with world(tmp_path, GRACE_SECONDS="0.2") as scene:
        one = await scene.device("raw")
        await one.done((await one.send("tokens 3 rate 0"))["run_id"])
        await one.close()
        await summarised(scene, one)
        for _ in range(2):
            await one.back()
            await one.close()
        await scene.restart()
        await one.back()
        assert one.pages[-1]["ended"] is True
        await one.done((await one.say("tokens 4 rate 0"))["run_id"])
        await one.close()
        assert len(await summarised(scene, one, 2)) == 2
        assert len(scene.upstream.summaries) == 2


async def test_killed_inside_the_summary(tmp_path: Path) -> None:
    async with world(tmp_path, GRACE_SECONDS="0.1") as scene:
        gate = scene.upstream.gate("summary")
        one = await scene.device("raw")
        await one.done((await one.send("tokens 3 rate 0"))["run_id"])
        await one.close()
        for asked in (1, 2, 3):
            await scene.upstream.until(lambda n=asked: len(scene.upstream.summaries) == n)
            await scene.restart()
        gate.set()
        await summarised(scene, one)
        await one.back()
        await one.until(lambda: one.events("summary") or None)
        assert [e["status"] for e in one.events("summary")] == ["done"]
        assert len(one.events("session_ended")) == 1
        (await scene.verdict()).hold()


async def test_killed_within_the_grace_period(tmp_path: Path) -> None:
    async with world(tmp_path, GRACE_SECONDS="1") as scene:
        one = await scene.device("raw")
        await one.done((await one.send("tokens 3 rate 0"))["run_id"])
        await one.close()
        left = time.time()
        await scene.restart()
        await summarised(scene, one)
        ((ended,),) = rows(scene.path, "SELECT end_time FROM sessions")
        assert abs(ended / 1000 - left) < 1, "the end is when it was left"
