"""The form of AUTH=supabase, before a real auth endpoint, and what a page keeps of a user."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from tests.page.acting import answered, say, start, started
from tests.support.fetch import fetch
from tests.support.serving import Running, Serve
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def project() -> Iterator[SupabaseLite]:
    """Its tokens are about to expire as soon as they are made: the page renews them on the way."""
    with (
        Postgres() as postgres,
        SupabaseLite(postgres.database(), schema=SCHEMA.read_text(), jwt_expiry=63) as lite,
    ):
        yield lite


@pytest.fixture
async def served(serve: Serve, aiohttp_server: Any, project: SupabaseLite) -> Running:
    """The server, with the project behind a gateway that lets pages in, as the platform's does."""
    passed = ("apikey", "authorization", "content-type", "prefer", "accept-profile")

    async def gateway(request: web.Request) -> web.Response:
        allowed = {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Headers": "*, authorization",
        }
        if request.method == "OPTIONS":
            return web.Response(headers=allowed)
        url = f"{project.url}{request.rel_url}"
        headers = {name: value for name, value in request.headers.items() if name.lower() in passed}
        body = await request.read()
        async with (
            aiohttp.ClientSession() as http,
            http.request(request.method, url, headers=headers, data=body) as answer,
        ):
            kind = answer.headers.get("content-type", "text/plain").split(";")[0]
            return web.Response(
                status=answer.status, body=await answer.read(), headers=allowed, content_type=kind
            )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gateway)
    url = str((await aiohttp_server(app)).make_url("/")).rstrip("/")
    return await serve(
        auth="supabase",
        supabase_url=url,
        supabase_key=project.secret_key,
        supabase_publishable_key=project.publishable_key,
        supabase_jwt_secret=project.jwt_secret,
    )


async def fill(page: Page, email: str, password: str, button: str) -> None:
    await page.get_by_test_id("email").fill(email)
    await page.get_by_test_id("password").fill(password)
    await page.get_by_test_id(button).click()


async def test_a_user_of_the_project_signs_in_on_the_page(
    served: Running, chromium: Browser
) -> None:
    context = await chromium.new_context()
    page = await context.new_page()
    renewed = asyncio.Event()

    def sent(frame: str | bytes) -> None:
        if '["auth",' in str(frame):  # the server had said that the token expires
            renewed.set()

    page.on("websocket", lambda socket: socket.on("framesent", sent))
    await page.goto(served.url)
    said = page.locator("#sign-in-said")
    await fill(page, "ada@example.com", PASSWORD, "sign-in")
    await expect(said).to_have_text("Invalid login credentials")
    await fill(page, "ada@example.com", "short", "sign-up")
    await expect(said).to_contain_text("at least 6 characters")
    await fill(page, "ada@example.com", PASSWORD, "sign-up")

    await start(page)
    state = page.get_by_test_id("connection-state")
    await expect(state).to_have_text("Live")
    await expect(page.locator("#user")).to_have_text("ada@example.com")
    await say(page, "count to 5")
    await answered(page, "1 2 3 4 5")
    assert PASSWORD not in await page.evaluate(
        "JSON.stringify({...localStorage, ...sessionStorage})"
    )

    async with asyncio.timeout(10):
        await renewed.wait()
    await expect(state).to_have_text("Live")

    await page.reload()
    await answered(page, "1 2 3 4 5")
    session_id = await page.get_by_test_id("session-id").text_content()
    other = await context.new_page()  # another tab is signed in too
    await other.goto(f"{served.url}/#session={session_id}")
    await answered(other, "1 2 3 4 5")

    await page.get_by_test_id("sign-out").click()
    await expect(page.get_by_test_id("email")).to_be_visible()
    assert await page.evaluate("localStorage['realtime.user'] ?? sessionStorage.length") == 0
    await expect(other.get_by_test_id("email")).to_be_visible()
    await fill(page, "ada@example.com", PASSWORD, "sign-in")
    await expect(page.get_by_test_id("start-session")).to_be_visible()


async def test_the_page_may_talk_to_that_project_and_to_nobody_else(served: Running) -> None:
    answer = await fetch(f"{served.url}/")
    project = (await fetch(f"{served.url}/api/info")).json()["sign_in"]["url"]
    directives = answer.headers["Content-Security-Policy"].split("; ")
    assert f"connect-src 'self' {project}" in directives
    assert "default-src 'none'" in directives


async def test_without_the_key_the_page_says_that_it_cannot(
    serve: Serve, project: SupabaseLite, chromium: Browser
) -> None:
    running = await serve(
        auth="supabase", supabase_url=project.url, supabase_key=project.secret_key
    )
    assert "sign_in" not in (await fetch(f"{running.url}/api/info")).json()
    assert "connect-src 'self';" in (await fetch(running.url)).headers["Content-Security-Policy"]
    page = await started(chromium, running.url)
    await expect(page.locator("#trouble")).to_contain_text("requires a sign-in")
