"""Errors over HTTP: one shape, the status of the code, and nothing of the inside."""

from __future__ import annotations

import asyncio
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from realtime.app import create_app
from realtime.config import Settings
from realtime.edge.http import bodies
from realtime.edge.http.guard import guard
from realtime.edge.runner import Runner
from realtime.runs.chain import Chain, Link
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve

Devices = Callable[..., Device]
NEW_SOCKET = "socket.io/?EIO=4&transport=polling"


class BrokenChain(Chain):
    def state(self) -> list[dict[str, Any]]:
        raise RuntimeError("sk-nobody-should-read-this")


async def token_of(url: str, device: Devices) -> str:
    one = device(url)
    await one.connect()
    return str(one.auth["token"])


@pytest.mark.parametrize("path", ["nothing", "client/nothing.js", "vendor/nothing.js", "metrics"])
async def test_what_is_not_there_is_not_found(serve: Serve, path: str) -> None:
    running = await serve(metrics_token="s3cret")
    answer = await fetch(f"{running.url}/{path}")
    error = {"code": "not_found", "message": "not found", "retryable": False}
    assert (answer.status, answer.json()) == (404, {"error": error})
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_another_method_is_told_which_there_are(serve: Serve) -> None:
    running = await serve()
    async with (
        aiohttp.ClientSession() as http,
        http.delete(f"{running.url}/api/sessions") as answer,
    ):
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET,HEAD,OPTIONS"
        error = {"code": "bad_request", "message": "method not allowed", "retryable": False}
        assert await answer.json() == {"error": error}


async def test_each_refusal_of_the_api_says_what_to_do(serve: Serve, device: Devices) -> None:
    running = await serve()
    token = await token_of(running.url, device)
    sessions = f"{running.url}/api/sessions"
    for path, given, status, code in (
        ("", None, 401, "unauthorized"),
        (f"/{uuid4()}", None, 401, "unauthorized"),
        (f"/{uuid4()}", token, 404, "not_found"),
        (f"/{uuid4()}?before_seq=x", token, 400, "bad_request"),
        (f"/{uuid4()}/outputs/{uuid4()}", token, 404, "not_found"),
    ):
        answer = await fetch(sessions + path, given)
        error = answer.json()["error"]
        assert (answer.status, error["code"]) == (status, code), path
        assert len(error["message"]) > 10, path
        assert error["retryable"] is False, path


async def test_commands_of_http_count_with_those_of_sockets(serve: Serve, device: Devices) -> None:
    running = await serve(commands_per_minute=1)
    token = await token_of(running.url, device)
    answers = [await fetch(f"{running.url}/api/sessions", token) for _ in range(5)]
    last = answers[-1]
    error = last.json()["error"]
    assert (last.status, error["code"], error["retryable"]) == (429, "rate_limited", True)
    assert int(last.headers["Retry-After"]) * 1000 >= error["retry_after_ms"] > 0


async def test_a_store_that_cannot_be_read_is_worth_another_try(
    serve: Serve, device: Devices
) -> None:
    running = await serve()
    token = await token_of(running.url, device)

    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(running.server.settings.database_path)) as journal:
            journal.execute(f"ALTER TABLE {old} RENAME TO {new}")

    rename("sessions", "elsewhere")
    answer = await fetch(f"{running.url}/api/sessions", token)
    ready = await fetch(f"{running.url}/readyz")
    rename("elsewhere", "sessions")
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (503, "storage_unavailable")
    assert error["retryable"] is True
    assert error["retry_after_ms"] > 0
    assert int(answer.headers["Retry-After"]) >= 1
    assert (ready.status, ready.json()["status"]) == (503, "unavailable")
    assert (await fetch(f"{running.url}/api/sessions", token)).status == 200


async def test_a_server_that_drains_takes_no_new_sockets(serve: Serve) -> None:
    running = await serve()
    assert (await fetch(f"{running.url}/{NEW_SOCKET}")).status == 200
    await running.server.drain()
    answer = await fetch(f"{running.url}/{NEW_SOCKET}")
    error = answer.json()["error"]
    assert (answer.status, error["code"], error["retryable"]) == (503, "draining", True)
    assert int(answer.headers["Retry-After"]) * 1000 == error["retry_after_ms"]
    assert (await fetch(f"{running.url}/readyz")).json()["status"] == "unavailable"
    assert (await fetch(f"{running.url}/healthz")).json() == {"status": "ok"}


async def test_a_fault_of_the_server_has_an_id_that_its_log_explains(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    running = await serve(BrokenChain([Link(ScriptedModel(says("hi")), "")]))
    with caplog.at_level(logging.ERROR):
        answer = await fetch(f"{running.url}/readyz", Origin="https://elsewhere.example")
    error = answer.json()["error"]
    assert (answer.status, error["code"]) == (500, "internal")
    assert "sk-" not in answer.text
    asked = re.search(r"request (\w+)$", error["message"])
    assert asked
    (record,) = (one for one in caplog.records if one.levelno == logging.ERROR)
    assert record.__dict__["request_id"] == asked[1]
    assert record.exc_info
    assert answer.headers["Content-Security-Policy"]
    assert "Server" not in answer.headers


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[int]:
    """As a server of its own: that of aiohttp's tests cancels the request of whoever leaves."""
    runner = Runner(app)
    await runner.setup()
    try:
        yield await runner.listen("127.0.0.1", 0)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("sent", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("asked", ["POST {}/files?name=a", "PATCH {}"])
async def test_whoever_leaves_in_the_middle_is_no_fault_of_the_server(
    settings: Settings,
    device: Devices,
    caplog: pytest.LogCaptureFixture,
    asked: str,
    sent: str,
) -> None:
    app = create_app(settings, model=ScriptedModel(says("hi")))
    async with listening(app) as port:
        one = device(f"http://127.0.0.1:{port}")
        await one.connect()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = asked.format(f"/api/sessions/{one.session['session_id']}")
        writer.write(
            f"{head} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.auth['token']}\r\n"
            f"Expect: 100-continue\r\n{sent}\r\n\r\n".encode()
        )
        await reader.readuntil(b"100 Continue\r\n\r\n")  # somebody waits for the body
        writer.transport.abort()
        await one.ask("and then?")
        await one.drop()
    assert [line for line in caplog.records if line.levelno >= logging.WARNING] == []


async def test_whoever_leaves_a_download_is_no_fault_of_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gone = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(2**16))
        finally:
            gone.set()

    app = web.Application(middlewares=[guard(0, lambda request: None)])
    app.router.add_get("/", endless)
    async with listening(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(1000)
        writer.transport.abort()
        await gone.wait()
    assert [line for line in caplog.records if line.levelno >= logging.WARNING] == []


async def test_a_body_that_stalls_is_refused(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "STALL_S", 0.1)
    running = await serve()
    one = device(running.url)
    await one.connect()
    never = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b'{"title": '
        await never.wait()

    headers = {"Authorization": f"Bearer {one.auth['token']}"}
    url = f"{running.url}/api/sessions/{one.session['session_id']}"
    async with (
        aiohttp.ClientSession() as http,
        http.patch(url, data=half(), headers=headers) as answer,
    ):
        assert answer.status == 400
        assert "broke off" in (await answer.json())["error"]["message"]
