"""A session that this worker writes to the hot log. No I/O."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import itemgetter

import msgspec

from ...core.fold import first_seq, merge
from ...core.rows import Head
from ...protocol import Event
from ..encode import Append
from .records import Counts, KeptHead, encode_state, part_of, row_of, spent


class Holding(msgspec.Struct):
    """`fence`: proves that it is ours. `head`: its last `seq`, `revision` of its head, as handed
    over; `stored`: that `seq` as the engine has confirmed it. `rows`: the whole log as (first seq,
    seq, row), and `state` its head, to be put back where the engine loses them. `unjoined`: the
    events behind the rows that are joined, and `since` when there are some.
    """

    fence: int
    head: int
    revision: int
    counts: Counts
    stored: int = 0
    epoch: int = 1
    rows: list[tuple[int, int, bytes]] = []
    state: KeptHead | None = None
    unjoined: list[Event] = []
    since: float = 0.0

    @property
    def joined(self) -> int:
        """The last `seq` behind which no row is still to be joined."""
        return first_seq(self.unjoined[0]) - 1 if self.unjoined else self.head

    def add(self, ones: Sequence[Append], head: Head | None, index: list[object]) -> bytes:
        """What these append, as the bytes of a part; what a flush must know of it goes to the
        index."""
        single = len(ones) == 1 and len(ones[0].events) == 1
        if single and head is None:
            return self._add_one(ones[0], index)
        session_id, first = ones[0].session_id, self.head + 1
        self.epoch = epoch = ones[0].epoch
        events = merge(event for one in ones for event in one.events)
        payload = ones[0].payloads[0] if single else None
        rows = [row_of(event, epoch, payload) for event in events]
        if events:
            self.head = events[-1].seq
            self.since = self.since if self.unjoined else time.monotonic()
            self.unjoined += events
            stored_ = zip(events, rows, strict=True)
            self.rows += [(first_seq(event), event.seq, row) for event, row in stored_]
        if head is None:
            part, _, places = part_of(session_id, epoch, None, rows)
            about: list[object] | bool = False
            used: list[str | int] | bool = False
        else:
            state = encode_state(self._kept(events, head))
            part, at, places = part_of(session_id, epoch, state, rows)
            row = head.row
            about = [at, len(state), self.revision, row.user_id, row.start_time]
            about += [row.end_time or 0, int(head.unfinished), epoch]
            used = [*spent(events, row.user_id)] or False
        flat: list[int] = []
        for event, stored, place in zip(events, rows, places, strict=True):
            flat += (event.seq, place, len(stored))
        index += (session_id, self.fence, first, self.head, len(part), flat, about, used)
        return part

    def _add_one(self, one: Append, index: list[object]) -> bytes:
        """As `add`: most of what a session appends is a token, and no head."""
        (event,) = one.events
        row = row_of(event, one.epoch, one.payloads[0])
        part, _, (place,) = part_of(one.session_id, one.epoch, None, (row,))
        first, last = self.head + 1, event.seq
        self.epoch, self.head = one.epoch, last
        if not self.unjoined:
            self.since = time.monotonic()
        self.unjoined.append(event)
        self.rows.append((first_seq(event), last, row))
        flat = (last, place, len(row))
        index += (one.session_id, self.fence, first, last, len(part), flat, False, False)
        return part

    def _kept(self, events: Sequence[Event], head: Head) -> KeptHead:
        for event in events:
            self.counts.add(event)
        self.revision += 1
        kept = (head.row, head.unfinished, head.left_at, head.share_key, self.counts)
        self.state = KeptHead(*kept, self.revision)
        return self.state

    @property
    def whole(self) -> bool:
        """Whether `rows` has all of it."""
        return bool(self.rows) and self.rows[0][0] == 1

    def between(self, first: int, last: int) -> list[bytes]:
        """The rows that end within."""
        start = bisect_left(self.rows, first, key=itemgetter(1))
        end = bisect_right(self.rows, last, key=itemgetter(1))
        return [row for _, _, row in self.rows[start:end]]

    def join(self, first: int, seq: int, row: bytes) -> None:
        """A row stands in the place of those from `first` to `seq`."""
        start = bisect_left(self.rows, first, key=itemgetter(1))
        end = bisect_right(self.rows, seq, key=itemgetter(1))
        self.rows[start:end] = [(first, seq, row)]
