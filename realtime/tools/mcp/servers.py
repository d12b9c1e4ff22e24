"""Tools of MCP servers, beside the Python ones and under the same rules.

Each server has one task that owns its connection from beginning to end, since the SDK's
connections must be closed by the task that opened them. It connects again when the server
has gone, and asks for the tools anew every now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import msgspec
from mcp import ClientSession, MCPError
from mcp.types import HEADER_MISMATCH

from ..checkable import Unfit
from ..context import ToolError
from ..tool import MAX_TOOLS, Toolbox, some
from .config import McpServer
from .tool import McpTool
from .wire import ConnectionLost, LastWords, RefusedByServer, Unread, connected, greet, listed
from .words import Trouble, secrets_of, why

ANSWER_S = 30.0  # for a list of tools from a server that is up
CHECK_S = 15.0
READY_S = 10.0  # how long a start waits for servers
BACKOFF_S = (0.2, 1, 5, 15, 30)
WAIT_S = 5.0  # how long a call waits for a server to come back
STOP_S = 8.0  # the SDK ends a child that does not listen after about six

logger = logging.getLogger(__name__)


class ServerConnection:
    """One server's connection, kept up by a task of its own."""

    def __init__(self, name: str, config: McpServer, box: Toolbox) -> None:
        self.name = name
        self.config = config
        self.tried = asyncio.Event()  # set once it is up, or has failed
        self.problem: str | None = None  # why it is not up
        self.tools: list[McpTool] = []
        self._box = box
        # by name: how a tool was described, and the tool made of it, if it could be
        self._known: dict[str, tuple[dict[str, Any], McpTool | None]] = {}
        self._said: set[str] = set()
        self._words = LastWords(name, config)
        self._session: ClientSession | None = None
        self._up = asyncio.Event()
        self._wake = asyncio.Event()
        self._calls = 0
        self._in_doubt = False
        self._renewing = False
        self._stopping = False
        self._start: asyncio.Timeout | None = None
        self.task = asyncio.create_task(self._keep_up(), name=f"mcp {name}")

    async def session(self) -> ClientSession:
        """The session, once it is up. Raises `ToolError("unavailable")`."""
        if not self._up.is_set():
            self._wake.set()  # no pause now
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(WAIT_S, self.config.deadline_s / 2)):
                await self._up.wait()
        if self._session is None:
            raise ToolError(f"{self.name} is not connected; the call was not made", "unavailable")
        return self._session

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        """A call is under way: no check meanwhile, since many servers do one thing at a time."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if self._in_doubt and not self._calls:
                self._wake.set()

    def renew(self, session: ClientSession) -> None:
        """The server has forgotten this session: begin another one, when no call needs it."""
        if self._session is session:
            self._renewing = self._in_doubt = True
            self._gone()

    async def not_made(self, error: MCPError, session: ClientSession) -> bool:
        """Whether the call was surely not made; if so, prepare for making it again."""
        if isinstance(error, RefusedByServer) and error.session_gone:
            self.renew(session)
            return True
        if error.code == HEADER_MISMATCH:  # the SDK knew an older list of tools
            await listed(session)
            return True
        return isinstance(error, ConnectionLost) and not error.sent

    def told(self, error: MCPError) -> ToolError:
        """A failed call as an error for the model. Where it casts doubt on the server, a check
        follows."""
        self._in_doubt = isinstance(error, ConnectionLost | RefusedByServer)
        unknown = "the call may or may not have taken effect"
        if isinstance(error, ConnectionLost) and not error.sent:
            return ToolError(f"{self.name} is not connected; the call was not made", "unavailable")
        if isinstance(error, ConnectionLost):
            return ToolError(f"{self.name} disconnected; {unknown}", "unknown_outcome")
        if isinstance(error, Unread):
            return ToolError(
                f"{self.name} sent an answer that cannot be read; {unknown}", "unknown_outcome"
            )
        if isinstance(error, RefusedByServer) and error.bare:
            if error.status >= 500:
                return ToolError(f"{self.name} {error.message}; {unknown}", "unknown_outcome")
            return ToolError(f"{self.name} {error.message}; the call was not made", "unavailable")
        more = f": {error.data[:500]}" if isinstance(error.data, str) and error.data else ""
        said = error.message or f"{self.name} refused the call and did not say why"
        return ToolError(said + more)

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._start:
            self._start.reschedule(asyncio.get_running_loop().time())

    def _gone(self) -> None:
        self._session = None
        self._up.clear()
        self._wake.set()

    async def _keep_up(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while not self._stopping:
            begun = loop.time()
            before = self.problem
            try:
                await self._hold()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task and task.cancelling():
                    raise
                self.problem = "the connection broke down"
            except Exception as error:
                self.problem = await self._why(error)
            if self.problem and self.problem != before and not self._stopping:
                logger.warning("MCP server %s: %s", self.name, self.problem)
            self.tried.set()
            if self._renewing:
                self._renewing = False
                continue
            failures = 0 if loop.time() - begun > BACKOFF_S[-1] else failures + 1
            if not self._stopping:
                self._wake.clear()
                await self._pause(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    async def _why(self, error: Exception) -> str:
        problem = why(error, secrets_of(self.config))
        wrote = await self._words.heard()
        return f"{problem}; its last output: {wrote}" if wrote else problem

    async def _hold(self) -> None:
        """Be connected until told to stop, or to renew. Raises when the server has gone."""
        async with connected(self.name, self.config, self._words, self._gone) as session:
            await self._begin(session)
            self._session = session
            self._up.set()
            self.problem = None
            self.tried.set()
            logger.info("MCP server %s is connected; tools: %d", self.name, len(self.tools))
            try:
                while self._session is session and not self._stopping:
                    await self._pause(CHECK_S)
                    if self._session is session and not self._stopping and not self._calls:
                        await self._check(session)
            finally:
                self._session = None
                self._up.clear()
            while self._renewing and self._calls and not self._stopping:
                await self._pause(CHECK_S)
            if not (self._stopping or self._renewing):
                raise Trouble("it ended")

    async def _begin(self, session: ClientSession) -> None:
        seconds = self.config.start_seconds
        try:
            async with asyncio.timeout(seconds) as self._start:
                await greet(session)
                await self._offer(session)
        except ConnectionLost:
            raise Trouble("it ended before it answered") from None
        except TimeoutError:
            raise Trouble(
                f"it did not answer within {seconds:g} s; raise start_seconds to wait longer"
            ) from None
        finally:
            self._start = None

    async def _check(self, session: ClientSession) -> None:
        """Whether the server is still there, and what it has now. A call that began meanwhile
        may hold up the answer."""
        self._in_doubt = False
        seconds = max(ANSWER_S, self.config.deadline_s)
        try:
            async with asyncio.timeout(seconds):
                await self._offer(session)
        except RefusedByServer as error:
            if not error.session_gone:
                raise
            self.renew(session)
        except TimeoutError:
            if not self._calls:
                raise Trouble(f"it did not answer within {seconds:g} s") from None

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    async def _offer(self, session: ClientSession) -> None:
        """Put what the server has now in the box. One bad tool costs that tool."""
        found, whole = await listed(session)
        if not whole:
            self._warn("its list of tools never ends; only what was received is offered")
        by_name: dict[str, dict[str, Any]] = {}
        for item in found:
            name = item.get("name") if isinstance(item, dict) else None
            if not isinstance(name, str) or not name:
                self._warn("a tool without a name is left out")
            else:
                by_name.setdefault(name, item)
        config = self.config
        for named in (config.tools, config.approval, config.repeatable):
            for name in named if isinstance(named, list) else ():
                if name not in by_name:
                    self._warn(f"its entry names a tool {name}, which it does not have")
        wanted = [name for name in by_name if config.tools is None or name in config.tools]
        if more := wanted[MAX_TOOLS:]:
            self._warn(f"it has more than {MAX_TOOLS} tools; these are left out: {some(more)}")
        made = (self._tool(name, by_name[name]) for name in wanted[:MAX_TOOLS])
        self.tools = [tool for tool in made if tool is not None]
        self._known = {name: self._known[name] for name in wanted[:MAX_TOOLS]}
        self._box.offer(self.name, self.tools)

    def _tool(self, name: str, described: dict[str, Any]) -> McpTool | None:
        known = self._known.get(name)
        if known and known[0] == described:
            return known[1]
        tool = None
        try:
            tool = McpTool(self, name, described)
        except Unfit as error:
            self._warn(f"{error}; it is left out")
        except Exception as error:  # nobody knows all that a schema can be
            self._warn(f"tool {name} is left out: {type(error).__name__}: {error}"[:500])
        self._known[name] = (described, tool)
        return tool

    def _warn(self, line: str) -> None:
        """Once: the tools are listed again and again."""
        if line not in self._said:
            self._said.add(line)
            logger.warning("MCP server %s: %s", self.name, line)


class McpServers:
    """The servers of a configuration, and their tools in the box."""

    def __init__(self, servers: dict[str, McpServer], box: Toolbox) -> None:
        """To be made inside the event loop: the connecting begins at once."""
        for name in servers:
            box.offer(name, ())  # so that the order is the file's, whoever answers first
        self.connections = [ServerConnection(name, config, box) for name, config in servers.items()]

    async def ready(self) -> None:
        """Until each server is up or has failed once, for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                for connection in self.connections:
                    await connection.tried.wait()

    async def stop(self) -> None:
        """Close the connections and end the processes behind them."""
        tasks = [connection.task for connection in self.connections]
        for connection in self.connections:
            connection.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)


class Trial(msgspec.Struct, frozen=True):
    """How one server does: how many tools it offers, or what is wrong."""

    name: str
    tools: int
    problem: str | None


async def try_servers(servers: dict[str, McpServer], box: Toolbox) -> AsyncGenerator[Trial]:
    """Connect to each once, side by side, and to none of them again. Their tools stay in the
    box."""
    tried = McpServers(servers, box)
    try:
        for connection in tried.connections:
            await connection.tried.wait()
            yield Trial(connection.name, len(connection.tools), connection.problem)
    finally:
        await tried.stop()
