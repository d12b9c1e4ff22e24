"""What stands between a server and its project: forwards, fails as Supabase does, and counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import aiohttp
from aiohttp import web

Mode = Literal["well", "dead", "hanging", "cut", "slow"] | int

BODIES = {
    401: {"message": "Invalid API key", "hint": "Double check your API key."},
    402: {
        "message": "Service for this project is restricted due to the following violations: "
        "exceed_egress_quota."
    },
    403: {"message": "Forbidden"},
    404: {"code": "PGRST202", "message": "Could not find the function in the schema cache"},
    409: {"code": "40001", "message": "could not serialize access"},
    413: {"message": "Payload too large"},
    429: {"message": "Too many requests"},
    500: {"code": "XX000", "message": "internal error"},
    503: {"code": "PGRST001", "message": "Could not connect with the database"},
    504: {"message": "upstream request timeout"},
}


class Gateway:
    """`mode` is what happens to each request: forwarded `well`; the connection closed at once
    (`dead`), not answered while that lasts (`hanging`), forwarded and the answer `cut` off,
    forwarded with a delay (`slow`), or answered by a status with the body that goes with it.

    `firewall` sees the body of each request first, and may answer in the project's place; the
    connection is closed where its answer is `cut`.
    """

    def __init__(self, target: str) -> None:
        self.url = ""
        self.mode: Mode = "well"
        self.firewall: Callable[[bytes], web.Response | Literal["cut"] | None] = lambda body: None
        self.requests: list[tuple[float, str]] = []
        self._target = target

    def asked(self, path: str) -> list[float]:
        """When each request of a path came (monotonic)."""
        return [when for when, name in self.requests if name.endswith(path)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((time.monotonic(), request.path))
        body = await request.read()
        if seen := self.firewall(body):
            if isinstance(seen, web.Response):
                return seen
            assert request.transport
            request.transport.abort()
            return web.Response()
        mode = self.mode
        if isinstance(mode, int):
            return web.json_response(BODIES[mode], status=mode)
        while mode == self.mode == "hanging":
            await asyncio.sleep(0.05)
        if mode == "slow":
            await asyncio.sleep(1)
        if mode in ("well", "slow", "cut"):
            headers = {
                name: value
                for name, value in request.headers.items()
                if name.lower() not in ("host", "content-length", "accept-encoding")
            }
            async with self._http.request(
                request.method, self._target + request.path_qs, data=body, headers=headers
            ) as answer:
                content = await answer.read()
                if mode != "cut":
                    return web.Response(
                        body=content, status=answer.status, content_type=answer.content_type
                    )
        assert request.transport
        request.transport.abort()
        return web.Response()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Gateway]:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2
        )
        async with aiohttp.ClientSession() as self._http:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield self
            finally:
                await runner.cleanup()
