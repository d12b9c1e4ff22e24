"""Processes on their cores, and what they cost by the kernel's own accounting."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_S = 60.0


class Usage(NamedTuple):
    """CPU seconds so far, and where they were spent."""

    at: float  # the loop's clock
    relay: float  # the relay's process tree
    relay_core: float  # whatever ran on its core, it included
    load: float  # this process: the clients
    upstream: float


def tree(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for parent in found:
        for task in _listed(Path(f"/proc/{parent}/task")):
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def _listed(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return []


def cpu(pid: int) -> float:
    """User and system seconds of the process tree, its ended children included."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total * TICK_S


def rss(pid: int) -> int:
    """Resident bytes of the process tree."""
    pages = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def core_busy(core: int) -> float:
    """Seconds in which a core did something, for anyone."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _, _, irq, softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) * TICK_S
    return 0.0


class Bench:
    """Which cores are whose, and the upstream that all relays share."""

    def __init__(self, relay_core: int, load_core: int) -> None:
        self.relay_core = relay_core
        self.load_core = load_core
        self.upstream: Process
        self.upstream_port = 0

    def usage(self, relay: Process) -> Usage:
        return Usage(
            at=asyncio.get_running_loop().time(),
            relay=cpu(relay.pid),
            relay_core=core_busy(self.relay_core),
            load=cpu_of_this_process(),
            upstream=cpu(self.upstream.pid),
        )


def cpu_of_this_process() -> float:
    times = os.times()
    return times.user + times.system


class Process:
    """A child with its own process group, pinned to a core; its output is kept."""

    def __init__(self, child: asyncio.subprocess.Process, output: Path) -> None:
        self.pid = child.pid
        self._child = child
        self._output = output

    @property
    def ended(self) -> bool:
        return self._child.returncode is not None

    def output(self) -> str:
        return self._output.read_text(errors="replace")[-2000:]

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await self._child.wait()


@asynccontextmanager
async def process(command: list[str], environ: dict[str, str], core: int) -> AsyncIterator[Process]:
    """Run a command in an empty directory, on one core, and end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        output = Path(directory) / "output.txt"
        with output.open("wb") as written:
            child = await asyncio.create_subprocess_exec(
                *command,
                cwd=directory,
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=written,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
        running = Process(child, output)
        try:
            yield running
        finally:
            await running.end()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def listens(running: Process, port: int) -> None:
    """Wait until somebody accepts connections there."""
    deadline = asyncio.get_running_loop().time() + START_S
    while asyncio.get_running_loop().time() < deadline:
        if running.ended:
            raise RuntimeError(f"the process ended at its start:\n{running.output()}")
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"nothing listens after {START_S:g} s:\n{running.output()}")
