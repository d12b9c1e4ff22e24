"""Two ways onto the wire: frames written by hand, and python-socketio's client."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import socketio

from tests.support.recorder import ACK_S, Lost, Recorder

PATH = "/socket.io/?EIO=4&transport=websocket"


class RawWire:
    """Engine.IO and Socket.IO frames over a bare WebSocket, without a library of theirs."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self._numbers = itertools.count()
        self._acks: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None

    async def open(
        self, url: str, auth: dict[str, Any], received: Callable[[str, Any], None]
    ) -> None:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        try:
            self._socket = await self._http.ws_connect(
                url + PATH, max_msg_size=0, timeout=aiohttp.ClientWSTimeout(ws_close=0.1)
            )
            hello = await self._socket.receive_str()
            assert hello.startswith("0{"), hello
            await self._socket.send_str("40" + json.dumps(auth))
        except (aiohttp.ClientError, TypeError) as error:
            raise Lost from error
        self._reader = asyncio.create_task(self._read(received))

    async def _read(self, received: Callable[[str, Any], None]) -> None:
        assert self._socket
        try:
            async for message in self._socket:
                frame = message.data
                if not isinstance(frame, str):
                    continue
                if frame == "2":
                    await self._socket.send_str("3")
                elif frame.startswith("42"):
                    received(*json.loads(frame[2:]))
                elif frame.startswith("43"):
                    place = frame.index("[")
                    ack = self._acks.pop(int(frame[2:place]), None)
                    if ack and not ack.done():
                        ack.set_result(json.loads(frame[place:])[0])
        except (OSError, aiohttp.ClientError):
            pass
        finally:
            self._end()

    def _end(self) -> None:
        self.lost.set()
        for ack in self._acks.values():
            if not ack.done():
                ack.set_exception(Lost())
                ack.exception()
        self._acks.clear()

    async def post(self, frame: str) -> None:
        """Any frame at all."""
        if self._socket is None or self.lost.is_set():
            raise Lost
        try:
            await self._socket.send_str(frame)
        except (OSError, aiohttp.ClientError) as error:
            raise Lost from error

    async def call(self, command: str, payload: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        ack = self._acks[number] = asyncio.get_running_loop().create_future()
        await self.post(f"42{number}{json.dumps([command, payload])}")
        try:
            async with asyncio.timeout(ACK_S):
                return await ack
        except TimeoutError:
            raise AssertionError(f"{command} is not answered within {ACK_S} s") from None

    async def close(self) -> None:
        if self._reader:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        self._end()
        if self._socket:
            with contextlib.suppress(OSError, aiohttp.ClientError):
                await self._socket.close()
        if self._http:
            await self._http.close()


class StockWire:
    """python-socketio's client, its own reconnection switched off."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self._http: aiohttp.ClientSession | None = None
        self._client: socketio.AsyncClient | None = None

    async def open(
        self, url: str, auth: dict[str, Any], received: Callable[[str, Any], None]
    ) -> None:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        client = socketio.AsyncClient(reconnection=False, http_session=self._http)

        async def event(name: str, payload: Any) -> None:
            received(name, payload)

        async def gone(reason: str) -> None:
            self.lost.set()

        client.on("*", event)
        client.on("disconnect", gone)
        try:
            await client.connect(url, auth=auth, transports=["websocket"], wait_timeout=5)
        except socketio.exceptions.ConnectionError as error:
            raise Lost from error
        finally:
            self._client = client

    async def call(self, command: str, payload: dict[str, Any]) -> dict[str, Any]:
        if self._client is None or self.lost.is_set():
            raise Lost
        answer = asyncio.ensure_future(self._client.call(command, payload, timeout=ACK_S))
        lost = asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait([answer, lost], return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise Lost
            return answer.result()
        except socketio.exceptions.TimeoutError:
            if self.lost.is_set():
                raise Lost from None
            raise AssertionError(f"{command} is not answered within {ACK_S} s") from None
        except socketio.exceptions.SocketIOError:
            raise Lost from None
        finally:
            for task in (answer, lost):
                task.cancel()
            await asyncio.gather(answer, lost, return_exceptions=True)

    async def close(self) -> None:
        if self._client:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._client.disconnect(), 2)
        self.lost.set()
        if self._http:
            await self._http.close()


def raw(name: str, url: str, **auth: Any) -> Recorder:
    return Recorder(name, url, RawWire, **auth)


def stock(name: str, url: str, **auth: Any) -> Recorder:
    return Recorder(name, url, StockWire, **auth)
