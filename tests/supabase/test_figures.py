"""What `/metrics` says of what Supabase has not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.supabase.gateway import Gateway
from tests.support.device import Device
from tests.support.engine import Engine
from tests.support.scrape import scrape
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve
from tests.support.supabase_lite import SupabaseLite


@pytest.fixture(params=["journal", "engine"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The settings of a server that keeps its log there."""
    if request.param == "journal":
        yield {}
        return
    with Engine(tmp_path / "engine") as engine:
        yield {"valkey_url": engine.url}


def tealess(body: bytes) -> web.Response | None:
    """A database that does not take a row with tea."""
    if b"tea?" not in body:
        return None
    return web.json_response({"code": "23514", "message": "no tea"}, status=400)


async def test_the_backlog_and_the_quarantine(
    store: dict[str, Any],
    serve: Serve,
    device: Callable[..., Device],
    project: SupabaseLite,
) -> None:
    gateway = Gateway(project.url)

    async def until(**wanted: Callable[[float], bool]) -> dict[str, float]:
        async with asyncio.timeout(20):
            while True:
                found = await scrape(running.url)
                if all(true(found[f"supabase_{name}"]) for name, true in wanted.items()):
                    return found
                await asyncio.sleep(0.1)

    async with gateway.running():
        given = {"supabase_url": gateway.url, "supabase_key": project.secret_key}
        running = await serve(ScriptedModel(says("Yes.")), **store, **given)
        one = device(running.url)
        await one.connect()
        gateway.mode = 503
        await one.ask("Are you there?")
        found = await until(
            failing=bool, backlog_rows=lambda rows: rows > 2, backlog_seconds=lambda age: age > 0
        )
        assert found["supabase_quarantined_rows"] == 0
        gateway.firewall, gateway.mode = tealess, "well"
        await one.ask("Some tea?")
        await until(
            quarantined_rows=lambda rows: rows == 1,
            backlog_rows=lambda rows: not rows,
            backlog_seconds=lambda age: not age,
            failing=lambda failing: not failing,
        )
        await one.drop()
        await running.stop()


async def test_a_server_that_ships_nothing_says_nothing_of_it(serve: Serve) -> None:
    running = await serve()
    assert not [name for name in await scrape(running.url) if name.startswith("supabase_")]
