"""What a server says that shares an engine, and what it does not serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.fetch import fetch
from tests.support.process import SECRET, realtime, server

POLL = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "engine") as running:
        yield running


async def test_it_says_where_conversations_live(tmp_path: Path, engine: Engine) -> None:
    shared = {"VALKEY_URL": engine.url, "AUTH_SECRET": SECRET, "CLUSTER_NAME": "blue"}
    place = f"Valkey at {engine.address.label}, shared by the workers of blue"
    async with server(tmp_path, **shared, DYNO="web.1") as running:
        await running.says(f"Store +{place}\n")
        await running.says("WARNING .*conversations live in the engine alone")
        assert "wipes the disk" not in running.output
        info = await fetch(f"{running.url}/api/info")
        assert info.json()["store"] == place
        refused = await fetch(running.url + POLL)
        assert refused.status == 400
        assert 'transports: ["websocket"] in the client' in refused.json()["message"]
        code, told = await realtime("--check", cwd=tmp_path, **shared, DYNO="web.1")
        assert code == 0, told
        assert "note  conversations live in the engine alone" in told
    assert not [*tmp_path.glob("realtime.db*")]
    async with server(tmp_path, **shared, TRANSPORTS="websocket,polling") as running:
        assert (await fetch(running.url + POLL)).status == 200
