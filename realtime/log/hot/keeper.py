"""The hot log as the log's keeper: each commit is one script, which checks that this worker may
write, stores, and tells the workers that watch."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from ...core.rows import (
    Batch,
    Deleted,
    EventRow,
    Head,
    HeldElsewhere,
    Listing,
    Refused,
    SessionRow,
    StorageError,
)
from ...core.shown import Shown
from ...protocol import Event, File
from ..encode import Append
from ..keeper import Span
from ..pages import Found
from . import beside
from .chores import Chores
from .followers import HotFollowers
from .holding import Holding
from .line import AGAIN_S, Away, Line, until_answered
from .outgoing import Outgoing
from .pulse import NOTICED_S, HotCount, Pulse
from .reading import Reading, Where
from .records import Counts, KeptHead, decode_state, encode_row, encode_state, stored
from .scripts import Script

LEASE_MS = 6000
"""So long a worker that is no longer heard of keeps what it writes."""

DELETED = 1000  # sessions that are known to be

EVICT_S = 60.0
EVICTED = 200  # sessions looked at together
IDLE_MS = 15 * 60_000
"""So long an ended session stays in the engine that the archive has."""

PATIENCE_S = 60.0
"""So long a commit waits for the engine."""

_flush, _claim, _release = Script("flush"), Script("claim"), Script("release")
_adopt, _delete = Script("adopt"), Script("delete")
_pack = msgspec.msgpack.Encoder().encode

logger = logging.getLogger(__name__)


class HotLog:
    """A `Keeper` for the worker of this name, which is made anew at each start. It closes the lines
    that it is given: commits go over the first, what is long over the other. `prefix` stands before
    the key of whatever it stores.

    Until it is started it is none of the workers: it reads and deletes.

    `left`: sessions that another worker left, for somebody to see to.
    """

    def __init__(
        self, line: Line, side: Line, prefix: str, worker: str, *, grace_s: float = 30.0
    ) -> None:
        self.name = worker
        self.news = asyncio.Event()
        self.left: asyncio.Queue[str] = asyncio.Queue()
        self._line = line
        self._side = side
        self._prefix = prefix
        self._folder = tempfile.TemporaryDirectory(prefix="incoming-")
        self.incoming = Path(self._folder.name)
        self._held: dict[str, Holding] = {}
        self._deleted: deque[str] = deque(maxlen=DELETED)
        self._early = False
        self._reading = Reading(side, prefix)
        self._outgoing = Outgoing(side, prefix, worker, self._reading)
        self._followers = HotFollowers(side, prefix, worker, self._reading)
        self._beside = beside.Beside(side, prefix)
        self.count = HotCount()
        self.pulse = Pulse(side, prefix)
        self._chores = Chores(
            *(line, prefix, worker, self._held, self.news, self.left, self.pulse, self.count),
            lease_ms=LEASE_MS,
            grace_ms=round(grace_s * 1000),
        )

    async def start(self) -> None:
        """Be one of the workers, until `close`. Raises `StorageError`."""
        await self._chores.start()

    @property
    def away(self) -> StorageError | None:
        return self.pulse.away

    @property
    def full(self) -> StorageError | None:
        return self.pulse.full

    def watch(
        self,
        *,
        on_away: Callable[[bool], None],
        on_lost: Callable[[Mapping[str, StorageError]], None],
        on_return: Callable[[], None],
    ) -> None:
        """Hear when the engine is away and when it is back, of sessions that others write now, and
        when the engine may have forgotten who watches."""
        self.pulse.on_away = on_away
        self._chores.on_lost, self._chores.on_return = on_lost, on_return

    def rest(self) -> None:
        """Take up nothing more that others left."""
        self._chores.sweeping = False

    # ---------------------------------------------------------------- writing

    async def commit(
        self, appends: Sequence[Append], heads: Collection[Head]
    ) -> Mapping[str, StorageError]:
        lost: dict[str, StorageError] = {}
        changed = {head.row.session_id: head for head in heads}
        given: dict[str, list[Append]] = {}
        for one in appends:
            given.setdefault(one.session_id, []).append(one)
        index: list[object] = []
        parts: list[bytes] = []
        names: list[str] = []
        for session_id, ones in given.items():
            held = self._held.get(session_id)
            if held is None and ones[0].events and ones[0].events[0].seq == 1:
                held = self._held[session_id] = Holding(1, 0, -1, Counts())
            if held is None:
                deleted = session_id in self._deleted
                lost[session_id] = Deleted() if deleted else _taken()
                continue
            names.append(session_id)
            parts.append(held.add(ones, changed.get(session_id), index))
        if names:
            answer = await self._flushed(_pack(index), b"".join(parts))
            for place, why in zip(answer[::2], answer[1::2], strict=True):
                restored = partial(self._chores.restore, names[place], why)
                if reason := await until_answered(restored):
                    lost[names[place]] = reason
            for session_id in names:
                if held := self._held.get(session_id):
                    held.stored = held.head
        if changed:
            self.news.set()
            self._followers.note(changed)
        return lost

    def _noted(self) -> tuple[int, str]:
        return int(self._early), " ".join(self._followers.names)

    async def _flushed(self, index: bytes, parts: bytes) -> list[Any]:
        """The answer to a flush, which is sent until there is one: what is there already changes
        nothing. Raises `Away` once nobody should wait any more."""
        begun = time.monotonic()
        try:
            while True:
                try:
                    return await self._run(
                        _flush, self._line.run_id, LEASE_MS, index, parts, *self._noted()
                    )
                except Away as error:
                    waited = time.monotonic() - begun
                    if waited > PATIENCE_S:
                        raise
                    if waited > NOTICED_S:
                        self.pulse.unanswered = error
                        self.pulse.tell()
                    await asyncio.sleep(AGAIN_S)
        finally:
            if self.pulse.unanswered:
                self.pulse.unanswered = None
                self.pulse.tell()

    def tend(self, events: int, ended: Sequence[Span]) -> None:
        self._chores.ended += ended

    async def file(self) -> None:
        await self._chores.join([*self._held])

    async def probe(self) -> None:
        await self._line.call("PING")
        self._held.clear()  # a commit that failed has changed them: who wants one claims it again

    async def claim(self, session_id: str) -> None:
        match await self._run(_claim, self._line.run_id, LEASE_MS, session_id):
            case [b"mine", fence, head, revision, state]:
                kept = decode_state(state)
                self._held[session_id] = Holding(
                    *(int(fence), int(head), int(revision), kept.counts),
                    stored=int(head),
                    state=kept,
                )
                self._followers.note([session_id])
            case [b"held", owner]:
                raise HeldElsewhere(LEASE_MS, owner.decode())
            case [b"wait", ms]:
                raise HeldElsewhere(ms)
            case _:
                self._held.pop(session_id, None)

    async def release(self, session_id: str) -> None:
        await self._chores.join([session_id])
        if held := self._held.pop(session_id, None):
            await self._run(_release, session_id, held.fence, held.head, "")

    async def delete(self, session_ids: list[str]) -> None:
        await self._remove("deleted", session_ids)

    async def void(self, session_id: str) -> None:
        await self._outgoing.set_aside(session_id)
        await self._remove("void", [session_id])

    async def _remove(self, why: str, session_ids: Sequence[str]) -> None:
        for session_id in session_ids:
            found = await self._reading.state(session_id)
            user = found.row.user_id if found else ""
            await self._run(_delete, why, session_id, user)
            self._held.pop(session_id, None)
            if why == "deleted":
                self._deleted.append(session_id)

    async def forget_idle(self) -> None:
        """Now and again, until cancelled, forget what the archive has and nobody needs."""
        while True:
            await asyncio.sleep(EVICT_S)
            try:
                await self.evict(time.time_ns() // 1_000_000 - IDLE_MS)
            except StorageError as error:
                logger.debug("nothing was forgotten: %s", error)

    async def evict(self, before_ms: int) -> int:
        """Forget the sessions that ended before then, that nobody writes or watches and that the
        archive has; how many."""
        forgotten, skip = 0, 0
        while found := await self._reading.ended(before_ms, skip, EVICTED):
            ids = await self._reading.unused(found, shipped=True)
            ids = await self._followers.settled(ids)
            await self._remove("idle", ids)
            forgotten += len(ids)
            skip += len(found) - len(ids)
        return forgotten

    async def adopt(self, head: Head, rows: Sequence[EventRow]) -> None:
        row, counts = head.row, Counts()
        found = [stored(one) for one in rows]
        for one in found:
            counts.add(one.event())
        last = found[-1].seq if found else 0
        state = encode_state(
            KeptHead(row, head.unfinished, head.left_at, head.share_key, counts),
        )
        flat: list[bytes | int] = []
        for one in found:
            flat += (one.seq, encode_row(one))
        answer = await self._run(
            *(_adopt, self._line.run_id, row.session_id, row.epoch, last, state),
            *(row.user_id, row.start_time, row.end_time or 0, *flat),
        )
        if answer[0] != b"mine":
            raise HeldElsewhere(LEASE_MS)
        self._held[row.session_id] = Holding(int(answer[1]), last, 0, counts, stored=last)
        for name in self._followers.names:  # what it has not seen of it was lost on the way
            await self._followers.seen(name, row.session_id, last)

    async def showing_early(self, now: bool) -> bool:
        """A session notes it with its head; who takes it over from a dead worker looks there."""
        self._early = now
        return False

    async def close(self) -> None:
        await self._chores.close()
        await self._line.close()
        await self._side.close()
        self._folder.cleanup()

    # ---------------------------------------------------- beside the sessions

    async def add_output(self, session_id: str, output_ref: str, kind: str, data: bytes) -> None:
        await self._beside.add_output(session_id, output_ref, kind, data)

    async def output(self, session_id: str, output_ref: str) -> tuple[str, bytes] | None:
        return await self._beside.output(session_id, output_ref)

    async def add_file(
        self, session_id: str, user_id: str, file: File, digest: str, content: Path | None, now: int
    ) -> bool:
        assert content is None, "the engine keeps no bytes of files: they need a bucket"
        return await self._beside.add_file(session_id, file, digest)

    async def files(self, session_id: str, file_ids: Sequence[str]) -> list[tuple[File, Path]]:
        found = await self._beside.files(session_id, file_ids)
        return [(file, self.incoming / digest) for file, digest in found]

    async def note_strays(self, session_ids: Sequence[str]) -> None:
        await self._beside.note_strays(session_ids)

    async def forget_strays(self, session_ids: Sequence[str]) -> None:
        await self._beside.forget_strays(session_ids)

    async def strays(self) -> list[str]:
        return await self._beside.strays()

    async def worker(self) -> str:
        return await self._beside.identity()

    # ---------------------------------------------------------------- reading

    async def session(self, session_id: str) -> tuple[Head, list[Event]] | None:
        head = await self._reading.head(session_id)
        if head is None:
            return None
        rows = await self._reading.rows(session_id)
        if (held := self._held.get(session_id)) and not held.rows:
            held.epoch = head.row.epoch
            held.rows = [(row.first_seq, row.seq, encode_row(row)) for row in rows]
        return head, [row.event() for row in rows]

    async def fetch(self, session_id: str) -> tuple[SessionRow, list[EventRow]] | None:
        head = await self._reading.head(session_id)
        if head is None:
            return None
        rows = await self._reading.rows(session_id)
        return head.row, [row.shipped() for row in rows]

    async def replay(self, session_id: str, after_seq: int) -> list[Event]:
        return await self._reading.replay(session_id, after_seq)

    async def page(
        self, session_id: str, before_seq: int, limit: int = 200, shown: Shown | None = None
    ) -> Found:
        return await self._reading.page(session_id, before_seq, limit, shown)

    async def row(self, session_id: str) -> SessionRow | None:
        head = await self._reading.head(session_id)
        return head.row if head else None

    async def known(self, session_ids: Sequence[str]) -> set[str]:
        return {head.row.session_id for head in await self._reading.heads(session_ids)}

    async def where(self, session_ids: Iterable[str]) -> dict[str, Where]:
        """Of each session that is here, who writes it."""
        return await self._reading.where(session_ids)

    async def deleted_lately(self) -> list[str]:
        """The sessions that were deleted within the last 10 s."""
        return await self._reading.deleted_lately()

    async def devices(self, session_ids: Sequence[str]) -> dict[str, dict[str, bytes]]:
        """Who watches these sessions, by worker, as they say it themselves."""
        return await self._reading.devices(session_ids)

    async def list_sessions(self, user_id: str | None, limit: int) -> list[SessionRow]:
        return await self._reading.list_sessions(user_id, limit)

    async def find_sessions(self, wanted: Listing) -> list[SessionRow]:
        return await self._reading.find_sessions(wanted)

    async def open_sessions(self) -> list[Head]:
        """None at a start: what a worker left is in `left` when its time has come."""
        return []

    async def unsummarised(self) -> list[str]:
        """As `open_sessions`."""
        return []

    async def ended_before(self, time_ms: int, limit: int, *, shipped: bool) -> list[str]:
        found = await self._reading.ended(time_ms, 0, limit)
        return await self._reading.unused(found, shipped=shipped)

    async def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        return await self._reading.figures(user_id, since)

    async def spent(self, since: int) -> list[tuple[str, str, int, float]]:
        return await self._reading.spent(since)

    # -------------------------------------------------------------- followers

    async def follow(self, followers: Collection[str]) -> dict[str, asyncio.Event]:
        return await self._followers.follow(followers)

    async def changed(self, follower: str) -> list[str]:
        return await self._followers.changed(follower)

    async def unseen(self, follower: str, session_id: str) -> list[Event]:
        return await self._followers.unseen(follower, session_id)

    async def seen(self, follower: str, session_id: str, seq: int) -> None:
        await self._followers.seen(follower, session_id, seq)

    # --------------------------------------------------------------- shipping

    async def unshipped(self, limit: int) -> Batch:
        return await self._outgoing.unshipped(limit)

    async def shipped(self, batch: Batch) -> None:
        await self._outgoing.shipped(batch)

    async def refused(self, rows: Sequence[Refused]) -> None:
        await self._outgoing.refused(rows)

    async def waiting(self) -> int:
        return await self._outgoing.waiting()

    async def quarantined(self) -> int:
        return await self._outgoing.quarantined()

    async def _run(self, script: Script, *args: bytes | str | int) -> list[Any]:
        found: list[Any] = await script(self._line, self._prefix, self.name, *args)
        return found


def _taken() -> StorageError:
    return StorageError("another worker writes the session now")
