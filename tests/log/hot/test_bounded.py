"""Bounded: what has ended, and what the archive has, leaves nothing in the engine."""

from __future__ import annotations

import time
from pathlib import Path

from realtime.core.session import Session
from realtime.log.encode import encoded
from realtime.log.hot.keeper import HotLog
from realtime.log.hot.line import Line
from realtime.protocol import Token, Usage
from tests.support.engine import Engine
from tests.support.talk import asked, head_of

SESSIONS = 10_000
AT_ONCE = 100


def spoken(number: int) -> Session:
    """One that has ended, of a user of its own."""
    session = Session(f"session-{number}")
    now = time.time_ns() // 1_000_000
    session.begin(f"user-{number}", now)
    run = asked(session, "How much?")
    answer = Token(message_id=run.answer.message_id, offset=0, delta="Nine.", kind="text")
    session.record(run.run_id, [answer], now)
    session.finish(run.run_id, "completed", "stop", now, usage=Usage(5, 3, cost=0.25))
    session.end(now, now)
    return session


async def test_ten_thousand_sessions_that_have_ended_leave_no_key(tmp_path: Path) -> None:
    with Engine(tmp_path) as engine:
        lines = [Line(engine.address, name) for name in ("log", "side")]
        for line in lines:
            await line.start()
        keeper = HotLog(*lines, "{rt1}:", "worker")
        await keeper.start()
        try:
            await keeper.follow(["hook"])
            for first in range(0, SESSIONS, AT_ONCE):
                some = [spoken(number) for number in range(first, first + AT_ONCE)]
                parts = [encoded(one.session_id, 1, one.take()) for one in some]
                heads = [head_of(one) for one in some]
                for part, head in zip(parts, heads, strict=True):
                    part.head = head
                assert not await keeper.commit(parts, heads)
                for one in some:
                    await keeper.release(one.session_id)
            assert sum(b"session-" in key for key in engine.tell("KEYS", "*")) >= SESSIONS
            while (batch := await keeper.unshipped(500)).sessions:
                await keeper.shipped(batch)
            assert await keeper.evict(time.time_ns() // 1_000_000 + 1000) == 0, "nobody was told"
            for session_id in await keeper.changed("hook"):
                events = await keeper.unseen("hook", session_id)
                await keeper.seen("hook", session_id, events[-1].seq)
            assert await keeper.evict(time.time_ns() // 1_000_000 + 1000) == SESSIONS
            left = [key.decode() for key in engine.tell("KEYS", "*")]
            assert not [key for key in left if "session-" in key or "user-" in key]
            lasting = [key for key in left if engine.tell("TTL", key) == -1]
            assert len(lasting) < 20, "the rest is the worker's own"
            sizes = {b"hash": "HLEN", b"zset": "ZCARD", b"set": "SCARD"}
            for key in lasting:
                if size := sizes.get(engine.tell("TYPE", key)):
                    assert engine.tell(size, key) < 20, key
        finally:
            await keeper.close()
