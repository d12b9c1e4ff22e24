"""Where an answer that goes on at its provider was read to, for taking it up again."""

from __future__ import annotations

import asyncio

import msgspec

from .sse import decode_json


class _Named(msgspec.Struct):
    id: str | None = None


class _Place(msgspec.Struct):
    sequence_number: int | None = None
    response: _Named | None = None


_places = msgspec.json.Decoder(_Place)


PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0)  # they begin anew when the answer moves on


class Bookmark:
    """Which answer is being read, and how far: where to take it up again."""

    def __init__(self, kept: str = "") -> None:
        """`kept`: the answer is there already, and is read from its beginning."""
        self.id: str | None = kept or None
        self.sequence_number = -1
        self._pauses = iter(PAUSES_S)

    async def pause(self) -> bool:
        """Before the answer is taken up again. False where that has not helped for long."""
        seconds = next(self._pauses, None)
        if seconds is None:
            return False
        await asyncio.sleep(seconds)
        return True

    def move(self, payloads: list[bytes]) -> None:
        """What one read brought."""
        for payload in payloads if self.id is None else payloads[-1:]:
            place = decode_json(_places, payload)
            if place.response and place.response.id:
                self.id = place.response.id
            if place.sequence_number is not None:
                self.sequence_number = place.sequence_number
                self._pauses = iter(PAUSES_S)
