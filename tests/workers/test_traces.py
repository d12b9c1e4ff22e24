"""A trace that crosses workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.collector import collecting
from tests.support.device import Device
from tests.support.engine import Engine
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "engine") as running:
        yield running


async def test_a_message_takes_its_trace_to_the_worker_that_writes_the_session(
    engine: Engine,
    serve: Serve,
    device: Callable[..., Device],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        writes = await serve(ScriptedModel(says("yes")), valkey_url=engine.url)
        shows = await serve(ScriptedModel(says("yes")), valkey_url=engine.url)
        owner = device(writes.url)
        await owner.connect()
        other = device(shows.url, token=owner.auth["token"])
        other.auth["session_id"] = owner.session["session_id"]
        await other.connect(headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
        assert (await other.ask("Is it you?"))["status"] == "completed"
        (run,) = await collector.runs()
        assert (run.trace_id, run.parent_id) == (TRACE, CALLER)
