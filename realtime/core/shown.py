"""Which events a reader of one branch is shown. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol import Event, Feedback, Selected, UserMessage
from .state import State

Shown = Callable[[Event], bool]


def on_branch(session: State, leaf: str | None) -> Shown | None:
    """Tells the events of a branch from others; None where there is no other branch. It may be
    called from any thread."""
    branches = session.branches
    if leaf == branches.leaf and not branches.many:
        return None
    path: set[str | None] = {None, *branches.path(leaf)}
    runs = {
        run.run_id
        for run in session.runs.values()
        if (run.answer.message_id if run.started_at else run.behind) in path
    }
    known = set(branches.parents)

    def shown(event: Event) -> bool:
        if isinstance(event, Selected):
            return event.message_id in path
        if isinstance(event, UserMessage | Feedback) and event.message_id in known:
            return event.message_id in path
        return event.run_id is None or event.run_id in runs

    return shown
