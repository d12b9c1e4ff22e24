"""A real Prometheus, from Debian's package."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.debian import program
from tests.support.process import free_port, process, ran


def command(name: str) -> str:
    path = program(name, package="prometheus")
    assert path, f"these tests need {name}: install prometheus"
    return path


async def promtool(*words: str, cwd: Path) -> tuple[int, str]:
    """Its exit code, and what it wrote."""
    return await ran(command("promtool"), *words, cwd=cwd)


class Prometheus:
    def __init__(self, url: str) -> None:
        self._url = url

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now."""
        url = f"{self._url}/api/v1/query"
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data={"query": expression}) as response,
        ):
            answer = await response.json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@asynccontextmanager
async def prometheus(folder: Path, target: str, *rules: Path) -> AsyncIterator[Prometheus]:
    """Have it read the figures of a server, five times a second, as the job `realtime`."""
    port = free_port()
    configuration = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [{"job_name": "realtime", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    line = (
        command("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    async with process(*line, cwd=folder) as running:
        await running.says("Server is ready to receive web requests")
        made = Prometheus(f"http://127.0.0.1:{port}")
        async with asyncio.timeout(30):
            while not await made.query("realtime_build_info"):
                await asyncio.sleep(0.1)
        yield made
