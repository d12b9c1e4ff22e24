"""The server as its own process, as a user starts it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


class Process:
    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.output = ""
        self.url = ""
        self._reader = asyncio.create_task(self._read())
        self._said = asyncio.Condition()

    async def _read(self) -> None:
        assert self.child.stdout
        while line := await self.child.stdout.readline():
            async with self._said:
                self.output += line.decode()
                self._said.notify_all()
        async with self._said:
            self._said.notify_all()

    async def says(self, pattern: str) -> re.Match[str]:
        """Wait for the output to match."""
        async with asyncio.timeout(30), self._said:
            while not (found := re.search(pattern, self.output)):
                assert self.child.returncode is None or not self._reader.done(), self.output
                await self._said.wait()
        return found

    async def ended(self) -> int:
        async with asyncio.timeout(30):
            code = await self.child.wait()
            await self._reader
        return code


@asynccontextmanager
async def process(*command: str, cwd: Path, **environ: str) -> AsyncIterator[Process]:
    """Run `python -m realtime`, or the command given, and end it afterwards."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "SUPABASE_"))}
    child = await asyncio.create_subprocess_exec(
        *(command or (sys.executable, "-m", "realtime")),
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    running = Process(child)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # whatever it started too
        await running.ended()


@asynccontextmanager
async def server(cwd: Path, **environ: str) -> AsyncIterator[Process]:
    """A server on a free port, once it listens; its journal is in `cwd`."""
    async with process(cwd=cwd, **{"PORT": "0", "HOST": "127.0.0.1", **environ}) as running:
        running.url = (await running.says(r"Listening\s+(http://\S+)"))[1]
        yield running
