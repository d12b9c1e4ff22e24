"""A module of tools for the server under test, which it loads by TOOLS=tests.faults.crash.

It kills the process at a named point: CRASH_AT names it, CRASH_AFTER how often the point is
passed before. `committed`: events are in the journal and nobody was told. `emitted`: the
room was told and the ack is not out. `effect`: a tool has done its work and the log does not know.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from realtime.edge import connections
from realtime.live.hub import Hub
from realtime.log.encode import Append
from realtime.tools import ToolContext, tool

EFFECTS = Path("effects.txt")
POINT = os.environ.get("CRASH_AT", "")
_left = int(os.environ.get("CRASH_AFTER", "0"))
_published = Hub.published


def passes(point: str) -> None:
    global _left
    if point != POINT:
        return
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
    _left -= 1


def published(self: Hub, append: Append) -> None:
    if append.events:
        passes("committed")
    _published(self, append)


async def answer(result: Awaitable[dict[str, Any]], reply: Any) -> None:
    """Late, so that what was emitted is on the wire."""
    ack = await result
    await asyncio.sleep(0.1)
    passes("emitted")
    reply(ack)


Hub.published = published  # type: ignore[method-assign]
if POINT == "emitted":
    connections._answer = answer


@tool
def pay(amount: int, context: ToolContext) -> str:
    """Pay an amount. What it did stands in a file, under its idempotency key."""
    with EFFECTS.open("a") as effects:
        effects.write(f"{context.tool_call_id} {amount}\n")
    passes("effect")
    return "paid"
