"""MCP servers as they are in the wild: slow, noisy, beside the protocol, gone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from realtime.redaction import without_keys
from realtime.tools import Toolbox, ToolError
from realtime.tools.mcp import servers as module
from realtime.tools.mcp.config import read_config
from realtime.tools.mcp.results import contents
from realtime.tools.mcp.servers import McpServers, try_servers
from realtime.tools.mcp.words import last_words
from tests.support.device import Device
from tests.support.process import free_port
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve
from tests.tools.plain_mcp import answer, described, entry, text
from tests.tools.test_mcp import call, config

__all__ = ["config"]
MakeConfig = Callable[..., str]


@contextlib.asynccontextmanager
async def running(path: str, **environ: str) -> AsyncIterator[tuple[Toolbox, McpServers]]:
    box = Toolbox()
    servers = McpServers(read_config(path, environ), box)
    try:
        for connection in servers.connections:
            await connection.tried.wait()
        yield box, servers
    finally:
        await servers.stop()


def names(box: Toolbox) -> list[str]:
    return [spec.name for spec in box.specs]


def lines(caplog: pytest.LogCaptureFixture, *words: str) -> list[str]:
    said = [record.getMessage() for record in caplog.records]
    return [line for line in said if all(word in line for word in words)]


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


# ------------------------------------------------------------------------ stdio


async def test_one_bad_tool_costs_that_tool_by_name_and_once(
    tmp_path: Path,
    config: MakeConfig,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.05)
    code = """
listings = []
def listed(params):
    listings.append(1)
    return {"tools": [
        described("untyped", {"properties": {"a": {"type": "string"}}}),
        described("text", {"type": "string"}),
        described("letters", {"type": "object", "properties":
            {"word": {"type": "string", "pattern": "^\\\\p{L}+$"}, "n": {"type": "integer"}}}),
        described("nowhere", {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}),
        described("either", {"oneOf": [{"type": "object", "required": ["a"]},
            {"type": "object", "required": ["b"]}]}),
        {"name": "bare"}, {"description": "no name"}, 7,
        described("odd", annotations="none", outputSchema=5, title=[], icons={}),
    ]}
serve(call=lambda name, arguments: text(f"{name} {arguments} {len(listings)}"), listed=listed)
"""
    path = config(s=entry(tmp_path, code, approval=["misspelt"]))
    async with running(path) as (box, _):
        listed = ["untyped", "letters", "nowhere", "either", "bare", "odd"]
        assert names(box) == [f"s__{name}" for name in listed]
        assert "{'word': 'ж', 'n': 1}" in await call(box, "s__letters", '{"word": "ж", "n": 1}')
        assert "{'a': 5}" in await call(box, "s__nowhere", '{"a": 5}')
        assert "{}" in await call(box, "s__bare")
        for name, arguments in (("s__letters", '{"n": "x"}'), ("s__either", "{}")):
            with pytest.raises(ToolError) as caught:
                await call(box, name, arguments)
            assert caught.value.code == "bad_arguments"
        async with asyncio.timeout(60):  # until it was listed once more
            while int((await call(box, "s__bare")).split()[-1]) < 4:
                await asyncio.sleep(0.02)
    assert len(lines(caplog, "s__text", "'string'")) == 1
    assert len(lines(caplog, "without a name")) == 1
    assert len(lines(caplog, "misspelt")) == 1


async def test_arguments_that_cannot_be_checked_here_are_checked_by_the_server(
    tmp_path: Path, config: MakeConfig
) -> None:
    code = """
again = {"$ref": "#"}
tree = {"in": {"anyOf": [{"type": "null"}, again]}}
serve([
    described("all", {"type": "object", "allOf": [again]}),
    described("own", {"type": "object", "unevaluatedProperties": False, "allOf": [again]}),
    described("tree", {"type": "object", "properties": tree}),
])
"""
    async with running(config(s=entry(tmp_path, code))) as (box, _):
        for name in ("all", "own"):
            assert name in await call(box, f"s__{name}", '{"a": 1}')
        arguments = '{"in":' * 126 + "{}" + "}" * 126

        async def checked(frames: int) -> str:
            return await (checked(frames - 1) if frames else call(box, "s__tree", arguments))

        for frames in range(20):  # where the stack ends decides who notices
            assert "tree" in await checked(frames)


async def test_names_that_providers_refuse_are_mended_and_found(
    serve: Serve, device: Callable[..., Device], tmp_path: Path, config: MakeConfig
) -> None:
    odd = "files.read/größe"
    path = config(s=entry(tmp_path, f"serve([described({odd!r}, description='x' * 3000)])"))
    async with running(path) as (box, _):
        (spec,) = box.specs
    model = ScriptedModel(asks((spec.name, "{}")), says("done"))
    server = await serve(model, tools=(), mcp_config=path)
    one = device(server.url)
    await one.connect()
    assert (await one.done((await one.send("read"))["run_id"]))["status"] == "completed"
    assert len(model.requests[0].tools[0].description) == 1024
    assert one.events("tool_call")[-1]["output"] == f"{odd} {{}}"


async def test_a_call_is_not_cut_by_a_look_at_the_server(
    tmp_path: Path, config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.02)
    monkeypatch.setattr(module, "ANSWER_S", 0.1)
    code = """
def call(name, arguments):
    time.sleep(1)
    return text("whole")
serve([described("long")], call)
"""
    async with running(config(s=entry(tmp_path, code, deadline_s=20))) as (box, servers):
        # else a look waits as long as a call of this server may take
        servers.connections[0].config = module.McpServer(command="x", deadline_s=0.1)
        both = await asyncio.gather(call(box, "s__long"), call(box, "s__long"))
        assert both == ["whole", "whole"]
        assert servers.connections[0].problem is None


async def test_a_call_under_way_as_the_server_dies_has_an_unknown_outcome(
    tmp_path: Path, config: MakeConfig
) -> None:
    code = """
def call(name, arguments):
    if arguments:
        os._exit(1)
    return text("here")
serve([described("die")], call)
"""
    async with running(config(s=entry(tmp_path, code))) as (box, _):
        with pytest.raises(ToolError) as caught:
            await call(box, "s__die", '{"now": true}')
        assert caught.value.code == "unknown_outcome"
        assert await call(box, "s__die") == "here"


async def test_a_slow_server_gets_the_time_of_its_entry(
    tmp_path: Path, config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    sleeps = "time.sleep(float(os.environ['S'])); serve([described('t')])"
    slow = entry(tmp_path, sleeps, env={"S": "60"}, start_seconds=0.5)
    fine = entry(tmp_path, sleeps, env={"S": "1"})
    async with running(config(slow=slow, fine=fine)) as (box, _):
        assert names(box) == ["fine__t"]
    (line,) = lines(caplog, "did not answer within 0.5 s")
    assert "start_seconds" in line
    assert "slow" in line


async def test_noise_on_standard_output_does_no_harm(tmp_path: Path, config: MakeConfig) -> None:
    code = """
sys.stdout.buffer.write(b"D\\xe9marrage\\n\\x00\\n\\n{}\\n[1]\\n" + b"x" * 100000 + b"\\n")
sys.stdout.flush()
def call(name, arguments):
    reply = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "\\u2028"}}
    sys.stdout.write(json.dumps(reply, ensure_ascii=False) + "\\n")
    return text("caf\\u00e9")
serve([described("t")], call)
"""
    async with running(config(s=entry(tmp_path, code))) as (box, _):
        assert await call(box, "s__t") == "café"


@pytest.mark.parametrize("cursor", ["'same'", "str(len(pages))", "len(pages)"])
async def test_a_list_without_end_is_ended(
    tmp_path: Path, config: MakeConfig, caplog: pytest.LogCaptureFixture, cursor: str
) -> None:
    code = f"""
pages = []
def listed(params):
    pages.append(params.get("cursor"))
    return {{"tools": [described(f"t{{len(pages)}}")], "nextCursor": {cursor}}}
serve(listed=listed)
"""
    async with running(config(s=entry(tmp_path, code))) as (box, _):
        assert len(box.specs) == (2 if "same" in cursor else 100)
    assert len(lines(caplog, "never ends")) == 1


async def test_of_many_tools_the_log_names_what_is_left_out(
    tmp_path: Path, config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    many = "serve([described(f't{n}') for n in range(130)])"
    few = "serve([described('t')])"
    async with running(config(a=entry(tmp_path, many), b=entry(tmp_path, few))) as (box, _):
        assert len(box.specs) == 128
    assert lines(caplog, "t128, t129")
    assert lines(caplog, "these are left out: b__t")


@pytest.mark.parametrize(
    ("given", "says_what"),
    [
        ({"command": "npx-is-not-here"}, ["npx-is-not-here", "was not found"]),
        ({"command": "npx -y some-server"}, ["npx -y some-server", '"args"']),
        ({"command": "/nowhere/npx"}, ["/nowhere/npx", "Node.js"]),
        ({"command": sys.executable, "cwd": "/nowhere/at/all"}, ["cwd", "/nowhere/at/all"]),
        ({"command": "/etc/passwd"}, ["/etc/passwd", "is not executable"]),
        (
            {
                "command": sys.executable,
                "args": ["-c", "import os; raise SystemExit('TOKEN is bad: ' + os.environ['T'])"],
                "env": {"T": "hunter2hunter2"},
            },
            ["ended before it answered", "TOKEN is bad"],
        ),
        ({"command": sys.executable, "args": ["-c", "1/0"]}, ["ZeroDivisionError"]),
        ({"url": "http://127.0.0.1:9/mcp"}, ["cannot be reached", "refused"]),
        ({"url": "http://no-such-host.invalid/mcp"}, ["cannot be reached"]),
    ],
)
async def test_what_is_wrong_with_a_start_is_in_one_line(
    config: MakeConfig,
    caplog: pytest.LogCaptureFixture,
    given: dict[str, Any],
    says_what: list[str],
) -> None:
    async with running(config(s=given)) as (box, servers):
        assert box.specs == ()
        problem = servers.connections[0].problem or ""
    assert all(word in problem for word in says_what), problem
    assert "hunter2" not in problem
    assert len(lines(caplog, problem)) == 1


async def test_each_server_can_be_tried_once(tmp_path: Path, config: MakeConfig) -> None:
    path = config(
        good=entry(
            tmp_path, "serve([described('a'), described('b'), described('c', {'type': 1})])"
        ),
        bad={"command": "not-here-at-all"},
        broken=entry(
            tmp_path, "serve(listed=lambda params: {'tools': [described('x', {'type': 'null'})]})"
        ),
    )
    box = Toolbox()
    tried = [trial async for trial in try_servers(read_config(path, {}), box)]
    assert [(trial.name, trial.tools) for trial in tried] == [
        ("good", 3),
        ("bad", 0),
        ("broken", 0),
    ]
    assert tried[0].problem is None
    assert "not-here-at-all" in (tried[1].problem or "")
    assert [spec.name for spec in box.specs] == ["good__a", "good__b", "good__c"]


async def test_a_refused_call_says_why_and_leaves_the_server_alone(
    tmp_path: Path, config: MakeConfig
) -> None:
    code = """
said = {"full": {"message": "Internal error", "data": "the disk is full"}, "mute": {"message": ""}}
serve([described(name) for name in said], lambda name, a: {"error": {"code": -32000} | said[name]})
"""
    async with running(config(s=entry(tmp_path, code))) as (box, servers):
        with pytest.raises(ToolError, match="Internal error: the disk is full") as caught:
            await call(box, "s__full")
        assert caught.value.code == "tool_error"
        with pytest.raises(ToolError, match="did not say why"):
            await call(box, "s__mute")
        assert servers.connections[0].problem is None


async def test_a_stop_does_not_wait_for_a_server_that_is_starting(
    tmp_path: Path, config: MakeConfig
) -> None:
    runs = tmp_path / "runs"
    path = config(s=entry(tmp_path, f"open({str(runs)!r}, 'w'); time.sleep(600)"))
    servers = McpServers(read_config(path, {}), Toolbox())
    (connection,) = servers.connections
    await until(runs.exists)
    await servers.stop()
    assert connection.task.done()
    assert not connection.task.cancelled()


# ------------------------------------------------------------------------- http


class Site:
    """An MCP server over HTTP whose answers a test plays: `status` is one for all requests."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.calls = 0
        self.greeted = 0
        self.status = 0
        self.forgotten = 404
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"

    async def up(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/mcp", self.handle)
        self.runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()

    async def down(self) -> None:
        await self.runner.cleanup()

    async def handle(self, request: web.Request) -> web.Response:
        if self.status or request.method != "POST":
            return web.Response(status=self.status or 405)
        message = await request.json()
        if message["method"] == "initialize":
            self.greeted += 1
            self.sessions = {f"s{self.greeted}"}
        elif message["method"] == "server/discover":
            return web.Response(status=404)
        elif request.headers.get("mcp-session-id") not in self.sessions:
            error = {"code": -32000, "message": "Bad Request: No valid session ID provided"}
            body = {"jsonrpc": "2.0", "id": None, "error": error}
            return web.json_response(body if self.forgotten == 400 else None, status=self.forgotten)
        reply = answer(message, lambda params: {"tools": [described("t")]}, self.call)
        session = {"mcp-session-id": next(iter(self.sessions))}
        return web.json_response(reply, headers=session) if reply else web.Response(status=202)

    def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        return text(f"call {self.calls}")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    found = Site()
    await found.up()
    yield found
    await found.down()


@pytest.mark.parametrize("status", [404, 400])
async def test_an_expired_session_is_renewed_and_the_call_made_once(
    site: Site, config: MakeConfig, status: int
) -> None:
    site.forgotten = status
    async with running(config(s={"url": site.url})) as (box, _):
        assert await call(box, "s__t") == "call 1"
        site.sessions.clear()
        both = await asyncio.gather(call(box, "s__t"), call(box, "s__t"))
        assert sorted(both) == ["call 2", "call 3"]
        assert site.greeted == 2


async def test_a_call_to_a_site_that_is_down_was_not_made(
    site: Site, config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(config(s={"url": site.url})) as (box, servers):
        await site.down()
        monkeypatch.setattr(module, "WAIT_S", 0.5)
        with pytest.raises(ToolError) as caught:
            await call(box, "s__t")
        assert caught.value.code == "unavailable"
        assert "refused" in (servers.connections[0].problem or "")
        monkeypatch.undo()
        await site.up()
        assert await call(box, "s__t") == "call 1"


@pytest.mark.parametrize(
    ("status", "headers", "says_what"),
    [
        (401, {}, ["HTTP 401", "OAuth", "headers"]),
        (401, {"authorization": "Bearer abc"}, ["HTTP 401", "refuses the token"]),
        (403, {}, ["HTTP 403", "token"]),
        (404, {}, ["HTTP 404", "url"]),
        (405, {}, ["HTTP 405", "SSE", "mcp-remote"]),
        (503, {}, ["HTTP 503"]),
    ],
)
async def test_a_refusal_over_http_says_what_to_do(
    site: Site, config: MakeConfig, status: int, headers: dict[str, str], says_what: list[str]
) -> None:
    site.status = status
    async with running(config(s={"url": site.url, "headers": headers})) as (_, servers):
        problem = servers.connections[0].problem or ""
    assert all(word in problem for word in says_what), problem


@pytest.mark.parametrize(
    ("status", "code"), [(401, "unavailable"), (429, "unavailable"), (502, "unknown_outcome")]
)
async def test_a_call_that_http_refuses_says_whether_it_was_made(
    site: Site, config: MakeConfig, status: int, code: str
) -> None:
    async with running(config(s={"url": site.url})) as (box, _):
        site.status = status
        with pytest.raises(ToolError, match=str(status)) as caught:
            await call(box, "s__t")
        assert caught.value.code == code


# ---------------------------------------------------------------------- results

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def test_what_a_server_did_is_given_whatever_its_schema_says(
    tmp_path: Path, config: MakeConfig
) -> None:
    results = {
        "missing": text("made order 7"),
        "misfit": text("made order 7") | {"structuredContent": {"n": "seven"}},
        "listed": {"content": [], "structuredContent": [1, 2]},
        "strange": {"content": [{"type": "hologram", "size": 3}, {"type": "text"}, "bare"]},
        "none": {"orders": [7]},
    }
    code = f"""
results = {results!r}
tools = [described(name, outputSchema={NUMBER!r}) for name in results]
serve(tools, lambda name, arguments: results[name])
"""
    async with running(config(s=entry(tmp_path, code))) as (box, _):
        assert await call(box, "s__missing") == "made order 7"
        assert await call(box, "s__misfit") == ["made order 7", {"n": "seven"}]
        assert await call(box, "s__listed") == [1, 2]
        assert (await call(box, "s__strange"))[0] == {"type": "hologram", "size": 3}
        assert await call(box, "s__none") == {"orders": [7]}


def blob(data: bytes, kind: str | None) -> dict[str, Any]:
    inner = {"uri": "x://1", "blob": base64.b64encode(data).decode()}
    return {"type": "resource", "resource": inner | ({"mimeType": kind} if kind else {})}


@pytest.mark.parametrize(
    ("result", "value"),
    [
        ({"content": [], "structuredContent": {"a": 1}}, {"a": 1}),
        (text('{"a":  1}') | {"structuredContent": {"a": 1}}, {"a": 1}),
        (text("[1, 2]") | {"structuredContent": {"result": [1, 2]}}, {"result": [1, 2]}),
        (text("12") | {"structuredContent": {"result": "12"}}, {"result": "12"}),
        (text("The page.") | {"structuredContent": {"id": 1}}, ["The page.", {"id": 1}]),
        (text("The page.") | {"structuredContent": {}}, "The page."),
        ({"content": []}, []),
        ({"content": [blob(b"%PDF" * 1000, "application/pdf")]}, {"bytes": 4000}),
        ({"content": [blob("plüm".encode(), "text/plain")]}, {"text": "plüm"}),
        ({"content": [blob(b"pl\xfcm", "text/plain; charset=latin-1")]}, {"text": "plüm"}),
        ({"content": [blob(b"{}", "application/vnd.x+json")]}, {"text": "{}"}),
        ({"content": [blob(b"plum", None)]}, {"text": "plum"}),
        ({"content": [blob(b"\0\1\2", None)]}, {"bytes": 3}),
        ({"content": [{"type": "image", "mimeType": "i/p", "data": "AAAA"}]}, {"bytes": 3}),
    ],
)
def test_a_result_is_what_the_server_said(result: dict[str, Any], value: Any) -> None:
    found = contents(result)
    if isinstance(value, dict) and set(value) <= {"text", "bytes"}:
        assert found.items() >= value.items()
        assert "blob" not in found
        assert "data" not in found
    else:
        assert found == value


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (text("no such order") | {"isError": True, "structuredContent": {"e": 1}}, "no such order"),
        ({"isError": True, "content": [], "structuredContent": {"e": 1}}, '"e": 1'),
        ({"isError": True}, "did not say why"),
    ],
)
def test_an_error_is_one_in_words(result: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolError, match=message):
        contents(result)


def test_no_key_is_in_the_last_words_of_a_server() -> None:
    keys = (
        "sk-live-4eC39HqLyjWDarjtT1",
        "eyJhbGciOi.eyJzdWIiOi.c2ln",
        "0a1b2c3d4e5f60718293a4b5c6d7",
    )
    written = "\n".join(
        [
            "Traceback (most recent call last):",
            f'  File "a.py", line 1, in x {keys[0]}',
            *(f"bad key {key}" for key in keys),
            "Authorization: Bearer abcdefgh; password=hunter2",
            "postgres://me:hunter2@db/x failed; https://x.example/?token=hunter2",
            "Error: API_KEY is required",
        ]
    )
    said = last_words(written, ["my own"])
    assert "API_KEY is required" in said
    assert "db/x failed" in said
    for key in (*keys, "hunter2", "abcdefgh"):
        assert key not in said
    assert without_keys("it is my-own-secret", ["my-own-secret"]) == "it is …"
    assert len(last_words("word " * 1000, ())) < 500
