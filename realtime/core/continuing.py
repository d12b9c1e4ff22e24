"""Which answers can be continued, and which the server continues by itself. No I/O."""

from __future__ import annotations

from ..protocol import Run
from .held import Held, hold
from .state import RunState, State

MOST = 2
"""Runs in a row that nobody asked for."""


def continuable(run: RunState) -> bool:
    """Whether the answer of a run that has ended broke off; a failure to continue it leaves it
    so. An answer that does not fit its schema is whole all the same."""
    assert run.done
    if run.done.finish_reason == "stop":
        return False
    return run.continues or run.done.status in ("interrupted", "incomplete")


def in_a_row(run: RunState, session: State) -> int:
    """How many runs that nobody asked for led to this one, it included."""
    count = 0
    for one in reversed([one for one in session.started if one.answer is run.answer]):
        if not one.automatic:
            break
        count += 1
    return count


def may_go_on(run: RunState, session: State) -> bool:
    """Whether the answer of a run that is about to end may be continued without a question. Not
    where a tool may have had an effect that nobody knows, or nobody knows who asked: then a
    person decides."""
    unknown = any(
        call.status in ("running", "awaiting_client")
        or (call.error and call.error.code == "unknown_outcome")
        for call in run.answer.calls.values()
        if call.run_id == run.run_id
    )
    begun = run.started_at is not None
    return begun and bool(run.asker) and not unknown and in_a_row(run, session) < MOST


def successor(run: RunState, run_id: str, model: str, *, waits: bool) -> Run:
    """The first event of the run that goes on with an answer. `waits`: for another process, before
    all that is queued, since an answer can be continued only while it is the last one."""
    return Run(
        run_id=run_id,
        message_id=run.answer.message_id,
        status="queued" if waits else "started",
        model=model,
        user_id=run.asker,
        automatic=True,
        options=run.options,
    )


def to_take_up(run: RunState) -> Held | None:
    """The answer that a crash caught the run in, where its provider keeps it: it has not ended as
    long as none of its calls was made."""
    if run.held is None:
        return None
    calls = list(run.answer.calls.values())[run.held.calls :]
    begun = any(call.status not in ("streaming", "ready") for call in calls if not call.hosted)
    return None if begun else run.held


def resumed(run: RunState, model: str) -> Run:
    """A run goes on after a crash, and may have to once more."""
    event = Run(message_id=run.answer.message_id, status="resumed", model=model)
    if run.held:
        hold(event, run.held)
    return event


def newest(run: RunState, session: State) -> RunState:
    """The run that goes on with the answer of this one by itself, perhaps over another; else
    the run itself."""
    while run.done and run.done.continued_by:
        run = session.runs[run.done.continued_by]
    return run
