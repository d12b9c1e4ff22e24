"""The client's state: the shared vectors, and histories of real sessions, on every way there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from realtime.client import CallAt, MessageAt, SessionState
from realtime.client.state import load
from realtime.core import fold as server_fold
from realtime.protocol import QueueOrder, UserMessage, decode_event, entry
from tests.core.test_fold import History, histories
from tests.support.fold import fold
from tests.support.process import ROOT

Json = dict[str, Any]
VECTORS = json.loads((ROOT / "tests/vectors/reducer.json").read_text("utf-8"))


def page(events: list[Json], mode: str, seq: int, **more: Any) -> Json:
    """A `session` payload."""
    known = {"session_id": "s", "user_id": "u", "epoch": 1, "head": seq, "model": "demo"}
    return {**known, "mode": mode, "seq": seq, "events": events, **more}


def empty() -> SessionState:
    return load(SessionState(), page([], "live", 0))[0]


def live(events: list[Json]) -> SessionState:
    """Event by event, each of which must be taken."""
    state = empty()
    for event in events:
        assert state.apply(event) == "applied", event
    return state


def shape(state: SessionState) -> list[Json]:
    return [
        {
            "run_id": run.run_id,
            "user_text": run.user["text"] if run.user else None,
            "text": run.message.text,
            "reasoning": run.message.reasoning,
            "tool_calls": [
                {name: call[name] for name in ("tool_call_id", "status")}
                for call in run.message.calls
            ],
            "status": run.status,
            **({"messages": taken} if (taken := took_in(run.message.taken)) else {}),
        }
        for run in state.runs
    ]


def took_in(parts: list[MessageAt]) -> list[Json]:
    return [{"text": part.user and part.user["text"], "offset": part.offset} for part in parts]


def parts(state: SessionState) -> list[list[tuple[int, str]]]:
    """Where each part of each answer stands."""
    return [
        [
            (part.offset, part.call["tool_call_id"])
            if isinstance(part, CallAt)
            else (part.offset, part.run_id)
            if isinstance(part, MessageAt)
            else (part.start, part.text)
            for part in run.message.parts
        ]
        for run in state.runs
    ]


def folded(events: list[Json]) -> list[Json]:
    """As a snapshot holds them."""
    typed = [
        decode_event(event["event"], json.dumps({k: v for k, v in event.items() if k != "event"}))
        for event in events
    ]
    return [entry(event) for event in server_fold.fold(typed)]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_shared_vectors(vector: Json) -> None:
    events, truth = vector["events"], vector["state"]["runs"]
    seq = events[-1]["seq"]
    assert shape(live(events)) == truth
    for mode, entries in (("snapshot", folded(events)), ("replay", events)):
        state, verdict = load(SessionState(), page(entries, mode, seq))
        assert (verdict, shape(state), state.last_seq) == ("applied", truth, seq)


@given(histories, st.data())
def test_live_replay_and_snapshot_lead_to_one_state(history: History, data: st.DataObject) -> None:
    entries, head = history.entries(), len(history.events)
    truth = fold(entries)
    whole = live(entries)
    assert shape(whole) == truth
    cut = data.draw(st.integers(0, head))
    overlap = data.draw(st.integers(0, cut))
    missed = [entry(event) for event in server_fold.merge(history.events[overlap:])]
    for known in (live(entries[:cut]), snapshot_of(history, cut)):
        state, verdict = load(known, page(missed, "replay", head))
        assert (verdict, shape(state), parts(state)) == ("applied", truth, parts(whole))
    snapshot = snapshot_of(history, head)
    assert (shape(snapshot), parts(snapshot)) == (truth, parts(whole))


def snapshot_of(history: History, seq: int) -> SessionState:
    entries = [entry(event) for event in server_fold.fold(history.events[:seq])]
    return load(SessionState(), page(entries, "snapshot", seq))[0]


@given(histories, st.data())
def test_doubled_events_are_ignored_and_later_ones_are_a_gap(
    history: History, data: st.DataObject
) -> None:
    entries = history.entries()
    place = data.draw(st.integers(1, len(entries)))
    state = live(entries[:place])
    before = shape(state)
    assert state.apply(entries[data.draw(st.integers(0, place - 1))]) == "ignored"
    if place + 1 < len(entries):
        assert state.apply(entries[place + 1]) == "gap"
    assert (shape(state), state.last_seq) == (before, place)


@given(histories, st.integers(1, 30))
def test_older_pages_put_in_front_lead_to_the_whole(history: History, limit: int) -> None:
    """Of conversations without branches, of which the server sends the active one alone, and
    without changes to the queue, of whose order the payload tells beside the events."""
    head, whole = len(history.events), live(history.entries())
    said = [event.run_id for event in history.events if isinstance(event, UserMessage)]
    moved = any(isinstance(event, QueueOrder) for event in history.events)
    assume(not whole.aside and not moved and len(said) == len(set(said)))
    events = server_fold.fold(history.events)
    newest, before = server_fold.newest(events, limit=limit, max_bytes=10**6)
    start = page([entry(event) for event in newest], "snapshot", head, next_before_seq=before)
    state, _ = load(SessionState(), start)
    while before:
        older = server_fold.fold([event for event in history.events if event.seq < before])
        found, before = server_fold.newest(older, limit=limit, max_bytes=10**6)
        state.prepend({"events": [entry(event) for event in found], "next_before_seq": before})
    assert state.next_before_seq is None
    assert (shape(state), parts(state)) == (shape(whole), parts(whole))


def begun() -> list[Json]:
    run = {"run_id": "r", "user_id": "u"}
    said = {"message_id": "q", "client_msg_id": "c", "text": "hi"}
    return [
        {"event": "session_started", "seq": 1, "user_id": "u", "start_time": 1},
        {"event": "user_message", "seq": 2, **run, **said},
        {"event": "run", "seq": 3, **run, "message_id": "a", "status": "started", "model": "m"},
    ]


def token(seq: int, offset: int, delta: str, **more: Any) -> Json:
    said = {"message_id": "a", "offset": offset, "delta": delta, "kind": "text", **more}
    return {"event": "token", "seq": seq, "run_id": "r", **said}


def test_an_overlap_is_counted_in_utf_16_units() -> None:
    state = live([*begun(), token(4, 0, "a😀b")])
    assert state.apply(token(6, 1, "😀b👍🏽!", first_seq=4)) == "applied"
    assert state.runs[0].message.text == "a😀b👍🏽!"


def test_what_another_model_begins_anew_takes_the_place_of_what_was_cut() -> None:
    call = {"event": "tool_call", "run_id": "r", "name": "f", "status": "completed"}
    fallback = {"event": "run", "run_id": "r", "message_id": "a", "status": "fallback"}
    source = {"event": "sources", "run_id": "r", "message_id": "a"}
    state = live(
        [
            *begun(),
            token(4, 0, "Let me see. "),
            {**call, "seq": 5, "tool_call_id": "kept"},
            {**source, "seq": 6, "sources": [{"url": "a", "end": 3}, {"url": "b", "end": 15}]},
            token(7, 12, "It is 4"),
            {**call, "seq": 8, "tool_call_id": "void"},
            {**fallback, "seq": 9, "model": "small", "from_model": "m", "reset_to": 12},
            token(10, 12, "It is 5."),
        ]
    )
    (run,) = state.runs
    assert parts(state) == [[(0, "Let me see. "), (12, "kept"), (12, "It is 5.")]]
    assert run.message.sources == [{"url": "a", "end": 3}]
    assert run.fallback
    assert (run.fallback["from_model"], run.model) == ("m", "small")


def test_what_a_newer_server_says_moves_the_cursor_and_nothing_else() -> None:
    state = live([*begun(), {"event": "something_new", "seq": 4, "run_id": "r", "odd": [1]}])
    assert (len(state.runs), state.last_seq) == (1, 4)
    odd = {"event": "tool_call", "seq": 5, "run_id": "r", "tool_call_id": "t", "name": "f"}
    assert state.apply({**odd, "status": "status_of_tomorrow", "new": 1}) == "applied"
    assert state.runs[0].message.calls[0]["status"] == "status_of_tomorrow"


def test_another_epoch_or_session_drops_what_is_known() -> None:
    state = live([*begun(), token(4, 0, "stale")])
    for other in ({"epoch": 2}, {"session_id": "t"}):
        fresh, _ = load(state, page([], "live", 0, **other))
        assert (fresh.runs, fresh.last_seq) == ([], 0)
    assert fresh.apply({**token(1, 0, "x"), "session_id": "s"}) == "ignored"
