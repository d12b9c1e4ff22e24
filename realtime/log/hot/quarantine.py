"""Rows that the archive refused: kept in the engine until an operator decides."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from ...core.rows import TAKEN, TAKEN_WHY, EventRow, Quarantined, Refused, StorageError
from .line import Line
from .reading import Reading
from .scripts import Script

MAX_ROWS = 10_000
"""The oldest ones go when there are more."""

_resend = Script("resend")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Quarantined).decode


class HotQuarantine:
    """Every method raises `StorageError`."""

    def __init__(self, line: Line, prefix: str, reading: Reading) -> None:
        self._line = line
        self._prefix = prefix
        self._order = f"{prefix}quarantine"
        self._kept = f"{prefix}quarantined"
        self._reading = reading

    async def add(self, refused: Refused) -> None:
        """Note a row that was refused; the log has it still."""
        row = None
        if refused.seq is not None:
            rows = await self._reading.rows(refused.session_id, refused.seq - 1, refused.seq)
            row = rows[0].shipped() if rows else None
        await self._add(refused, row)

    async def add_unshipped(self, session_id: str, archived: int) -> None:
        """Keep what is not shipped of a session that others write now."""
        for row in await self._reading.rows(session_id, archived):
            refused = Refused(session_id, row.epoch, row.seq, TAKEN, TAKEN_WHY)
            await self._add(refused, row.shipped())

    async def _add(self, refused: Refused, row: EventRow | None) -> None:
        """Keep a row whole: its session may go, and it stays. The same row is kept once."""
        number: int = await self._line.call("INCR", f"{self._prefix}refusals")
        kept = Quarantined(
            number,
            *(refused.session_id, refused.epoch, refused.seq, refused.code, refused.message),
            row.event_type if row else "head",
            row.content if row else "",
            row.payload if row else b"",
            row.created_at if row else time.time_ns() // 1_000_000,
        )
        place = f"{kept.session_id} {kept.epoch} {kept.seq or 0}"
        await self._line.call("HSET", self._kept, place, _encode(kept))
        await self._line.call("ZADD", self._order, number, place)
        await self._forget(await self._line.call("ZRANGE", self._order, 0, -MAX_ROWS - 1))

    async def _forget(self, places: list[bytes]) -> None:
        if places:
            await self._line.call("ZREM", self._order, *places)
            await self._line.call("HDEL", self._kept, *places)

    async def count(self) -> int:
        found: int = await self._line.call("ZCARD", self._order)
        return found

    async def rows(self) -> list[Quarantined]:
        """The oldest first."""
        places = await self._line.call("ZRANGE", self._order, 0, -1)
        found = await self._line.call("HMGET", self._kept, *places) if places else []
        return [_decode(row) for row in found if row]

    async def row(self, number: int) -> Quarantined:
        """Raises `StorageError` where there is none of that number."""
        (place,) = await self._places([number]) or (None,)
        found = place and await self._line.call("HGET", self._kept, place)
        if not found:
            raise StorageError(f"no row {number} in quarantine")
        return _decode(found)

    async def _places(self, numbers: Iterable[int]) -> list[bytes]:
        found: list[bytes] = []
        for number in numbers:
            found += await self._line.call("ZRANGE", self._order, number, number, "BYSCORE")
        return found

    async def drop(self, numbers: Iterable[int]) -> None:
        """Let go of rows. What is still in the log stays there."""
        await self._forget(await self._places(numbers))

    async def resend(self, number: int) -> None:
        """Have a row shipped again, and all behind it. Raises `StorageError` where that cannot
        help."""
        kept = await self.row(number)
        kept.check_current()
        there = await _resend(self._line, self._prefix, kept.session_id, kept.seq or 0)
        if not there:
            raise StorageError(
                f"row {number} cannot be sent again: its session is no longer in the engine; see "
                "it with `quarantine show`"
            )
        await self.drop([number])
