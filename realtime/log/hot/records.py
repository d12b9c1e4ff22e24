"""What stands in the engine of a session: its rows, and its head. No I/O.

A row is one event, or neighbouring tokens in one, under its last `seq`. A part is what one commit
adds to a session, as those are told that watch it: the rows, and the head where it has changed.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ...core.fold import first_seq
from ...core.provider_state import keep_provider_state, provider_state
from ...core.rows import EventRow, Head, SessionRow, StorageError
from ...protocol import (
    EVENT_NAMES,
    Done,
    Event,
    Run,
    SessionUpdated,
    Summary,
    ToolCall,
    Usage,
    UserMessage,
    decode_event,
    to_json,
)
from ..encode import event_values

NANO = 1_000_000_000

_encoder = msgspec.msgpack.Encoder()


class Row(msgspec.Struct, array_like=True, gc=False):
    """`payload`: the event as JSON. `provider_state`: what no device is told."""

    first_seq: int
    seq: int
    epoch: int
    name: str
    payload: bytes
    provider_state: bytes | None = None

    def event(self) -> Event:
        """Raises `StorageError` where the row is damaged."""
        try:
            event = decode_event(self.name, self.payload)
        except (msgspec.DecodeError, KeyError) as error:
            raise StorageError(f"a row of the hot log cannot be read: {error}") from error
        if self.provider_state and isinstance(event, ToolCall | Done | Run):
            keep_provider_state(event, self.provider_state)
        return event

    def shipped(self) -> EventRow:
        """As the archive receives it."""
        values = event_values(self.event(), self.epoch, self.payload)
        return EventRow(**dict(zip(EventRow.__struct_fields__[1:], values, strict=True)))


class Counts(msgspec.Struct):
    """What was said and used in a session."""

    messages: int = 0
    answers: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def add(self, event: Event) -> None:
        """A message that another answer took in is no answer."""
        if isinstance(event, UserMessage):
            self.messages += 1
        elif isinstance(event, Done):
            self.answers += event.status != "consumed"
            self.input_tokens += event.usage.input_tokens
            self.output_tokens += event.usage.output_tokens
            self.cost += event.usage.cost or 0.0


class KeptHead(msgspec.Struct):
    """The head of a session as it is stored. `row.epoch` counts only where nobody has claimed the
    session since. `revision`: as its writer told it."""

    row: SessionRow
    unfinished: bool
    left_at: int | None
    share_key: str | None
    counts: Counts
    revision: int = 0

    def head(self, epoch: int, revision: int) -> Head:
        row = msgspec.structs.replace(self.row, epoch=epoch)
        return Head(row, self.unfinished, self.left_at, self.share_key, revision)


class Told(msgspec.Struct, array_like=True):
    """What a commit added to a session."""

    session_id: str
    epoch: int
    head: KeptHead | None
    rows: list[Row]


encode_state = encode_row = _encoder.encode
decode_state = msgspec.msgpack.Decoder(KeptHead).decode
decode_row = msgspec.msgpack.Decoder(Row).decode
decode_parts = msgspec.msgpack.Decoder(list[Told]).decode


def row_of(event: Event, epoch: int, payload: bytes | None = None) -> bytes:
    """`payload`: its JSON, where that is known."""
    return _encoder.encode(
        Row(
            first_seq(event),
            event.seq,
            epoch,
            EVENT_NAMES[type(event)],
            to_json(event) if payload is None else payload,
            provider_state(event),
        )
    )


def stored(row: EventRow) -> Row:
    """What came from the archive."""
    kept = (row.event_type, row.payload, row.provider_state)
    return Row(row.first_seq, row.seq, row.epoch, *kept)


def part_of(
    session_id: str, epoch: int, state: bytes | None, rows: Sequence[bytes]
) -> tuple[bytes, int, list[int]]:
    """A part as bytes, where in it the state begins, and where each row does."""
    start = b"\x94" + _encoder.encode(session_id) + _encoder.encode(epoch)
    at = len(start)
    before = start + (b"\xc0" if state is None else state) + b"\xdd" + len(rows).to_bytes(4)
    places, place = [], len(before)
    for row in rows:
        places.append(place)
        place += len(row)
    return b"".join((before, *rows)), at, places


def spent(events: Iterable[Event], owner: str) -> Iterator[str | int]:
    """What these events came to, as the flat list of a flush: day, who, tokens, nano-dollars, run,
    asker, owner."""
    for event in events:
        usage: Usage | None = getattr(event, "usage", None)
        if isinstance(event, Done | SessionUpdated | Summary) and usage:
            asker = event.user_id if isinstance(event, Done) else None
            tokens = usage.input_tokens + usage.output_tokens
            who = msgspec.json.encode((asker or "", owner)).decode()
            yield from (day_of(event.ts), who, tokens, round((usage.cost or 0.0) * NANO))
            reserved = event.run_id or f"{EVENT_NAMES[type(event)]} {event.session_id}"
            yield from (reserved, asker or "", owner)


def day_of(time_ms: int) -> str:
    return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC).strftime("%Y%m%d")
