"""A module of tools for the server under test, which it loads by TOOLS=tests.faults.crash.

It kills the process at a named point: CRASH_AT names it, CRASH_AFTER how often the point is
passed before. `committed`: events are in the journal and nobody was told. `emitted`: the
room was told and the ack is not out. `effect`: a tool has done its work and the log does not know.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from realtime.edge.commands import Commands
from realtime.edge.transport import Transport
from realtime.log.encode import Append
from realtime.tools import ToolContext, tool

EFFECTS = Path("effects.txt")
POINT = os.environ.get("CRASH_AT", "")
times_left = int(os.environ.get("CRASH_AFTER", "0"))


def passes(point: str) -> None:
    global times_left
    if point != POINT:
        return
    if times_left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
    times_left -= 1


def before(broadcast: Callable[[Transport, Append], None]) -> Any:
    def told(self: Transport, append: Append) -> None:
        if append.events:
            passes("committed")
        broadcast(self, append)

    return told


def after(carry_out: Callable[..., Awaitable[Any]]) -> Any:
    async def late(result: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        """So late that what was emitted is on the wire."""
        ack = await result
        await asyncio.sleep(0.1)
        passes("emitted")
        return ack

    async def answered(self: Commands, *asked: Any) -> Any:
        result = await carry_out(self, *asked)
        return result if isinstance(result, dict) else late(result)

    return answered


if POINT == "committed":
    Transport.broadcast = before(Transport.broadcast)  # type: ignore[method-assign]
if POINT == "emitted":
    Commands.carry_out = after(Commands.carry_out)  # type: ignore[method-assign]


@tool
def pay(amount: int, context: ToolContext) -> str:
    """Pay an amount. What it did stands in a file, under its idempotency key."""
    with EFFECTS.open("a") as effects:
        effects.write(f"{context.tool_call_id} {amount}\n")
    passes("effect")
    return "paid"
