"""What the server counts, as a scraper reads it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

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


async def test_a_run_that_waited_and_was_stopped_counts_like_any_other(
    serve: Serve, device: Devices
) -> None:
    running = await serve(ScriptedModel([[TextDelta("on")], asyncio.Event()]), drain_seconds=0)
    one = device(running.url)
    await one.connect()
    await one.send("first")
    second, third = await one.send("second"), await one.send("third")
    assert (second["status"], third["status"]) == ("queued", "queued")
    assert (await one.call("stop", {"run_id": second["run_id"]}))["status"] == "cancelled"
    assert (await scrape(running.url))['runs_total{status="cancelled"}'] == 1
    assert (await one.call("end"))["ok"], "with what runs and what waits"
    assert (await scrape(running.url))['runs_total{status="cancelled"}'] == 3
    assert len(await one.durable("done", 3)) == 3


async def test_a_message_that_comes_twice_writes_nothing(serve: Serve, device: Devices) -> None:
    running = await serve(ScriptedModel(says("one two")))
    one = device(running.url)
    await one.connect()
    payload = {"text": "hello", "client_msg_id": "1"}
    ack = await one.call("send", payload)
    await one.done(ack["run_id"])
    before = (await scrape(running.url))["flushes_total"]
    assert await one.call("send", payload) == {**ack, "status": "duplicate"}
    assert (await scrape(running.url))["flushes_total"] == before


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


async def test_two_servers_of_one_process_count_apart(
    serve: Serve, device: Devices, tmp_path: Path
) -> None:
    busy, idle = await serve(), await serve(database_path=str(tmp_path / "another.db"))
    await device(busy.url).connect()
    assert (await scrape(busy.url))["connections"] == 1
    assert (await scrape(idle.url))["connections"] == 0


async def test_a_model_of_any_name_can_be_scraped(serve: Serve) -> None:
    model = ScriptedModel(says("hi"))
    model.name = 'a "large"\\model\n'
    running = await serve(model)
    answer = await fetch(f"{running.url}/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(answer.text))
    (failing,) = (one for one in families if one.name == "realtime_model_failing")
    assert [(s.labels, s.value) for s in failing.samples] == [({"model": model.name}, 0)]


async def test_each_figure_has_the_type_that_its_name_says(serve: Serve) -> None:
    running = await serve()
    text = (await fetch(f"{running.url}/metrics")).text
    types = dict(re.findall(r"^# TYPE realtime_(\w+) (\w+)$", text, re.M))
    assert len(types) == 18
    for name, kind in types.items():
        assert kind == ("counter" if name.endswith("_total") else "gauge"), name
