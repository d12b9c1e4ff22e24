"""The engine, the Socket.IO server and the product, each to be spoken to from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from realtime.edge.transport import Engine, SocketServer
from tests.abuse.wire import Wire

PING_S, PONG_S = 1.0, 1.0
Host = Callable[[Any], Awaitable[Wire]]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
async def host(aiohttp_server: Any, http: aiohttp.ClientSession) -> AsyncIterator[Host]:
    """`await host(server)`: mounts an `Engine` or a `SocketServer` on a port of its own."""
    servers = []

    async def start(server: Any) -> Wire:
        @web.middleware
        async def counting(request: web.Request, handler: Any) -> web.StreamResponse:
            wire.begun += 1
            response: web.StreamResponse = await handler(request)
            return response

        app = web.Application(middlewares=[counting])
        server.attach(app)
        servers.append(server)
        running = await aiohttp_server(app)
        path = "/engine.io/" if isinstance(server, Engine) else "/socket.io/"
        wire = Wire(http, str(running.make_url(path)))
        return wire

    yield start
    for server in servers:
        await server.shutdown()


@pytest.fixture
def echo_engine() -> Engine:
    """Sends back what it is sent."""
    engine = Engine(ping_interval=PING_S, ping_timeout=PONG_S)

    async def echo(sid: str, data: Any) -> None:
        await engine.send(sid, data)

    engine.on("message", echo)
    return engine


@pytest.fixture
async def engine(host: Host, echo_engine: Engine) -> Wire:
    return await host(echo_engine)


def echo_server(**options: Any) -> SocketServer:
    """Two namespaces; says how it was greeted, and sends back what it is sent."""
    server = SocketServer(
        **{
            "ping_interval": PING_S,
            "ping_timeout": PONG_S,
            "namespaces": ["/", "/custom"],
            "always_connect": True,
            **options,
        }
    )

    def add(namespace: str) -> None:
        async def greet(sid: str, environ: dict[str, Any], auth: Any) -> None:
            await server.emit("auth", auth or {}, to=sid, namespace=namespace)

        async def echo(sid: str, *data: Any) -> None:
            await server.emit("message-back", data, to=sid, namespace=namespace)

        async def answer(sid: str, *data: Any) -> tuple[Any, ...]:
            return data

        server.on("connect", greet, namespace=namespace)
        server.on("message", echo, namespace=namespace)
        server.on("message-with-ack", answer, namespace=namespace)

    add("/")
    add("/custom")
    return server


@pytest.fixture
async def sockets(host: Host) -> Wire:
    return await host(echo_server())
