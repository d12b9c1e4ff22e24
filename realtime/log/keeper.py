"""What the log asks of the store that keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..core.rows import Batch, EventRow, Head, Refused, SessionRow, StorageError
from ..core.shown import Shown
from ..protocol import Event, File
from .encode import Append
from .pages import Found
from .store import Store

Span = tuple[str, int]
"""Where a run that has ended began: session id, and the `seq` of its first event."""


class Keeper(Store, Protocol):
    """A log's first store. Every method that is awaited raises `StorageError`.

    Whatever was committed is read at once. A keeper may store tokens in a form of its own for
    a while; `news` is set whenever there are rows or heads to ship, and cleared by who ships.
    """

    @property
    def away(self) -> StorageError | None:
        """Why commits wait just now, and nothing new should be taken."""
        ...

    @property
    def full(self) -> StorageError | None:
        """Why nothing new should be taken though commits go through."""
        ...

    news: asyncio.Event
    incoming: Path
    """The folder in which the content of a file is written before it is added."""

    # ---------------------------------------------------------------- writing

    async def commit(
        self, appends: Sequence[Append], heads: Collection[Head]
    ) -> Mapping[str, StorageError]:
        """Store all of it or, where this raises, nothing. Returns the sessions that are lost
        here, with the reason, since somebody has deleted them or writes them now: of these
        nothing is stored."""
        ...

    async def claim(self, session_id: str) -> None:
        """Be the one that writes a session, if it is here. Raises `HeldElsewhere`."""
        ...

    async def release(self, session_id: str) -> None:
        """Let others write a session, all of which is committed."""
        ...

    def tend(self, events: int, ended: Sequence[Span]) -> None:
        """So many events are committed and published: time for what could wait."""
        ...

    async def file(self) -> None:
        """Bring what is kept in a form of its own into rows, so that all of it can be shipped."""
        ...

    async def probe(self) -> None:
        """Whether anything can be stored, asked after a commit failed."""
        ...

    async def add_output(self, session_id: str, output_ref: str, kind: str, data: bytes) -> None:
        """Store a tool's output that is too long for an event."""
        ...

    async def add_file(
        self, session_id: str, user_id: str, file: File, digest: str, content: Path | None, now: int
    ) -> bool:
        """Keep a file. `content`: where its bytes are, from where they are moved; None: they are
        kept elsewhere. `digest`: their SHA-256. False where there is no such session."""
        ...

    async def note_strays(self, session_ids: Sequence[str]) -> None:
        """Note deleted sessions whose files may still be kept elsewhere."""
        ...

    async def forget_strays(self, session_ids: Sequence[str]) -> None:
        """Of these nothing is kept elsewhere any more."""
        ...

    async def showing_early(self, now: bool) -> bool:
        """Note whether this process shows tokens before they are stored; True where the last
        one did, and did not end as it should."""
        ...

    async def close(self) -> None:
        """Let go of the store. Nothing is committed any more."""
        ...

    # ---------------------------------------------------------------- reading

    async def session(self, session_id: str) -> tuple[Head, list[Event]] | None:
        """A whole session, the oldest event first, with what the model's provider wants back."""
        ...

    async def replay(self, session_id: str, after_seq: int) -> list[Event]:
        """The next page behind `after_seq`, tokens merged, bounded in size."""
        ...

    async def page(
        self, session_id: str, before_seq: int, limit: int = 200, shown: Shown | None = None
    ) -> Found:
        """The newest folded events before `before_seq`, of those that are `shown`, which any thread
        may ask."""
        ...

    async def output(self, session_id: str, output_ref: str) -> tuple[str, bytes] | None:
        """(kind, data) of a tool's output that was kept."""
        ...

    async def files(self, session_id: str, file_ids: Sequence[str]) -> list[tuple[File, Path]]:
        """Those of these files that the session has, and where the content of each lies."""
        ...

    async def strays(self) -> list[str]:
        """The sessions that are noted so."""
        ...

    async def row(self, session_id: str) -> SessionRow | None: ...

    async def known(self, session_ids: Sequence[str]) -> set[str]:
        """Those of these sessions that are kept here."""
        ...

    async def open_sessions(self) -> list[Head]:
        """Sessions that have not ended."""
        ...

    async def unsummarised(self) -> list[str]:
        """Ended sessions whose summary is still to be made."""
        ...

    async def ended_before(self, time_ms: int, limit: int, *, shipped: bool) -> list[str]:
        """Sessions that ended before then; `shipped`: of which Supabase has everything."""
        ...

    async def spent(self, since: int) -> list[tuple[str, str, int, float]]:
        """What the runs that ended at or after `since` (ms) came to, by who asked and by whose
        session: (asker or "", owner, tokens, US dollars)."""
        ...

    # --------------------------------------------------------------- shipping

    async def worker(self) -> str:
        """The identity of this store among the servers that write to one project."""
        ...

    async def unshipped(self, limit: int) -> Batch:
        """The next rows for Supabase, in the order they were written, and heads that changed."""
        ...

    async def shipped(self, batch: Batch) -> None:
        """Put the cursor behind a batch, and note how far its heads are known."""
        ...

    async def refused(self, rows: Sequence[Refused]) -> None:
        """Put rows into quarantine that Supabase refused."""
        ...

    async def waiting(self) -> int:
        """How many rows wait for Supabase, counted as far as is cheap."""
        ...

    async def quarantined(self) -> int:
        """How many rows are in quarantine."""
        ...

    async def adopt(self, head: Head, rows: Sequence[EventRow]) -> None:
        """Take in a session that was read back from Supabase, as one that is shipped."""
        ...

    async def void(self, session_id: str) -> None:
        """Forget a session that others write now. What was not shipped goes into quarantine."""
        ...

    # -------------------------------------------------------------- followers

    async def follow(self, followers: Collection[str]) -> dict[str, asyncio.Event]:
        """These, by name, are given what happens from now on, or since they were here last; all
        others are forgotten. The event of each is set whenever there may be something for it."""
        ...

    async def changed(self, follower: str) -> list[str]:
        """The sessions in which something happened since the last call; at the first one after
        `follow` also those in which the follower has not seen everything."""
        ...

    async def unseen(self, follower: str, session_id: str) -> list[Event]:
        """The next events of a session that the follower has not seen, in order, without tokens;
        none where the session was deleted."""
        ...

    async def seen(self, follower: str, session_id: str, seq: int) -> None:
        """The follower has seen the events of a session up to this one."""
        ...
