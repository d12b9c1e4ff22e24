"""An MCP server without an SDK, for what no SDK lets a server do: over stdio, in a process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]
ROOT = str(Path(__file__).resolve().parents[2])


def text(words: str) -> Json:
    return {"content": [{"type": "text", "text": words}]}


def described(name: str, schema: Any = None, **more: Any) -> Json:
    return {"name": name, "description": name, "inputSchema": schema or {"type": "object"}, **more}


def answer(
    message: Json, listed: Callable[[Json], Json], call: Callable[[str, Json], Json]
) -> Json | None:
    """The answer to a message, or None where it wants none."""
    method, params = message.get("method"), message.get("params") or {}
    if "id" not in message:
        return None
    reply: Json = {"jsonrpc": "2.0", "id": message["id"]}
    if method == "initialize":
        told = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}
        return reply | {"result": told | {"serverInfo": {"name": "plain", "version": "1"}}}
    if method == "tools/list":
        return reply | {"result": listed(params)}
    if method == "tools/call":
        told = call(params["name"], params.get("arguments") or {})
        return reply | (told if "error" in told else {"result": told})
    return reply | {"error": {"code": -32601, "message": "Method not found"}}


def serve(
    tools: Sequence[Any] = (),
    call: Callable[[str, Json], Json] = lambda name, arguments: text(f"{name} {arguments}"),
    listed: Callable[[Json], Json] | None = None,
) -> None:
    """Answer line by line, one at a time."""
    for line in sys.stdin:
        reply = answer(json.loads(line), listed or (lambda params: {"tools": list(tools)}), call)
        if reply is not None:
            sys.stdout.write(json.dumps(reply) + "\n")
            sys.stdout.flush()


def entry(folder: Path, code: str, **config: Any) -> Json:
    """The configuration of a server whose program is this code, over `serve`."""
    program = folder / f"server{len(os.listdir(folder))}.py"
    program.write_text(f"import os, sys, time\nfrom tests.tools.plain_mcp import *\n{code}\n")
    env = {"PYTHONPATH": ROOT, **config.pop("env", {})}
    return {"command": sys.executable, "args": [str(program)], "env": env, **config}
