"""A server of its own process, its upstream, a proxy before it, and devices."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from tests.support import oracle, wires
from tests.support.fold import Entry
from tests.support.node import NodeDevice
from tests.support.process import Process, free_port, server
from tests.support.proxy import Proxy, proxy
from tests.support.recorder import Recorder
from tests.support.upstream import Upstream, upstream

W = TypeVar("W", bound="World")
MAKES = {"raw": wires.raw, "stock": wires.stock}


class World:
    """Everything of one scenario. `random` is seeded: the same seed plays the same faults."""

    def __init__(self, folder: Path, seed: int, source: Upstream, **environ: str) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.upstream = source
        self.proxy: Proxy
        self.devices: list[Recorder | NodeDevice] = []
        self.strangers: list[Recorder] = []
        self.process: Process
        self.environ = {
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": source.url,
            "AUTH_SECRET": "a-secret-for-tests-of-32-characters",
            "LOG_LEVEL": "WARNING",
            "TITLES": "false",
            **environ,
        }
        self._running = AsyncExitStack()
        self.port = free_port()

    @property
    def path(self) -> Path:
        return self.folder / "realtime.db"

    async def logs(self) -> dict[str, list[Entry]]:
        """Every session's entries, in order."""
        return oracle.journal(self.path)

    # -------------------------------------------------------------- server

    @property
    def ports(self) -> Sequence[int]:
        return [self.port]

    async def start(self, **environ: str) -> None:
        """Start the server, on its old port and journal from the second time on."""
        environ = {**self.environ, "PORT": str(self.port), **environ}
        self.process = await self._running.enter_async_context(
            server(self.folder, forked=True, **environ)
        )

    @property
    def url(self) -> str:
        """Straight to the server; `proxy.url` goes through the proxy."""
        return f"http://127.0.0.1:{self.port}"

    async def kill(self) -> None:
        """kill -9, where it is alive, and nothing of it is left."""
        if self.process.child.returncode is None:
            self.process.child.kill()
        await self.process.ended()
        await self.end()

    async def end(self) -> None:
        await self._running.aclose()

    async def restart(self, **environ: str) -> None:
        await self.kill()
        await self.start(**environ)

    async def ready(self) -> dict[str, Any]:
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/readyz") as answer:
            return await answer.json()

    # ------------------------------------------------------------- devices

    async def device(
        self,
        make: str = "raw",
        of: Recorder | None = None,
        *,
        straight: bool = False,
        url: str = "",
    ) -> Any:
        """A new device, live: with a new session, or with that of another device. Without a `url`
        it goes `straight` to the server, or through the proxy."""
        auth = {key: of.auth[key] for key in ("token", "session_id")} if of else {}
        name = f"{make} {len(self.devices)}"
        url = url or (self.url if straight else self.proxy.url)
        one = NodeDevice(name, url, **auth) if make == "node" else MAKES[make](name, url, **auth)
        self.devices.append(one)
        return await one.start()

    def stranger(self, **auth: Any) -> Recorder:
        """A device of somebody else, not yet started; it is not asked for its tape."""
        self.strangers.append(wires.raw("stranger", self.url, **auth))
        return self.strangers[-1]

    async def gather(self, *devices: Recorder | NodeDevice, seconds: float = 20) -> None:
        """Until every device, or those named, has all that the journal has of its session."""
        heads = {key: log[-1]["seq"] for key, log in (await self.logs()).items()}
        for device in devices or self.devices:
            await device.reaches(heads.get(device.auth.get("session_id", ""), 0), seconds)

    async def verdict(self, *, running: tuple[str, ...] = ()) -> oracle.Verdict:
        """Gather, then ask the oracle."""
        await self.gather()
        recorders = [one for one in self.devices if isinstance(one, Recorder)]
        logs = await self.logs()
        verdict = oracle.check(logs, recorders, self.upstream.tapes, running=running)
        for one in self.devices:
            if isinstance(one, NodeDevice):
                oracle.check_state(
                    verdict, one, await one.runs(), logs.get(one.auth["session_id"] or "", [])
                )
        return verdict


@asynccontextmanager
async def world(folder: Path, seed: int = 0, **environ: str) -> AsyncIterator[World]:
    async with upstream() as source, playing(World(folder, seed, source, **environ), seed) as scene:
        yield scene


@asynccontextmanager
async def playing(scene: W, seed: int) -> AsyncIterator[W]:
    """The scenario, from the start of its server to the end."""
    try:
        await scene.start()
        async with proxy(*scene.ports, seed=seed) as scene.proxy:
            try:
                yield scene
            finally:
                await asyncio.gather(
                    *(device.close() for device in [*scene.devices, *scene.strangers])
                )
    finally:
        await scene.end()
