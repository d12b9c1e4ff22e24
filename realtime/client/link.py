"""One Socket.IO connection to the server, from its handshake to its loss."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import socketio
from socketio.exceptions import ConnectionError as NoConnection
from socketio.exceptions import SocketIOError

from ..protocol import MAX_DEPTH
from .errors import CommandError, NotSent, offline, refused, timed_out, unreachable
from .message import Json

CONNECT_S = 10.0
WHY_S = 4.0
CLOSE_S = 1.0
MAX_FRAME = 64 * 1024
AROUND = 32  # bytes of a frame around its command
# The libraries log frames, which hold tokens and texts.
_SILENT = logging.Logger("silent", logging.CRITICAL + 1)


class ServerLink:
    """`url`: that of the server, or of the prefix below which it is mounted."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            logger=_SILENT,
            engineio_logger=_SILENT,
            websocket_extra_options={"timeout": aiohttp.ClientWSTimeout(ws_close=CLOSE_S)},
        )
        self._client.on("*", self._received)
        self._client.on("connect_error", self._refused)
        self._incoming: asyncio.Queue[tuple[str, Json] | None] = asyncio.Queue()
        self._acks: set[asyncio.Future[Json]] = set()
        self._refusal: Any = None
        self._watch: asyncio.Task[None] | None = None

    async def open(self, auth: Json) -> None:
        """Raises `CommandError`."""
        base, path = urlsplit(self.url), "socket.io"
        if base.path.strip("/"):
            path = f"{base.path.strip('/')}/{path}"
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._client.connect(
                    self.url,
                    auth=auth,
                    transports=["websocket"],  # no affinity of the server's workers is needed
                    socketio_path=path,
                    wait_timeout=CONNECT_S,
                )
        except (NoConnection, TimeoutError, OSError, ValueError):
            if isinstance(self._refusal, dict):
                raise refused(self._refusal.get("error", self._refusal)) from None
            raise await why_not(self.url) from None
        self._watch = asyncio.create_task(self._until_lost())

    async def close(self) -> None:
        if self._watch:
            self._watch.cancel()
        try:
            await self._client.eio.disconnect(abort=True)
        except Exception:  # noqa: S110  # it was broken off halfway
            pass
        finally:
            if self._client.eio.http:
                await self._client.eio.http.close()
            self._lost()

    async def receive(self) -> tuple[str, Json]:
        """The next event: its name and its payload. Raises `ServerUnreachable` after the last."""
        item = await self._incoming.get()
        if item is None:
            self._incoming.put_nowait(None)
            raise offline()
        return item

    async def request(
        self, name: str, payload: Json, timeout: float | None, *, enters: bool = False
    ) -> Json:
        """The ack of a command; with `enters` it also comes in as a `session` event, in order.
        Raises `CommandError`."""
        size = len(json.dumps([name, payload], ensure_ascii=False).encode()) + AROUND
        if size > MAX_FRAME:
            raise NotSent(
                "too_large", f"This is too long to send: {size:,} bytes, at most {MAX_FRAME:,}."
            )
        if not _fits([name, payload], MAX_DEPTH):
            raise NotSent(
                "too_large", f"This is nested too deeply to send: at most {MAX_DEPTH} levels."
            )
        ack: asyncio.Future[Json] = asyncio.get_running_loop().create_future()

        def acked(answer: Json) -> None:
            if enters and answer.get("ok"):
                self._received("session", answer)
            if not ack.done():
                ack.set_result(answer)

        self._acks.add(ack)
        try:
            await self._client.emit(name, payload, callback=acked)
            async with asyncio.timeout(timeout):
                answer = await ack
        except SocketIOError:
            raise offline() from None
        except TimeoutError:
            raise timed_out() from None
        finally:
            self._acks.discard(ack)
        if not answer.get("ok"):
            raise refused(answer.get("error") or {})
        return answer

    def _received(self, name: str, payload: Json | None = None) -> None:
        self._incoming.put_nowait((name, payload or {}))

    def _refused(self, data: Any = None) -> None:
        self._refusal = data

    async def _until_lost(self) -> None:
        await self._client.eio.wait()
        self._lost()

    def _lost(self) -> None:
        self._incoming.put_nowait(None)
        for ack in self._acks:
            if not ack.done():
                ack.set_exception(offline(broke=True))


def _fits(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return True
    return levels > 0 and all(_fits(item, levels - 1) for item in value)


async def why_not(url: str) -> CommandError:
    """Why no connection comes about, which a WebSocket does not tell."""
    timeout = aiohttp.ClientTimeout(total=WHY_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.post(f"{url}/socket.io/?EIO=4&transport=websocket") as answer,
        ):
            status, text = answer.status, await answer.text(errors="replace")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        number = getattr(error, "errno", None)
        why = os.strerror(number) if number else "it does not answer"
        return unreachable(f"No server can be reached at {url}: {why}.")
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if isinstance(said, dict) and isinstance(said.get("error"), dict):
        return unreachable(**{"message": "", **said["error"]})
    if isinstance(said, dict) and "code" in said:
        return unreachable(
            f"The server at {url} answers, but no WebSocket could be opened. "
            "Something in between may be blocking it."
        )
    return unreachable(f"Something else answers at {url}, with status {status}.")
