"""What a server says that shares an engine, and what it does not serve."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import redis

from realtime.tools import ToolContext, tool
from tests.support.attach import png, upload
from tests.support.device import Device
from tests.support.engine import Engine
from tests.support.fetch import fetch
from tests.support.process import SECRET, free_port, realtime, server
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve


@tool
def chart(context: ToolContext) -> str:
    context.add_file("chart.png", "image/png", png())
    return "a chart"


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
        assert info.json()["store"] == "Valkey"  # where is nobody's business
        refused = await fetch(running.url + POLL)
        assert refused.status == 400
        assert 'transports: ["websocket"] in the client' in refused.json()["message"]
        code, told = await realtime("--check", cwd=tmp_path, **shared, DYNO="web.1")
        assert code == 0, told
        assert "note  conversations live in the engine alone" in told
    assert not [*tmp_path.glob("realtime.db*")]
    async with server(tmp_path, **shared, TRANSPORTS="websocket,polling") as running:
        assert (await fetch(running.url + POLL)).status == 200


async def test_an_engine_that_is_away_is_no_fault_of_the_configuration(tmp_path: Path) -> None:
    folder, gone = tmp_path / "engine", free_port()
    with Engine(folder, requirepass="secret", replicaof=f"127.0.0.1 {gone}") as replica:
        place = replica.address.label
        for url, code, why in (
            (f"redis://127.0.0.1:{gone}", 1, "cannot be reached"),
            (replica.url, 1, "READONLY"),
            (f"redis://{place}", 2, "NOAUTH"),
            (f"redis://:wrong@{place}", 2, "WRONGPASS"),
            (f"{replica.url}/99", 2, "DB index is out of range"),
            (f"http://{place}", 2, "must be redis://"),
        ):
            ended, told = await realtime(cwd=tmp_path, VALKEY_URL=url, AUTH_SECRET=SECRET)
            assert ended == code, told
            assert why in told
            assert ("The server cannot start before the engine is back" in told) == (code == 1)
            assert ("The configuration cannot be used" in told) == (code == 2)
            assert "Traceback" not in told
        replica.tell("CONFIG", "SET", "maxclients", 1)
        with redis.Redis(port=replica.port, password="secret") as only:
            only.ping()
            # it closes at once, and what it says may be lost with the connection
            for _ in range(5):
                ended, told = await realtime(
                    cwd=tmp_path, VALKEY_URL=replica.url, AUTH_SECRET=SECRET
                )
                if "Connection reset" not in told:
                    break
        assert (ended, "max number of clients" in told) == (1, True), told


async def test_files_need_a_bucket(
    engine: Engine,
    serve: Serve,
    device: Callable[..., Device],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    module = ModuleType("charts")
    module.chart = chart  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "charts", module)
    model = ScriptedModel(asks(("chart", "{}")), says("There it is."))
    running = await serve(model, valkey_url=engine.url, tools=("charts",))
    assert any("files are refused" in note for note in running.server.settings.notes())
    limits = (await fetch(f"{running.url}/api/info")).json()["limits"]
    assert (limits["file_bytes"], limits["message_files"]) == (0, 0)
    one = device(running.url)
    await one.connect()
    got = await upload(one, png())
    assert (got.status, got.code) == (403, "forbidden")
    assert "need SUPABASE_BUCKET" in got.json["error"]["message"]
    done = await one.done((await one.send("a chart, please"))["run_id"])
    assert (done["status"], done["text"]) == ("completed", "There it is.")
    assert not one.events("tool_call")[-1].get("files")
    assert "a tool's file could not be stored: this server keeps no files" in caplog.text


async def test_it_warns_of_an_engine_that_evicts(tmp_path: Path, engine: Engine) -> None:
    engine.tell("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    async with server(tmp_path, VALKEY_URL=engine.url, AUTH_SECRET=SECRET) as running:
        await running.says("WARNING .*maxmemory-policy is allkeys-lru.*: set it to noeviction")
