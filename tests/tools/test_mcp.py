"""MCP servers as published: over stdio and streamable HTTP, dying and coming back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from realtime.build.parts import mcp_servers
from realtime.config import ConfigError, Settings
from realtime.tools import Toolbox, ToolContext, ToolError, User
from realtime.tools.mcp.config import McpServer, read_config
from realtime.tools.mcp.servers import McpServers
from realtime.tools.mcp.tool import McpTool
from tests.support.device import Device
from tests.support.process import ROOT, free_port, server
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve

EVERYTHING = str(ROOT / "node_modules/.bin/mcp-server-everything")
TIME = {"command": sys.executable, "args": ["-m", "mcp_server_time", "--local-timezone", "UTC"]}
UTC = '{"timezone": "UTC"}'

MakeDevice = Callable[..., Device]


class NoFigures:
    async def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        return {}


def context(**more: Any) -> ToolContext:
    return ToolContext("s", "r", User("u"), "u", "t", NoFigures(), **more)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., str]:
    def write(**servers: Any) -> str:
        path = tmp_path / "mcp.json"
        path.write_text(json.dumps({"mcpServers": servers}))
        return str(path)

    return write


async def call(box: Toolbox, name: str, arguments: str = "{}") -> Any:
    found = box.find(name)
    return (await found.call(found.parse(arguments), context())).value


def alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def children(name: str, of: int | None = None) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(of).children(recursive=True)
        if alive(child) and any(name in arg for arg in child.cmdline())
    ]


async def gone(processes: list[psutil.Process]) -> None:
    async with asyncio.timeout(60):
        while any(map(alive, processes)):
            await asyncio.sleep(0.05)


@pytest.fixture
async def everything() -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """The reference server over streamable HTTP."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "node",
        EVERYTHING,
        "streamableHttp",
        env={**os.environ, "PORT": str(port)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/mcp"
    async with aiohttp.ClientSession() as http, asyncio.timeout(60):
        while True:
            try:
                async with http.get(url):
                    break
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    yield url, process
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_a_published_server_answers_by_the_same_rules(
    serve: Serve, device: MakeDevice, config: Callable[..., str]
) -> None:
    path = config(time={**TIME, "approval": ["convert_time"]})
    convert = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    model = ScriptedModel(
        asks(
            ("time__get_current_time", UTC),
            ("time__get_current_time", '{"timezone": 5}'),
            ("time__get_current_time", '{"timezone": "Mars/Base"}'),
            ("time__convert_time", json.dumps(convert)),
        ),
        says("done"),
    )
    running = await serve(model, tools=("realtime.example",), mcp_config=path)
    one = device(running.url)
    await one.connect()
    run_id = (await one.send("what time is it?"))["run_id"]
    (waits,) = await one.durable("tool_call", status="awaiting_approval")
    assert waits["name"] == "time__convert_time"
    answer = {"tool_call_id": waits["tool_call_id"], "decision": "approve"}
    assert (await one.call("approve", answer))["ok"]
    assert (await one.done(run_id))["status"] == "completed"
    offered = [spec.name for spec in model.requests[0].tools]
    assert offered == [
        "fetch_internal_user_analytics",
        "time__get_current_time",
        "time__convert_time",
    ]
    (first, wrong, failed, converted) = {
        event["tool_call_id"]: event for event in one.events("tool_call")
    }.values()
    assert first["output"]["timezone"] == "UTC"
    assert (wrong["error"]["code"], failed["error"]["code"]) == ("bad_arguments", "tool_error")
    assert "Mars" in failed["error"]["message"]
    assert converted["output"]["time_difference"] == "+9.0h"
    started = children("mcp_server_time")
    assert started
    await running.stop()
    await gone(started)


async def test_of_our_environment_a_server_gets_what_it_was_given(
    config: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-operator")
    monkeypatch.setenv("SUPABASE_KEY", "sb_secret_of_the_operator")
    path = config(
        all={
            "command": "node",
            "args": [EVERYTHING],
            "env": {"GIVEN": "to ${OPENAI_API_KEY}"},
            "tools": ["get-env", "echo"],
        }
    )
    box = Toolbox()
    servers = McpServers(read_config(path, {"OPENAI_API_KEY": "the tool"}), box)
    await servers.ready()
    try:
        assert [spec.name for spec in box.specs] == ["all__echo", "all__get-env"]
        shown = json.loads(await call(box, "all__get-env"))
        assert shown["GIVEN"] == "to the tool"
        assert "operator" not in json.dumps(shown)
        assert "PATH" in shown
    finally:
        await servers.stop()


async def test_over_http_with_progress(
    config: Callable[..., str], everything: tuple[str, asyncio.subprocess.Process]
) -> None:
    url, process = everything
    box = Toolbox()
    servers = McpServers(read_config(config(web={"url": url, "deadline_s": 5}), {}), box)
    await servers.ready()
    try:
        assert await call(box, "web__echo", '{"message": "hi"}') == "Echo: hi"
        weather = await call(box, "web__get-structured-content", '{"location": "New York"}')
        assert weather["conditions"]
        image = await call(box, "web__get-tiny-image")
        assert [block["type"] for block in image if isinstance(block, dict)] == ["image"]
        told: list[float | None] = []
        found = box.find("web__trigger-long-running-operation")
        keywords = found.parse('{"duration": 0.2, "steps": 2}')
        await found.call(keywords, context(report=lambda fraction, _: told.append(fraction)))
        assert told == [0.5, 1]

        process.kill()
        await process.wait()
        with pytest.raises(ToolError) as caught:
            await call(box, "web__echo", '{"message": "hi"}')
        assert caught.value.code in ("unknown_outcome", "unavailable")
    finally:
        await servers.stop()


async def test_a_server_that_dies_comes_back(config: Callable[..., str]) -> None:
    box = Toolbox()
    servers = McpServers(read_config(config(time=TIME), {}), box)
    await servers.ready()
    try:
        (process,) = children("mcp_server_time")
        process.send_signal(signal.SIGKILL)
        await gone([process])
        with contextlib.suppress(ToolError):  # made before the end of it was seen
            await call(box, "time__get_current_time", UTC)
        assert (await call(box, "time__get_current_time", UTC))["timezone"] == "UTC"
        (again,) = children("mcp_server_time")
        assert again.pid != process.pid
    finally:
        await servers.stop()
    await gone([again])


async def test_a_server_that_is_not_there_does_not_hold_up_the_start(
    serve: Serve, device: MakeDevice, config: Callable[..., str], tmp_path: Path
) -> None:
    noisy = tmp_path / "noisy.py"
    noisy.write_text("import sys\nprint('no protocol', flush=True)\nsys.exit(1)\n")
    path = config(
        missing={"command": "/no/such/program"},
        noisy={"command": sys.executable, "args": [str(noisy)]},
        closed={"url": f"http://127.0.0.1:{free_port()}/mcp"},
        off={"command": "/no/such/program", "disabled": True},
    )
    running = await serve(ScriptedModel(says("here")), tools=(), mcp_config=path)
    one = device(running.url)
    await one.connect()
    assert (await one.done((await one.send("hello"))["run_id"]))["text"] == "here"


async def test_no_orphans_after_kill_9(config: Callable[..., str], tmp_path: Path) -> None:
    async with server(tmp_path, MCP_CONFIG=config(time=TIME), MODEL="demo") as process:
        started = children("mcp_server_time", process.child.pid)
        assert started
        process.child.kill()
        await process.ended()
        await gone(started)


@pytest.mark.parametrize(
    ("text", "says_what"),
    [
        ("{", "is invalid: "),
        ('{"mcpServers": {"a": {}}}', "a: give either"),
        ('{"mcpServers": {"a": {"command": "x", "url": "http://x"}}}', "a: give either"),
        ('{"mcpServers": {"a": {"command": "x", "aproval": true}}}', "aproval"),
        ('{"mcpServers": {"a": {"url": "http://x", "type": "sse"}}}', "a: .*mcp-remote"),
        ('{"mcpServers": {"a": {"url": "wiki.example/mcp"}}}', "a: .*https://"),
        ('{"mcpServers": {"a": {"command": "${NO_SUCH_NAME}"}}}', "NO_SUCH_NAME"),
        ('{"mcpServers": {"a": {"command": "x", "deadline_s": 0}}}', "deadline_s"),
        ('{"mcpServers": {"a": {"command": "x"}, "b": {"command": 5}}}', "b: .*command"),
        ('{"mcpServers": {"a": {"command": "x", "start_seconds": -1}}}', "start_seconds"),
        ('{"mcpServers": {"a": {"command": "\ud800"}}}', "UTF-8"),
        (None, "cannot be read"),
    ],
)
async def test_a_file_that_cannot_be_used_stops_the_start(
    serve: Serve, tmp_path: Path, text: str | None, says_what: str
) -> None:
    path = tmp_path / "mcp.json"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError, match=says_what) as caught:
        await serve(mcp_config=str(path))
    assert "MCP_CONFIG=" in str(caught.value)


def test_names_in_the_file_mean_what_the_environment_or_env_file_says(
    config: Callable[..., str], tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("WIKI_TOKEN=of the file\nBOTH=of the file\n")
    path = config(
        wiki={
            "url": "https://wiki.example/${PLACE:-mcp}",
            "headers": {"A": "Bearer ${WIKI_TOKEN}", "B": "${env:BOTH}", "C": "${BOTH:-none}"},
        }
    )
    settings = Settings.load({"MCP_CONFIG": path, "BOTH": "of the environment"}, str(env_file))
    wiki = mcp_servers(settings)["wiki"]
    assert wiki.url == "https://wiki.example/mcp"
    assert wiki.headers == {
        "A": "Bearer of the file",
        "B": "of the environment",
        "C": "of the environment",
    }
    assert "of the file" not in repr(settings)


async def test_without_the_sdk_the_start_says_what_to_install(
    serve: Serve, config: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "realtime.tools.mcp.servers")
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(ConfigError, match=r"requirements-mcp\.txt"):
        await serve(mcp_config=config())


def test_a_schema_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[Any] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *asked, **more: fetched.append(asked))

    class Connected:
        name, config = "evil", McpServer(command="x")

    elsewhere = {"$ref": "http://169.254.169.254/latest"}
    schema = {"type": "object", "properties": {"x": elsewhere, "y": {"type": "string"}}}
    tool = McpTool(Connected(), "a", {"name": "a", "inputSchema": schema})  # type: ignore[arg-type]
    assert tool.parse('{"x": 1}') == {"x": 1}
    with pytest.raises(ToolError) as caught:
        tool.parse('{"x": 1, "y": 2}')
    assert caught.value.code == "bad_arguments"
    assert fetched == []
