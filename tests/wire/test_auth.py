"""Who somebody is: tokens good and bad, keys that change, expiry, foreign sessions, shares."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode

from realtime.app import create_app
from realtime.auth import AuthError, User
from realtime.auth.expiry import CLOSE_S, WARN_S, Expiry
from realtime.auth.guests import Guests
from realtime.auth.hook import Hook
from realtime.auth.supabase import SupabaseTokens
from realtime.build.parts import make_authenticator
from realtime.config import ConfigError, Settings
from realtime.log.journal import Journal
from realtime.log.journal.migrations import MIGRATIONS
from realtime.models import Finished, ModelError, TextDelta, ToolCallReady, ToolCallStarted
from realtime.protocol import COMMANDS
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import process
from tests.support.scripted import Script, ScriptedModel
from tests.support.serving import Running, Serve
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite

Devices = Callable[..., Device]
GUEST_SECRET = "a-secret-for-tests-of-32-characters"
SECRET = "a-jwt-secret-of-the-project-with-40-chars"
REQUEST: Any = None  # Supabase's tokens need none
MISSING = "00000000-0000-4000-8000-000000000000"
ALGORITHMS = {
    "ES256": jwt.algorithms.ECAlgorithm,
    "RS256": jwt.algorithms.RSAAlgorithm,
    "EdDSA": jwt.algorithms.OKPAlgorithm,
}


@cache
def private(kid: str) -> Any:
    """A key, the same at each call; its name begins with its kind."""
    if kid.startswith("RS"):
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1()) if kid.startswith("ES") else (
        ed25519.Ed25519PrivateKey.generate()
    )  # fmt: skip


def algorithm(kid: str) -> str:
    return next(name for name in ALGORITHMS if name[:2] == kid[:2])


def jwk(kid: str, **more: Any) -> dict[str, Any]:
    data = ALGORITHMS[algorithm(kid)].to_jwk(private(kid).public_key(), as_dict=True)
    return {**data, "kid": kid, "alg": algorithm(kid), "use": "sig", **more}


class Issuer:
    """A project's URL: its JWKS here, whatever else at the project behind it."""

    def __init__(self, server: Any, behind: str | None) -> None:
        self.server, self._behind = server, behind
        self.keys: list[dict[str, Any]] = [jwk("ES1"), jwk("RS1"), jwk("Ed1")]
        self.down = False
        self.name: str | None = None
        self.asked = 0
        self.delay = 0.0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/auth/v1/.well-known/jwks.json", self._jwks)
        app.router.add_get("/auth/v1/.well-known/openid-configuration", self._about)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self.url = str((await self.server(app)).make_url("/")).rstrip("/")

    async def _jwks(self, request: web.Request) -> web.Response:
        self.asked += 1
        await asyncio.sleep(self.delay)
        return web.Response(status=503) if self.down else web.json_response({"keys": self.keys})

    async def _about(self, request: web.Request) -> web.Response:
        """What the project says of itself; an older Auth says nothing."""
        if self.name is None:
            return web.Response(status=404)
        return web.json_response({"issuer": self.name, "jwks_uri": "…"})

    async def _forward(self, request: web.Request) -> web.Response:
        kept = {
            k: v for k, v in request.headers.items() if k.lower() not in ("host", "accept-encoding")
        }
        async with (
            aiohttp.ClientSession() as http,
            http.request(
                request.method,
                f"{self._behind}{request.path_qs}",
                data=await request.read(),
                headers=kept,
            ) as answer,
        ):
            kind = {"Content-Type": answer.headers.get("Content-Type", "text/plain")}
            return web.Response(status=answer.status, body=await answer.read(), headers=kind)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A signed-in user's; None takes a claim away."""
        now = int(time.time())
        claims = {
            "sub": "11111111-2222-4333-8444-555555555555",
            "aud": "authenticated",
            "iss": f"{self.url}/auth/v1",
            "exp": now + 3600,
            "iat": now,
            "role": "authenticated",
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, kid: str = "ES1", *, key: Any = None, headers: Any = None, **changes: Any
    ) -> str:
        headers = {"kid": kid} if headers is None else headers
        return jwt.encode(
            self.claims(**changes), key or private(kid), algorithm(kid), headers=headers
        )

    def hs256(self, secret: str | bytes = SECRET, headers: Any = None, **changes: Any) -> str:
        return forged({"alg": "HS256", **(headers or {})}, self.claims(**changes), secret)


def forged(header: Any, claims: Any, secret: str | bytes = b"") -> str:
    """Any header, any claims; signed by HMAC with anything, a public key too."""
    key = secret.encode() if isinstance(secret, str) else secret
    body = ".".join(
        base64url_encode(part if isinstance(part, bytes) else json.dumps(part).encode()).decode()
        for part in (header, claims)
    )
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return f"{body}.{base64url_encode(hmac.sign(body.encode(), key)).decode() if key else ''}"


@pytest.fixture
async def issuer(aiohttp_server: Any) -> Issuer:
    one = Issuer(aiohttp_server, None)
    await one.start()
    return one


@pytest.fixture(scope="module")
def project() -> Iterator[SupabaseLite]:
    with (
        Postgres() as postgres,
        SupabaseLite(postgres.database(), schema=SCHEMA.read_text()) as lite,
    ):
        yield lite


@pytest.fixture
async def clocked(issuer: Issuer) -> AsyncIterator[tuple[SupabaseTokens, list[float]]]:
    """The verifier, and its clock in a box."""
    now = [1000.0]
    tokens = SupabaseTokens(issuer.url, clock=lambda: now[0])
    yield tokens, now
    await tokens.close()


# ------------------------------------------------------------------- tokens


def pem(kid: str) -> bytes:
    key = private(kid).public_key()
    return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def der(kid: str) -> bytes:
    key = private(kid).public_key()
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def swapped(token: str, **claims: Any) -> str:
    """Other claims under the same signature."""
    header, _, signature = token.split(".")
    return f"{header}.{base64url_encode(json.dumps(claims).encode()).decode()}.{signature}"


NOW = time.time
BAD: dict[str, Callable[[Issuer], str | None]] = {
    "none given": lambda i: None,
    "empty": lambda i: "",
    "a space": lambda i: " ",
    "garbage": lambda i: "garbage",
    "three dots": lambda i: "...",
    "not base64": lambda i: "§§§.ü.ß",
    "lone surrogate": lambda i: i.token()[:-1] + "\udcff",
    "NUL": lambda i: i.token() + "\0",
    "a header of deep JSON": lambda i: forged(b"[" * 20000, i.claims()),
    "a header that is a list": lambda i: forged(["ES256"], i.claims()),
    "a header without alg": lambda i: forged({"kid": "ES1"}, i.claims(), SECRET),
    "alg none": lambda i: forged({"alg": "none"}, i.claims()),
    "alg None with a kid": lambda i: forged({"alg": "None", "kid": "ES1"}, i.claims()),
    "alg as a list": lambda i: forged({"alg": ["ES256"], "kid": "ES1"}, i.claims(), SECRET),
    "alg HS512": lambda i: forged({"alg": "HS512"}, i.claims(), SECRET),
    "HS256 with the RSA public key as PEM": lambda i: i.hs256(pem("RS1"), {"kid": "RS1"}),
    "HS256 with the RSA public key as DER": lambda i: i.hs256(der("RS1"), {"kid": "RS1"}),
    "HS256 with the EC public key": lambda i: i.hs256(pem("ES1"), {"kid": "ES1"}),
    "HS256 with another secret": lambda i: i.hs256("another-secret-that-is-as-long-as-ours"),
    "HS256 with the kid as secret": lambda i: i.hs256("ES1", {"kid": "ES1"}),
    "RS256 under the kid of an EC key": lambda i: i.token("RS1", headers={"kid": "ES1"}),
    "ES256 under the kid of an RSA key": lambda i: i.token("ES1", headers={"kid": "RS1"}),
    "PS256 with the RSA key": lambda i: jwt.encode(
        i.claims(), private("RS1"), "PS256", headers={"kid": "RS1"}
    ),
    "another key of the same kind": lambda i: i.token(key=private("ES9")),
    "unknown kid": lambda i: i.token("ES9"),
    "no kid": lambda i: i.token(headers={}),
    "kid as a number": lambda i: forged({"alg": "ES256", "kid": 1}, i.claims(), SECRET),
    "a key of its own in the header": lambda i: i.token("ES9", headers={"jwk": jwk("ES9")}),
    "a key set of its own in the header": lambda i: i.token(
        "ES9", headers={"kid": "ES1", "jku": "http://127.0.0.1:9/"}
    ),
    "an unknown critical header": lambda i: i.token(
        headers={"kid": "ES1", "crit": ["x"], "x": 1}
    ),
    "wrong iss": lambda i: i.token(iss="https://evil.example/auth/v1"),
    "no iss": lambda i: i.token(iss=None),
    "iss of the project without the path": lambda i: i.token(iss=i.url),
    "wrong aud": lambda i: i.token(aud="anon"),
    "no aud": lambda i: i.token(aud=None),
    "expired beyond the leeway": lambda i: i.token(exp=int(NOW()) - 32),
    "no exp": lambda i: i.token(exp=None),
    "exp as a text": lambda i: i.token(exp="tomorrow"),
    "exp without an end": lambda i: i.token(exp=float("inf")),
    "nbf in the future": lambda i: i.token(nbf=int(NOW()) + 60),
    "issued in the future": lambda i: i.token(iat=int(NOW()) + 60),
    "no sub": lambda i: i.token(sub=None),
    "empty sub": lambda i: i.token(sub=""),
    "sub as a number": lambda i: forged({"alg": "HS256"}, i.claims(sub=7), SECRET),
    "truncated": lambda i: i.token()[:-10],
    "without its signature": lambda i: i.token().rpartition(".")[0] + ".",
    "two parts": lambda i: i.token().rpartition(".")[0],
    "four parts": lambda i: i.token() + ".x",
    "other claims": lambda i: swapped(i.token(), **i.claims(sub="somebody-else")),
    "a key for the API": lambda i: i.hs256(iss="supabase", aud=None, sub=None, role="service_role"),
    "HS256, wrong iss": lambda i: i.hs256(iss="https://evil.example/auth/v1"),
    "HS256, expired": lambda i: i.hs256(exp=int(NOW()) - 32),
    "a guest's": lambda i: Guests(SECRET).new()[1],
}  # fmt: skip


@pytest.mark.parametrize("secret", ["", SECRET], ids=["by keys", "by secret too"])
@pytest.mark.parametrize("name", BAD)
async def test_a_bad_token_is_nobody(issuer: Issuer, name: str, secret: str) -> None:
    tokens, token = SupabaseTokens(issuer.url, secret=secret), BAD[name](issuer)
    with pytest.raises(AuthError) as caught:
        await tokens.user(token, REQUEST)
    said = str(caught.value)
    assert len(said) < 100
    assert not any(part in said for part in (token or "").split(".") if part.strip())
    assert not caught.value.retryable
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kid", ["ES1", "RS1", "Ed1"])
async def test_a_good_token_is_its_user(issuer: Issuer, kid: str) -> None:
    exp = int(NOW()) - 25  # within the leeway
    user = await SupabaseTokens(issuer.url).user(issuer.token(kid, exp=exp), REQUEST)
    assert user == User("11111111-2222-4333-8444-555555555555", exp)


async def test_the_secret_is_needed_for_hs256(issuer: Issuer) -> None:
    assert await SupabaseTokens(issuer.url, secret=SECRET).user(issuer.hs256(), REQUEST)
    with pytest.raises(AuthError, match="not accepted"):
        await SupabaseTokens(issuer.url).user(issuer.hs256(), REQUEST)
    assert issuer.asked == 0, "the keys have nothing to do with it"


async def test_a_published_key_that_is_no_public_key_is_left_out(issuer: Issuer) -> None:
    secret = base64url_encode(SECRET.encode()).decode()
    issuer.keys = [
        {"kty": "oct", "k": secret, "kid": "ES1", "alg": "HS256"},
        jwk("RS1", alg="HS256"),
        jwk("Ed1", use="enc"),
        {"kty": "EC", "crv": "P-256", "kid": "ES2", "x": "?"},
        {"kty": ["EC"], "crv": {}, "kid": "ES3"},
        {"kid": 4},
        jwk("ES5"),
    ]
    tokens = SupabaseTokens(issuer.url)
    assert await tokens.user(issuer.token("ES5"), REQUEST)
    for bad in (
        issuer.hs256(headers={"kid": "ES1"}),
        issuer.hs256(pem("RS1"), {"kid": "RS1"}),
        issuer.token("Ed1"),
    ):
        with pytest.raises(AuthError):
            await tokens.user(bad, REQUEST)


# --------------------------------------------------------------------- keys

Clocked = tuple[SupabaseTokens, list[float]]


async def test_a_new_key_is_fetched_when_it_is_first_seen(issuer: Issuer, clocked: Clocked) -> None:
    tokens, now = clocked
    await tokens.user(issuer.token("ES1"), REQUEST)
    issuer.keys = [jwk("ES2")]
    now[0] += 31
    await tokens.user(issuer.token("ES2"), REQUEST)
    with pytest.raises(AuthError, match="unknown key"):
        await tokens.user(issuer.token("ES1"), REQUEST)
    assert issuer.asked == 2


async def test_unknown_keys_fetch_at_most_every_30_s(issuer: Issuer, clocked: Clocked) -> None:
    tokens, now = clocked
    await tokens.user(issuer.token("ES1"), REQUEST)
    for elapsed, asked in ((0.0, 1), (29.9, 1), (30.1, 2), (30.2, 2), (60.0, 2), (60.2, 3)):
        now[0] = 1000 + elapsed
        for kid in ("ES8", "ES9"):
            with pytest.raises(AuthError, match="unknown key"):
                await tokens.user(issuer.token(kid), REQUEST)
        assert issuer.asked == asked, elapsed


async def test_all_who_wait_share_one_request(issuer: Issuer, clocked: Clocked) -> None:
    issuer.delay = 0.1
    tokens, now = clocked
    many = [tokens.user(issuer.token(kid), REQUEST) for kid in ("ES1", "RS1", "Ed1") * 20]
    assert len(await asyncio.gather(*many)) == 60
    assert issuer.asked == 1
    issuer.keys.append(jwk("ES2"))
    now[0] += 31
    await asyncio.gather(*(tokens.user(issuer.token("ES2"), REQUEST) for _ in range(20)))
    assert issuer.asked == 2


async def test_one_who_leaves_does_not_cancel_the_request_of_the_others(
    issuer: Issuer, clocked: Clocked
) -> None:
    issuer.delay = 0.1
    first, second = (
        asyncio.create_task(clocked[0].user(issuer.token(), REQUEST)) for _ in range(2)
    )
    await asyncio.sleep(0.03)
    first.cancel()
    assert await second
    assert issuer.asked == 1


async def test_known_keys_stay_good_while_the_endpoint_is_down(
    issuer: Issuer, clocked: Clocked, caplog: pytest.LogCaptureFixture
) -> None:
    tokens, now = clocked
    await tokens.user(issuer.token("ES1"), REQUEST)
    issuer.down, issuer.delay = True, 0.5
    for hour in range(3):
        now[0] += 3600
        begun = time.monotonic()
        await tokens.user(issuer.token("ES1"), REQUEST)
        assert time.monotonic() - begun < 0.4, "a known key waits for nothing"
        with pytest.raises(AuthError, match="unknown key"):
            await tokens.user(issuer.token("ES9"), REQUEST)
        assert issuer.asked == hour + 2
    assert "cannot be fetched: it answered 503" in caplog.text


async def test_a_revoked_key_goes_within_ten_minutes(issuer: Issuer, clocked: Clocked) -> None:
    tokens, now = clocked
    await tokens.user(issuer.token("ES1"), REQUEST)
    issuer.keys = [jwk("RS1")]
    now[0] += 601
    await tokens.user(issuer.token("ES1"), REQUEST)  # fetches behind its back
    async with asyncio.timeout(5):
        while True:
            try:
                await tokens.user(issuer.token("ES1"), REQUEST)
            except AuthError:
                break
            await asyncio.sleep(0.01)
    assert issuer.asked == 2


async def test_without_any_key_yet_it_can_be_tried_again_soon(
    issuer: Issuer, clocked: Clocked
) -> None:
    tokens, now = clocked
    issuer.down = True
    for _ in range(3):
        with pytest.raises(AuthError) as caught:
            await tokens.user(issuer.token(), REQUEST)
        assert caught.value.retryable
    assert issuer.asked == 1
    issuer.down = False
    now[0] += 2.1
    assert await tokens.user(issuer.token(), REQUEST)


@pytest.mark.parametrize("body", ["", "[]", '{"keys": 1}', "[" * 10000, '{"keys"'])
async def test_what_is_no_key_set_changes_nothing(aiohttp_server: Any, body: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=body)

    app = web.Application()
    app.router.add_get("/auth/v1/.well-known/jwks.json", answer)
    url = str((await aiohttp_server(app)).make_url("/"))
    token = jwt.encode({}, private("ES1"), "ES256", headers={"kid": "ES1"})
    with pytest.raises(AuthError, match="right now"):
        await SupabaseTokens(url).user(token, REQUEST)


# --------------------------------------------------- a socket and its token


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


async def gone(one: Device) -> None:
    """Until the server has closed the device's transport."""
    async with asyncio.timeout(10):
        while one.client.connected:
            await asyncio.sleep(0.01)


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


CUSTOM = "https://abc.supabase.co/auth/v1"


@pytest.mark.parametrize(
    ("accepted", "given"),
    [
        (CUSTOM, CUSTOM),
        (CUSTOM, f"{CUSTOM}/"),
        (CUSTOM, "https://ABC.supabase.co:443/auth/v1"),
        ("https://auth.example.com", "https://auth.example.com/"),
        ("http://localhost:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:54321/auth/v1", "http://localhost:54321/auth/v1"),
        ("supabase", "supabase"),
    ],
)
async def test_the_issuer_is_the_one_that_the_setting_names(
    issuer: Issuer, accepted: str, given: str
) -> None:
    tokens = SupabaseTokens(issuer.url, issuer=accepted, secret=SECRET)
    for token in (issuer.token(iss=given), issuer.hs256(iss=given), issuer.hs256(iss="")):
        assert await tokens.user(token, REQUEST)
    for other in (issuer.url, f"{issuer.url}/auth/v1", f"{accepted}/more", f"{accepted}?x"):
        with pytest.raises(AuthError, match="another issuer"):
            await tokens.user(issuer.token(iss=other), REQUEST)
    await tokens.close()


async def test_this_machine_has_several_names_and_each_port_is_another_project(
    issuer: Issuer,
) -> None:
    port = issuer.url.rpartition(":")[2]
    for here in ("localhost", "127.0.0.1", "[::1]"):
        tokens = SupabaseTokens(issuer.url)
        assert await tokens.user(issuer.token(iss=f"http://{here}:{port}/auth/v1"), REQUEST)
        for other in (
            f"https://{here}:{port}/auth/v1",
            f"http://{here}:1/auth/v1",
            f"http://{here}/auth/v1",
            f"http://{here}.example:{port}/auth/v1",
            f"http://{here}:{port}@evil.example/auth/v1",
            f"http://{here}:{port}/auth/v2",
            f"http://10.0.0.1:{port}/auth/v1",
        ):
            with pytest.raises(AuthError, match="another issuer"):
                await tokens.user(issuer.token(iss=other), REQUEST)
        await tokens.close()


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
        command = (sys.executable, "-m", "realtime", "--check")
        async with process(*command, cwd=tmp_path, **environ, **more) as ran:
            return await ran.ended(), ran.output

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


# ------------------------------------------------------- a function of one's own


async def by_name(token: str | None, request: web.Request) -> User | None:
    if token == "crash":
        raise RuntimeError(f"no database for {token} at postgres://secret@host")
    if token == "wrong":
        return "ada"  # type: ignore[return-value]
    if token == "slow":
        await asyncio.sleep(60)
    if token is None:
        token = request.cookies.get("who")
    return User(token) if token in ("ada", "bob") else None


def not_async(token: str | None, request: web.Request) -> User | None:
    return None


HOOK = {"auth": f"{__name__}.by_name"}


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
        (f"{__name__}.MISSING", "must be a function: async def"),
    ],
)
def test_a_hook_that_cannot_be_used_is_told_at_start(
    settings: Settings, path: str, says: str
) -> None:
    changed = Settings(auth=path, database_path=settings.database_path)
    with pytest.raises(ConfigError, match=f"AUTH={path} .*{says}"):
        make_authenticator(changed, SECRET)


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


# ------------------------------------------------------------------- guests


async def test_a_bad_guest_token_is_a_new_guest_and_401_over_http(
    serve: Serve, device: Devices
) -> None:
    running = await serve()
    one = device(running.url)
    me = (await one.connect())["user_id"]
    token = one.auth["token"]
    old = jwt.encode({"sub": me, "aud": "guest", "exp": int(NOW()) - 60}, GUEST_SECRET)
    share = (await one.call("share"))["share"]
    for bad in (old, token[:-4], "x", share, Guests(SECRET).new()[1]):
        session = await device(running.url, token=bad).connect()
        assert session["user_id"].startswith("guest-")
        assert session["user_id"] != me
        assert (await fetch(f"{running.url}/api/sessions", bad)).status == 401
    for header in ("", "Bearer", "Bearer ", f"Basic {token}", "Bearer \udcff\udcfe"):
        assert (await fetch(f"{running.url}/api/sessions", Authorization=header)).status == 401
    lower = await fetch(f"{running.url}/api/sessions", Authorization=f"bearer {token}")
    assert lower.status == 200
    assert (await device(running.url, token=token).connect())["user_id"] == me
    assert (await one.call("auth", {"token": token}))["ok"]


# ------------------------------------------------ two users, every command


def payloads(command: str, session_id: Any) -> dict[str, Any]:
    own: dict[str, dict[str, Any]] = {
        "create": {},
        "auth": {"token": "x"},
        "send": {"text": "hello", "client_msg_id": "1"},
        "continue": {"run_id": MISSING},
        "approve": {"tool_call_id": MISSING, "decision": "approve"},
        "tool_result": {"tool_call_id": MISSING, "output": 1},
    }
    named = {} if command in ("create", "auth") else {"session_id": session_id}
    return {**named, **own.get(command, {})}


NAMING = [command for command in COMMANDS if command not in ("create", "auth")]


async def test_a_session_of_another_answers_like_none(serve: Serve, device: Devices) -> None:
    running = await serve(**HOOK)
    users = {name: device(running.url, token=name) for name in ("ada", "bob")}
    ids = {name: (await one.connect())["session_id"] for name, one in users.items()}
    for name, one in users.items():
        foreign = next(ids[other] for other in ids if other != name)
        malformed = [
            "",
            "x",
            "../..",
            "\0",
            "%00",
            foreign.upper(),
            f" {foreign}",
            "ü" * 3000,
            "'--",
        ]
        for command in NAMING:
            expected = await one.call(command, payloads(command, MISSING))
            assert expected["error"]["code"] == "not_found", command
            for session_id in (foreign, *malformed):
                assert await one.call(command, payloads(command, session_id)) == expected, command
            for wrong in (7, [foreign], {"id": foreign}, True):
                ack = await one.call(command, payloads(command, wrong))
                assert ack["error"]["code"] == "bad_request", command
        for route in routes_of_a_session():
            for query in ("", "?before_seq=1"):
                url = running.url + route + query
                expected_http = await fetch(
                    url.format(session_id=MISSING, output_ref=MISSING), name
                )
                for session_id in (foreign, "x", foreign.upper()):
                    got = await fetch(url.format(session_id=session_id, output_ref=MISSING), name)
                    assert (got.status, got.text) == (404, expected_http.text)
        refused = [
            await device(running.url, token=name, session_id=session_id).connect()
            for session_id in (MISSING, foreign, foreign.upper())
        ]
        assert [answer["error"] for answer in refused] == [refused[0]["error"]] * 3
    for name, one in users.items():
        assert [event["user_id"] for event in one.events("session_started")] == [name]
        assert sorted(one.log) == [1], "nothing has happened to it"
        for command in NAMING:
            ack = await one.call(command, payloads(command, ids[name]))
            assert ack.get("error", {}).get("message") != expected["error"]["message"], command
            if command == "leave":
                await one.call("join", {"session_id": ids[name]})


ASKED: Script = [
    [TextDelta("so "), ToolCallStarted("1", "no_such_tool")],
    [ToolCallReady("1", "no_such_tool", "{}"), Finished("tool_calls")],
]


async def test_an_id_of_another_answers_like_none_in_a_session_of_ones_own(
    serve: Serve, device: Devices
) -> None:
    """A run that is active, one that waits and one that can go on, a tool call, messages."""
    gate = asyncio.Event()
    model = ScriptedModel(ASKED, [[TextDelta("then")], ModelError("cut", "cut")], [gate])
    running = await serve(model, **HOOK)
    ada, bob = device(running.url, token="ada"), device(running.url, token="bob")
    await ada.connect()
    mine = (await bob.connect())["session_id"]
    broken = await ada.send("one")
    assert (await ada.done(broken["run_id"]))["status"] == "interrupted"
    active, queued = await ada.send("two"), await ada.send("three")
    call = (await ada.durable("tool_call"))[0]
    ids = {
        value
        for ack in (broken, active, queued, call)
        for key, value in ack.items()
        if key in ("run_id", "message_id", "tool_call_id", "client_msg_id")
    } | {ada.session["session_id"]}
    assert len(ids) >= 8
    before = dict(ada.log)
    for command in COMMANDS:
        for field in payloads(command, mine).keys() & {"run_id", "tool_call_id"} or (
            {"run_id"} if command == "stop" else set()
        ):
            expected = await bob.call(command, {**payloads(command, mine), field: MISSING})
            for id in ids:
                ack = await bob.call(command, {**payloads(command, mine), field: id})
                assert told(ack) == told(expected), (command, field)
    share = (await ada.call("share"))["share"]
    for command in ("history", "send", "stop"):
        ack = await bob.call(command, payloads(command, ada.session["session_id"]))
        assert ack["error"]["code"] == "not_found", "a share that was not used lets nobody in"
    assert (await bob.call("join", {"session_id": mine, "share": share}))["ok"]
    assert ada.log == before, "nothing has happened to it"
    assert sorted(bob.log) == [1]
    gate.set()


def told(ack: dict[str, Any]) -> dict[str, Any]:
    """Without the id that was asked for, and the time that it took."""
    return {key: value for key, value in ack.items() if key not in ("run_id", "ms")}


def routes_of_a_session() -> list[str]:
    app = create_app(Settings())
    paths = {resource.canonical for resource in app.router.resources()}
    return [path for path in paths if "{session_id}" in path]


# ------------------------------------------------------------------- shares


async def owner_of(running: Running, device: Devices) -> tuple[Device, str]:
    one = device(running.url)
    session_id = (await one.connect())["session_id"]
    await one.done((await one.send("hello"))["run_id"])
    return one, session_id


async def test_a_share_goes_as_far_as_it_says(serve: Serve, device: Devices) -> None:
    running = await serve()
    one, session_id = await owner_of(running, device)
    read = (await one.call("share", {"access": "read"}))["share"]
    full = (await one.call("share"))["share"]
    assert (await one.call("share", {"access": "all"}))["error"]["code"] == "bad_request"

    reader = device(running.url, session_id=session_id, share=read)
    joined = await reader.connect()
    assert (joined["head"], joined["access"]) == (one.last_seq, "read")
    allowed = {"create", "auth", "join", "history", "leave"}
    for command in set(COMMANDS) - allowed:
        ack = await reader.call(command, payloads(command, session_id))
        assert ack["error"]["code"] == "forbidden", command
    assert (await reader.call("history", {"session_id": session_id}))["events"]
    assert (await reader.call("join", {"session_id": session_id}))["ok"]
    run_id = (await one.send("for all to see"))["run_id"]
    await reader.done(run_id)
    assert (await reader.call("leave", {"session_id": session_id}))["ok"]

    writer = device(running.url)
    await writer.connect()
    assert (await writer.call("join", {"session_id": session_id}))["error"]["code"] == "not_found"
    joined = await writer.call("join", {"session_id": session_id, "share": full})
    assert joined["access"] == "full"
    assert (await writer.send("me too", session_id=session_id))["ok"]
    for command in ("share", "unshare"):
        ack = await writer.call(command, {"session_id": session_id})
        assert ack["error"]["code"] == "forbidden"
    own = (await writer.call("create"))["session_id"]
    joined = await writer.call("join", {"session_id": own, "share": full})
    assert joined["ok"], "a share of another session changes nothing"
    stranger = device(running.url, session_id=own, share=full)
    assert (await stranger.connect())["error"]["code"] == "not_found"
    joined = await one.call("join", {"session_id": session_id, "share": read})
    assert joined["access"] == "owner"
    assert (await one.send("still mine", session_id=session_id))["ok"], "the owner stays the owner"


async def test_unshare_shows_out_who_came_by_a_share_for_good(
    serve: Serve, device: Devices
) -> None:
    running = await serve()
    one, session_id = await owner_of(running, device)
    shares = [(await one.call("share", {"access": a}))["share"] for a in ("read", "full")]
    token = one.auth["token"]
    both = device(running.url, token=token, session_id=session_id, share=shares[0])
    await both.connect()
    guests = [device(running.url, session_id=session_id, share=share) for share in shares]
    for guest in guests:
        assert "error" not in await guest.connect()
    await one.wait("presence", devices=4)
    before = len(one.record)
    assert await one.call("unshare") == {"ok": True}
    for guest in guests:
        await gone(guest)
    await one.wait("presence", since=before, devices=2)
    for guest in guests:
        refused = await guest.connect()
        assert refused["error"]["code"] == "not_found"
        ack = await guest.call("history", {"session_id": session_id})
        assert ack["error"]["code"] == "not_found"
    assert both.client.connected, "the owner's own devices stay"
    assert (await one.call("unshare"))["ok"], "twice is as once"
    again = (await one.call("share"))["share"]

    await running.stop()
    running = await serve()
    for share, code in ((shares[0], "not_found"), (shares[1], "not_found"), (again, None)):
        guest = device(running.url, session_id=session_id, share=share)
        assert (await guest.connect()).get("error", {}).get("code") == code, "after a restart"
    one.url = running.url
    await one.connect()
    await one.call("unshare")
    await one.call("end")
    await running.stop()
    running = await serve()
    guest = device(running.url, session_id=session_id, share=again)
    assert (await guest.connect())["error"]["code"] == "not_found"


async def test_unshare_overtakes_a_join(serve: Serve, device: Devices) -> None:
    running = await serve()
    one, session_id = await owner_of(running, device)
    share = (await one.call("share"))["share"]
    guest = device(running.url)
    await guest.connect()
    async with running.server.hub.hold(session_id) as actor:
        assert actor
        reading, revoked = asyncio.Event(), asyncio.Event()
        snapshot = actor._tail.snapshot

        async def slow() -> Any:
            reading.set()
            await revoked.wait()
            return await snapshot()

        actor._tail.snapshot = slow  # type: ignore[method-assign]
        joining = asyncio.create_task(
            guest.call("join", {"session_id": session_id, "share": share})
        )
        await reading.wait()
        assert (await one.call("unshare"))["ok"]
        revoked.set()
        assert (await joining)["error"]["code"] == "not_found"
        assert len(actor.presence.devices) == 1


async def test_an_ended_session_that_nobody_watches_is_unshared_too(
    serve: Serve, device: Devices
) -> None:
    running = await serve()
    one, session_id = await owner_of(running, device)
    share = (await one.call("share"))["share"]
    await one.call("end")
    await one.durable("summary")
    await one.call("leave", {"session_id": session_id})
    assert not running.server.hub.holds(session_id)
    assert (await one.call("unshare", {"session_id": session_id}))["ok"]
    guest = device(running.url, session_id=session_id, share=share)
    assert (await guest.connect())["error"]["code"] == "not_found"


def test_an_older_journal_is_brought_along(tmp_path: Path) -> None:
    path = str(tmp_path / "old.db")
    with sqlite3.connect(path) as old:
        old.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version=1;")
        old.execute(
            "INSERT INTO sessions VALUES ('s', 'ada', 1, 5, NULL, NULL, NULL, 'none', 0, NULL)"
        )
    old.close()
    journal = Journal(path)
    found = journal.session("s")
    journal.close()
    assert found
    assert (found[0].row.user_id, found[0].left_at, found[0].share_key) == ("ada", None, None)
