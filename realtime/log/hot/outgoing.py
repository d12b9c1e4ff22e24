"""What of the hot log the archive has, and what it is still to have."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.rows import Batch, EventRow, Head, Refused
from .line import Line
from .quarantine import HotQuarantine
from .reading import Reading
from .records import Row, decode_state
from .scripts import Script

SESSIONS = 50  # in a batch
COUNTED = 1000  # sessions

_shipped = Script("shipped")


class Outgoing:
    """Every method raises `StorageError`."""

    def __init__(self, line: Line, prefix: str, worker: str, reading: Reading) -> None:
        self._line = line
        self._prefix = prefix
        self._worker = worker
        self._waiting = (f"{prefix}ship:{worker}", f"{prefix}ship:")
        self._reading = reading
        self._quarantine = HotQuarantine(line, prefix, reading)
        self._rejoined: dict[str, bytes] = {}  # how often each was, of the last batch

    async def unshipped(self, limit: int) -> Batch:
        """Some of what is final and not shipped, of sessions that this worker writes, and of those
        that nobody does."""
        ids: list[str] = []
        for key in self._waiting:
            found = await self._line.call("SRANDMEMBER", key, SESSIONS)
            ids += [one.decode() for one in found]
        names = (
            "state",
            "epoch",
            "revision",
            "shipped",
            "archived",
            "filed",
            "owner",
            "head",
            "rejoined",
        )
        heads: list[Head] = []
        events: list[EventRow] = []
        complete = len(ids) < SESSIONS
        self._rejoined.clear()
        for session_id, fields in (await self._reading.fields(ids, *names)).items():
            state, epoch, revision, shipped, archived, filed, owner, last, rejoined = fields
            if not (state and epoch and revision and shipped and archived and filed and last):
                continue
            final = last if owner == b"" else filed
            rows: list[Row] = []
            self._rejoined[session_id] = rejoined or b""
            left = limit - len(events)
            if int(archived) < int(final) and left:
                rows = await self._reading.rows(session_id, int(archived), int(final), left)
            complete = complete and len(rows) < left
            if rows or int(shipped) < int(revision):
                heads.append(decode_state(state).head(int(epoch), int(revision)))
            events += [row.shipped() for row in rows]
        for place, event in enumerate(events, 1):
            event.id = place
        return Batch(heads, events, len(events), complete)

    async def waiting(self) -> int:
        """How many rows are to be shipped of the sessions that this worker writes, and of those
        that nobody does; of `COUNTED` of each at most."""
        ids: list[str] = []
        for key in self._waiting:
            ids += [one.decode() for one in await self._line.call("SRANDMEMBER", key, COUNTED)]
        found = await self._reading.fields(ids, "archived", "filed", "owner", "head")
        return await self._reading.count(
            (session_id, int(archived), int(last if owner == b"" else filed))
            for session_id, (archived, filed, owner, last) in found.items()
            if archived and filed and last
        )

    async def shipped(self, batch: Batch) -> None:
        """Note how far these sessions are shipped."""
        last = {event.session_id: event.seq for event in batch.events}
        flat: list[str | int | bytes] = []
        for head in batch.sessions:
            session_id = head.row.session_id
            rejoined = self._rejoined.get(session_id, b"")
            flat += (session_id, last.get(session_id, 0), head.revision, rejoined)
        if flat:
            await _shipped(self._line, self._prefix, self._worker, *flat)

    async def refused(self, rows: Sequence[Refused]) -> None:
        """Keep rows in quarantine that the archive does not take."""
        for refused in rows:
            await self._quarantine.add(refused)

    async def set_aside(self, session_id: str) -> None:
        """Put what is not shipped of a session into quarantine."""
        found = await self._reading.fields([session_id], "archived")
        (archived,) = found[session_id]
        if archived is not None:
            await self._quarantine.add_unshipped(session_id, int(archived))

    async def quarantined(self) -> int:
        return await self._quarantine.count()
