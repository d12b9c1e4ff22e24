"""The rows of the log: what the journal stores and what Supabase receives."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SummaryStatus = Literal["none", "pending", "done", "failed"]
SessionStatus = Literal["idle", "running", "awaiting_approval", "failed"]


class StorageError(Exception):
    """A store cannot be read or written; the message says what is wrong."""


class Missing(StorageError):
    """The bytes of a file are not there any more."""

    def __init__(self) -> None:
        super().__init__("the content of this file is no longer stored")


class Deleted(StorageError):
    """The session was deleted."""

    def __init__(self) -> None:
        super().__init__("the session was deleted")


class HeldElsewhere(StorageError):
    """Another worker holds the session; it may be asked for again after a while."""

    def __init__(self, retry_after_ms: int, worker: str = "") -> None:
        super().__init__("another worker holds the session")
        self.retry_after_ms = retry_after_ms
        self.worker = worker
        """Its name, where that is known."""


class SessionRow(msgspec.Struct, kw_only=True):
    """The head of one session. Times are ms since the Unix epoch.

    `active_at`: when something was last said; None: nothing was. `last_text`: the beginning of
    what that was. `status`: what goes on, or that the last answer failed. `unread`: whether an
    answer has ended since the owner last watched.
    """

    session_id: str
    user_id: str
    epoch: int = 1
    start_time: int
    end_time: int | None = None
    duration_seconds: float | None = None
    summary: str | None = None
    summary_status: SummaryStatus = "none"
    title: str | None = None
    pinned: bool = False
    archived: bool = False
    active_at: int | None = None
    status: SessionStatus = "idle"
    last_text: str | None = None
    unread: bool = False


class Place(msgspec.Struct, frozen=True, order=True):
    """Where a session stands in a user's list: pinned ones first, then the newest."""

    pinned: bool
    active_at: int
    session_id: str


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a user's list: sessions in which something was said, behind the place `before`.
    `wanted`: words that stand in each of them; the last one may be a beginning."""

    user_id: str
    limit: int
    before: Place | None = None
    archived: bool = False
    wanted: str = ""


class EventRow(msgspec.Struct, kw_only=True):
    """One event, or several neighbouring `token`s folded into one (`first_seq..seq`).

    `content` is for a person who browses the table; `payload` is the event as JSON.
    `id` is the journal's own order over all sessions. `provider_state` is JSON for the model's
    provider, and for nobody else.
    """

    id: int = 0
    session_id: str
    epoch: int
    seq: int
    first_seq: int
    run_id: str | None
    event_type: str
    content: str
    payload: bytes
    created_at: int
    provider_state: bytes | None = None


class Head(msgspec.Struct):
    """A session's row, and what only servers need to know of it."""

    row: SessionRow
    unfinished: bool
    left_at: int | None
    share_key: str | None = None
    """What a share token must carry to be good; None: nothing is shared."""
    revision: int = 0
    """How often it was written; the journal counts."""


class Taken(msgspec.Struct):
    """What another worker left of a session; without a head it was deleted."""

    head: Head | None
    events: list[EventRow]


class Batch(msgspec.Struct):
    """What was written since the last batch: heads that changed, rows in order, the heads of
    their sessions, and the cursor to acknowledge. `complete`: there was no more."""

    sessions: list[Head]
    events: list[EventRow]
    cursor: int
    complete: bool = True

    def __bool__(self) -> bool:
        return bool(self.sessions or self.events)


class Refused(msgspec.Struct, frozen=True):
    """A row that the database did not take: the head of a session (`seq` None) or an event.

    `code` is Postgres's SQLSTATE, what else refused it (`blocked`, `too_large`), or `TAKEN`.
    """

    session_id: str
    epoch: int
    seq: int | None
    code: str
    message: str


TAKEN = "taken"
"""The code of rows whose session another worker took over."""

TAKEN_WHY = "another worker took over the session before this row was shipped"


class Quarantined(msgspec.Struct):
    """One row in quarantine; of a head (`seq` None) there is no content."""

    id: int
    session_id: str
    epoch: int
    seq: int | None
    code: str
    message: str
    event_type: str
    content: str
    payload: bytes
    created_at: int

    def check_current(self) -> None:
        """Raises `StorageError` where another worker has written the session since."""
        if self.code == TAKEN:
            raise StorageError(
                f"row {self.id} cannot be sent again: another worker has continued the session; "
                "see it with `quarantine show`"
            )


def builtins(row: SessionRow | EventRow) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(row, builtin_types=(bytes,))
    return data
