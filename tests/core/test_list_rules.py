"""Copies of any part of any session say what the original says; labels are a fold like the rest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import to_builtins

from realtime.core.fork import copied
from realtime.core.provider_state import provider_state
from realtime.core.session import Session
from realtime.protocol import Event, ProtocolError, Send, SessionUpdated, Usage
from tests.support.states import fill
from tests.support.talk import asked, say, talk


def said(session: Session, leaf: str | None) -> list[object]:
    """What a branch says, to readers and to a model."""
    return [
        (
            question.text,
            answer.text(),
            [to_builtins(call) | {"seq": 0, "ts": 0} for call in answer.calls.values()],
            sorted(map(str, answer.sources)),
        )
        for question, answer in session.exchanges(leaf)
    ]


def read_back(session: Session, events: list[Event]) -> Session:
    again = Session(session.session_id)
    for event in events:
        again.apply(event)
    return again


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.randoms())
def test_a_copy_says_what_the_original_says(seed: int, dice: object) -> None:
    session = talk(seed, runs=7)
    events = session.take()
    fill(events)
    message_id = dice.choice([*session.branches.parents])  # type: ignore[attr-defined]
    copy = Session("copy")
    copy.begin("somebody", 99)
    part = session.part_up_to(message_id)
    copy.copy(copied(events, part, {}))
    assert all(run.done for run in copy.runs.values())
    taken = copy.take()
    assert [event.seq for event in taken] == list(range(1, len(taken) + 1))
    assert {event.session_id for event in taken} == {"copy"}
    leaf = copy.branches.leaf
    assert leaf is not None
    assert message_id in (leaf, copy.branches.parents[leaf])
    mine, theirs = said(copy, None), said(session, leaf)
    for text in (mine, theirs):
        for exchange in text:
            for one in exchange[2]:  # type: ignore[index]
                one.pop("session_id", None)
    assert mine == theirs
    kept = [s for event in taken if type(event).__name__ != "Run" and (s := provider_state(event))]
    assert all(b"for-the-provider-only" in state for state in kept)
    again = read_back(copy, taken)
    assert (said(again, None), again.row(), again.context()) == (
        said(copy, None),
        copy.row(),
        copy.context(),
    )
    assert not again.unfinished
    command = Send(text="goes on", client_msg_id="new")
    assert copy.send(command, "somebody", "m", 100)[0] == "started"
    assert len(copy.exchanges()) == len(mine) + 1


@given(st.integers(0, 10_000))
def test_labels_are_read_back_as_they_were(seed: int) -> None:
    session = talk(seed)
    again = read_back(session, session.take())
    assert again.row() == session.row()
    assert again.labels.feedback == session.labels.feedback


def test_a_model_names_a_session_once_and_a_person_whenever() -> None:
    session = Session("s")
    session.begin("u", 1)
    session.entitle("", "m", Usage(0, 0), 2)
    session.entitle("", "m", Usage(1, 1), 2)
    session.entitle("By a model", "m", Usage(1, 2), 2)
    session.entitle("Again", "m", Usage(1, 3), 2)
    session.rename("Mine", "u", 3)
    session.rename("Mine", "u", 3)
    told = [event for event in session.take() if isinstance(event, SessionUpdated)]
    assert [(event.title, event.usage and event.usage.output_tokens) for event in told] == [
        *((None, 1), ("By a model", 2), (None, 3), ("Mine", None))
    ], "what it cost is told in any case"
    for nothing in ("\u202e \n", "\u3164", "\u2800", "\ufe0f", "\u0301", "\U000e0100"):
        with pytest.raises(ProtocolError, match="visible"):
            session.rename(nothing, "u", 4)
    session.rename(" " * 1950 + "visible", "u", 5)
    assert session.row().title == "visible"
    assert session.row().active_at is None, "nothing was said"


def test_a_copy_has_what_an_answer_took_in() -> None:
    session = Session("s")
    session.begin("u", 1)
    run = asked(session, "first")
    say(session, "one ", 3)
    steer = Send(text="in blue", client_msg_id="2", if_busy="steer")
    assert session.send(steer, "u", "m", 4)[0] == "queued"
    assert session.take_in(run.run_id, 5)
    say(session, "two", 6)
    session.finish(run.run_id, "completed", "stop", 7, usage=Usage(1, 1))
    copy = Session("copy")
    copy.begin("u", 8)
    copy.copy(copied(session.take(), session.part_up_to(run.answer.message_id), {}))
    (exchange,) = copy.exchanges()
    assert [message.text for message in exchange[1].steered] == ["in blue"]
    assert copy.context() == session.context()
