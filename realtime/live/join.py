"""What a device is told that joins a session."""

from __future__ import annotations

from typing import Any, Literal

from ..core.branches import around
from ..core.session import Session
from ..core.shown import on_branch
from ..protocol import (
    MAX_PAGE_SIBLINGS,
    MAX_SIBLINGS,
    MIN_SIBLINGS,
    History,
    Join,
    Run,
    SessionPayload,
    SiblingCount,
    ToolCall,
    UserMessage,
    entry,
    to_json,
)
from .tail import Page, Tail

MAX_PENDING_ARGUMENTS = 8 * 1024
Mode = Literal["live", "replay", "snapshot"]


async def page_for(command: Join, session: Session, tail: Tail) -> tuple[Page, Mode]:
    """What a device that knows `after_seq` of its epoch has missed; the active branch, where its
    cursor is of another epoch. Raises `StorageError`."""
    after = command.after_seq
    # a cursor without an epoch is of the only one there can have been
    known = (1 if command.epoch is None else command.epoch) == session.epoch
    if after is None or not known or after > tail.committed:
        return await tail.snapshot(on_branch(session, session.branches.leaf)), "snapshot"
    page = await tail.missed(after)
    return page, "replay" if page.events else "live"


def payload(session: Session, committed: int, page: Page, mode: Mode, model: str) -> SessionPayload:
    """The page and what is so just now."""
    place(page, session)
    calls = [*session.pending(), *session.pending_client_calls()]
    waiting = _entries([call for call in calls if call.seq <= committed])
    return SessionPayload(
        session_id=session.session_id,
        user_id=session.user_id,
        epoch=session.epoch,
        seq=page.seq,
        head=committed,
        mode=mode,
        recovered=mode != "snapshot",
        events=[entry(event) for event in page.events],
        next_before_seq=page.next_before_seq,
        active_run=session.active_view(),
        leaf=session.branches.leaf,
        siblings=page.siblings,
        sibling_counts=page.sibling_counts,
        queue=session.queue_view(),
        pending_approvals=[call for call in waiting if call["status"] == "awaiting_approval"],
        pending_client_calls=[call for call in waiting if call["status"] == "awaiting_client"],
        ended=session.ended is not None,
        title=session.labels.title,
        pinned=session.labels.pinned,
        archived=session.labels.archived,
        model=model,
    )


async def history(command: History, session: Session, tail: Tail) -> Page:
    """Older events of the active branch, or of another. Raises `not_found`, `StorageError`."""
    shown = on_branch(session, leaf_of(session, command.leaf))
    page = await tail.history(command.before_seq, command.limit, shown)
    place(page, session)
    return page


def leaf_of(session: Session, message_id: str | None) -> str | None:
    """The end of the branch that a message is on; of the active one, where none is named. Raises
    `not_found`."""
    if message_id is None:
        return session.branches.leaf
    session.check_message(message_id)
    return session.branches.end_of(message_id)


def place(page: Page, session: Session) -> None:
    """Say of the messages that begin on a page what stands beside them: of a large family the
    nearest ones, and how many there are."""
    begun = {event.message_id for event in page.events if isinstance(event, UserMessage | Run)}
    families = session.branches.siblings(begun & session.branches.parents.keys())
    most = MAX_PAGE_SIBLINGS // max(1, len(families))
    most = max(MIN_SIBLINGS, min(MAX_SIBLINGS, most))
    for message_id, family in families.items():
        page.siblings[message_id] = list(around(family, message_id, most))
        if len(family) > most:
            count = SiblingCount(family.index(message_id) + 1, len(family))
            page.sibling_counts[message_id] = count


def _entries(waiting: list[ToolCall]) -> list[dict[str, Any]]:
    """The calls that wait; where their arguments are long together, those are in the events
    only."""
    entries, room = [entry(call) for call in waiting], MAX_PENDING_ARGUMENTS
    for item in entries:
        room -= len(to_json(item["arguments"]))
        if room < 0:
            del item["arguments"]
    return entries
