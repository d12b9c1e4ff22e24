"""Traces of a server as a process: over a crash, at its end, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.collector import collecting
from tests.support.device import Device
from tests.support.process import ROOT, realtime, server

Devices = Callable[..., Device]
PAYING = '''
from realtime.tools import tool


@tool(approval=True)
def fetch_internal_user_analytics(query: str = "") -> str:
    """Fetch internal user analytics."""
    return "few"
'''
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


async def test_a_run_goes_on_after_a_crash(tmp_path: Path, device: Devices) -> None:
    (tmp_path / "paying.py").write_text(PAYING)
    async with collecting() as collector:
        # in .env, as any setting
        (tmp_path / ".env").write_text(f"{ENDPOINT}={collector.url}\nOTEL_BSP_SCHEDULE_DELAY=50\n")
        given = {"TOOLS": "paying", "PYTHONPATH": f"{ROOT}:{tmp_path}"}
        async with server(tmp_path, **given) as running:
            one = device(running.url)
            await one.connect()
            run_id = (await one.send("fetch internal user analytics"))["run_id"]
            (asked,) = await one.durable("tool_call", status="awaiting_approval")
            await collector.until("chat demo")
            running.child.kill()
        async with server(tmp_path, **given) as running:
            again = device(running.url, token=one.auth["token"])
            again.auth["session_id"] = one.session["session_id"]
            await again.connect()
            decision = {"tool_call_id": asked["tool_call_id"], "decision": "approve"}
            await again.call("approve", decision)
            await again.done(run_id)
            (run,) = await collector.runs()
        assert run.attributes["realtime.run.id"] == run_id
        names = [span.name for span in collector.below(run)]
        tool = "execute_tool fetch_internal_user_analytics"
        assert names == ["awaiting_approval", tool, "chat demo", "commit"]
        calls = collector.named("chat demo")
        assert len({call.attributes["gen_ai.conversation.id"] for call in calls}) == 1
        assert len(calls) == 2, "the one before the crash was sent by then"


async def test_the_last_spans_are_sent_at_the_end(tmp_path: Path, device: Devices) -> None:
    async with collecting() as collector:
        given = {ENDPOINT: collector.url, "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
        async with server(tmp_path, **given) as running:
            one = device(running.url)
            await one.connect()
            await one.ask("hello")
            await one.send("count to 100000")
            await one.durable("token", 5)
            running.child.terminate()
            assert await running.ended() == 0
        first, cut_off = await collector.runs(2)
        assert first.attributes["realtime.run.status"] == "completed"
        assert (cut_off.error, cut_off.attributes["realtime.run.status"]) == (
            *("interrupted", "interrupted"),
        )
        (about,) = collector.resources
        assert about["service.name"] == "realtime-sessions"
        assert about["service.instance.id"]


async def test_a_collector_that_does_not_answer_holds_up_nothing(
    tmp_path: Path, device: Devices
) -> None:
    async with collecting() as collector:
        collector.hangs = True
        given = {
            ENDPOINT: collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3600",
            "OTEL_SERVICE_NAME": "mine",
        }
        async with server(tmp_path, **given) as running:
            one = device(running.url)
            await one.connect()
            await one.ask("hello")
            await collector.asked.wait()
            await one.ask("hello again")
            running.child.terminate()
            assert await running.ended() == 0
            assert running.output.rstrip().endswith("Stopped.")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER=zipkin must be otlp or none"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc must be http/protobuf",
        ),
        ({ENDPOINT: "localhost:4318"}, f"{ENDPOINT}=localhost:4318 must be a URL"),
        (
            {ENDPOINT: "http://localhost:4318", "OTEL_BSP_SCHEDULE_DELAY": "-1"},
            "OpenTelemetry refuses a variable OTEL_…: schedule_delay_millis must be positive",
        ),
        (
            {ENDPOINT: "http://localhost:4318", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"},
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be",
        ),
    ],
)
async def test_what_cannot_be_is_told(tmp_path: Path, given: dict[str, str], told: str) -> None:
    code, output = await realtime(cwd=tmp_path, PORT="0", **given)
    assert code == 2
    assert told in output
    assert "Traceback" not in output


async def test_a_server_without_the_package(tmp_path: Path, device: Devices) -> None:
    """It asks for it only where there is a collector."""
    absent = tmp_path / "absent" / "opentelemetry"
    absent.mkdir(parents=True)
    (absent / "__init__.py").write_text("raise ImportError('no module named opentelemetry')")
    without = {"PYTHONPATH": f"{absent.parent}:{ROOT}"}
    code, output = await realtime(cwd=tmp_path, **without, **{ENDPOINT: "http://localhost:4318"})
    assert code == 2
    assert f"{ENDPOINT} is set, and needs more packages" in output
    assert "-r requirements-traces.txt, or the extra realtime-sessions[traces]" in output
    assert "OTEL_TRACES_EXPORTER=none" in output
    checked = await realtime("--check", cwd=tmp_path, **without, **{ENDPOINT: "http://localhost:1"})
    assert checked[0] == 2
    assert f"{ENDPOINT} is set, and needs more packages" in checked[1]
    off = {ENDPOINT: "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"}
    for given in ({}, off):
        async with server(tmp_path, **without, **given) as running:
            one = device(running.url)
            await one.connect()
            assert (await one.ask("hello"))["status"] == "completed"
            await one.drop()
