"""Whether an engine can keep logs."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from ...core.rows import StorageError

OLDEST = {"valkey": (7, 2), "redis": (7, 0)}
TIMEOUT_S = 5.0
SLOW_S = 0.005
PINGS = 5

SCRIPT = "return cmsgpack.unpack(cmsgpack.pack({redis.call('TIME')[1], ARGV[1]}))[2]"
"""Uses what a commit needs: the engine's clock, and the packing of an index."""


@dataclass
class Findings:
    """`name`: the engine and its version. `wrong`: what has to change first, and `notes`: what
    the operator should know; a sentence each."""

    name: str
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def examine(url: str) -> Findings:
    """Try an engine; nothing is stored in it. Raises `StorageError` where it cannot be asked."""
    async with _connected(url) as engine:
        info: Mapping[str, Any] = await engine.info()
        kind = str(info.get("server_name") or "redis")
        version = str(info.get(f"{kind}_version") or info.get("redis_version", "0"))
        found = Findings(f"{kind.capitalize()} {version}")
        oldest = OLDEST.get(kind, OLDEST["redis"])
        if tuple(int(part) for part in version.split(".")[:2]) < oldest:
            found.wrong.append(f"{found.name} is too old: upgrade to Valkey 7.2 or Redis 7.0")
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            found.wrong.append(
                f"its maxmemory-policy is {policy}, which may delete data: set it to noeviction"
            )
        if not info.get("aof_enabled"):
            found.notes.append(
                "the engine's append-only file is off, so a restart of it loses data: set "
                "appendonly to yes"
            )
        if problem := await _script_problem(engine):
            found.wrong.append(problem)
        if (seconds := await _round_trip(engine)) > SLOW_S:
            found.notes.append(
                f"the engine answers after {seconds * 1000:.0f} ms: use one in the server's region"
            )
        return found


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Redis]:
    engine = Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        yield engine
    except AuthenticationError as error:
        raise StorageError(f"{error}: correct the user and the password in the URL") from error
    except RedisError as error:
        raise StorageError(f"{error}: see that the URL is right and the engine runs") from error
    finally:
        await engine.aclose()


async def _script_problem(engine: Redis) -> str:
    try:
        answer = await engine.eval(SCRIPT, 0, "ready")
    except ResponseError as error:
        answer = error
    if answer == "ready":
        return ""
    return f"it does not run Lua scripts ({answer}): allow EVAL and EVALSHA, or use another engine"


async def _round_trip(engine: Redis) -> float:
    """In seconds."""
    took = []
    for _ in range(PINGS):
        begun = time.perf_counter()
        await engine.ping()
        took.append(time.perf_counter() - begun)
    return median(took)
