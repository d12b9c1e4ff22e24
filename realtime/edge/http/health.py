"""Whether the process is alive, whether it should get traffic, and how its parts are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aiohttp import web

from ...core.rows import StorageError
from ...extensions import Follower
from ...live.hub import Hub
from ...log.hot.pulse import HotCount, Pulse
from ...protocol import to_json
from ...runs.chain import Chain
from ..connections import Connections


class ShippingState(Protocol):
    """How the journal's rows get to Supabase."""

    @property
    def status(self) -> str: ...
    @property
    def last_error(self) -> str | None: ...
    @property
    def backlog_age_s(self) -> float: ...


class EngineState(Protocol):
    """Of a worker that shares an engine; `name`: its own, `mirrored`: the sessions that it shows
    and others write."""

    name: str
    pulse: Pulse
    count: HotCount

    @property
    def mirrored(self) -> int: ...
    @property
    def cut_off(self) -> bool: ...


class Health:
    """What a running server reports. `shipping` where it ships, `engine` where it shares one."""

    def __init__(
        self,
        hub: Hub,
        chain: Chain,
        connections: Connections,
        followers: Sequence[Follower],
        shipping: Callable[[], ShippingState] | None,
        engine: EngineState | None,
    ) -> None:
        self._hub = hub
        self._chain = chain
        self._connections = connections
        self._followers = followers
        self._shipping = shipping
        self._engine = engine

    async def report(self) -> dict[str, Any]:
        """`status` is `ok`, `degraded` or `unavailable`. An engine that is away for every
        worker makes none better than this one."""
        log = self._hub.log
        state: dict[str, Any] = {
            "status": "unavailable" if self._hub.draining else "ok",
            "model": self._chain.name,
            "models": self._chain.state(),
            "sessions": self._hub.sessions,
            "devices": len(self._connections),
        }
        if self._shipping:
            shipping = self._shipping()
            state["supabase"] = {
                "status": shipping.status,
                "last_error": shipping.last_error,
                "backlog_age_s": round(shipping.backlog_age_s, 1),
            }
        if self._followers:
            state["followers"] = {
                one.name: {
                    "waiting": one.waiting,
                    "behind_s": round(one.behind_s, 1),
                    "last_error": one.last_error,
                }
                for one in self._followers
            }
        if self._engine:
            state["worker"] = self._engine.name
            state["engine"] = self._engine.pulse.report()
            if self._engine.cut_off:
                state["status"] = "unavailable"
            elif state["engine"]["status"] != "ok" and state["status"] == "ok":
                state["status"] = "degraded"
        try:
            if self._shipping and not (self._engine and self._engine.pulse.away_s):
                state["supabase"]["quarantined"] = await log.keeper.quarantined()
            if not self._engine:
                await log.keeper.row("")
        except StorageError as error:
            state["store"] = str(error)
            if not self._engine:
                state["status"] = "unavailable"
        return state


HEALTH: web.AppKey[Health] = web.AppKey("health", Health)


async def healthz(request: web.Request) -> web.Response:
    return web.json_bytes_response({"status": "ok"}, dumps=to_json)


async def readyz(request: web.Request) -> web.Response:
    report = await request.app[HEALTH].report()
    status = 503 if report["status"] == "unavailable" else 200
    return web.json_bytes_response(report, dumps=to_json, status=status)


ROUTES = [web.get("/healthz", healthz), web.get("/readyz", readyz)]
