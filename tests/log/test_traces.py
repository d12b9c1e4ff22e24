"""Nothing is left on the disk of a session that was deleted: not in the file, its free pages, the
search index or the write-ahead log, nor in the folder of files."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from realtime.core.session import Session
from realtime.log.encode import encoded
from realtime.log.journal import Journal, upkeep
from realtime.log.journal.database import Database
from realtime.log.journal.keeper import JournalKeeper
from realtime.protocol import File, Send, Usage
from tests.support.talk import ended_runs, head_of, say


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[JournalKeeper]:
    one = JournalKeeper(Journal(str(tmp_path / "j.db")))
    yield one
    await one.close()


class Talk:
    """A session of many words that stand nowhere else."""

    def __init__(self, dice: random.Random) -> None:
        self.words: list[str] = []
        self._dice = dice
        self.session = Session(str(uuid4()))
        self.session.begin(self.some(1), 1)
        for number in range(3):
            send = Send(text=self.some(40), client_msg_id=str(number))
            self.session.send(send, self.session.user_id, "m", 2)
            for _ in range(20):
                say(self.session, f"{self.some(dice.randrange(1, 10))} ", 3)
            assert self.session.active
            run_id = self.session.active.run_id
            self.session.finish(run_id, "completed", "stop", 4, usage=Usage(1, 1))
            self.session.entitle(self.some(2), "m", Usage(1, 1), 5)

    @property
    def session_id(self) -> str:
        return self.session.session_id

    def some(self, count: int) -> str:
        made = [f"{self._dice.getrandbits(80):020x}" for _ in range(count)]
        self.words += made
        return " ".join(made)

    async def store(self, keeper: JournalKeeper, folder: Path) -> None:
        events = self.session.take()
        for first in range(0, len(events), 7):
            part = encoded(self.session_id, 1, events[first : first + 7])
            await keeper.commit([part], [] if part.only_tokens else [head_of(self.session)])
        runs = [(self.session_id, first) for _, first, _ in ended_runs(events)]
        keeper.tend(len(events), runs)
        await keeper.add_output(self.session_id, str(uuid4()), "text", self.some(100).encode())
        content = folder / "content"
        content.write_text(said := self.some(100))
        digest = f"{self._dice.getrandbits(256):064x}"
        file = File(str(uuid4()), self.some(1), "text/plain", len(said))
        await keeper.add_file(self.session_id, "u", file, digest, content, 6)


def found(folder: Path, talks: list[Talk]) -> int:
    """How many of the words of these stand in any file. The index has each without what it has in
    common with the one before it."""
    there = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    ends = {word[6:].encode() for talk in talks for word in talk.words}
    runs = re.findall(rb"[0-9a-f]{14,}", there)
    return len(ends & {run[at : at + 14] for run in runs for at in range(len(run) - 13)})


async def without_traces(keeper: JournalKeeper) -> None:
    async with asyncio.timeout(30):
        while keeper.journal.traces():
            await asyncio.sleep(0.01)


async def test_the_words_of_a_deleted_session_stand_nowhere_while_running(
    keeper: JournalKeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "WIPE_S", 0.01)
    monkeypatch.setattr(upkeep, "WIPE_RESTS", 0)
    dice = random.Random(1)
    gone: list[Talk] = []
    stay: list[Talk] = []
    for _ in range(4):
        new = [Talk(dice) for _ in range(4)]
        for talk in new:
            await talk.store(keeper, tmp_path)
            keeper.journal.index()
        gone, stay = [*gone, *new[:3]], [*stay, new[3]]
        assert found(tmp_path, gone)
        await keeper.delete([talk.session_id for talk in new[:3]])
        await without_traces(keeper)
        assert found(tmp_path, gone) == 0
        assert found(tmp_path, stay) > 0.9 * sum(len(talk.words) for talk in stay)


async def test_another_process_leaves_none_when_it_ends(
    keeper: JournalKeeper, tmp_path: Path
) -> None:
    talk = Talk(random.Random(2))
    await talk.store(keeper, tmp_path)
    await keeper.file()
    visitor = JournalKeeper(Journal(keeper.journal.path, owner=False))
    await visitor.delete([talk.session_id])
    await visitor.close()
    assert found(tmp_path, [talk]) == 0


async def test_a_crash_leaves_them_to_the_next_start(tmp_path: Path) -> None:
    talk = Talk(random.Random(3))
    first = JournalKeeper(Journal(str(tmp_path / "j.db")))
    await talk.store(first, tmp_path)
    first.journal.index()
    await first.delete([talk.session_id])
    await first.close()
    second = JournalKeeper(Journal(str(tmp_path / "j.db")))
    assert second.journal.traces()
    await second.begin()
    assert not second.journal.traces()
    assert found(tmp_path, [talk]) == 0
    await second.close()


async def test_a_reader_is_waited_for_and_no_commit_waits_for_it(
    keeper: JournalKeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "WIPE_S", 0.01)
    monkeypatch.setattr(upkeep, "BUSY_S", 0.01)
    asked: list[bool] = []
    empty = Database.empty_wal

    def watched(database: Database) -> bool:
        asked.append(empty(database))
        return asked[-1]

    monkeypatch.setattr(Database, "empty_wal", watched)
    talk = Talk(random.Random(4))
    await talk.store(keeper, tmp_path)
    with keeper.journal.events.reading():
        keeper.journal.events.rows(talk.session_id)
        await keeper.delete([talk.session_id])
        async with asyncio.timeout(30):
            while len(asked) < 3:
                await keeper.probe()  # a commit
        assert not any(asked)
        assert found(tmp_path, [talk])
    await without_traces(keeper)
    assert asked[-1]
    assert found(tmp_path, [talk]) == 0


async def test_many_deletions_are_wiped_together(
    keeper: JournalKeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[None] = []
    empty = Database.empty_wal

    def counted(database: Database) -> bool:
        emptied.append(None)
        return empty(database)

    monkeypatch.setattr(Database, "empty_wal", counted)
    talks = [Talk(random.Random(seed)) for seed in range(10)]
    for talk in talks:
        await talk.store(keeper, tmp_path)
    assert not emptied
    for talk in talks:
        await keeper.delete([talk.session_id])
    assert not emptied, "no deletion waits for it"
    await without_traces(keeper)
    assert len(emptied) <= 2
    assert found(tmp_path, talks) == 0
