"""A session that one worker shows and another one writes: told in pieces, folded when looked at."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from realtime.cluster.mirror import UNREAD, Gap, Mirror
from realtime.core.answer import Answer
from realtime.core.rows import StorageError
from realtime.core.session import Session
from realtime.core.user import User
from realtime.live.tail import Tail
from realtime.log.hot.records import Counts, KeptHead, Row, Told, decode_row, row_of
from realtime.protocol import Event, ToolDeclaration, to_json
from tests.support.cluster import PREFIX, cluster
from tests.support.talk import asked, head_of, say, talk
from tests.workers.test_owners import elsewhere


def mirror(session_id: str, ask: Any = None) -> Mirror:
    nothing = cast(Any, None)
    session = Session(session_id)
    tail = Tail(nothing, session_id, 0)
    return Mirror(head_of(session), session, nothing, tail, "writer", ask, nothing)


def told(session_id: str, events: list[Event]) -> Told:
    return Told(session_id, 1, None, [decode_row(row_of(event, 1)) for event in events])


def state(session: Session) -> list[Any]:
    said = [(question.text, answer.text()) for question, answer in session.exchanges()]
    return [session.head, session.row(), said, to_json(session.active_view())]


@pytest.mark.parametrize("seed", range(12))
async def test_it_is_what_was_told_whenever_one_looks(seed: int) -> None:
    dice = random.Random(seed)
    written = talk(seed)
    events = written.take()
    shown = mirror(written.session_id)
    known = Session(written.session_id)
    entries: list[tuple[str, bytes]] = []
    at = 0
    while at < len(events):
        piece = events[max(0, at - dice.randrange(2)) : at + dice.randrange(1, 9)]
        entries += shown.take(told(written.session_id, piece))
        for event in events[at : piece[-1].seq]:
            known.apply(event)
        at = piece[-1].seq
        if dice.random() < 0.3:
            assert shown.committed == known.head
            assert state(shown.session) == state(known)
    assert [payload for _, payload in entries] == [to_json(event) for event in events]
    assert state(shown.session) == state(written)


def answering() -> tuple[Session, Mirror, Answer]:
    """A session in which an answer has begun, its mirror, and the answer there."""
    written = Session("s")
    written.begin("owner", 1)
    run = asked(written, "How much?")
    shown = mirror("s")
    shown.take(told("s", written.take()))
    return written, shown, shown.session.runs[run.run_id].answer


async def test_what_is_shown_and_not_looked_at_is_bounded() -> None:
    written, shown, answer = answering()
    for number in range(10 * UNREAD):
        say(written, "x", number)
        shown.take(told("s", written.take()))
        assert 0 <= number + 1 - answer.length["text"] < UNREAD
    assert answer.length["text"] > 9 * UNREAD, "folded without a look"


async def test_asking_for_its_id_is_no_look_at_the_session() -> None:
    written, shown, answer = answering()
    say(written, "x", 0)
    shown.take(told("s", written.take()))
    assert shown.session_id == "s"
    assert answer.length["text"] == 0


async def test_a_gap_changes_nothing() -> None:
    written = talk(3)
    events = written.take()
    shown = mirror(written.session_id)
    shown.take(told(written.session_id, events[:4]))
    before = state(shown.session)
    with pytest.raises(Gap):
        shown.take(told(written.session_id, events[5:]))
    assert (shown.heard, shown.committed, state(shown.session)) == (4, 4, before)
    shown.read_again(head_of(written), written, events[4:])
    assert (shown.heard, shown.committed) == (written.head, written.head)
    assert shown.take(told(written.session_id, events)) == []


async def test_whoever_claims_the_session_is_offered_the_tools_of_devices() -> None:
    offered: list[Any] = []

    async def ask(session_id: str, name: str, given: tuple[Any, ...], asker: Any) -> dict[str, Any]:
        offered.append((shown.worker, name, *given))
        return {}

    shown = mirror("s", ask)
    tools = [ToolDeclaration("battery", "How full it is.")]
    shown.presence.enter("1", User("u"), tools)
    shown.presence.enter("1", User("u", name="Ada"))
    for worker in ("next", "next"):
        shown.claimed(worker)
        await asyncio.sleep(0)
    assert offered == [("next", "offer", tools)] * 2, "it may have loaded the session anew"
    shown.presence.leave("1")
    shown.claimed("last")
    await asyncio.sleep(0)
    assert len(offered) == 2


async def test_a_head_that_comes_late_is_not_shown() -> None:
    written = talk(3)
    head = head_of(written)
    shown = mirror(written.session_id)
    for revision, key in ((2, None), (1, "void"), (3, "new")):
        kept = KeptHead(head.row, head.unfinished, None, key, Counts(), revision)
        shown.take(Told(written.session_id, 1, kept, []))
        assert shown.share_key == (None if revision < 3 else "new")


async def test_an_event_of_a_newer_version_is_not_shown(tmp_path: Path) -> None:
    shown = mirror("s")
    newer = Told("s", 1, None, [Row(1, 1, 1, "unheard_of", b"{}")])
    with pytest.raises(StorageError, match="unheard_of"):
        shown.take(newer)
    async with cluster(tmp_path) as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)
        ack = await other.say("tokens 20 rate 0 first")
        done = await other.done(ack["run_id"])
        session_id, seq = owner.auth["session_id"], done["seq"] + 1
        newer = Told(session_id, 1, None, [Row(seq, seq, 1, "unheard_of", b"{}")])
        frame = b"T" + msgspec.msgpack.encode([newer])
        for channel in world.engine.tell("PUBSUB", "CHANNELS", f"{PREFIX}w:*"):
            world.engine.tell("PUBLISH", channel, frame)
        await other.until(lambda: other.connects == 2 or None)
        ack = await other.say("tokens 20 rate 0 second")
        for device in (owner, other):
            await device.done(ack["run_id"])
        assert owner.connects == 1
        (await world.verdict()).hold()
