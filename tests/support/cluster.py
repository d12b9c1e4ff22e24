"""Several servers on one engine: a world whose proxy gives each connection to any of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from realtime.log.hot.line import Line
from realtime.log.hot.reading import Reading
from tests.support.engine import Engine
from tests.support.fold import Entry
from tests.support.process import Process, free_port, server
from tests.support.upstream import Upstream, upstream
from tests.support.world import World, playing

PREFIX = "{rt1}:"


class Cluster(World):
    """`workers`: the processes, by port."""

    def __init__(
        self, folder: Path, seed: int, source: Upstream, engine: Engine, **environ: str
    ) -> None:
        super().__init__(folder, seed, source, **environ)
        self.environ["VALKEY_URL"] = engine.url
        self.engine = engine
        self.workers: dict[int, Process] = {}
        self.command: tuple[str, ...] = ()
        self._stacks: dict[int, AsyncExitStack] = {}
        self._ports: Sequence[int] = []

    @property
    def ports(self) -> Sequence[int]:
        return self._ports

    @property
    def url(self) -> str:
        """Straight to any of the workers."""
        return f"http://127.0.0.1:{self.random.choice([*self.workers])}"

    async def start(self, count: int = 3, **environ: str) -> None:
        """Start the workers that do not run."""
        self._ports = self._ports or [free_port() for _ in range(count)]
        for port in self._ports:
            if port not in self.workers:
                stack = self._stacks[port] = AsyncExitStack()
                folder = self.folder / str(port)
                folder.mkdir(exist_ok=True)
                given = {**self.environ, "PORT": str(port), **environ}
                started = server(folder, *self.command, forked=True, **given)
                self.workers[port] = await stack.enter_async_context(started)

    async def kill(self, port: int | None = None) -> None:
        """kill -9 one of them, any where none is named."""
        chosen = port or self.random.choice([*self.workers])
        process = self.workers.pop(chosen)
        process.child.kill()
        await process.ended()
        await self._stacks.pop(chosen).aclose()

    async def deploy(self, port: int) -> None:
        """Have one end as a platform does, and start it again."""
        process = self.workers[port]
        process.child.terminate()
        await process.ended()
        del self.workers[port]
        await self._stacks.pop(port).aclose()
        await self.start()

    async def end(self) -> None:
        for port in [*self.workers]:
            del self.workers[port]
            await self._stacks.pop(port).aclose()

    async def logs(self) -> dict[str, list[Entry]]:
        async with Line(self.engine.address, "test") as line:
            reading = Reading(line, PREFIX)
            ids = [one.decode() for one in await line.call("ZRANGE", f"{PREFIX}all", 0, -1)]
            rows = {one: await reading.rows(one) for one in ids}
        return {
            one: [{"event": row.name, **json.loads(row.payload)} for row in found]
            for one, found in rows.items()
        }


@asynccontextmanager
async def cluster(
    folder: Path, seed: int = 0, *command: str, appendonly: bool = True, **environ: str
) -> AsyncIterator[Cluster]:
    """Three workers on an engine. `command` starts one in the place of `python -m realtime`."""
    keeps = "yes" if appendonly else "no"
    with Engine(folder / "engine", appendonly=keeps) as engine:
        async with upstream() as source:
            scene = Cluster(folder, seed, source, engine, **environ)
            scene.command = command
            async with playing(scene, seed):
                yield scene
