"""A TCP proxy that can spoil each of its connections, at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

CHUNK = 64 * 1024


class Link:
    """One connection: client ⇄ proxy ⇄ server. Both directions obey the same switches.

    `flows` cleared is a black hole: the connection stays, nothing is forwarded; set again it
    goes on where it was. `slow_s` waits before each forwarded piece, `slices` forwards pieces
    of 1..n bytes, `budget` counts the bytes towards the client after which it is cut.
    """

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter) -> None:
        self.flows = asyncio.Event()
        self.flows.set()
        self.slow_s = proxy.slow_s
        self.slices = proxy.slices
        self.rewrites = proxy.rewrites
        self.budget: int | None = None
        self.gone = asyncio.Event()
        self._random = proxy.random
        self._writers = [client]

    def reset(self) -> None:
        """Both ends get an RST."""
        for writer in self._writers:
            if (sock := writer.get_extra_info("socket")) is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._end()

    def close(self) -> None:
        """Both ends get what was forwarded so far, then a FIN."""
        for writer in self._writers:
            writer.close()
        self._end()

    def hole(self) -> None:
        self.flows.clear()

    def cut_after(self, count: int) -> None:
        """Reset once the client has got `count` more bytes, wherever in a frame that is."""
        self.budget = count

    def _end(self) -> None:
        self.gone.set()
        self.flows.set()

    async def run(self, reader: asyncio.StreamReader, port: int) -> None:
        try:
            upstream, server = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            self.reset()  # nobody listens there: as the kernel would answer
            return
        self._writers.append(server)
        if self.gone.is_set():
            self.reset()
        pumps = [
            asyncio.create_task(self._pump(reader, server, towards_client=False)),
            asyncio.create_task(self._pump(upstream, self._writers[0], towards_client=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not self.gone.is_set():
                self.close()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in self._writers:
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, towards_client: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.rewrites[0] and not towards_client:
                    data = data.replace(*self.rewrites)
                for piece in self._pieces(data):
                    await self.flows.wait()
                    if self.slow_s:
                        await asyncio.sleep(self.slow_s)
                    if self.gone.is_set():
                        return
                    if towards_client and self.budget is not None:
                        piece, self.budget = piece[: self.budget], self.budget - len(piece)
                    writer.write(piece)
                    await writer.drain()
                    if towards_client and self.budget is not None and self.budget <= 0:
                        self.reset_behind(writer)
                        return

    def reset_behind(self, writer: asyncio.StreamWriter) -> None:
        """The client reads what came so far; the server gets an RST."""
        self._writers.remove(writer)
        writer.close()
        self.reset()
        self._writers.append(writer)

    def _pieces(self, data: bytes) -> list[bytes]:
        if not self.slices:
            return [data]
        pieces = []
        while data:
            size = self._random.randint(1, self.slices)
            pieces.append(data[:size])
            data = data[size:]
        return pieces


class Proxy:
    """Listens on `url` and forwards each link to one of `targets`, ports that may be dead.

    `slow_s` and `slices` are what new links begin with; `refusing` resets them at once.
    `rewrites`: bytes of a request, and what the server gets in their place.
    """

    def __init__(self, targets: Sequence[int], seed: int) -> None:
        self.targets = targets
        self.random = random.Random(seed)
        self.url = ""
        self.links: list[Link] = []
        self.refusing = False
        self.slow_s = 0.0
        self.slices = 0
        self.rewrites = (b"", b"")
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, writer)
        if self.refusing:
            link.reset()
            return
        self.links.append(link)
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            await link.run(reader, self.random.choice(self.targets))
        except asyncio.CancelledError:
            link.reset()
        finally:
            self.links.remove(link)
            self._tasks.discard(task)

    def cut(self) -> None:
        """Reset every link, and each new one from now on."""
        self.refusing = True
        for link in list(self.links):
            link.reset()

    async def close(self) -> None:
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)


@asynccontextmanager
async def proxy(*targets: int, seed: int = 0) -> AsyncIterator[Proxy]:
    between = Proxy(targets, seed)
    listener = await asyncio.start_server(between.accept, "127.0.0.1", 0)
    between.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield between
    finally:
        listener.close()
        await between.close()
        await listener.wait_closed()
