"""The server as a process of its own, forked from one that has imported all of it: where a test
starts many, importing would take most of the time. `tests/process` starts it as a user does."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.support.forks", "realtime.app", "realtime.models.openai"])


class Forked:
    """What tests need of an `asyncio.subprocess.Process`."""

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        assert process.pid
        self.pid = process.pid
        self.stdout = asyncio.StreamReader()
        self._process = process
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(process.sentinel, self._end)

    def _end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self._ended.set()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    async def wait(self) -> int:
        await self._ended.wait()
        code = self._process.exitcode
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def fork(cwd: Path, environ: Mapping[str, str]) -> Forked:
    """`python -m realtime`, its output in `stdout`."""
    reading, writing = _context.Pipe(duplex=False)
    process = _context.Process(target=_main, args=(cwd, dict(environ), writing))
    process.start()
    writing.close()
    forked = Forked(process)
    pipe = os.fdopen(os.dup(reading.fileno()), "rb", 0)
    reading.close()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(forked.stdout), pipe
    )
    return forked


def _main(cwd: Path, environ: dict[str, str], output: Connection) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    for number in (1, 2):
        os.dup2(output.fileno(), number)
    output.close()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = ["realtime"]
    from realtime.__main__ import main

    sys.exit(main())
