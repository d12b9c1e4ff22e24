"""Folding: the same events in fewer entries, without losing a state a client can reach.

`merge` joins neighbouring `token`s and nothing else, so its result may be applied on
top of any earlier state (a merged event carries `first_seq`). `fold` goes further: a
tool call stands once, in its last state, where it first appeared. It is for readers
who start from nothing. Both may be applied to their own results.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

import msgspec

from ..protocol import MAX_PAGE_BYTES, Event, Token, ToolCall, to_json, utf16_len

MAX_DELTA_BYTES = 64 * 1024
"""A merged delta stays below this as JSON, so that its event stays below 96 KB."""

_seq = attrgetter("seq")


def merge(events: Iterable[Event]) -> list[Event]:
    """Join neighbouring tokens of one run, message and kind; where two overlap, what both hold
    is taken once. The input is left alone."""
    merged: list[Event] = []
    group: list[Token] = []
    size = 0
    for event in events:
        if isinstance(event, Token):
            if group and first_seq(event) <= group[-1].seq:
                event = _behind(group[-1], event)
            length = len(to_json(event.delta))
            if group and _follows(group[-1], event) and size + length <= MAX_DELTA_BYTES:
                group.append(event)
                size += length
                continue
            _close(group, merged)
            group, size = [event], length
        else:
            _close(group, merged)
            group = []
            merged.append(event)
    _close(group, merged)
    return merged


def _follows(before: Token, after: Token) -> bool:
    return (
        first_seq(after) == before.seq + 1
        and after.run_id == before.run_id
        and after.message_id == before.message_id
        and after.kind == before.kind
    )


def _behind(before: Token, token: Token) -> Token:
    """What of a joined token comes behind one that ends inside of it."""
    offset = before.offset + utf16_len(before.delta)
    rest = token.delta.encode("utf-16-le", "surrogatepass")[2 * (offset - token.offset) :]
    return msgspec.structs.replace(
        token,
        first_seq=before.seq + 1,
        offset=offset,
        delta=rest.decode("utf-16-le", "surrogatepass"),
    )


def _close(group: list[Token], merged: list[Event]) -> None:
    if not group:
        return
    first, last = group[0], group[-1]
    if first is last:
        merged.append(first)
        return
    merged.append(
        Token(
            session_id=last.session_id,
            seq=last.seq,
            ts=last.ts,
            run_id=last.run_id,
            message_id=last.message_id,
            offset=first.offset,
            delta="".join(token.delta for token in group),
            kind=last.kind,
            first_seq=first_seq(first),
        )
    )


def fold(events: Iterable[Event]) -> list[Event]:
    """Like `merge`, and each tool call once: its last state at its first place."""
    places: dict[str, int] = {}
    kept: list[Event] = []
    for event in events:
        if isinstance(event, ToolCall):
            place = places.get(event.tool_call_id)
            if place is not None:
                kept[place] = _with_first_seq(event, first_seq(kept[place]))
                continue
            places[event.tool_call_id] = len(kept)
        kept.append(event)
    return merge(kept)


def _with_first_seq(event: ToolCall, first: int) -> ToolCall:
    return ToolCall(
        **{name: getattr(event, name) for name in event.__struct_fields__ if name != "first_seq"},
        first_seq=first,
    )


def first_seq(event: Event) -> int:
    """The first `seq` that an event stands for."""
    first: int | None = getattr(event, "first_seq", None)
    return event.seq if first is None else first


def newest(events: list[Event], *, limit: int, max_bytes: int) -> tuple[list[Event], int | None]:
    """The end of folded `events` that fits, at least one, and `next_before_seq` where something is
    left.

    A tool call counts where its last state lies: a page further back shows it as it was then.
    """
    size = 0
    for count, event in enumerate(sorted(events, key=_seq, reverse=True)):
        size += len(to_json(event)) + 32
        if count and (count == limit or size > max_bytes):
            cut = event.seq + 1
            return [event for event in events if event.seq >= cut], cut
    return events, None


def fitting(events: list[Event]) -> list[Event]:
    """As many of the first events as one page may hold; at least one."""
    size = 0
    for count, event in enumerate(events):
        size += len(to_json(event)) + 32
        if size > MAX_PAGE_BYTES and count:
            return events[:count]
    return events
