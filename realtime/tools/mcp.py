"""Tools of MCP servers, beside the Python ones and under the same rules.

Each server has one task that owns its connection from beginning to end, since the SDK's
connections must be closed by the task that opened them. It connects again when the server
has gone, and asks for the tools anew every now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import sys
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx2
import jsonschema
import referencing
from jsonschema.validators import validator_for
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    CONNECTION_CLOSED,
    AudioContent,
    CallToolResult,
    ImageContent,
    TextContent,
)
from mcp.types import Tool as Listed

from realtime.models import ToolSpec
from realtime.protocol import to_json
from realtime.tools.context import ToolContext, ToolError
from realtime.tools.mcp_config import McpServer
from realtime.tools.tool import Tool, Toolbox

ANSWER_S = 20.0  # for a greeting or a list of tools
CHECK_S = 15.0
READY_S = 10.0  # that a start waits for servers
BACKOFF_S = (0.2, 1, 5, 15, 30)
WAIT_S = 5.0  # that a call waits for a server to come back
STOP_S = 8.0  # the SDK ends a child that does not listen after about six
MAX_TOOLS = 100
MAX_DESCRIPTION = 4000
MAX_SCHEMA = 32 * 1024

logger = logging.getLogger(__name__)


class McpTool(Tool):
    """One tool of a server."""

    def __init__(self, server: Connection, listed: Listed) -> None:
        """Raises ValueError where its schema is none."""
        config = server.config
        schema = {"type": "object", "properties": {}, **listed.input_schema}
        if len(to_json(schema)) > MAX_SCHEMA:
            raise ValueError(f"its schema is over {MAX_SCHEMA} bytes")
        kind = validator_for(schema)
        try:
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise ValueError(f"its schema is none: {error.message}") from None
        # a registry of our own never fetches what a schema refers to
        self._validator = kind(schema, registry=referencing.Registry())
        self._server = server
        self._name = listed.name
        description = listed.description or listed.title or listed.name
        super().__init__(
            ToolSpec(offered_name(server.name, listed.name), description[:MAX_DESCRIPTION], schema),
            deadline_s=config.deadline_s,
            repeatable=_named(config.repeatable, listed.name),
            approval=_named(config.approval, listed.name),
        )

    def validate(self, arguments: Any) -> dict[str, Any]:
        if not isinstance(arguments, dict):
            raise ToolError("the arguments are not a JSON object", "bad_arguments")
        problems = [
            f"{'.'.join(map(str, error.path)) or 'arguments'}: {error.message[:300]}"
            for error in self._validator.iter_errors(arguments)
        ]
        if problems:
            raise ToolError("; ".join(problems[:5]), "bad_arguments")
        return arguments

    async def invoke(self, keywords: dict[str, Any], context: ToolContext) -> Any:
        async def told(progress: float, total: float | None, message: str | None) -> None:
            context.progress(progress / total if total else None, message)

        client = await self._server.client()
        try:
            result = await client.call_tool(
                self._name,
                keywords,
                read_timeout_seconds=self.deadline_s + 1,
                progress_callback=told,
            )
        except MCPError as error:
            self._server.look()
            if error.code == CONNECTION_CLOSED:
                raise ToolError(
                    f"{self._server.name} went away; the call may have had its effect, or not",
                    "unknown_outcome",
                ) from None
            raise ToolError(error.message) from None
        except Exception:
            self._server.look()
            raise
        return contents(result)


class Connection:
    """One server's connection, kept up by a task of its own."""

    def __init__(self, name: str, config: McpServer, box: Toolbox) -> None:
        self.name = name
        self.config = config
        self.tried = asyncio.Event()  # whether it is up, or has failed once
        self._box = box
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._wake = asyncio.Event()
        self._stopping = False
        self.task = asyncio.create_task(self._keep_up(), name=f"mcp {name}")

    async def client(self) -> Client:
        """The connection, once it is up. Raises `ToolError("unavailable")`."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._up.wait()
        except TimeoutError:
            pass
        if self._client is None:
            raise ToolError(f"{self.name} is not there; the call was not made", "unavailable")
        return self._client

    def look(self) -> None:
        """Something went wrong: see at once whether the server is still there."""
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    async def _keep_up(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while not self._stopping:
            begun = loop.time()
            try:
                await self._hold()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task and task.cancelling():
                    raise
                logger.warning("MCP server %s: the connection broke down", self.name)
            except Exception as error:
                logger.warning("MCP server %s: %s", self.name, cause(error))
            self.tried.set()
            failures = 0 if loop.time() - begun > BACKOFF_S[-1] else failures + 1
            if not self._stopping:
                await self._pause(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    async def _hold(self) -> None:
        """Be connected until told to stop. Raises when the server has gone."""
        async with self._connected() as client:
            try:
                await self._offer(client)
                self._client = client
                self._up.set()
                self.tried.set()
                logger.info("MCP server %s is connected", self.name)
                while not self._stopping:
                    await self._pause(CHECK_S)
                    if not self._stopping:
                        await self._offer(client)
            finally:
                self._client = None
                self._up.clear()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        config = self.config
        async with contextlib.AsyncExitStack() as stack:
            if config.command is not None:
                # the child writes there itself, so nothing of it comes through the loop
                errors = None if logger.isEnabledFor(logging.DEBUG) else open(os.devnull, "w")  # noqa: ASYNC230, SIM115
                if errors:
                    stack.callback(errors.close)
                parameters = StdioServerParameters(
                    command=config.command, args=config.args, env=config.env, cwd=config.cwd
                )
                transport = stdio_client(parameters, errlog=errors or sys.stderr)
            else:
                http = await stack.enter_async_context(
                    httpx2.AsyncClient(
                        headers=config.headers, timeout=httpx2.Timeout(ANSWER_S, read=300)
                    )
                )
                transport = streamable_http_client(config.url or "", http_client=http)
            yield await stack.enter_async_context(
                Client(transport, read_timeout_seconds=ANSWER_S, cache=None)
            )

    async def _offer(self, client: Client) -> None:
        """Put what the server has now in the box. Raises when it does not answer."""
        listed: list[Listed] = []
        cursor = None
        while True:
            page = await client.list_tools(cursor=cursor)
            listed += page.tools
            cursor = page.next_cursor
            if cursor is None or len(listed) >= MAX_TOOLS:
                break
        wanted = self.config.tools
        tools = []
        for item in listed[:MAX_TOOLS]:
            if wanted is not None and item.name not in wanted:
                continue
            try:
                tools.append(McpTool(self, item))
            except ValueError as error:
                logger.warning(
                    "MCP server %s: tool %s is left out: %s", self.name, item.name, error
                )
        self._box.offer(self.name, tools)


class McpServers:
    """The servers of a configuration, and their tools in the box."""

    def __init__(self, servers: dict[str, McpServer], box: Toolbox) -> None:
        """To be made inside the event loop: the connecting begins at once."""
        for name in servers:
            box.offer(name, ())  # so that the order is the file's, whoever answers first
        self._connections = [Connection(name, config, box) for name, config in servers.items()]

    async def ready(self) -> None:
        """Until each server is up or has failed once, for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                for connection in self._connections:
                    await connection.tried.wait()

    async def stop(self) -> None:
        """Close the connections and end the processes behind them."""
        tasks = [connection.task for connection in self._connections]
        for connection in self._connections:
            connection.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)


def contents(result: CallToolResult) -> Any:
    """What a server answered, as a tool's result. Raises `ToolError` where it is an error."""
    if result.is_error:
        texts = [block.text for block in result.content if isinstance(block, TextContent)]
        raise ToolError("\n".join(texts) or "the tool failed and did not say why")
    if result.structured_content is not None:
        return result.structured_content
    blocks = [_block(block) for block in result.content]
    return blocks[0] if len(blocks) == 1 else blocks


def _block(block: Any) -> Any:
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block, ImageContent | AudioContent):  # which no model here could read
        return {"type": block.type, "mime_type": block.mime_type, "base64_chars": len(block.data)}
    return block.model_dump(mode="json", exclude_none=True)


def offered_name(server: str, name: str) -> str:
    """A name that every provider takes, and no two tools share."""
    whole = f"{server}__{name}"
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", whole):
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', whole)[:55]}_{digest}"


def cause(error: BaseException) -> str:
    """The first error of a group, by its kind: messages may hold addresses with keys in them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    shown = type(error).__name__
    if isinstance(error, MCPError):
        return f"{shown} {error.code}"
    return f"{shown}: {error.strerror}" if isinstance(error, OSError) else shown


def _named(which: bool | Iterable[str], name: str) -> bool:
    return which if isinstance(which, bool) else name in which
