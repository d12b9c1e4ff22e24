"""MCP servers that do what they are asked and answer it badly: nobody waits for the deadline."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from realtime.cli import logs
from realtime.tools import ToolError
from realtime.tools.mcp import wire
from tests.tools.plain_mcp import entry
from tests.tools.test_mcp import call, config
from tests.tools.test_mcp_oddities import MakeConfig, Site, lines, running, site

__all__ = ["config", "site"]

LOOP = """
def out(written):
    sys.stdout.write(written + "\\n")
    sys.stdout.flush()
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "tools/call":
        i = message["id"]
        out(%s)
    elif reply := answer(message, lambda params: {"tools": [described("t")]}, None):
        out(json.dumps(reply))
"""


def reply(rest: str) -> str:
    """An expression for the answer with this in it."""
    return f"json.dumps({{'jsonrpc': '2.0', 'id': i, {rest}}})"


def server(folder: Path, written: str) -> dict[str, Any]:
    """One that answers a call by what this expression writes."""
    return entry(folder, LOOP % written, deadline_s=600)


@pytest.mark.parametrize(
    ("written", "result"),
    [
        (reply(r"'result': text('a\ud83d')"), "a\ufffd"),
        ("json.dumps({'id': i, 'result': text('no version')})", "no version"),
        ("json.dumps([{'jsonrpc': '2.0', 'id': i, 'result': text('in a list')}])", "in a list"),
        ("json.dumps([{'method': 'x'}, 5, {'id': i, 'result': text('of many')}])", "of many"),
        (reply("'result': 'a text'"), "a text"),
        (reply("'result': ['a', 'b']"), ["a", "b"]),
        (reply("'result': None"), []),
        ("json.dumps({'jsonrpc': '2.0', 'id': i})", []),
    ],
)
async def test_an_answer_beside_the_protocol_is_an_answer(
    tmp_path: Path, config: MakeConfig, written: str, result: Any
) -> None:
    async with running(config(s=server(tmp_path, written))) as (box, _):
        assert await call(box, "s__t") == result


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("'broken'", "broken"),
        ("{'message': 'no number'}", "no number"),
        ("{'code': 'E_BUSY', 'message': 'a name for a number'}", "a name for a number"),
        ("{'code': 7, 'message': {'detail': 'an object'}}", '{"detail": "an object"}'),
        ("['x']", '["x"]'),
    ],
)
async def test_an_error_beside_the_protocol_is_an_error(
    tmp_path: Path, config: MakeConfig, error: str, said: str
) -> None:
    written = reply(f"'error': {error}")
    async with running(config(s=server(tmp_path, written))) as (box, _):
        with pytest.raises(ToolError) as caught:
            await call(box, "s__t")
        assert str(caught.value) == said


async def test_the_reason_of_a_failure_is_told_in_whatever_form_it_comes(
    tmp_path: Path, config: MakeConfig
) -> None:
    resource = "{'type': 'resource', 'resource': {'uri': 'log:1', 'text': 'the disk is full'}}"
    written = reply(f"'result': {{'isError': True, 'content': [{resource}]}}")
    async with running(config(s=server(tmp_path, written))) as (box, _):
        with pytest.raises(ToolError, match="the disk is full"):
            await call(box, "s__t")


async def test_a_call_that_asks_back_is_told_as_that(tmp_path: Path, config: MakeConfig) -> None:
    written = reply("'result': {'resultType': 'input_required'}")
    async with running(config(s=server(tmp_path, written))) as (box, _):
        with pytest.raises(ToolError, match="asks for input beyond its arguments"):
            await call(box, "s__t")


async def test_noise_is_told_once_and_without_what_was_written(
    tmp_path: Path, config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    noisy = r"""'secret-1\n{"secret-2": 1}\n[]\n' + """ + reply("'result': text('fine')")
    async with running(config(s=server(tmp_path, noisy))) as (box, _):
        assert [await call(box, "s__t"), await call(box, "s__t")] == ["fine", "fine"]
    assert len(lines(caplog, "MCP server s writes lines that are not protocol messages")) == 1
    assert not lines(caplog, "secret-")


@pytest.fixture
def levels() -> Iterator[None]:
    """The levels of the loggers of libraries, as they were."""
    before = {name: logging.getLogger(name).level for name in ("mcp", "client", "realtime")}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


async def test_what_the_sdk_says_of_a_bad_notification_is_not_in_the_log(
    tmp_path: Path,
    config: MakeConfig,
    levels: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **how: None)
    logs.set_up("INFO", "text")
    told = (
        "json.dumps({'jsonrpc': '2.0', 'method': 'notifications/message', "
        "'params': {'level': 'secret-3'}})"
    )
    fine = reply("'result': text('fine')")
    async with running(config(s=server(tmp_path, f"{told} + '\\n' + {fine}"))) as (box, _):
        assert await call(box, "s__t") == "fine"
    assert not lines(caplog, "validate notification")


async def called_in_vain(
    site: Site, config: MakeConfig, monkeypatch: pytest.MonkeyPatch, body: bytes, **headers: str
) -> str:
    """A call that the site answers so, by HTTP: why its outcome is unknown."""
    handle = site.handle

    async def answered(request: web.Request) -> web.Response:
        found = await handle(request)
        if request.method == "POST" and (await request.json())["method"] == "tools/call":
            return web.Response(body=body, content_type="application/json", headers=headers)
        return found

    monkeypatch.setattr(site, "handle", answered)
    await site.down()
    await site.up()
    async with running(config(s={"url": site.url})) as (box, _):
        with pytest.raises(ToolError) as caught:
            await call(box, "s__t")
    assert caught.value.code == "unknown_outcome"
    return str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
async def test_an_answer_by_http_without_end_is_not_read_to_its_end(
    site: Site, config: MakeConfig, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(wire, "MAX_EVENT", 100_000)
    said = b'{"jsonrpc": "2.0", "id": 1, "result": {"content": "' + b"x" * 5_000_000 + b'"}}'

    how = {"Content-Encoding": "gzip"} if packed else {}
    body = gzip.compress(said) if packed else said
    await called_in_vain(site, config, monkeypatch, body, **how)


async def test_an_answer_by_http_that_cannot_be_read_has_an_unknown_outcome(
    site: Site, config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = await called_in_vain(site, config, monkeypatch, b'{"secret-4": "\\ud83d"}')
    assert "an answer that cannot be read" in why
    assert "secret-4" not in why
