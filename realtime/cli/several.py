"""`WORKERS=4`: several processes on one port. One that dies or freezes is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..config import ConfigError, Settings
from ..package import NAME
from .logs import told

PAUSES_S = (0.5, 30.0)
"""From the end of a worker to the start of the next: the first pause, and the longest. Each is
twice the one before, until a worker has lived for the longest."""

CONFIG_REFUSED = 2
"""The exit code of a process that cannot use its configuration."""

OVERDUE_S = 15.0
"""Beyond DRAIN_SECONDS: a worker that takes longer to end is killed."""

BEAT_S = 5.0
"""So often a worker says that it lives."""

MISSED = 6
"""Without so many beats in a row a worker is killed: others have written its sessions for long, and
it holds up what connects to it."""

END = b"\0"
"""Of the banner, and of each beat behind it, which is nothing else."""

logger = logging.getLogger(__name__)


def told_to_stop() -> asyncio.Event:
    """Set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(name, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(name, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


def left_alone(stop: asyncio.Event) -> None:
    """Stop too when the process that started this one, and holds its standard input, is gone."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(sys.stdin)
        stop.set()

    loop.add_reader(sys.stdin, ended)


async def beat(says: int, banner: str) -> None:
    """Say to the process that started this one that it listens, and from then on that it lives."""
    os.set_blocking(says, False)
    said = banner.encode() + END
    while True:
        with contextlib.suppress(OSError):  # that one sleeps, or is gone
            os.write(says, said)
        said = END
        await asyncio.sleep(BEAT_S)


def unusable(settings: Settings, error: OSError) -> ConfigError:
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.EADDRINUSE:
        why = "something else listens there: stop it, or set another PORT"
    return ConfigError([f"PORT={settings.port} on HOST={settings.host} cannot be used: {why}"])


async def supervise(settings: Settings) -> int:
    """Have WORKERS processes serve until SIGTERM or SIGINT, which they are told. Returns the exit
    code. Raises `ConfigError`."""
    stop = told_to_stop()
    with (
        reserved(settings) as held,
        tempfile.TemporaryDirectory(prefix="workers-") as folder,
    ):
        port = held.getsockname()[1]
        first, *others = (Slot(settings, port, Path(folder), stop) for _ in range(settings.workers))
        kept = [asyncio.create_task(first.keep())]
        banners = [await first.banner]  # what one cannot use, the others could not either
        if banners[0]:
            kept += [asyncio.create_task(slot.keep()) for slot in others]
            banners += [await slot.banner for slot in others]
        refused = not (all(banners) or stop.is_set())
        if refused:
            stop.set()
        else:
            print(told(banners[0], settings.log_format), flush=True)
            await stop.wait()
            print(told("Draining …", settings.log_format), flush=True)
        await asyncio.gather(*kept)
    if refused:
        return CONFIG_REFUSED
    print(told("Stopped.", settings.log_format), flush=True)
    return 0


def reserved(settings: Settings) -> socket.socket:
    """The port, for the workers and nobody else: bound here, and listened on by them. Raises
    `ConfigError`."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError(["WORKERS must be 1: this system cannot share a port"])
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        _bound(family, address).close()  # others who share it would not be in the way below
        return _bound(family, address, socket.SO_REUSEPORT)
    except OSError as error:
        raise unusable(settings, error) from None


def _bound(family: int, address: Any, *options: int) -> socket.socket:
    made = socket.socket(family)
    try:
        for option in (socket.SO_REUSEADDR, *options):
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


class Slot:
    """One of the workers: the process that it is now, and the next one where that dies. `banner`:
    what the first process says once it listens; "" where its configuration is refused, or it is
    told to stop before."""

    def __init__(self, settings: Settings, port: int, folder: Path, stop: asyncio.Event) -> None:
        self.banner: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._environ = {**os.environ, "HOST": settings.host, "PORT": str(port)}
        self._patience_s = settings.drain_seconds + OVERDUE_S
        self._folder = folder
        self._stop = stop

    async def keep(self) -> None:
        """Have a worker there until `stop`, and wait for its end."""
        pause, longest = PAUSES_S
        while not self._stop.is_set():
            begun = time.monotonic()
            code = await self._work()
            if self._stop.is_set():
                break
            if code == CONFIG_REFUSED and not self.banner.done():
                break
            if time.monotonic() - begun > longest:
                pause = PAUSES_S[0]
            logger.warning("a worker ended (%s); another one starts in %.1f s", code, pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), pause)
            pause = min(2 * pause, longest)
        if not self.banner.done():
            self.banner.set_result("")

    async def _work(self) -> int:
        """Start a worker, and wait until it has ended; its exit code."""
        ours, theirs = socket.socketpair()
        with theirs:
            says = theirs.fileno()
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", NAME, "--one-of", str(self._folder), str(says)),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=[says],
                env=self._environ,
            )
        frozen = asyncio.create_task(self._frozen(ours))
        ended = asyncio.create_task(child.wait())
        stopped = asyncio.create_task(self._stop.wait())
        waits = (frozen, ended, stopped)
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        with contextlib.suppress(ProcessLookupError):
            if frozen.done() and frozen.result():
                logger.error("a worker has said nothing for %.0f s: it is killed", MISSED * BEAT_S)
                child.kill()
            else:
                child.terminate()
        await asyncio.wait([ended], timeout=self._patience_s)
        if not ended.done():
            child.kill()
        frozen.cancel()
        stopped.cancel()
        await asyncio.wait(waits)
        return ended.result()

    async def _frozen(self, ours: socket.socket) -> bool:
        """True once a worker that has listened is silent, False once it has ended. Turns without a
        beat are counted, not seconds: who was frozen together with it then waits once more."""
        said, held = await asyncio.open_connection(sock=ours)
        try:
            banner = (await said.readuntil(END)).removesuffix(END).decode()
            if not self.banner.done():
                self.banner.set_result(banner)
            missed = 0
            while missed < MISSED:
                try:
                    await asyncio.wait_for(said.readuntil(END), BEAT_S)
                    missed = 0
                except TimeoutError:
                    missed += 1
            return True
        except asyncio.IncompleteReadError:
            return False
        finally:
            held.close()
