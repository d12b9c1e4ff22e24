"""Whom a function of the operator's lets in."""

from __future__ import annotations

import pytest
from aiohttp import web

from realtime.auth import AuthError, User
from realtime.auth.hook import Hook
from realtime.build.parts import make_authenticator
from realtime.config import ConfigError, Settings
from realtime.protocol import COMMANDS
from tests.support.fetch import fetch
from tests.support.serving import Serve
from tests.wire.issuer import REQUEST, SECRET
from tests.wire.people import HOOK, Devices, by_name, payloads


def not_async(token: str | None, request: web.Request) -> User | None:
    return None


async def test_nothing_is_done_for_nobody_until_a_token_comes(
    serve: Serve, device: Devices
) -> None:
    running = await serve(**HOOK)
    other = device(running.url, token="ada")
    session_id = (await other.connect())["session_id"]
    for bad in (None, "eve"):
        one = device(running.url, token=bad, session_id=session_id)
        refused = await one.connect()
        assert refused["error"]["code"] == "unauthorized"
        assert refused["session_id"] == session_id
        for command in COMMANDS:
            for payload in (payloads(command, session_id), {"wrong": 1}):
                if command != "auth":
                    ack = await one.call(command, payload)
                    assert ack["error"]["code"] == "unauthorized", command
        assert (await one.call("auth", {"token": "eve"}))["error"]["code"] == "unauthorized"
        assert (await one.call("auth", {"token": "bob"}))["ok"]
        assert (await one.call("join", {"session_id": session_id}))["error"]["code"] == "not_found"
        assert (await one.call("create"))["user_id"] == "bob"
        assert (await one.call("auth", {"token": "ada"}))["error"]["code"] == "forbidden"
    cookie = await fetch(f"{running.url}/api/sessions", Cookie="who=ada")
    assert cookie.status == 200
    assert (await fetch(f"{running.url}/api/sessions")).status == 401


async def test_a_hook_that_fails_lets_nobody_in_and_is_told_once(
    serve: Serve, device: Devices, caplog: pytest.LogCaptureFixture
) -> None:
    running = await serve(**HOOK)
    for _ in range(3):
        refused = await device(running.url, token="crash").connect()
        assert refused["error"]["code"] == "unauthorized"
        assert refused["error"]["retryable"]
    assert (await device(running.url, token="wrong").connect())["error"]["retryable"]
    told = [record.getMessage() for record in caplog.records if "AUTH" in record.getMessage()]
    assert len(told) == 2
    assert "RuntimeError at " in told[0]
    assert "secret" not in caplog.text
    with pytest.raises(AuthError, match="right now"):
        await Hook(by_name, timeout_s=0.05).user("slow", REQUEST)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("no.such.module", "cannot be imported: ModuleNotFoundError"),
        (f"{__name__}.missing", "has no missing"),
        (f"{__name__}.not_async", "must be a function: async def"),
        (f"{__name__}.HOOK", "must be a function: async def"),
    ],
)
def test_a_hook_that_cannot_be_used_is_told_at_start(
    settings: Settings, path: str, says: str
) -> None:
    changed = Settings(auth=path, database_path=settings.database_path)
    with pytest.raises(ConfigError, match=f"AUTH={path} .*{says}"):
        make_authenticator(changed, [SECRET])


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"AUTH": "supabase"}, "SUPABASE_URL is missing: AUTH=supabase"),
        ({"AUTH": "my function"}, "AUTH=my function must be one of"),
        ({"AUTH": "my..path"}, "AUTH=my..path must be one of"),
        ({"SUPABASE_JWT_SECRET": "hidden"}, "SUPABASE_JWT_SECRET must have 32"),
    ],
)
def test_a_bad_setting_says_what_to_do(environ: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        Settings.load(environ, env_file=None)
    assert "hidden" not in str(caught.value)
