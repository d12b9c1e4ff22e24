"""`python -m realtime chat` at a terminal of its own, and what stands on it."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.process import ROOT

CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\r")
CTRL_C, CTRL_D = "\x03", "\x04"
PROMPT = "› "
SIZE = {"LINES": "50", "COLUMNS": "200"}


class Screen:
    """`output`: all that was written since the last `says`, without control sequences."""

    def __init__(self, child: asyncio.subprocess.Process, terminal: int) -> None:
        self.child = child
        self.output = ""
        self._terminal = terminal
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._change = asyncio.Event()
        asyncio.get_running_loop().add_reader(terminal, self._read)

    def _read(self) -> None:
        try:
            said = os.read(self._terminal, 65536)
        except OSError:  # the other end is closed
            said = b""
        if not said:
            asyncio.get_running_loop().remove_reader(self._terminal)
        self.output += CONTROLS.sub("", self._decode(said))
        self._change.set()

    async def says(self, pattern: str, seconds: float = 45) -> re.Match[str]:
        """Wait for a pattern, and forget what stands before its end."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := re.search(pattern, self.output)):
                    self._change.clear()
                    await self._change.wait()
        except TimeoutError:
            raise AssertionError(f"it never said {pattern!r}:\n{self.output[-2000:]}") from None
        self.output = self.output[found.end() :]
        return found

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    async def interrupted(self, pattern: str) -> None:
        """Ctrl-C, and again where the prompt was there before it was listened to."""
        for _ in range(5):
            self.type(CTRL_C)
            with contextlib.suppress(AssertionError):
                await self.says(pattern, 2)
                return
        await self.says(pattern)

    async def enters(self, line: str) -> None:
        """At the prompt."""
        await self.says(PROMPT)
        self.type(line + "\n")

    async def ended(self) -> int:
        async with asyncio.timeout(30):
            return await self.child.wait()


@asynccontextmanager
async def chat(folder: Path, *words: str, **environ: str) -> AsyncIterator[Screen]:
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", *map(int, SIZE.values()), 0, 0))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "realtime", "chat", *words),
        cwd=folder,
        env={**os.environ, **environment(folder), "TERM": "xterm-256color", **SIZE, **environ},
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
    )
    os.close(its)
    try:
        yield Screen(child, ours)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)


def environment(folder: Path) -> dict[str, str]:
    """Guests are kept in the test's folder."""
    return {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(folder / "state")}
