"""Messages that join the answer under way, between two of its steps. No I/O."""

from __future__ import annotations

from typing import Literal

from .continuing import newest
from .state import RunState, State

Fate = Literal["consumed", "queued"]


def steers(waiting: RunState, run: RunState) -> bool:
    """Whether a message that waits may join the answer of a run. A run's tools have the rights of
    its asker, so nobody else's message may; and one with a schema needs an answer of its own."""
    message = waiting.user
    asked = message is not None and message.steer and message.schema is None
    return asked and bool(run.asker) and waiting.asker == run.asker


def fate(waiting: RunState, run: RunState, session: State, committed: int) -> Fate | None:
    """Whether a message joined the answer of the run that was under way when it came, or has to
    wait for its own, by the events up to `committed`; None where that is still open."""
    if done := waiting.done:
        if done.seq > committed:
            return None
        return "consumed" if done.status == "consumed" else "queued"
    run = newest(run, session)
    ended = run.done is not None and run.done.seq <= committed
    return "queued" if ended or not steers(waiting, run) else None
