"""What is read of the hot log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from ...core.fold import first_seq
from ...core.rows import Head, Listing, Place, SessionRow
from ...core.shown import Shown
from ...protocol import Event
from .. import pages
from ..said import standing
from ..words import asked, words
from .line import Line
from .records import NANO, KeptHead, Row, day_of, decode_row, decode_state

DAY_MS = 86_400_000
AT_ONCE = 200  # heads
LATELY_MS = 10_000
"""Longer than a lease: who was away for longer is told of what it had by `confirm`."""


class Where(NamedTuple):
    """Who writes a session: `worker`, which is `alive` while it is heard of. `head`: its last
    `seq`; `revision` of what else stands in its head."""

    head: int
    revision: int
    epoch: int
    worker: str
    alive: bool


class Reading:
    """Every method raises `StorageError`."""

    def __init__(self, line: Line, prefix: str) -> None:
        self._line = line
        self._prefix = prefix

    def key(self, kind: str, name: str) -> str:
        return f"{self._prefix}{kind}:{name}"

    # ------------------------------------------------------------------ heads

    async def state(self, session_id: str) -> KeptHead | None:
        found = await self._line.call("HGET", self.key("s", session_id), "state")
        return decode_state(found) if found else None

    async def head(self, session_id: str) -> Head | None:
        heads = await self.heads([session_id])
        return heads[0] if heads else None

    async def heads(self, session_ids: Iterable[str]) -> list[Head]:
        """Of those of these sessions that are here."""
        fields = ("state", "epoch", "revision")
        found = await self.fields(session_ids, *fields)
        return [
            decode_state(state).head(int(epoch), int(revision))
            for state, epoch, revision in found.values()
            if state and epoch and revision
        ]

    async def fields(
        self, session_ids: Iterable[str], *names: str
    ) -> dict[str, list[bytes | None]]:
        """These fields of each session, in the order of the ids."""
        found: dict[str, list[bytes | None]] = {}
        ids = list(session_ids)
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            asked = (("HMGET", self.key("s", one), *names) for one in some)
            found |= zip(some, await self._line.call_all(asked), strict=True)
        return found

    async def devices(self, session_ids: Sequence[str]) -> dict[str, dict[str, bytes]]:
        """Who watches these sessions, by worker, as they say it themselves."""
        asked = (("HGETALL", self.key("d", one)) for one in session_ids)
        found = await self._line.call_all(asked)
        return {
            session_id: {
                name.decode(): users for name, users in zip(flat[::2], flat[1::2], strict=True)
            }
            for session_id, flat in zip(session_ids, found, strict=True)
        }

    async def where(self, session_ids: Iterable[str]) -> dict[str, Where]:
        """Of each session that is here, who writes it."""
        found = await self.fields(session_ids, "head", "revision", "epoch", "owner")
        if not found:
            return {}
        key, now = f"{self._prefix}workers", await self._line.time_ms()
        alive = await self._line.call("ZRANGE", key, now, "+inf", "BYSCORE")
        return {
            one: Where(
                int(head), int(revision), int(epoch), (owner or b"").decode(), owner in alive
            )
            for one, (head, revision, epoch, owner) in found.items()
            if head and revision and epoch
        }

    async def deleted_lately(self) -> list[str]:
        """The sessions that were deleted within the last 10 s."""
        key, since = f"{self._prefix}gone", await self._line.time_ms() - LATELY_MS
        ids = await self._line.call("ZRANGE", key, since, "+inf", "BYSCORE")
        return [one.decode() for one in ids]

    async def list_sessions(self, user_id: str | None, limit: int) -> list[SessionRow]:
        heads = await self.heads(await self._ids(user_id, newest=limit))
        return [head.row for head in heads]

    async def find_sessions(self, wanted: Listing) -> list[SessionRow]:
        """It looks through all sessions of the user."""
        rows = [head.row for head in await self.heads(await self._ids(wanted.user_id))]
        places = {
            Place(row.pinned, row.active_at, row.session_id): row
            for row in rows
            if row.active_at is not None and row.archived == wanted.archived
        }
        found: list[SessionRow] = []
        terms = asked(wanted.wanted)
        if wanted.wanted and not terms:
            return []
        for place in sorted(places, reverse=True):
            if wanted.before and place >= wanted.before:
                continue
            row = places[place]
            if not terms or await self._says(row.session_id, terms):
                found.append(row)
            if len(found) == wanted.limit:
                break
        return found

    async def _says(self, session_id: str, wanted: Sequence[tuple[str, bool]]) -> bool:
        """Whether all these words stand in a session."""
        events = [row.event() for row in await self.rows(session_id)]
        found = set().union(*map(words, standing(events)))
        return all(
            any(known.startswith(word) for known in found) if begins else word in found
            for word, begins in wanted
        )

    async def _ids(self, user_id: str | None, *, newest: int = 0, since: int = 0) -> list[str]:
        """The sessions of a user, or all: the newest, or those that began at or after a time."""
        key = f"{self._prefix}all" if user_id is None else self.key("of", user_id)
        if since:
            ids = await self._line.call("ZRANGE", key, since, "+inf", "BYSCORE")
        else:
            ids = await self._line.call("ZRANGE", key, 0, newest - 1, "REV")
        return [one.decode() for one in ids]

    async def ended(self, before_ms: int, skip: int, limit: int) -> list[str]:
        """Sessions that ended before then, the oldest first."""
        key = f"{self._prefix}ended"
        ids = await self._line.call(
            *("ZRANGE", key, "-inf", f"({before_ms}", "BYSCORE", "LIMIT", skip, limit)
        )
        return [one.decode() for one in ids]

    async def unused(self, session_ids: Iterable[str], *, shipped: bool) -> list[str]:
        """Those that nobody writes; `shipped`: of which the archive has everything."""
        names = ("owner", "head", "archived", "revision", "shipped")
        found = await self.fields(session_ids, *names)
        return [
            session_id
            for session_id, (owner, head, archived, revision, known) in found.items()
            if owner == b"" and (not shipped or (head, revision) == (archived, known))
        ]

    # ----------------------------------------------------------------- events

    async def rows(
        self, session_id: str, after: int = 0, last: int | None = None, limit: int = -1
    ) -> list[Row]:
        """The rows that end behind `after`, and not behind `last`; the first may begin before."""
        found = await self._line.call(
            *("ZRANGE", self.key("l", session_id), f"({after}", "+inf" if last is None else last),
            *("BYSCORE", "LIMIT", 0, limit),
        )
        return [decode_row(row) for row in found]

    async def count(self, spans: Iterable[tuple[str, int, int]]) -> int:
        """How many rows end behind a `seq`, and not behind another: of each session both."""
        asked = (("ZCOUNT", self.key("l", one), f"({after}", last) for one, after, last in spans)
        return sum(await self._line.call_all(asked))

    async def _before(self, session_id: str, seq: int) -> list[Event]:
        """The newest rows that begin before `seq`; the last may end behind it."""
        key = self.key("l", session_id)
        older, behind = await self._line.call_all(
            (
                ("ZRANGE", key, f"({seq}", "-inf", "BYSCORE", "REV", "LIMIT", 0, pages.CHUNK),
                ("ZRANGE", key, seq, "+inf", "BYSCORE", "LIMIT", 0, 1),
            )
        )
        events = [decode_row(row).event() for row in older[::-1]]
        last = events[-1].seq if events else 0
        more = (decode_row(row).event() for row in behind)
        return [*events, *(event for event in more if last < first_seq(event) < seq)]

    async def replay(self, session_id: str, after_seq: int) -> list[Event]:
        async def behind(seq: int) -> list[Event]:
            rows = await self.rows(session_id, seq, limit=pages.CHUNK)
            return [row.event() for row in rows]

        return await pages.awaited(pages.replay(after_seq), behind)

    async def page(
        self, session_id: str, before_seq: int, limit: int, shown: Shown | None
    ) -> pages.Found:
        making = pages.page(before_seq, limit, shown)
        return await pages.awaited(making, partial(self._before, session_id))

    # ---------------------------------------------------------------- figures

    async def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        """As `Store.figures`."""
        found = await self.fields(await self._ids(user_id, since=max(1, since)), "state")
        states = [decode_state(state) for (state,) in found.values() if state]
        ended = [one.row for one in states if one.row.end_time is not None]
        lengths = [row.duration_seconds or 0.0 for row in ended]
        counts = [one.counts for one in states]
        return {
            "sessions": len(states),
            "sessions_ended": len(ended),
            "mean_duration_seconds": round(sum(lengths) / len(lengths), 1) if lengths else 0.0,
            "messages": sum(one.messages for one in counts),
            "answers": sum(one.answers for one in counts),
            "input_tokens": sum(one.input_tokens for one in counts),
            "output_tokens": sum(one.output_tokens for one in counts),
            "cost": round(sum(one.cost for one in counts), 6),
        }

    async def spent(self, since: int) -> list[tuple[str, str, int, float]]:
        """As `Keeper.spent`, of whole days."""
        found: dict[str, list[int]] = {}
        for day in _days(since):
            flat: Sequence[bytes] = await self._line.call("HGETALL", self.key("day", day))
            for name, value in zip(flat[::2], flat[1::2], strict=True):
                who, _, what = name.decode().rpartition(" ")
                found.setdefault(who, [0, 0])[what == "d"] += int(value)
        return [(*json.loads(who), tokens, nano / NANO) for who, (tokens, nano) in found.items()]


def _days(since: int) -> list[str]:
    """From then on; none is kept longer than three."""
    return [day_of(since + n * DAY_MS) for n in range(4)]
