"""A client that says what it likes: plain HTTP and WebSockets, no Socket.IO library."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import aiohttp

WAIT_S = 15
AT_ONCE_S = 1.9
"""Sooner than a ping without its pong would end it."""


class Wire:
    """One server as seen from outside."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http = http
        self.url = url
        self.begun = 0  # requests, where `host` counts them

    async def ask(self, method: str = "GET", body: Any = None, **query: str) -> tuple[int, str]:
        query = {"EIO": "4", "transport": "polling", **query}
        query = {name: value for name, value in query.items() if value}
        async with self.http.request(method, self.url, params=query, data=body) as response:
            return response.status, await response.text()

    async def session(self) -> str:
        """A new polling session's id."""
        status, text = await self.ask()
        assert (status, text[0]) == (200, "0")
        sid: str = json.loads(text[1:])["sid"]
        return sid

    async def poll(self, sid: str) -> asyncio.Task[tuple[int, str]]:
        """A poll that the server holds open."""
        before = self.begun
        poll = asyncio.create_task(self.ask(sid=sid))
        await until(lambda: self.begun > before)
        return poll

    async def dial(self, sid: str = "", **headers: str) -> aiohttp.ClientWebSocketResponse:
        query = {"EIO": "4", "transport": "websocket"} | ({"sid": sid} if sid else {})
        return await self.http.ws_connect(
            self.url, params=query, headers=headers, autoping=False, max_msg_size=0
        )

    async def opened(self) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket past its handshake."""
        ws = await self.dial()
        assert (await hear(ws))[0] == "0"
        return ws

    async def connected(self, auth: str = "") -> aiohttp.ClientWebSocketResponse:
        """A WebSocket connected to the main namespace."""
        ws = await self.opened()
        await ws.send_str("40" + auth)
        assert (await hear(ws))[:2] == "40"
        return ws

    async def upgraded(self) -> tuple[str, aiohttp.ClientWebSocketResponse]:
        sid = await self.session()
        ws = await self.dial(sid)
        await ws.send_str("2probe")
        assert await hear(ws) == "3probe"
        await ws.send_str("5")
        return sid, ws


async def hear(ws: aiohttp.ClientWebSocketResponse, *, pings: bool = True) -> Any:
    """The next message."""
    async with asyncio.timeout(WAIT_S):
        while True:
            message = await ws.receive()
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
            if pings or message.data != "2":
                return message.data


async def hear_event(ws: aiohttp.ClientWebSocketResponse, name: str) -> Any:
    """The payload of the next event of that name."""
    while not (text := await hear(ws)).startswith(f'42["{name}"'):
        pass
    return json.loads(text[2:])[1]


async def hear_ack(ws: aiohttp.ClientWebSocketResponse, id: int) -> Any:
    while not (text := await hear(ws)).startswith(f"43{id}["):
        pass
    return json.loads(text.removeprefix(f"43{id}"))[0]


async def closed(ws: aiohttp.ClientWebSocketResponse, within: float = AT_ONCE_S) -> list[Any]:
    """Wait for the server to close it; what it said before."""
    heard: list[Any] = []
    begun = time.monotonic()
    async with asyncio.timeout(WAIT_S):
        while True:
            message = await ws.receive()
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                break
            heard.append(message.data)
    took = time.monotonic() - begun
    assert took < within, f"closed after {took:.3f} s"
    return heard


async def until(condition: Any, within: float = WAIT_S) -> None:
    """Wait until a condition of the server holds."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


# ------------------------------------------------------------------------ TCP


def masked(opcode: int, payload: bytes, fin: int = 0x80) -> bytes:
    size = len(payload)
    head = bytes([fin | opcode])
    head += bytes([0x80 | size]) if size < 126 else b"\xff" + size.to_bytes(8, "big")
    return head + bytes(4) + payload


async def raw_websocket(
    url: str, more: str = "", receive_buffer: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A TCP connection that has become a WebSocket and got its Engine.IO handshake."""
    at = urlsplit(url)
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(sock, (at.hostname, at.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 16)
    writer.write(
        f"GET {at.path}?EIO=4&transport=websocket HTTP/1.1\r\nHost: {at.netloc}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head, head
    assert b"permessage-deflate" not in head
    await reader.readuntil(b"}")
    return reader, writer
