"""How far each follower of the log is, in each session: it is given what happened, tokens aside.

Of a session the worker that writes it tells its followers, and of one that nobody writes whoever
finds it. So an event is given by one worker, and once more where that one dies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable

from ...protocol import Event, Token
from .line import Line
from .reading import Reading
from .scripts import Script

EVENTS = 20  # given at once
ROWS = 200  # looked at for them
LOOK_S = 10.0
AGAIN_MS = 60_000
"""Of what was not seen for so long another worker may tell."""

FOUND = 100  # sessions at once

_seen, _behind = Script("seen"), Script("behind")


class HotFollowers:
    """Every method that is awaited raises `StorageError`."""

    def __init__(self, line: Line, prefix: str, worker: str, reading: Reading) -> None:
        self._line = line
        self._prefix = prefix
        self._worker = worker
        self._reading = reading
        self._news: dict[str, asyncio.Event] = {}
        self._changed: dict[str, set[str]] = {}
        self._begun: dict[str, int] = {}  # ms
        self._looked: dict[str, float] = {}

    @property
    def names(self) -> list[str]:
        return list(self._news)

    async def follow(self, followers: Collection[str]) -> dict[str, asyncio.Event]:
        """As `Keeper.follow`."""
        key = f"{self._prefix}followers"
        for name in await self._line.call("HKEYS", key):
            if name.decode() not in followers:
                await self._line.call("HDEL", key, name)
                await self._line.call("DEL", f"{self._prefix}behind:{name.decode()}")
        for name in followers:
            await self._line.call("HSETNX", key, name, time.time_ns() // 1_000_000)
            self._begun[name] = int(await self._line.call("HGET", key, name))
        self._news = {name: asyncio.Event() for name in followers}
        self._changed = {name: set() for name in followers}
        return self._news

    def note(self, session_ids: Iterable[str]) -> None:
        """Something happened in these, or they are written here now."""
        for name, news in self._news.items():
            self._changed[name].update(session_ids)
            news.set()

    async def changed(self, follower: str) -> list[str]:
        """As `Keeper.changed`."""
        found, self._changed[follower] = self._changed[follower], set()
        if time.monotonic() - self._looked.get(follower, float("-inf")) > LOOK_S:
            self._looked[follower] = time.monotonic()
            left = await _behind(self._line, self._prefix, self._worker, follower, FOUND, AGAIN_MS)
            found |= {one.decode() for one in left}
            asyncio.get_running_loop().call_later(LOOK_S, self._news[follower].set)
        return list(found)

    async def unseen(self, follower: str, session_id: str) -> list[Event]:
        """As `Keeper.unseen`."""
        found = await self._reading.fields([session_id], f"f:{follower}", "head")
        known, head = found[session_id]
        if head is None:
            return []
        events: list[Event] = []
        after = int(known or 0)
        while len(events) < EVENTS:
            rows = await self._reading.rows(session_id, after, limit=ROWS)
            for event in (row.event() for row in rows):
                if known or event.ts >= self._begun[follower]:
                    events += [] if isinstance(event, Token) else [event]
            if len(rows) < ROWS:
                break
            after = rows[-1].seq
        if not events:
            await self.seen(follower, session_id, int(head))
        return events[:EVENTS]

    async def seen(self, follower: str, session_id: str, seq: int) -> None:
        """As `Keeper.seen`."""
        await _seen(self._line, self._prefix, session_id, follower, seq, AGAIN_MS)

    async def settled(self, session_ids: Collection[str]) -> list[str]:
        """Those of which every follower has seen everything."""
        left: set[str] = set()
        for name in await self._line.call("HKEYS", f"{self._prefix}followers"):
            key = f"{self._prefix}behind:{name.decode()}"
            if session_ids:
                scores = await self._line.call("ZMSCORE", key, *session_ids)
                left |= {one for one, score in zip(session_ids, scores, strict=True) if score}
        return [one for one in session_ids if one not in left]
