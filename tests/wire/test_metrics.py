"""What the server counts, as a scraper reads it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from realtime.models import TextDelta
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve

Devices = Callable[..., Device]
LINE = re.compile(r'realtime_[a-z_]+(\{[a-z]+="[a-z_ ]+"(,[a-z]+="[a-z_ ]+")*\})? [0-9.e+-]+')


async def scrape(url: str, token: str | None = None) -> dict[str, float]:
    text = (await fetch(f"{url}/metrics", token)).text
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            assert LINE.fullmatch(line), line
            name, _, value = line.rpartition(" ")
            assert f"# TYPE {name.partition('{')[0]} " in text
            found[name.removeprefix("realtime_")] = float(value)
    return found


async def test_what_happens_is_counted(serve: Serve, device: Devices) -> None:
    running = await serve(
        ScriptedModel(says("one two"), [[TextDelta("on")], asyncio.Event()]), drain_seconds=0
    )
    one = device(running.url)
    await one.connect()
    await one.done((await one.send("first"))["run_id"])
    await one.call("nonsense")
    second = await one.send("second")
    await one.durable("token", run_id=second["run_id"])
    found = await scrape(running.url)
    assert found["connections"] == found["sessions_live"] == found["runs_active"] == 1
    assert found['runs_total{status="completed"}'] == 1
    assert found['commands_total{command="send",result="ok"}'] == 2
    assert found['commands_total{command="unknown",result="bad_request"}'] == 1
    assert found["events_total"] >= 7
    assert found["flushes_total"] > 1
    assert found["journal_writable"] == 1
    assert found['model_failing{model="scripted"}'] == 0
    assert found["memory_bytes"] > 10_000_000
    assert found['tokens_total{kind="output"}'] > 0


async def test_who_may_read_them(serve: Serve) -> None:
    here = await serve()
    assert (await fetch(f"{here.url}/metrics")).status == 200
    forwarded = {"X-Forwarded-For": "203.0.113.9"}
    assert (await fetch(f"{here.url}/metrics", **forwarded)).status == 404
    await here.stop()
    guarded = await serve(metrics_token="s3cret")
    assert (await fetch(f"{guarded.url}/metrics")).status == 404
    assert (await fetch(f"{guarded.url}/metrics", "other")).status == 404
    assert await scrape(guarded.url, "s3cret")
