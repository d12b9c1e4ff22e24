"""Trouble with the journal's file that the server must survive with what it had acked."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.faults.oracle import journal
from tests.faults.world import world


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
        before = journal_bytes(scene.path)
        with Path(f"{scene.path}-wal").open("ab") as wal:
            wal.write(b"half a frame of a commit that never was")
        assert journal_bytes(scene.path) == before
        await scene.start()
        scene.proxy.refusing = False
        await one.done((await one.say("tokens 30 rate 0"))["run_id"])
        (await scene.verdict()).hold()


def journal_bytes(path: Path) -> str:
    return str(journal(path))
