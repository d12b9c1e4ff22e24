"""The file that names MCP servers, in the shape that other clients read too:

{"mcpServers": {"time": {"command": "mcp-server-time", "approval": ["convert_time"]},
                "wiki": {"url": "https://wiki.example/mcp",
                         "headers": {"Authorization": "Bearer ${WIKI_TOKEN}"}}}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from ..tool import DEADLINE_S

START_S = 120.0  # `npx` and `docker` download first
SSE = (
    "it is a server of the older HTTP+SSE kind: give its url for streamable HTTP, which often ends "
    'in /mcp, or a bridge, such as "command": "npx", "args": ["-y", "mcp-remote", "<url>"]'
)
_NAME = re.compile(r"\$\{(?:env:)?(\w+)(?::-([^}]*))?\}")


class McpServer(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One server: a `command` to start, or a `url` to reach.

    Of its own environment the command gets PATH, HOME and their like, and `env`; nothing
    else of ours. `tools`: offer only these. `approval`, `repeatable`: for all of its tools, or
    those named. `start_seconds`: until it must have answered and listed its tools.
    """

    command: str | None = None
    args: list[str] = []
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    type: Literal["stdio", "http", "streamable-http", "streamableHttp", "sse"] | None = None
    disabled: bool = False
    tools: list[str] | None = None
    approval: bool | list[str] = False
    repeatable: bool | list[str] = False
    deadline_s: float = DEADLINE_S
    start_seconds: float = START_S


class _File(msgspec.Struct):
    servers: dict[str, msgspec.Raw] = msgspec.field(name="mcpServers")


def read_config(path: str, environ: Mapping[str, str]) -> dict[str, McpServer]:
    """The servers that are not disabled, by name; `${NAME}` in their texts is taken from
    `environ`, and `${NAME:-text}` is the text where that has none. Raises ValueError that says
    what is wrong, without any value of the file."""
    try:
        text = Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("names a file that is not UTF-8; save it as UTF-8") from None
    try:
        entries = msgspec.json.decode(text, type=_File).servers
    except msgspec.DecodeError as error:
        raise ValueError(f"is invalid: {error}") from None
    found: dict[str, McpServer] = {}
    for name, entry in entries.items():
        try:
            server = msgspec.json.decode(entry, type=McpServer)
        except msgspec.DecodeError as error:
            raise ValueError(f"is invalid: {name}: {error}") from None
        if server.disabled:
            continue
        if (server.command is None) == (server.url is None):
            raise ValueError(f"{name}: give either a command or a url")
        if server.type == "sse":
            raise ValueError(f'{name}: type "sse" cannot be used; {SSE}')
        for field in ("deadline_s", "start_seconds"):
            if getattr(server, field) <= 0:
                raise ValueError(f"{name}: {field} must be above 0")
        try:
            filled = msgspec.convert(_fill(msgspec.to_builtins(server), environ), McpServer)
        except KeyError as error:
            raise ValueError(
                f"{name}: {error.args[0]} is set neither in the environment nor in .env"
            ) from None
        if filled.url is not None and not filled.url.startswith(("http://", "https://")):
            raise ValueError(f"{name}: its url must begin with http:// or https://")
        found[name] = filled
    return found


def _fill(value: object, environ: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return _NAME.sub(lambda match: _value(match, environ), value)
    if isinstance(value, list):
        return [_fill(item, environ) for item in value]
    if isinstance(value, dict):
        return {key: _fill(item, environ) for key, item in value.items()}
    return value


def _value(match: re.Match[str], environ: Mapping[str, str]) -> str:
    name, fallback = match.groups()
    return environ[name] if fallback is None else environ.get(name) or fallback
