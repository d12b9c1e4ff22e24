"""A user of the project signs in; a token that expires is renewed, or the socket goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import jwt
import pytest

from realtime.auth.expiry import CLOSE_S, WARN_S, Expiry
from realtime.auth.guests import Guests
from tests.support.fetch import fetch
from tests.support.process import SECRET as GUEST_SECRET
from tests.support.process import realtime
from tests.support.serving import Serve
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite
from tests.wire.issuer import CUSTOM, SECRET, Issuer, private
from tests.wire.people import Devices, gone


@pytest.fixture(scope="module")
def project() -> Iterator[SupabaseLite]:
    with (
        Postgres() as postgres,
        SupabaseLite(postgres.database(), schema=SCHEMA.read_text()) as lite,
    ):
        yield lite


async def sign_in(project: SupabaseLite, email: str) -> tuple[str, str]:
    """By the project's own HTTP: sign up, then sign in; the user's id and access token."""
    who = {"email": email, "password": "correct horse battery"}
    headers = {"apikey": project.publishable_key}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{project.url}/auth/v1/signup", json=who) as made:
            assert made.status == 200, await made.text()
        url = f"{project.url}/auth/v1/token?grant_type=password"
        async with http.post(url, json=who) as signed_in:
            data = await signed_in.json()
    return data["user"]["id"], data["access_token"]


def with_project(project: SupabaseLite, **changes: Any) -> dict[str, Any]:
    return {
        "auth": "supabase",
        "supabase_url": project.url,
        "supabase_key": project.secret_key,
        "supabase_jwt_secret": project.jwt_secret,
        **changes,
    }


async def test_a_user_of_the_project_signs_in(
    serve: Serve, device: Devices, project: SupabaseLite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    running = await serve(**with_project(project))
    user_id, token = await sign_in(project, f"{uuid4()}@example.com")
    one = device(running.url, token=token)
    session = await one.connect()
    assert session["user_id"] == user_id
    assert "guest_token" not in session
    assert (await one.done((await one.send("hello"))["run_id"]))["status"] == "completed"
    listed = (await fetch(f"{running.url}/api/sessions", token)).json()["sessions"]
    assert [row["user_id"] for row in listed] == [user_id]
    for bad in (token[:-8], Guests(GUEST_SECRET).new()[1], None):
        assert (await fetch(f"{running.url}/api/sessions", bad)).status == 401
    await one.drop()
    await running.stop()
    where = f"session_id = '{session['session_id']}'"
    assert project.psql(f"select user_id from sessions where {where}").strip() == user_id
    for secret in (token, token.split(".")[2], project.jwt_secret, project.secret_key):
        assert secret not in caplog.text


async def test_a_published_key_and_its_successor_sign_in_too(
    serve: Serve, device: Devices, project: SupabaseLite, aiohttp_server: Any
) -> None:
    issuer = Issuer(aiohttp_server, project.url)
    await issuer.start()
    running = await serve(**with_project(project, supabase_url=issuer.url, supabase_jwt_secret=""))
    for kid in ("ES1", "RS1", "Ed1"):
        sub = str(uuid4())
        session = await device(running.url, token=issuer.token(kid, sub=sub)).connect()
        assert session["user_id"] == sub
    refused = await device(running.url, token=issuer.hs256(project.jwt_secret)).connect()
    assert refused["error"]["code"] == "unauthorized"


async def test_the_log_says_once_which_issuer_is_refused_and_what_to_do(
    serve: Serve,
    device: Devices,
    project: SupabaseLite,
    aiohttp_server: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    issuer = Issuer(aiohttp_server, project.url)
    await issuer.start()
    here = with_project(project, supabase_url=issuer.url, supabase_jwt_secret="")
    running = await serve(**here)
    for _ in range(3):
        refused = await device(running.url, token=issuer.token(iss=CUSTOM)).connect()
        assert refused["error"]["code"] == "unauthorized"
        assert CUSTOM not in refused["error"]["message"]
    await device(running.url, token=issuer.token(key=private("ES9"), iss="https://evil")).connect()
    await device(running.url, token=issuer.token(iss=None)).connect()
    told = [record.getMessage() for record in caplog.records if "issuer" in record.getMessage()]
    assert len(told) == 2, "a token that somebody else signed says nothing"
    assert f"{issuer.url}/auth/v1" in told[0]
    assert f"SUPABASE_JWT_ISSUER={CUSTOM}" in told[0]
    assert f"GOTRUE_JWT_ISSUER={issuer.url}/auth/v1" in told[1]

    await running.stop()
    running = await serve(**here, supabase_jwt_issuer=CUSTOM)
    assert "error" not in await device(running.url, token=issuer.token(iss=CUSTOM)).connect()


async def test_a_check_says_what_would_keep_users_out(
    tmp_path: Path, project: SupabaseLite, aiohttp_server: Any
) -> None:
    issuer = Issuer(aiohttp_server, project.url)
    await issuer.start()
    environ = {
        "AUTH": "supabase",
        "SUPABASE_URL": issuer.url,
        "SUPABASE_KEY": project.secret_key,
        "DATABASE_PATH": str(tmp_path / "journal.db"),
    }

    async def check(**more: str) -> tuple[int, str]:
        return await realtime("--check", cwd=tmp_path, **environ, **more)

    code, output = await check()
    assert (code, "ok    auth supabase" in output) == (0, True), output
    issuer.name = CUSTOM
    code, output = await check()
    assert code == 3
    assert f"set SUPABASE_JWT_ISSUER={CUSTOM}" in output
    code, output = await check(SUPABASE_JWT_ISSUER=CUSTOM)
    assert (code, f"ok    auth supabase, issuer {CUSTOM}" in output) == (0, True), output
    issuer.name, issuer.keys = f"{issuer.url}/auth/v1", []
    code, output = await check()
    assert code == 3
    assert "set SUPABASE_JWT_SECRET" in output
    assert (await check(SUPABASE_JWT_SECRET=SECRET))[0] == 0
    issuer.down = True
    code, output = await check()
    assert code == 3
    assert "cannot be fetched: it answered 503" in output


async def test_a_token_that_expires_closes_the_socket_unless_it_is_renewed(
    serve: Serve, device: Devices, project: SupabaseLite
) -> None:
    running = await serve(**with_project(project))

    def token(exp: float, sub: str = "ada") -> str:
        claims = {"sub": sub, "aud": "authenticated", "exp": int(exp)}
        return jwt.encode(claims, project.jwt_secret, "HS256")

    now = time.time()
    exp = int(now) - CLOSE_S + 4
    leaves, renews = (device(running.url, token=token(exp)) for _ in range(2))
    for one in (leaves, renews):
        assert "error" not in await one.connect()
        await one.wait("server", type="token_expiring")
    foreign = await renews.call("auth", {"token": token(now + 600, "eve")})
    assert foreign["error"]["code"] == "forbidden"
    assert (await renews.call("auth", {"token": "x"}))["error"]["code"] == "unauthorized"
    fresh = int(now) + 600
    assert await renews.call("auth", {"token": token(fresh)}) == {"ok": True, "exp": fresh}
    await gone(leaves)
    assert exp + CLOSE_S - 1 <= time.time() <= exp + 30
    await asyncio.sleep(max(0, exp + 31 - time.time()))
    assert renews.client.connected
    assert (await renews.send("still here"))["ok"]
    refused = await leaves.connect()
    assert refused["error"]["message"] == "the token has expired"
    await leaves.drop()
    leaves.auth["token"] = token(fresh)
    assert (await leaves.connect())["recovered"], "a fresh one goes on where it was"


async def test_the_warning_comes_a_minute_before() -> None:
    warned, closed = asyncio.Event(), asyncio.Event()
    expiry = Expiry(warned.set, closed.set)
    expiry.watch(int(time.time()) + WARN_S + 3)
    await asyncio.sleep(0.5)
    assert not warned.is_set()
    async with asyncio.timeout(15):
        await warned.wait()
    warned.clear()
    expiry.watch(None)
    assert not closed.is_set()
    expiry.watch(int(time.time()) - CLOSE_S - 1)
    async with asyncio.timeout(15):
        await closed.wait()
        await warned.wait()
