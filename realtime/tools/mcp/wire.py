"""Between the MCP SDK and a server: connecting, and answers taken as they come.

The SDK refuses a whole list for one bad tool, and a result that misses its schema after the
call was made. So both go past its models, in `_meta`, and it gets only what it needs itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import httpx2
import pydantic
from mcp import ClientSession, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.types import (
    CONNECTION_CLOSED,
    UNSUPPORTED_PROTOCOL_VERSION,
    PaginatedRequestParams,
)

from ...redaction import without_keys
from ..context import ToolError
from ..threads import in_thread
from .config import McpServer
from .incoming import Incoming
from .words import (
    cannot_start,
    http_words,
    last_words,
    secrets_of,
)

CONNECT_S = 20.0
MAX_EVENT = 16 * 1024 * 1024
MAX_PAGES = 100
KEPT_WORDS = 8 * 1024
RAW = "realtime/raw"

logger = logging.getLogger(__name__)
_posts: ContextVar[Post | None] = ContextVar("posts", default=None)


class Post:
    """What HTTP did with a request, which the SDK does not tell."""

    status = 0  # where it is an error
    sent = False

    async def trace(self, event: str, info: Any) -> None:
        self.sent = self.sent or event.endswith("send_request_headers.started")


class ConnectionLost(MCPError):
    """The connection, or the stream of an answer, broke. `sent`: what was asked may have been
    done."""

    def __init__(self, error: MCPError, sent: bool) -> None:
        super().__init__(error.code, error.message)
        self.sent = sent


class RefusedByServer(MCPError):
    """The server answered with an HTTP error. `session_gone`: it no longer knows our session.
    `bare`: it said nothing beside the status, and the message is ours."""

    def __init__(self, error: MCPError, status: int, config: McpServer) -> None:
        bare = error.message in ("Server returned an error response", "Session terminated")
        super().__init__(
            error.code,
            http_words(status, config) if bare or status == 404 else error.message,
            error.data,
        )
        self.status = status
        self.bare = bare
        self.session_gone = status == 404 or (
            status in (400, 410) and "session" in error.message.lower()
        )


class Unread(MCPError):
    """The server answered by what is no answer; the SDK's words quote it."""


class Wire(JSONRPCDispatcher[Any]):
    """Tells kinds of failure apart, and lets answers pass that the SDK would refuse."""

    def __init__(self, read: Any, write: Any, config: McpServer, ended: Callable[[], None]) -> None:
        super().__init__(read, write)
        self._config = config
        self._ended = ended

    async def run(self, *parts: Any, **more: Any) -> None:
        try:
            await super().run(*parts, **more)
        finally:
            self._ended()

    async def send_raw_request(
        self, method: str, params: Any, opts: Any = None, **more: Any
    ) -> dict[str, Any]:
        post = Post()
        before = _posts.set(post)
        try:
            raw = await super().send_raw_request(method, params, opts, **more)
        except MCPError as error:
            if post.status:
                raise RefusedByServer(error, post.status, self._config) from None
            if error.message.startswith(("Failed to parse JSON", "Failed to parse SSE")):
                raise Unread(error.code, "its answer cannot be read") from None
            # servers use this code for errors of their own
            if error.code == CONNECTION_CLOSED and error.message.startswith(
                ("Connection closed", "SSE stream")
            ):
                raise ConnectionLost(error, post.sent or self._config.command is not None) from None
            raise
        finally:
            _posts.reset(before)
        if method == "tools/list":
            return _listing(raw)
        if method == "tools/call" and raw.get("resultType") == "input_required":
            raise ToolError("it asks for input beyond its arguments, which is not supported here")
        if method == "tools/call":
            return {**_hints(raw), "content": [], "_meta": {RAW: raw}}
        return raw


def _listing(raw: dict[str, Any]) -> dict[str, Any]:
    tools = raw.get("tools")
    tools = tools if isinstance(tools, list) else []
    cursor = raw.get("nextCursor")
    slim = {**_hints(raw), "tools": [_slim(tool) for tool in tools if _is_tool(tool)]}
    if cursor not in (None, ""):
        slim["nextCursor"] = str(cursor)
    return {**slim, "_meta": {RAW: tools}}


def _hints(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: raw[key] for key in ("resultType", "ttlMs", "cacheScope") if key in raw}


def _is_tool(tool: Any) -> bool:
    return isinstance(tool, dict) and isinstance(tool.get("name"), str)


def _slim(tool: dict[str, Any]) -> dict[str, Any]:
    """What the SDK reads of a tool: the arguments that it is to send as headers."""
    schema = tool.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    known = properties.items() if isinstance(properties, dict) else ()
    fine = {name: part for name, part in known if isinstance(part, dict)}
    return {"name": tool["name"], "inputSchema": {"type": "object", "properties": fine}}


async def listed(session: ClientSession) -> tuple[list[Any], bool]:
    """The tools as the server tells them, and whether these are all: a list may have no end."""
    found: list[Any] = []
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        accepted = {tool.name for tool in page.tools}
        raw = (page.meta or {}).get(RAW, [])
        found += [tool for tool in raw if not _is_tool(tool) or tool["name"] in accepted]
        cursor = page.next_cursor
        if cursor is None:
            return found, True
        if cursor in seen:
            break
        seen.add(cursor)
    return found, False


async def asked(
    session: ClientSession, name: str, arguments: dict[str, Any], told: ProgressFnT
) -> dict[str, Any]:
    """The result of a call as it came. Raises MCPError."""
    result = await session.call_tool(name, arguments, progress_callback=told)
    raw: dict[str, Any] = (result.meta or {})[RAW]
    return raw


@contextlib.asynccontextmanager
async def connected(
    name: str, config: McpServer, words: LastWords, ended: Callable[[], None]
) -> AsyncIterator[ClientSession]:
    """A session before its greeting. `ended` is called once its connection is gone."""
    async with contextlib.AsyncExitStack() as stack:
        if config.command is not None:
            parameters = StdioServerParameters(
                command=config.command,
                args=config.args,
                env=config.env,
                cwd=config.cwd,
                encoding_error_handler="replace",
            )
            with open(words.begin(), "w") as errors:  # noqa: ASYNC230
                try:
                    streams = await stack.enter_async_context(stdio_client(parameters, errors))
                except OSError as error:
                    raise cannot_start(config, error) from None
        else:
            http = await stack.enter_async_context(
                httpx2.AsyncClient(
                    headers={"Accept-Encoding": "identity", **config.headers},
                    timeout=httpx2.Timeout(CONNECT_S, read=None),  # calls have their deadlines
                    event_hooks={"request": [_watch], "response": [_note]},
                )
            )
            streams = await stack.enter_async_context(
                streamable_http_client(
                    config.url or "", http_client=http, max_sse_event_size=MAX_EVENT
                )
            )
        read, write = streams
        wire = Wire(Incoming(read, name), write, config, ended)
        yield await stack.enter_async_context(ClientSession(dispatcher=wire))


async def _watch(request: httpx2.Request) -> None:
    """Follow a request: the SDK sends it in the context of whoever asked."""
    if post := _posts.get():
        request.extensions["trace"] = post.trace


async def _note(response: httpx2.Response) -> None:
    post = _posts.get()
    if post and response.status_code >= 400:
        post.status = response.status_code
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        packed = response.headers.get("content-encoding", "identity") != "identity"
        response.stream = _Bounded(response.stream, 0 if packed else MAX_EVENT)


class _Bounded(httpx2.AsyncByteStream):
    """A body that the SDK reads whole. One that came packed, though it was not to be, may be of any
    size, and none of it is read."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream = stream
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > self._most:
                raise httpx2.ReadError("the answer is too large")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


async def greet(session: ClientSession) -> None:
    """By the newest protocol, else by the older handshake. Raises MCPError."""
    try:
        await session.discover()
    except (MCPError, RuntimeError, pydantic.ValidationError):
        try:
            await session.initialize()
        except MCPError as error:
            # a slow server may take the first greeting after we gave up on it
            if error.code != UNSUPPORTED_PROTOCOL_VERSION:
                raise
            await session.discover()


class LastWords:
    """What a child process writes to standard error: to the log at DEBUG; its end is kept."""

    def __init__(self, name: str, config: McpServer) -> None:
        self._name = name
        self._secrets = secrets_of(config)
        self._end = b""
        self._thread: threading.Thread | None = None

    def begin(self) -> int:
        """The file descriptor for a new child; the caller closes it."""
        read, write = os.pipe()
        self._end = b""
        self._thread = threading.Thread(target=self._keep, args=(read,), daemon=True, name="mcp")
        self._thread.start()
        return write

    def _keep(self, read: int) -> None:
        with open(read, "rb", buffering=0) as pipe:
            while chunk := pipe.read(64 * 1024):
                self._end = (self._end + chunk)[-KEPT_WORDS:]
                if logger.isEnabledFor(logging.DEBUG):
                    for line in chunk.decode(errors="replace").splitlines():
                        logger.debug(
                            "MCP server %s: %s", self._name, without_keys(line, self._secrets)
                        )

    async def heard(self) -> str:
        """The end of what it wrote, as one line."""
        if self._thread is None:
            return ""
        thread = self._thread
        await in_thread(lambda: thread.join(0.5))
        return last_words(self._end.decode(errors="replace"), self._secrets)
