"""What went wrong with an MCP server, in words for a log line or a model, without keys. No I/O
but a look at the file system for a command that does not start."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path

import pydantic
from mcp import MCPError

from ...redaction import without_keys
from .config import SSE, McpServer

MAX_WORDS = 400
COMES_WITH = {"npx": "Node.js", "node": "Node.js", "uvx": "uv", "uv": "uv", "docker": "Docker"}


class Trouble(Exception):
    """A server cannot be used; the text says why."""


def secrets_of(config: McpServer) -> list[str]:
    """Texts of a configuration that no log line may hold."""
    return [*config.env.values(), *config.headers.values()]


def last_words(written: str, secrets: Iterable[str]) -> str:
    """The end of what a process wrote to standard error, as one line. Indented lines are left
    out where there are others: tracebacks indent everything but the error."""
    lines = [line.rstrip() for line in written.splitlines() if line.strip()]
    lines = [line for line in lines if not line[0].isspace()] or lines
    text = without_keys(" / ".join(line.strip() for line in lines), secrets)
    return text if len(text) <= MAX_WORDS else f"…{text[-MAX_WORDS:]}"


def cannot_start(config: McpServer, error: OSError) -> Trouble:
    """A command that the system does not start, and which part of it is to blame."""
    command = config.command or ""
    if config.cwd is not None and not Path(config.cwd).is_dir():
        return Trouble(f"its cwd {config.cwd} is not an existing folder")
    if isinstance(error, FileNotFoundError):
        if " " in command:
            return Trouble(f'its command {command} was not found: put its arguments into "args"')
        package = COMES_WITH.get(Path(command).stem)
        hint = f"it comes with {package}" if package else "install it, or give its whole path"
        return Trouble(f"its command {command} was not found: {hint}")
    if isinstance(error, PermissionError) and shutil.which(command) is None:
        return Trouble(f"its command {command} is not executable")
    return Trouble(f"its command {command} cannot be started: {error.strerror}")


def http_words(status: int, config: McpServer) -> str:
    """What an HTTP status means, and what to do."""
    if status == 401 and any(name.lower() == "authorization" for name in config.headers):
        return "refuses the token in its headers (HTTP 401): put a valid one there"
    if status == 401:
        return (
            "requires a sign-in (HTTP 401, OAuth), which this server does not support: "
            'put a token into its headers, under "Authorization"'
        )
    if status == 403:
        return "refuses access (HTTP 403): its headers need a token that may use it"
    if status == 404:
        return "has nothing at this url (HTTP 404): it often ends in /mcp"
    if status == 405:
        return f"does not accept POST at this url (HTTP 405); perhaps {SSE}"
    if status == 429:
        return "reports too many requests (HTTP 429)"
    if status >= 500:
        return f"fails (HTTP {status})"
    return f"refuses the request (HTTP {status})"


def why(error: BaseException, secrets: Iterable[str]) -> str:
    """The cause of a failure, in words."""
    causes = list(_leaves(error))
    first = next((cause for cause in causes if not isinstance(cause, MCPError | Trouble)), None)
    if isinstance(first, pydantic.ValidationError):
        where = ", ".join(".".join(map(str, item["loc"])) for item in first.errors()[:3])
        return f"its answer is not what the protocol says: {where}"
    if first is None or isinstance(first, RuntimeError):
        found = first or causes[0]
        text = found.message if isinstance(found, MCPError) else str(found)
        return without_keys(text[: 2 * MAX_WORDS], secrets)[:MAX_WORDS] or type(found).__name__
    system = [cause for cause in _behind(first) if isinstance(cause, OSError) and cause.strerror]
    return f"cannot be reached: {_said(system[-1]) if system else type(first).__name__}"


def _said(error: OSError) -> str:
    """In the system's words, which asyncio puts others over; not all numbers are the system's."""
    if isinstance(error, socket.gaierror | ssl.SSLError) or not error.errno:
        return str(error.strerror)
    return os.strerror(error.errno)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        for one in _leaves(error):
            yield one
        error = one.__cause__ or one.__context__
