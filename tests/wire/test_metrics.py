"""What the server counts."""

from __future__ import annotations

import asyncio
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from realtime.models import ModelError, TextDelta
from realtime.package import VERSION
from realtime.runs.chain import Chain, Link
from realtime.tools import ToolError, tool
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.scrape import named, samples, scrape
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve

Devices = Callable[..., Device]


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
    assert found['tokens_total{kind="output",model="scripted"}'] > 0


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
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(guarded.url).port)
    writer.write(b"GET /metrics HTTP/1.0\r\nAuthorization: Bearer \xff\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"404"
    writer.close()
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


async def test_calls_of_models_and_tools_are_counted_by_name(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    @tool
    def shop(open: bool) -> str:
        """Whether it is open."""
        if not open:
            raise ToolError("it is closed")
        return "come in"

    module = ModuleType("shops")
    module.shop = shop  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shops", module)
    calls = asks(("shop", '{"open": true}'), ("shop", '{"open": false}'), ("sh0p", "{}"))
    price = {"input": 1_000_000, "output": 2_000_000}
    running = await serve(
        ScriptedModel(calls, says("So", " it is.")), tools=("shops",), prices={"scripted": price}
    )
    before = await scrape(running.url)
    assert before['model_call_seconds_count{model="scripted"}'] == 0
    assert before['first_token_seconds_count{model="scripted"}'] == 0
    one = device(running.url)
    await one.connect()
    done = await one.ask("Is it open?")
    found = await scrape(running.url)
    assert found['model_calls_total{model="scripted",result="ok"}'] == 2
    assert found['model_call_seconds_count{model="scripted"}'] == 2
    assert found['first_token_seconds_count{model="scripted"}'] == 1
    assert found['tool_calls_total{status="completed",tool="shop"}'] == 1
    assert found['tool_calls_total{status="failed",tool="shop"}'] == 1
    assert found['tool_calls_total{status="failed",tool="other"}'] == 1
    assert found['tool_call_seconds_count{tool="shop"}'] == 2
    assert 'tool_call_seconds_count{tool="other"}' not in found, "it never ran"
    for kind in ("input", "output"):
        used = found[f'tokens_total{{kind="{kind}",model="scripted"}}']
        assert used == done["usage"][f"{kind}_tokens"] > 0
    assert found['cost_dollars_total{model="scripted"}'] == pytest.approx(done["usage"]["cost"])


async def test_failures_and_fallbacks_are_counted_for_each_model(
    serve: Serve, device: Devices
) -> None:
    failing, good = ScriptedModel([ModelError("quota", "used up")]), ScriptedModel(says("here"))
    failing.name, good.name = "first", "second"
    running = await serve(Chain([Link(failing, "a")], [Link(good, "b")]))
    one = device(running.url)
    await one.connect()
    await one.ask("anybody?")
    found = await scrape(running.url)
    assert found['model_calls_total{model="first",result="quota"}'] == 1
    assert found['model_calls_total{model="second",result="ok"}'] == 1
    assert found['first_token_seconds_count{model="first"}'] == 0
    assert found['first_token_seconds_count{model="second"}'] == 1
    assert 'tokens_total{kind="input",model="first"}' not in found
    assert found['tokens_total{kind="output",model="second"}'] == 1


async def test_a_call_that_is_stopped_is_counted_with_what_it_used(
    serve: Serve, device: Devices
) -> None:
    running = await serve(ScriptedModel([[TextDelta("a long story")], asyncio.Event()]))
    one = device(running.url)
    await one.connect()
    run_id = (await one.send("tell"))["run_id"]
    await one.durable("token")
    await one.call("stop")
    used = (await one.done(run_id))["usage"]
    found = await scrape(running.url)
    assert found['model_calls_total{model="scripted",result="cancelled"}'] == 1
    assert found['tokens_total{kind="output",model="scripted"}'] == used["output_tokens"] > 0


async def test_a_summary_is_a_call_of_its_model(serve: Serve, device: Devices) -> None:
    running = await serve(ScriptedModel(says("yes"), says("They", " agreed.")))
    one = device(running.url)
    await one.connect()
    await one.ask("Agreed?")
    await one.call("end")
    await one.durable("summary")
    found = await scrape(running.url)
    assert found['model_calls_total{model="scripted",result="ok"}'] == 2
    assert found['tokens_total{kind="output",model="scripted"}'] == 3
    assert found['first_token_seconds_count{model="scripted"}'] == 1, "nobody waited for it"


async def test_a_histogram_says_how_many_took_at_most_how_long(
    serve: Serve, device: Devices
) -> None:
    running = await serve()
    one = device(running.url)
    await one.connect()
    await one.ask("hello")
    commits = [one for one in await samples(running.url) if "commit_seconds" in one.name]
    counts = [one.value for one in commits if one.name.endswith("_bucket")]
    bounds = [float(one.labels["le"]) for one in commits if one.name.endswith("_bucket")]
    values = {named(one): one.value for one in commits}
    assert bounds == sorted(bounds)
    assert bounds[-1] == float("inf")
    assert counts == sorted(counts)
    assert counts[-1] == values["commit_seconds_count"] > 1
    assert values["commit_seconds_sum"] > 0


async def test_what_runs_is_told(serve: Serve) -> None:
    running = await serve()
    (build,) = (one for one in await samples(running.url) if one.name == "realtime_build_info")
    assert build.value == 1
    assert build.labels == {"version": VERSION, "python": platform.python_version()}


async def test_each_figure_has_the_type_that_its_name_says(serve: Serve) -> None:
    running = await serve()
    text = (await fetch(f"{running.url}/metrics")).text
    types = dict(re.findall(r"^# TYPE realtime_(\w+) (\w+)$", text, re.M))
    histograms = {name for name, kind in types.items() if kind == "histogram"}
    assert histograms == {
        f"{name}_seconds" for name in ("commit", "first_token", "model_call", "tool_call")
    }
    for name in types.keys() - histograms:
        assert types[name] == ("counter" if name.endswith("_total") else "gauge"), name
