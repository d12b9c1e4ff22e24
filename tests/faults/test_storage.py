"""The journal's file is locked, full or damaged: refuse, read on, keep what was acked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from tests.support.oracle import journal
from tests.support.process import process
from tests.support.recorder import Recorder
from tests.support.world import World, world

REFUSED_S = 8.0


async def refused(device: Recorder, text: str = "tokens 1 rate 0") -> None:
    """A send is answered, with `storage_unavailable`."""
    async with asyncio.timeout(REFUSED_S):
        ack = await device.send(text)
    assert ack.get("error", {}).get("code") == "storage_unavailable", ack
    assert ack["error"]["retryable"] is True


async def quiet(scene: World, device: Recorder) -> None:
    """One answer, and its run is folded: the server has nothing left to write."""
    await device.done((await device.say("tokens 20 rate 0"))["run_id"])
    async with asyncio.timeout(20):
        while len(journal(scene.path)[device.auth["session_id"]]) > 5:
            await asyncio.sleep(0.02)


async def back_in_service(scene: World, *devices: Recorder) -> None:
    for device in devices:
        ack = await device.say("tokens 5 rate 0")
        assert (await device.done(ack["run_id"]))["status"] == "completed"
    (await scene.verdict()).hold()


async def test_a_locked_file_refuses_and_comes_back(tmp_path: Path) -> None:
    async with world(tmp_path, GRACE_SECONDS="600") as scene:
        one = await scene.device("raw", straight=True)
        other = await scene.device("stock", straight=True)
        await quiet(scene, one)
        await quiet(scene, other)
        with closing(sqlite3.connect(scene.path, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            await refused(one)
            assert (await other.call("history"))["ok"], "reads go on"
            lock.execute("ROLLBACK")
        await back_in_service(scene, one, other)


async def test_a_failed_commit_takes_what_was_built_on_it_along(tmp_path: Path) -> None:
    """Two sends, the second while the first one's commit hangs; then the lock goes away."""
    async with world(tmp_path, GRACE_SECONDS="600") as scene:
        one = await scene.device("raw", straight=True)
        await quiet(scene, one)
        with closing(sqlite3.connect(scene.path, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(one.send("tokens 3 rate 0 one"))
            await asyncio.sleep(0.3)  # its commit has begun
            second = asyncio.create_task(one.send("tokens 3 rate 0 two"))
            await asyncio.wait([first])
            lock.execute("ROLLBACK")
        await asyncio.gather(first, second, return_exceptions=True)
        await back_in_service(scene, one)


async def test_a_message_that_comes_twice_is_refused_with_its_first(tmp_path: Path) -> None:
    """Nothing is written for the second, so it waits for what the first one's commit comes to."""
    async with world(tmp_path, GRACE_SECONDS="600") as scene:
        one = await scene.device("raw", straight=True)
        await quiet(scene, one)
        text, same = "tokens 1 rate 0", {"client_msg_id": "m-1"}
        with closing(sqlite3.connect(scene.path, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            acks = await asyncio.gather(*(one.send(text, **same) for _ in range(3)))
            lock.execute("ROLLBACK")
        assert {ack["error"]["code"] for ack in acks} == {"storage_unavailable"}
        assert (await one.say(text, **same))["status"] == "started"
        await back_in_service(scene, one)


async def test_a_streaming_answer_ends_once_when_the_file_is_locked(tmp_path: Path) -> None:
    async with world(tmp_path, GRACE_SECONDS="600") as scene:
        one = await scene.device("raw", straight=True)
        ack = await one.say("tokens 20000 rate 300")
        await one.until(lambda: one.events("token") or None)
        with closing(sqlite3.connect(scene.path, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(6.5)  # longer than a commit waits for a lock
            lock.execute("ROLLBACK")
        with contextlib.suppress(Exception):
            await one.say("tokens 1 rate 0", if_busy="interrupt")
        await one.done(ack["run_id"])
        await scene.upstream.until(lambda: scene.upstream.tapes[0].closed_at)
        await back_in_service(scene, one)


async def test_a_full_disk_refuses_and_comes_back(tmp_path: Path) -> None:
    """No file of the process may grow any more; then it may again."""
    async with world(tmp_path, GRACE_SECONDS="600") as scene:
        one = await scene.device("raw", straight=True)
        other = await scene.device("stock", straight=True)
        await quiet(scene, one)
        await quiet(scene, other)
        limit = max(os.path.getsize(path) for path in tmp_path.iterdir()) + 100
        _, hard = resource.prlimit(scene.process.child.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(scene.process.child.pid, resource.RLIMIT_FSIZE, (limit, hard))
        for _ in range(3):
            await refused(one)
            assert (await other.call("history"))["ok"], "reads go on"
        resource.prlimit(scene.process.child.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await back_in_service(scene, one, other)


async def test_a_disk_that_fills_up_during_an_answer(tmp_path: Path) -> None:
    async with world(tmp_path, GRACE_SECONDS="600") as scene:
        one = await scene.device("raw", straight=True)
        two = await scene.device("stock", of=one, straight=True)
        await quiet(scene, one)
        ack = await one.say("tokens 3000 rate 1000")
        await one.until(lambda: one.events("token", run_id=ack["run_id"]) or None)
        limit = max(os.path.getsize(path) for path in tmp_path.iterdir()) + 50_000
        pid = scene.process.child.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, hard))
        await scene.upstream.until(lambda: scene.upstream.tapes[-1].closed_at)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert (await one.done(ack["run_id"], 30))["status"] == "interrupted"
        await back_in_service(scene, one, two)


async def test_a_corrupt_file_is_set_aside(tmp_path: Path) -> None:
    damaged = b"this is no database, it only looks like a file" * 300
    (tmp_path / "realtime.db").write_bytes(damaged)
    environ = {"PORT": "0", "HOST": "127.0.0.1", "MODEL": "demo"}
    async with process(sys.executable, "-m", "realtime", cwd=tmp_path, **environ) as running:
        await running.says("Listening")
        aside = [
            path
            for path in tmp_path.iterdir()
            if path.name != "realtime.db" and path.read_bytes() == damaged
        ]
        assert len(aside) == 1, "its bytes are still there, under another name"
        assert aside[0].name in running.output, "and it says where"
        assert "Traceback" not in running.output


async def test_one_damaged_session_leaves_the_others_alone(tmp_path: Path) -> None:
    """A payload that cannot be read: its session answers `storage_unavailable`, the server
    starts, and every other session goes on."""
    async with world(tmp_path, GRACE_SECONDS="600") as scene:
        one = await scene.device("raw")
        other = await scene.device("raw")
        await one.say("tokens 5000 rate 100")
        await one.until(lambda: one.events("token") or None)
        await other.done((await other.say("tokens 5 rate 0"))["run_id"])
        scene.proxy.refusing = True
        await scene.kill()
        with closing(sqlite3.connect(scene.path, isolation_level=None)) as database:
            database.execute(
                "UPDATE log SET payload = x'7b' WHERE seq = 2 "
                "AND session = (SELECT key FROM sessions WHERE session_id = ?)",
                (one.auth["session_id"],),
            )
        await scene.start()
        scene.proxy.refusing = False
        ack = await other.say("tokens 5 rate 0")
        assert (await other.done(ack["run_id"]))["status"] == "completed"
        await one.until(lambda: [n for n in one.notices if n[0] == "session"] or None)
        assert one.notices[-1][1]["error"]["code"] == "storage_unavailable"


async def test_a_lock_shorter_than_its_patience_is_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        one = await scene.device("raw")
        await scene.device("stock", of=one)
        for turn in range(3):
            ack = await one.say(f"tokens 400 rate 800 turn {turn}")
            with closing(sqlite3.connect(scene.path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                before = await one.call("history", limit=5)
                assert before["ok"], "reads go on"
                other.execute("ROLLBACK")
            assert (await one.done(ack["run_id"]))["status"] == "completed"
        (await scene.verdict()).hold()


async def test_a_read_by_somebody_else_holds_nothing_up(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        one = await scene.device("raw")
        await one.done((await one.say("tokens 20 rate 0"))["run_id"])
        with closing(sqlite3.connect(scene.path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM events").fetchone()
            ack = await one.say("tokens 500 rate 1000")
            assert (await one.done(ack["run_id"]))["status"] == "completed"
        (await scene.verdict()).hold()


async def test_a_log_torn_at_its_end_is_read_up_to_there(tmp_path: Path) -> None:
    """What the write-ahead file holds of an unfinished commit is dropped, not believed."""
    async with world(tmp_path) as scene:
        one = await scene.device("raw")
        await one.done((await one.say("tokens 20 rate 0"))["run_id"])
        scene.proxy.refusing = True
        await scene.kill()
        before = journal(scene.path)
        with Path(f"{scene.path}-wal").open("ab") as wal:
            wal.write(b"half a frame of a commit that never was")
        assert journal(scene.path) == before
        await scene.start()
        scene.proxy.refusing = False
        await one.done((await one.say("tokens 30 rate 0"))["run_id"])
        (await scene.verdict()).hold()
