"""The Node device, seen from here: its tape, its state, its commands."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from pathlib import Path
from typing import Any

from realtime.protocol import EVENTS
from tests.support.fold import Entry

SCRIPT = Path(__file__).parent / "node.mjs"
WAIT_S = 20.0


class NodeDevice:
    """`client/session.js` in a process of its own. Its `entries` are what the wire brought;
    `runs` is the state that its own reducer made of them."""

    def __init__(self, name: str, url: str, **auth: Any) -> None:
        self.name = name
        self.url = url
        self.auth = auth
        self.seen: list[Entry] = []
        self.faults: list[str] = []
        self.connection = "offline"
        self.last_seq = 0
        self._child: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._changed = asyncio.Condition()

    async def start(self) -> NodeDevice:
        self._child = await asyncio.create_subprocess_exec(
            "node",
            str(SCRIPT),
            json.dumps({"url": self.url, **self.auth}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        self._reader = asyncio.create_task(self._read())
        await self.reaches(1)
        return self

    async def _read(self) -> None:
        assert self._child
        assert self._child.stdout
        while line := await self._child.stdout.readline():
            told = json.loads(line)
            if "seen" in told:
                name, payload = told["seen"]
                if name in EVENTS:
                    self.seen.append({"event": name, **payload})
                elif name == "session":
                    self.seen += payload.get("events", [])
            elif "id" in told:
                answer = self._answers.pop(told["id"])
                if not answer.done():
                    answer.set_result(told)
            else:
                self.connection, self.last_seq = told["connection"], told["last_seq"]
                self.auth["session_id"] = told["session_id"]
            async with self._changed:
                self._changed.notify_all()

    async def ask(self, **command: Any) -> dict[str, Any]:
        """One line in, its answer out."""
        assert self._child
        assert self._child.stdin
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self._child.stdin.write(json.dumps({"id": number, **command}).encode() + b"\n")
        async with asyncio.timeout(WAIT_S):
            return await answer

    async def send(self, text: str, **options: Any) -> dict[str, Any]:
        """The ack; the client itself sends until there is one."""
        return (await self.ask(send=text, options=options))["ack"]

    async def runs(self) -> list[dict[str, Any]]:
        return (await self.ask())["ack"]["runs"]

    async def reaches(self, seq: int, seconds: float = WAIT_S) -> None:
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: self.connection == "live" and self.last_seq >= seq)

    async def close(self) -> None:
        if self._child and self._reader:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()
            await self._child.wait()
            await self._reader
            assert self._child.stdin
            self._child.stdin.close()
