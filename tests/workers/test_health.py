"""What a worker says of the engine and of itself, and what it takes no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from realtime.log.hot import keeper
from realtime.models import TextDelta
from tests.support.device import Device
from tests.support.engine import Engine
from tests.support.fetch import fetch
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Running, Serve

Devices = Callable[..., Device]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "engine") as running:
        yield running


async def ready(url: str, status: str) -> dict[str, Any]:
    """What `/readyz` says, which is 200 all the time, once its engine has this status."""
    async with asyncio.timeout(15):
        while True:
            answer = await fetch(f"{url}/readyz")
            assert answer.status == 200
            report = answer.json()
            if report["engine"]["status"] == status:
                return report
            await asyncio.sleep(0.1)


async def counted(url: str) -> dict[str, float]:
    lines = (await fetch(f"{url}/metrics")).text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name.removeprefix("realtime_"): float(value) for name, _, value in pairs}


async def test_an_engine_that_is_away_degrades_a_worker(
    engine: Engine, serve: Serve, device: Devices
) -> None:
    one, other = await serve(valkey_url=engine.url), await serve(valkey_url=engine.url)
    report = await ready(other.url, "ok")
    assert report["status"] == "ok"
    assert report["engine"]["workers"] == 2
    assert report["engine"]["memory"]["used"] > 0
    assert report["worker"] != (await ready(one.url, "ok"))["worker"]
    watching = device(one.url)
    await watching.connect()
    engine.freeze()
    try:
        waits = asyncio.create_task(watching.send("while it is away"))
        report = await ready(one.url, "away")
        assert report["status"] == "degraded"
        assert report["engine"]["away_s"] > 0
        await watching.wait("server", type="storage_away")
    finally:
        engine.thaw()
    await watching.wait("server", type="storage_back")
    ack = await waits
    assert (await watching.done(ack["run_id"]))["status"] == "completed"
    assert (await ready(one.url, "ok"))["status"] == "ok"
    assert (await counted(one.url))["engine_away_seconds_total"] > 0


async def in_mid_answer(
    engine: Engine, serve: Serve, device: Devices
) -> tuple[Running, Device, str, asyncio.Event]:
    """A worker, and a device whose run waits behind its first word for the event."""
    go_on = asyncio.Event()
    model = ScriptedModel([[TextDelta("one ")], go_on, *says("two")], says("again"))
    running = await serve(model, valkey_url=engine.url)
    one = device(running.url)
    await one.connect()
    run_id = (await one.send("first"))["run_id"]
    await one.durable("token", run_id=run_id)
    return running, one, run_id, go_on


async def test_a_worker_takes_part_again_after_an_answer_was_given_up(
    engine: Engine, serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "PATIENCE_S", 3.0)
    running, one, run_id, go_on = await in_mid_answer(engine, serve, device)
    engine.freeze()
    try:
        go_on.set()
        async with asyncio.timeout(15):
            while not running.server.log.count.failures:
                await asyncio.sleep(0.1)
        assert (await ready(running.url, "away"))["status"] == "degraded"
    finally:
        engine.thaw()
    assert (await ready(running.url, "ok"))["status"] == "ok"
    async with asyncio.timeout(15):
        while not running.server.log.takes:
            await asyncio.sleep(0.1)
    await one.drop()
    await one.connect()
    await one.done(run_id)
    assert (await one.ask("second"))["text"] == "again"


async def test_nothing_new_is_taken_by_an_engine_that_is_nearly_full(
    engine: Engine, serve: Serve, device: Devices
) -> None:
    running, one, run_id, go_on = await in_mid_answer(engine, serve, device)
    engine.tell("SET", "others", b"x" * 50_000_000)
    engine.tell("CONFIG", "SET", "maxmemory", 60_000_000)
    report = await ready(running.url, "full")
    assert report["status"] == "degraded"
    assert "nearly full" in report["engine"]["why"]
    for refused in (await one.send("second"), await one.call("create")):
        assert refused["error"]["code"] == "storage_unavailable"
        assert "nearly full" in refused["error"]["message"]
    go_on.set()
    assert (await one.done(run_id))["text"] == "one two", "what runs goes on"
    engine.tell("CONFIG", "SET", "maxmemory", 0)
    await ready(running.url, "ok")
    assert (await one.ask("third"))["text"] == "again"


async def test_workers_count_what_they_do_for_each_other(
    engine: Engine, serve: Serve, device: Devices
) -> None:
    workers = [await serve(ScriptedModel(says("yes")), valkey_url=engine.url) for _ in range(2)]
    first = device(workers[0].url)
    await first.connect()
    second = device(workers[1].url, token=first.auth["token"])
    second.auth["session_id"] = first.session["session_id"]
    await second.connect()
    await second.ask("a question to the other worker")
    owner, viewer = [await counted(worker.url) for worker in workers]
    assert (owner["sessions_owned"], owner["sessions_mirrored"]) == (1, 0)
    assert (viewer["sessions_owned"], viewer["sessions_mirrored"]) == (0, 1)
    assert (owner["commands_forwarded_total"], viewer["commands_forwarded_total"]) == (0, 1)
    assert owner["engine_flush_seconds_count"] >= 2
    assert owner["engine_flush_seconds_sum"] > 0
    names = [(await fetch(f"{worker.url}/readyz")).json()["worker"] for worker in workers]
    for name, found in zip(names, (owner, viewer), strict=True):
        assert found[f'worker_info{{worker="{name}"}}'] == 1
    await first.drop()
    await workers[0].stop()
    async with asyncio.timeout(15):
        while (await counted(workers[1].url))["takeovers_total"] != 1:
            await asyncio.sleep(0.1)
    assert (await counted(workers[1].url))["sessions_owned"] == 1
