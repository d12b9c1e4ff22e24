"""A snapshot is read in several steps, and its run may be folded in between."""

from __future__ import annotations

from pathlib import Path

from realtime.core.rows import Head
from realtime.core.session import Session
from realtime.log.encode import encoded
from realtime.log.journal import Journal
from realtime.log.journal.keeper import JournalKeeper
from realtime.log.log import Log
from realtime.protocol import Done, Event, Run, Token, Usage, entry
from tests.support.fold import fold
from tests.support.talk import asked


def long_answer(tokens: int) -> Session:
    session = Session("s")
    session.begin("u", 1)
    run = asked(session, "go")
    for number in range(tokens):
        text = f"t{number + 1:06d} "
        token = Token(message_id=run.answer.message_id, offset=8 * number, delta=text, kind="text")
        session.record(run.run_id, [token], 3)
    session.finish(run.run_id, "completed", "stop", 4, usage=Usage(1, tokens))
    return session


async def test_a_fold_between_two_reads_leaves_no_hole(tmp_path: Path) -> None:
    session = long_answer(5000)
    events: list[Event] = session.take()
    assert isinstance(events[2], Run)
    assert isinstance(events[-1], Done)
    journal = Journal(str(tmp_path / "j.db"))
    head = Head(session.row(), unfinished=False, left_at=None)
    journal.write([encoded(head.row.session_id, 1, events)], [head])
    log = Log(JournalKeeper(journal))
    read = journal.events.before

    reads = 0

    def read_and_then_fold(session_id: str, seq: int, limit: int) -> list[Event]:
        nonlocal reads
        reads += 1
        found = read(session_id, seq, limit)
        run = session.started[0]
        journal.events.fold_from("s", run.first_seq)
        return found

    journal.events.before = read_and_then_fold  # type: ignore[method-assign]
    try:
        page, next_before, _ = await log.keeper.page("s", 2**62, 200)
        assert next_before is None
        assert reads > 1
        assert fold(map(entry, page)) == fold(map(entry, events))
    finally:
        await log.close()
