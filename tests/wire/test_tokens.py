"""A token in, a user out: tokens good and bad, and whose issuer they name."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from jwt.utils import base64url_encode

from realtime.auth import AuthError, User
from realtime.auth.guests import Guests
from realtime.auth.supabase import SupabaseTokens
from tests.wire.issuer import CUSTOM, REQUEST, SECRET, Issuer, der, forged, jwk, pem, private


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
