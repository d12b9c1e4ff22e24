"""Secrets and what users say stay out of logs, errors, the page and the health routes, also
when everything behind the server fails and sends back what it was sent."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web

from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import LEAK, process, server

Devices = Callable[..., Device]
API_KEY = "sk-proj-mV7aQ2xW9cT4"
SUPABASE_KEY = "sb_secret_hJ3kP8sL5dF1"
JWT_SECRET = "jwt-nB6gY0rE7uZ2-of-more-than-32-characters"
AUTH_SECRET = "own-qC5tX1iO8wM4-of-more-than-32-characters"
SAID = "my-diagnosis-is-aR9vK3"
KEYS = (API_KEY, SUPABASE_KEY, JWT_SECRET, AUTH_SECRET)


class Unkind:
    """The model and the Supabase project. Each answer fails in its own way, and holds what
    the request did: its headers and its body."""

    def __init__(self) -> None:
        self.answers = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        sent = [request.headers.get(name, "") for name in ("Authorization", "apikey")]
        # Who is asked for its models was not told what anybody said.
        said = "" if request.path.endswith("/models") else SAID
        seen = f"{said} {' '.join(sent)} {await request.text()}"
        if not request.path.endswith("/chat/completions"):
            error = {"code": "23514", "message": seen, "details": seen, "hint": seen}
            return web.json_response(error, status=400 if "ingest" in request.path else 500)
        self.answers += 1
        error = {"error": {"message": seen, "code": seen, "type": "server_error", "param": seen}}
        match self.answers:
            case 1 | 2 | 3 | 4:
                return web.json_response(error, status=(400, 401, 429, 500)[self.answers - 1])
            case 5:
                return web.Response(text=seen, content_type="text/html")
            case 6:
                return self.stream("{" + seen)
            case 7:
                return self.stream(json.dumps(error))
            case 8:
                return self.stream(json.dumps({"choices": [{"delta": {"tool_calls": seen}}]}))
            case 9:
                call = {"name": "fetch_internal_user_analytics", "arguments": "{" + seen}
                calls = [{"index": 0, "id": "1", "type": "function", "function": call}]
                delta = {"delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}
                return self.stream(json.dumps({"choices": [delta]}), "[DONE]")
        return web.Response(status=502, reason="Bad", text=seen)

    def stream(self, *chunks: str) -> web.Response:
        body = "".join(f"data: {chunk}\n\n" for chunk in chunks)
        return web.Response(text=body, content_type="text/event-stream")


@pytest.fixture
async def unkind(aiohttp_server: Any) -> str:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Unkind().handle)
    return str((await aiohttp_server(app)).make_url("/")).rstrip("/")


def environment(url: str, **more: str) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": API_KEY,
        "OPENAI_BASE_URL": f"{url}/v1",
        "SUPABASE_URL": url,
        "SUPABASE_KEY": SUPABASE_KEY,
        "SUPABASE_JWT_SECRET": JWT_SECRET,
        "AUTH_SECRET": AUTH_SECRET,
        "COMMANDS_PER_MINUTE": "60",
        "GRACE_SECONDS": "0",
        **more,
    }


def token_of(user: str, secret: str = JWT_SECRET) -> str:
    claims = {"sub": user, "aud": "authenticated", "exp": int(time.time()) + 600}
    return jwt.encode(claims, secret, algorithm="HS256")


def found(text: str, *secrets: str) -> list[str]:
    return [secret for secret in secrets if secret in text] + LEAK.findall(text)


@pytest.mark.parametrize(
    ("auth", "level", "format"), [("guest", "DEBUG", "json"), ("supabase", "INFO", "text")]
)
async def test_nothing_secret_is_written(
    tmp_path: Path, device: Devices, unkind: str, auth: str, level: str, format: str
) -> None:
    told: list[str] = []
    logs = {"AUTH": auth, "LOG_LEVEL": level, "LOG_FORMAT": format}
    async with server(tmp_path, **environment(unkind, **logs)) as running:
        one = device(running.url, token=token_of("u1") if auth == "supabase" else None)
        await one.connect()
        token = one.auth["token"]
        for number in range(10):
            ack = await one.send(f"{SAID} {number}")
            done = await one.done(ack["run_id"])
            told.append(json.dumps(done))
        share = (await one.call("share"))["share"]
        for bad in ("x", token_of("u2", "a-secret-of-nobody-that-is-long-enough"), share):
            other = device(
                running.url, token=bad, session_id=one.session["session_id"], share=share
            )
            told.append(json.dumps((await other.connect()).get("error")))
            told.append(json.dumps(await other.call("auth", {"token": bad})))
            told.append(json.dumps((await other.call("no_such", {"token": bad}))["error"]))
            for path in ("/api/sessions", f"/api/sessions/{one.session['session_id']}", "/none"):
                told.append((await fetch(running.url + path, bad)).text)
        for wrong in ({"text": [SAID]}, {SAID: token}, token, {"text": SAID * 2000}, None):
            payload = wrong if not isinstance(wrong, dict) else {"client_msg_id": "1", **wrong}
            told.append(json.dumps((await one.call("send", payload))["error"]))
        while "retry_after_ms" not in (ack := await other.call("auth", {"token": share}))["error"]:
            pass
        told.append(json.dumps(ack))
        for path in (
            "/",
            "/healthz",
            "/readyz",
            "/api/info",
            "/socket.io/?EIO=4",
            "/client/app.js",
        ):
            told.append((await fetch(running.url + path, token)).text)
        told.append((await fetch(f"{running.url}/api/sessions", token)).text)
        await one.call("end")
        await one.durable("summary", status="failed")
        await running.says("no summary")
        await running.says("Supabase")
    assert "ended: failed" in running.output
    assert "Traceback" not in running.output
    assert not found(running.output, *KEYS, token, share, SAID)
    for text in told:
        assert not found(text, *KEYS), text


async def test_check_and_bad_settings_tell_no_secret(tmp_path: Path, unkind: str) -> None:
    command = (sys.executable, "-m", "realtime", "--check")
    for more in ({}, {"PORT": "x"}, {"SUPABASE_JWT_SECRET": JWT_SECRET[:20]}):
        environ = environment(unkind, AUTH="supabase", LOG_LEVEL="DEBUG") | more
        async with process(*command, cwd=tmp_path, **environ) as running:
            assert await running.ended() in (2, 3)
        assert not found(running.output, *KEYS, JWT_SECRET[:20])
