"""The journal as the log's keeper: one thread writes, two read, and none of it is the loop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from ...core.rows import Batch, Deleted, EventRow, Head, Listing, Refused, SessionRow, StorageError
from ...core.shown import Shown
from ...protocol import Event, File
from ..encode import Append
from ..keeper import Span
from ..pages import Found
from . import Journal
from .upkeep import PIECE_S, Upkeep

SEARCH_PIECES = 10  # that a search waits for, where its index is behind

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class JournalKeeper:
    """A `Keeper`. It closes the journal that it is given."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.away: StorageError | None = None
        self.full: StorageError | None = None
        self.news = asyncio.Event()
        self.incoming = journal.files.incoming
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="journal-writer")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="journal-reader")
        self._upkeep = Upkeep(journal, self._writer, self._readers, self.news)
        self._followers: dict[str, asyncio.Event] = {}
        self._lost_track: set[str] = set()  # followers that must be told of all they have not seen

    # ---------------------------------------------------------------- writing

    async def commit(
        self, appends: Sequence[Append], heads: Collection[Head]
    ) -> Mapping[str, StorageError]:
        try:
            gone = await self._write(self.journal.write, appends, heads)
        except Exception:
            self._upkeep.pause()
            raise
        if heads:  # else there are tokens alone, which are loose
            self.news.set()
            for news in self._followers.values():
                news.set()
            self._upkeep.index_later()
        if gone:
            self._upkeep.wipe_soon()
        return dict.fromkeys(gone, Deleted()) if gone else {}

    def begin(self) -> asyncio.Task[None]:
        """Do beside everything else what an earlier process left, and look whether the file is
        sound. The task of it ends by itself."""
        return self._upkeep.begin()

    def tend(self, events: int, ended: Sequence[Span]) -> None:
        self._upkeep.tend(events, ended)

    async def file(self) -> None:
        await self._write(self.journal.file)
        self.news.set()

    async def probe(self) -> None:
        await self._write(self.journal.probe)
        self._upkeep.resume()

    async def add_output(self, session_id: str, output_ref: str, kind: str, data: bytes) -> None:
        await self._write(self.journal.outputs.add, session_id, output_ref, kind, data)

    async def add_file(
        self, session_id: str, user_id: str, file: File, digest: str, content: Path | None, now: int
    ) -> bool:
        add = self.journal.files.add
        return await self._write(add, session_id, user_id, file, digest, content, now)

    async def note_strays(self, session_ids: Sequence[str]) -> None:
        await self._write(self.journal.files.note_strays, session_ids)

    async def forget_strays(self, session_ids: Sequence[str]) -> None:
        await self._write(self.journal.files.forget_strays, session_ids)

    async def delete(self, session_ids: list[str]) -> None:
        left: Sequence[str] = session_ids
        pieces = count()

        def some(seconds: float) -> bool:
            nonlocal left
            if next(pieces) % 2:  # else FTS5 merges at once what became too much
                self.journal.merge(seconds)
            else:
                left = self.journal.delete(left, seconds)
            return bool(left)

        await self._write(self.journal.file)  # a row of what is loose has tokens of many sessions
        await self._upkeep.in_pieces(some)
        await self._upkeep.tidy()
        if self.journal.owned:
            self._upkeep.wipe_soon()
        else:  # this process is about to end
            await self._upkeep.wipe()

    async def showing_early(self, now: bool) -> bool:
        return await self._write(self.journal.showing_early, now)

    async def close(self) -> None:
        await self._upkeep.close()
        self._writer.shutdown()
        self._readers.shutdown()
        self.journal.close()

    # ---------------------------------------------------------------- reading

    async def claim(self, session_id: str) -> None:
        """Nobody else writes the file."""

    async def release(self, session_id: str) -> None:
        """Nobody else wants it."""

    async def session(self, session_id: str) -> tuple[Head, list[Event]] | None:
        return await self._read(self.journal.session, session_id)

    async def fetch(self, session_id: str) -> tuple[SessionRow, list[EventRow]] | None:
        row = await self.row(session_id)
        return (row, await self._read(self.journal.events.rows, session_id)) if row else None

    async def replay(self, session_id: str, after_seq: int) -> list[Event]:
        return await self._read(self.journal.replay, session_id, after_seq)

    async def page(
        self, session_id: str, before_seq: int, limit: int = 200, shown: Shown | None = None
    ) -> Found:
        return await self._read(self.journal.page, session_id, before_seq, limit, shown)

    async def output(self, session_id: str, output_ref: str) -> tuple[str, bytes] | None:
        return await self._read(self.journal.outputs.find, session_id, output_ref)

    async def files(self, session_id: str, file_ids: Sequence[str]) -> list[tuple[File, Path]]:
        found = await self._read(self.journal.files.find, session_id, file_ids)
        return [(file, self.journal.files.path(digest)) for file, digest in found]

    async def strays(self) -> list[str]:
        return await self._read(self.journal.files.strays)

    async def row(self, session_id: str) -> SessionRow | None:
        head = await self._read(self.journal.heads.find, session_id)
        return head.row if head else None

    async def list_sessions(self, user_id: str | None, limit: int) -> list[SessionRow]:
        return await self._read(self.journal.heads.list_sessions, user_id, limit)

    async def find_sessions(self, wanted: Listing) -> list[SessionRow]:
        if not wanted.wanted:
            return await self._read(self.journal.heads.page, wanted)
        for _ in range(SEARCH_PIECES):
            if not await self._read(self.journal.search.behind):
                break
            await self._write(self.journal.index, PIECE_S)
        return await self._read(self.journal.search.find, wanted)

    async def known(self, session_ids: Sequence[str]) -> set[str]:
        return await self._read(self.journal.heads.known, session_ids)

    async def open_sessions(self) -> list[Head]:
        return await self._read(self.journal.heads.open_sessions)

    async def unsummarised(self) -> list[str]:
        return await self._read(self.journal.heads.unsummarised)

    async def ended_before(self, time_ms: int, limit: int, *, shipped: bool) -> list[str]:
        return await self._read(self.journal.heads.ended_before, time_ms, limit, shipped)

    async def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        return await self._read(self.journal.reports.figures, user_id, since)

    async def spent(self, since: int) -> list[tuple[str, str, int, float]]:
        return await self._read(self.journal.reports.spent, since)

    # --------------------------------------------------------------- shipping

    async def worker(self) -> str:
        return await self._write(self.journal.worker)

    async def unshipped(self, limit: int) -> Batch:
        return await self._read(self.journal.shipping.unshipped, limit)

    async def shipped(self, batch: Batch) -> None:
        await self._write(self.journal.shipping.shipped, batch)

    async def refused(self, rows: Sequence[Refused]) -> None:
        await self._write(self.journal.quarantine.add, rows)

    async def waiting(self) -> int:
        return await self._read(self.journal.shipping.waiting)

    async def quarantined(self) -> int:
        return await self._read(self.journal.quarantine.count)

    async def adopt(self, head: Head, rows: Sequence[EventRow]) -> None:
        await self._write(self.journal.adopt, head, rows)

    async def void(self, session_id: str) -> None:
        await self._write(self.journal.void, session_id)
        self._upkeep.tidy_soon()

    # -------------------------------------------------------------- followers

    async def follow(self, followers: Collection[str]) -> dict[str, asyncio.Event]:
        await self._write(self.journal.followers.follow, followers)
        self._followers = {name: asyncio.Event() for name in followers}
        self._lost_track = set(followers)
        return self._followers

    async def changed(self, follower: str) -> list[str]:
        lost_track = follower in self._lost_track
        self._lost_track.add(follower)  # unless this comes to its end
        found = await self._write(self.journal.followers.changed, follower)
        if lost_track:
            found += await self._read(self.journal.followers.behind, follower)
        self._lost_track.discard(follower)
        return list(dict.fromkeys(found))

    async def unseen(self, follower: str, session_id: str) -> list[Event]:
        return await self._read(self.journal.followers.unseen, follower, session_id)

    async def seen(self, follower: str, session_id: str, seq: int) -> None:
        await self._write(self.journal.followers.seen, follower, session_id, seq)

    # ---------------------------------------------------------------- threads

    async def _write(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work, *args)

    async def _read(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *args)
