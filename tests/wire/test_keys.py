"""The keys that a project publishes: new ones, revoked ones, and none that can be fetched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from aiohttp import web

from realtime.auth import AuthError
from realtime.auth.supabase import SupabaseTokens
from tests.wire.issuer import REQUEST, Issuer, jwk, private

Clocked = tuple[SupabaseTokens, list[float]]


@pytest.fixture
async def clocked(issuer: Issuer) -> AsyncIterator[tuple[SupabaseTokens, list[float]]]:
    """The verifier, and its clock in a box."""
    now = [1000.0]
    tokens = SupabaseTokens(issuer.url, clock=lambda: now[0])
    yield tokens, now
    await tokens.close()


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
    tokens, now = clocked
    issuer.answers.clear()
    many = asyncio.gather(
        *(tokens.user(issuer.token(kid), REQUEST) for kid in ("ES1", "RS1", "Ed1") * 20)
    )
    await asked(issuer, 1)
    issuer.answers.set()
    assert len(await many) == 60
    assert issuer.asked == 1
    issuer.keys.append(jwk("ES2"))
    now[0] += 31
    issuer.answers.clear()
    many = asyncio.gather(*(tokens.user(issuer.token("ES2"), REQUEST) for _ in range(20)))
    await asked(issuer, 2)
    issuer.answers.set()
    await many
    assert issuer.asked == 2


async def asked(issuer: Issuer, times: int) -> None:
    async with asyncio.timeout(10):
        while issuer.asked < times:
            await asyncio.sleep(0.01)


async def test_one_who_leaves_does_not_cancel_the_request_of_the_others(
    issuer: Issuer, clocked: Clocked
) -> None:
    issuer.answers.clear()
    first, second = (
        asyncio.create_task(clocked[0].user(issuer.token(), REQUEST)) for _ in range(2)
    )
    await asked(issuer, 1)
    first.cancel()
    await asyncio.wait([first])
    issuer.answers.set()
    assert await second
    assert issuer.asked == 1


async def test_known_keys_stay_good_while_the_endpoint_is_down(
    issuer: Issuer, clocked: Clocked, caplog: pytest.LogCaptureFixture
) -> None:
    tokens, now = clocked
    await tokens.user(issuer.token("ES1"), REQUEST)
    issuer.down = True
    for hour in range(3):
        now[0] += 3600
        issuer.answers.clear()
        # a known key waits for nothing
        await asyncio.wait_for(tokens.user(issuer.token("ES1"), REQUEST), 10)
        unknown = asyncio.create_task(tokens.user(issuer.token("ES9"), REQUEST))
        await asked(issuer, hour + 2)
        issuer.answers.set()
        with pytest.raises(AuthError, match="unknown key"):
            await unknown
        assert issuer.asked == hour + 2
    assert "cannot be fetched: it answered 503" in caplog.text


async def test_a_revoked_key_goes_within_ten_minutes(issuer: Issuer, clocked: Clocked) -> None:
    tokens, now = clocked
    await tokens.user(issuer.token("ES1"), REQUEST)
    issuer.keys = [jwk("RS1")]
    now[0] += 601
    await tokens.user(issuer.token("ES1"), REQUEST)  # fetches behind its back
    async with asyncio.timeout(20):
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
