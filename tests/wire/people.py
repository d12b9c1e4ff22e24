"""Users by their names, and what each command needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from realtime.auth import User
from tests.support.device import Device

Devices = Callable[..., Device]
MISSING = "00000000-0000-4000-8000-000000000000"


async def by_name(token: str | None, request: web.Request) -> User | None:
    if token == "crash":
        raise RuntimeError(f"no database for {token} at postgres://secret@host")
    if token == "wrong":
        return "ada"  # type: ignore[return-value]
    if token == "slow":
        await asyncio.sleep(60)
    if token is None:
        token = request.cookies.get("who")
    return User(token) if token in ("ada", "bob") else None


HOOK = {"auth": f"{__name__}.by_name"}


def payloads(command: str, session_id: Any) -> dict[str, Any]:
    own: dict[str, dict[str, Any]] = {
        "create": {},
        "auth": {"token": "x"},
        "send": {"text": "hello", "client_msg_id": "1"},
        "continue": {"run_id": MISSING},
        "approve": {"tool_call_id": MISSING, "decision": "approve"},
        "tool_result": {"tool_call_id": MISSING, "output": 1},
        "regenerate": {"run_id": MISSING},
        "select": {"message_id": MISSING},
        "queue": {"drop": {"run_id": MISSING}},
        "rename": {"title": "A title"},
        "pin": {"pinned": True},
        "archive": {"archived": True},
        "fork": {"message_id": MISSING},
        "feedback": {"message_id": MISSING, "value": "up"},
    }
    named = {} if command in ("create", "auth") else {"session_id": session_id}
    return {**named, **own.get(command, {})}


async def gone(one: Device) -> None:
    """Until the server has closed the device's transport."""
    async with asyncio.timeout(10):
        while one.client.connected:
            await asyncio.sleep(0.01)
