"""The workers of one machine: each tells the others what it counts, by a socket in one folder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

ANSWER_S = 2.0


class Peers:
    """`name`: this worker's. `counted`: its metrics, in Prometheus' text format."""

    def __init__(self, folder: Path, name: str, counted: Callable[[], Awaitable[bytes]]) -> None:
        self._folder = folder
        self._name = name
        self._counted = counted
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises `OSError`."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await self._counted())
            writer.close()

        path = self._folder / f"{self._name}.sock"
        self._server = await asyncio.start_unix_server(answer, path)

    def close(self) -> None:
        if self._server:
            self._server.close()

    async def metrics(self) -> dict[str, str]:
        """Of each worker that answers, by its name."""
        paths = sorted(self._folder.glob("*.sock"))
        texts = await asyncio.gather(*map(_asked, paths))
        return {path.stem: text for path, text in zip(paths, texts, strict=True) if text}


async def _asked(path: Path) -> str:
    """ "" of one that has died."""
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(path)
            text = (await reader.read()).decode()
            writer.close()
    except (OSError, TimeoutError):
        return ""
    return text
