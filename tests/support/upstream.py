"""An OpenAI-compatible upstream that numbers its tokens and keeps a tape of each request.

What it answers stands in the last user message: `tokens 500 rate 1000` (rate 0: as fast as
it goes), `gate NAME at 100` (wait for `upstream.gate(NAME)` before the 101st token), `tool
NAME {"its": "arguments"}` (ask for that call first, answer when its result is there).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from realtime.models.fitting import CONTINUE

TOKEN = re.compile(r"t(\d{6}) ")
SUMMARY = "Summarise this conversation"


def token(number: int) -> str:
    return f"t{number:06d} "


def numbered(count: int) -> str:
    """The whole answer to `tokens <count>`."""
    return "".join(map(token, range(1, count + 1)))


@dataclass
class Tape:
    """One request: `written` is the number of the last token that went out, `closed_at` when
    the other side hung up (monotonic), `ended` whether the answer was given to its end."""

    kind: str
    said: str
    body: dict[str, Any] = field(repr=False)
    first: int = 1
    count: int = 0
    written: int = 0
    closed_at: float | None = None
    ended: bool = False


class Upstream:
    def __init__(self) -> None:
        self.tapes: list[Tape] = []
        self.url = ""
        self._gates: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Condition()

    def gate(self, name: str) -> asyncio.Event:
        """`summary` holds every summary; it is open unless somebody has asked for it."""
        return self._gates.setdefault(name, asyncio.Event())

    def asked(self, said: str, kind: str = "run") -> list[Tape]:
        return [tape for tape in self.tapes if tape.said == said and tape.kind == kind]

    @property
    def summaries(self) -> list[Tape]:
        return [tape for tape in self.tapes if tape.kind == "summary"]

    async def until(self, true: Callable[[], Any], seconds: float = 15) -> None:
        """Wait until something about the tapes is true."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(true)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "numbers"}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        tape = begun(body)
        self.tapes.append(tape)
        await self._tell()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            await response.prepare(request)
            async for frames in self._frames(tape):
                await response.write(frames)
                await self._tell()
            tape.ended = True
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError) as gone:
            tape.closed_at = time.monotonic()
            await self._tell()
            if isinstance(gone, asyncio.CancelledError):
                raise
        return response

    async def _frames(self, tape: Tape) -> AsyncIterator[bytes]:
        if tape.kind == "summary":
            if "summary" in self._gates:
                await self._gates["summary"].wait()
            yield chunk({"content": "They counted."}) + closing("stop")
            return
        wish = tape.said
        if (call := re.search(r"tool (\w+) (\{.*?\})", wish)) and (
            tape.body["messages"][-1]["role"] != "tool"
        ):
            yield asks(call[1], call[2])
            return
        rate = float(found[1]) if (found := re.search(r"rate (\d+)", wish)) else 500.0
        gate = re.search(r"gate (\w+) at (\d+)", wish)
        began, number = time.monotonic(), tape.first
        while number <= tape.count:
            if gate and number == int(gate[2]) + 1 and not self.gate(gate[1]).is_set():
                await self.gate(gate[1]).wait()
                began = time.monotonic() - (number - tape.first) / rate if rate else 0
            due = tape.count
            if rate:
                due = tape.first - 1 + int((time.monotonic() - began) * rate)
                if due < number:
                    await asyncio.sleep((number - tape.first + 1) / rate + began - time.monotonic())
                    continue
            last = min(due, tape.count, number + 63)
            if gate and number <= int(gate[2]):
                last = min(last, int(gate[2]))
            yield b"".join(chunk({"content": token(n)}) for n in range(number, last + 1))
            tape.written, number = last, last + 1
        if gate and int(gate[2]) >= tape.count:
            await self.gate(gate[1]).wait()
        yield closing("stop", tape.written)


def begun(body: dict[str, Any]) -> Tape:
    messages = body["messages"]
    goes_on = messages[-1]["content"] == CONTINUE
    if goes_on:
        messages = messages[:-1]
    said = next(m["content"] for m in reversed(messages) if m["role"] == "user")
    if str(messages[0]["content"]).startswith(SUMMARY):
        return Tape("summary", said, body)
    tape = Tape("run", said, body)
    tape.count = int(found[1]) if (found := re.search(r"tokens (\d+)", said)) else 10
    if goes_on:  # a continued answer goes on counting
        numbers = TOKEN.findall(messages[-1]["content"] or "")
        tape.first = int(numbers[-1]) + 1 if numbers else 1
    tape.written = tape.first - 1
    return tape


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def closing(reason: str, tokens: int = 3) -> bytes:
    usage = {"prompt_tokens": 1, "completion_tokens": tokens}
    last = {"object": "chat.completion.chunk", "choices": [], "usage": usage}
    return chunk({}, reason) + b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n"


def asks(name: str, arguments: str) -> bytes:
    """A tool call, its arguments in two pieces."""
    middle = len(arguments) // 2
    call = {"index": 0, "id": "call_0", "type": "function"}
    first = {**call, "function": {"name": name, "arguments": arguments[:middle]}}
    second = {"index": 0, "function": {"arguments": arguments[middle:]}}
    return (
        chunk({"tool_calls": [first]}) + chunk({"tool_calls": [second]}) + closing("tool_calls", 1)
    )


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    scripted = Upstream()
    app = web.Application()
    app.router.add_get("/v1/models", scripted.models)
    app.router.add_post("/v1/chat/completions", scripted.complete)
    # a handler that is cancelled when the client hangs up tells the moment it did
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield scripted
    finally:
        await runner.cleanup()
