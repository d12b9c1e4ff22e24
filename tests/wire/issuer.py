"""A project that signs tokens, with keys of every kind, and forged ones."""

from __future__ import annotations

import asyncio
import json
import time
from functools import cache
from typing import Any

import aiohttp
import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.utils import base64url_encode

SECRET = "a-jwt-secret-of-the-project-with-40-chars"
REQUEST: Any = None  # Supabase's tokens need none
CUSTOM = "https://abc.supabase.co/auth/v1"
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
        self.answers = asyncio.Event()  # cleared: who asks for the keys waits
        self.answers.set()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/auth/v1/.well-known/jwks.json", self._jwks)
        app.router.add_get("/auth/v1/.well-known/openid-configuration", self._about)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self.url = str((await self.server(app)).make_url("/")).rstrip("/")

    async def _jwks(self, request: web.Request) -> web.Response:
        self.asked += 1
        await self.answers.wait()
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


def pem(kid: str) -> bytes:
    key = private(kid).public_key()
    return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def der(kid: str) -> bytes:
    key = private(kid).public_key()
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
