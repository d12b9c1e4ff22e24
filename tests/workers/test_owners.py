"""Who writes a session: one worker at a time, and another one where that ends, dies or sleeps."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from tests.support.cluster import PREFIX, Cluster, cluster
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.recorder import Recorder

LEASE_S = 6.0


def at(device: Recorder) -> int:
    """The port that it speaks to."""
    return int(device.url.rpartition(":")[2])


async def elsewhere(world: Cluster, of: Recorder, make: str = "raw") -> Any:
    """A device of the same session on another worker."""
    while True:
        device = await world.device(make, of=of, straight=True)
        if at(device) != at(of):
            return device
        await device.close()
        world.devices.remove(device)


async def test_any_worker_carries_out_any_command(tmp_path: Path) -> None:
    async with cluster(tmp_path) as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)
        ack = await other.say("tokens 5 rate 0 first")
        await owner.done(ack["run_id"])
        ack = await other.say("tokens 1500 rate 200 second")
        await owner.reaches(ack["seq"] + 50)
        waits = await other.say("tokens 5 rate 0 third")
        assert waits["status"] == "queued"
        stopped = await other.call("stop", run_id=ack["run_id"])
        assert stopped["status"] == "cancelled"
        assert stopped["upstream_closed"]
        await owner.done(waits["run_id"])
        assert (await other.call("rename", title="A title"))["ok"]
        assert (await other.call("share", access="read"))["share"]
        refused = await other.call("continue", run_id=waits["run_id"])
        assert not refused["ok"]
        assert (await owner.call("continue", run_id=waits["run_id"]))["error"] == refused["error"]
        again = await other.call("regenerate", run_id=ack["run_id"], client_msg_id="again")
        await owner.done(again["run_id"], 60) if again["ok"] else None
        assert (await other.call("end"))["ok"]
        await owner.until(lambda: owner.events("session_ended") or None)
        (await world.verdict()).hold()


async def test_who_is_here_counts_everywhere(tmp_path: Path) -> None:
    async with cluster(tmp_path, GRACE_SECONDS="1") as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)

        def here(device: Recorder) -> int:
            told = [payload for name, payload in device.notices if name == "presence"]
            return told[-1]["devices"] if told else 0

        for device in (owner, other):
            await device.until(lambda device=device: here(device) == 2 or None)
        await owner.close()
        await other.until(lambda: here(other) == 1 or None)
        await asyncio.sleep(2)
        ack = await other.say("tokens 5 rate 0 still here")
        await other.done(ack["run_id"])
        assert not other.events("session_ended"), "somebody watches, elsewhere"
        await owner.back()
        (await world.verdict()).hold()


async def test_a_share_is_void_on_every_worker(tmp_path: Path) -> None:
    async with cluster(tmp_path) as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)
        session_id = owner.auth["session_id"]
        share = (await other.call("share"))["share"]
        guests = [
            Device(f"http://127.0.0.1:{port}", session_id=session_id, share=share)
            for port in world.ports
        ]
        for number, guest in enumerate(guests):
            assert (await guest.connect())["access"] == "full"
            assert (await guest.send(f"tokens 5 rate 0 of guest {number}"))["ok"]
        assert (await other.call("unshare"))["ok"]
        async with asyncio.timeout(10):
            while any(guest.client.connected for guest in guests):
                await asyncio.sleep(0.05)
        for guest in guests:
            assert (await guest.connect())["error"]["code"] == "not_found"
            await guest.drop()


async def test_what_is_deleted_is_gone_from_every_worker(tmp_path: Path) -> None:
    async with cluster(tmp_path) as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)
        ack = await owner.say("tokens 5000 rate 100 never read to its end")
        await owner.reaches(ack["seq"] + 5)
        assert (await other.call("delete"))["ok"]
        await owner.until(
            lambda: [p for name, p in owner.notices if name == "session" and "error" in p] or None
        )
        assert owner.notices[-1][1]["error"]["code"] == "not_found"
        await world.upstream.until(lambda: world.upstream.tapes[-1].closed_at)
        assert await world.logs() == {}


async def test_what_is_deleted_is_gone_at_once_where_that_was_asked(tmp_path: Path) -> None:
    async with cluster(tmp_path) as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)
        session_id, token = owner.auth["session_id"], owner.auth["token"]
        beside = Device(other.url, token=token, session_id=session_id)
        await beside.connect()
        assert (await other.call("delete"))["ok"]
        for path in ("", "/export"):
            url = f"{other.url}/api/sessions/{session_id}{path}"
            assert (await fetch(url, token)).status == 404
        await beside.client.wait()  # its transport was closed
        assert (await beside.connect())["error"]["code"] == "not_found"
        await beside.drop()
        async with asyncio.timeout(20):
            while any(world.engine.tell("KEYS", f"{PREFIX}{kind}:*") for kind in ("d", "sees")):
                await asyncio.sleep(0.1)


async def test_a_worker_that_slept_writes_nothing(tmp_path: Path) -> None:
    async with cluster(tmp_path, seed=1) as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)
        ack = await owner.say("tokens 4000 rate 150 asleep")
        await other.reaches(ack["seq"] + 50)
        asleep = world.workers[at(owner)].child.pid
        os.kill(asleep, signal.SIGSTOP)
        try:
            done = await other.done(ack["run_id"], LEASE_S + 4)
            assert done["status"] == "interrupted"
            later = await other.say("tokens 10 rate 0 later")
            await other.done(later["run_id"])
            await asyncio.sleep(LEASE_S)
        finally:
            os.kill(asleep, signal.SIGCONT)
        ack = await owner.say("tokens 10 rate 0 awake")
        await owner.done(ack["run_id"])
        (await world.verdict()).hold()
        assert other.connects == 1, "it was shown the same log all the time"
        assert owner.epoch == other.epoch == 1
        assert all(page["mode"] != "snapshot" for page in owner.pages[1:])


async def test_what_waits_is_answered_by_another(tmp_path: Path) -> None:
    async with cluster(tmp_path, seed=6) as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)
        first = await owner.say("tokens 900 rate 100 first")
        waits = await other.say("tokens 10 rate 0 second")
        assert waits["status"] == "queued"
        await other.reaches(first["seq"] + 30)
        await world.kill(at(owner))
        assert (await other.done(first["run_id"], LEASE_S + 4))["status"] == "interrupted"
        assert (await other.done(waits["run_id"]))["status"] == "completed"
        owner.url = other.url
        (await world.verdict()).hold()
        assert other.connects == 1
        assert len(world.upstream.asked("tokens 10 rate 0 second")) == 1


async def test_tokens_that_were_shown_early_end_an_epoch(tmp_path: Path) -> None:
    async with cluster(tmp_path, DURABILITY="async") as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)
        ack = await owner.say("tokens 3000 rate 100 early")
        await other.reaches(ack["seq"] + 50)
        await world.kill(at(owner))
        await other.until(lambda: other.epoch == 2 or None)
        assert (await other.done(ack["run_id"]))["status"] == "interrupted"
        owner.url = other.url
        await owner.until(lambda: owner.epoch == 2 or None)
        assert owner.pages[-1]["mode"] == other.pages[-1]["mode"] == "snapshot"


async def test_a_deploy_loses_nothing_and_waits_for_no_lease(tmp_path: Path) -> None:
    async with cluster(tmp_path, seed=2, DRAIN_SECONDS="5") as world:
        first = await world.device("raw")
        for make in ("stock", "raw"):
            await world.device(make, of=first)
        over = asyncio.Event()
        answers: list[dict[str, Any]] = []

        async def talk() -> None:
            turn = 0
            while not over.is_set():
                turn += 1
                ack = await first.say(f"tokens 100 rate 150 turn {turn}")
                answers.append(await first.done(ack["run_id"], LEASE_S - 1))

        talking = asyncio.create_task(talk())
        for port in [*world.ports]:
            await asyncio.sleep(1)
            await world.deploy(port)
        await asyncio.sleep(1)
        over.set()
        await talking
        assert answers
        assert [answer for answer in answers if answer["status"] != "completed"] == []
        (await world.verdict()).hold()
        assert all(page["recovered"] for page in first.pages[1:])


async def test_what_is_asked_of_a_worker_that_ends_begins_on_another(tmp_path: Path) -> None:
    async with cluster(tmp_path, DRAIN_SECONDS="15") as world:
        busy = await world.device("raw", straight=True)
        quiet = await elsewhere(world, busy)
        while at(quiet) != at(busy):
            quiet = await world.device("raw", straight=True)
        other = await elsewhere(world, quiet)
        ending = world.workers[at(busy)]
        first = await busy.say("tokens 10 gate first at 5")
        await busy.reaches(first["seq"] + 1)
        ending.child.terminate()
        busy.url = quiet.url = other.url
        await quiet.until(lambda: [p for name, p in quiet.notices if name == "server"] or None)
        second = await other.say("tokens 10 gate second at 5")
        await other.reaches(second["seq"] + 1)
        world.upstream.gate("first").set()
        assert (await busy.done(first["run_id"]))["status"] == "completed"
        await ending.ended()
        world.upstream.gate("second").set()
        assert (await other.done(second["run_id"]))["status"] == "completed"
        assert (await quiet.done(second["run_id"]))["status"] == "completed"


async def test_each_end_is_summed_up_once(tmp_path: Path) -> None:
    async with cluster(tmp_path, seed=4, GRACE_SECONDS="1") as world:
        owners = [await world.device("raw") for _ in range(6)]
        for turn in range(3):
            for number, owner in enumerate(owners):
                ack = await owner.say(f"tokens 5 rate 0 turn {turn} of {number}")
                await owner.done(ack["run_id"])
            for owner in owners:
                await owner.close()
            if turn == 1:
                await world.kill()
            await asyncio.sleep(LEASE_S + 4 if turn == 1 else 3)
            await world.start()
            for owner in owners:
                await owner.back()
                await owner.until(lambda owner=owner: _summed(owner) or None)
        for entries in (await world.logs()).values():
            ends = [entry for entry in entries if entry["event"] == "session_ended"]
            done = [e for e in entries if e["event"] == "summary" and e["status"] == "done"]
            assert len(ends) == len(done) == 3
        (await world.verdict()).hold()


def _summed(device: Recorder) -> bool:
    return len(device.events("summary", status="done")) == len(device.events("session_ended"))
