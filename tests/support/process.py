"""The server as its own process, as a user starts it."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import random
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from tests.support.forks import Forked, fork

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-for-tests-of-32-characters"
LEAK = re.compile(rf"eyJ[\w-]+\.eyJ[\w-]+|sb_secret_[\w-]{{16,}}|{SECRET}")
"""What no server may write: tokens, and the keys of the tests."""


class Process:
    def __init__(self, child: asyncio.subprocess.Process | Forked) -> None:
        self.child = child
        self.output = ""
        self.url = ""
        self._over = False
        self._reader = asyncio.create_task(self._read())
        self._said = asyncio.Condition()

    async def _read(self) -> None:
        assert self.child.stdout
        text = codecs.getincrementaldecoder("utf-8")()
        while not self._over:
            said = await self.child.stdout.read(65536)
            async with self._said:
                self.output += text.decode(said)
                self._over = not said
                self._said.notify_all()

    async def says(self, pattern: str) -> re.Match[str]:
        """Wait for the output to match."""
        async with asyncio.timeout(30), self._said:
            while not (found := re.search(pattern, self.output)):
                assert not self._over, f"it never said {pattern!r}:\n{self.output}"
                await self._said.wait()
        return found

    async def ended(self, seconds: float = 30) -> int:
        """The exit code, once it has ended and all that it wrote was read."""
        async with asyncio.timeout(seconds):
            code = await self.child.wait()
            await self._reader
        return code


def free_port() -> int:
    """One that no outgoing connection takes while the server is down, as those made to it would:
    below the range that the kernel gives out."""
    while True:
        port = random.randint(20_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@asynccontextmanager
async def process(
    *command: str, cwd: Path, forked: bool = False, **environ: str
) -> AsyncIterator[Process]:
    """Run `python -m realtime`, or the command given, and end it afterwards. `forked`: sooner, and
    not as a user starts it."""
    without = ("OPENAI_", "SUPABASE_", "PYTHONDONTWRITEBYTECODE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    environ = {**clean, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environ}
    child: asyncio.subprocess.Process | Forked
    if forked and not command:
        child = await fork(cwd, environ)
    else:
        child = await asyncio.create_subprocess_exec(
            *(command or (sys.executable, "-m", "realtime")),
            cwd=cwd,
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    running = Process(child)
    try:
        yield running
    finally:
        for kill in (partial(os.killpg, child.pid, signal.SIGKILL), child.kill):
            with contextlib.suppress(ProcessLookupError):
                kill()  # whatever it started too; itself, where it leads no group yet
        await running.ended()
    assert not LEAK.search(running.output), "it wrote a secret"


async def realtime(*words: str, cwd: Path, **environ: str) -> tuple[int, str]:
    """The exit code of `python -m realtime …`, which ends by itself, and what it wrote."""
    return await ran(sys.executable, "-m", "realtime", *words, cwd=cwd, **environ)


async def ran(*command: str, cwd: Path, seconds: float = 30, **environ: str) -> tuple[int, str]:
    """The same of any command."""
    async with process(*command, cwd=cwd, **environ) as running:
        return await running.ended(seconds), running.output


@asynccontextmanager
async def server(
    cwd: Path, *command: str, forked: bool = False, **environ: str
) -> AsyncIterator[Process]:
    """A server on a free port, once it listens; its journal is in `cwd`."""
    # what breaks off stays so, unless the test is about that
    quiet = {"CONTINUE_AUTOMATICALLY": "false"}
    environ = {"PORT": "0", "HOST": "127.0.0.1", **quiet, **environ}
    async with process(*command, cwd=cwd, forked=forked, **environ) as running:
        running.url = (await running.says(r"Listening\s+(http://\S+)\s"))[1]
        yield running
