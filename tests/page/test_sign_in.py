"""The form of AUTH=supabase, before a real auth endpoint, and what a page keeps of a user."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, expect

from realtime.app import create_app
from realtime.auth import AuthError, User
from realtime.config import Settings
from realtime.models.demo import DemoModel
from tests.page.acting import answered, opened, press, say, start, started, tab_to
from tests.support.fetch import fetch
from tests.support.serving import Running, Serve
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite, free_port

PASSWORD = "correct horse battery"
GITHUB = free_port()

# Emails lead, and a provider returns, to any page of this machine; GitHub is one of the tests.
AUTH = f"""
additional_redirect_urls = ["http://127.0.0.1:*/", "http://127.0.0.1:*"]

[auth.external.github]
enabled = true
client_id = "id"
secret = "secret"
url = "http://127.0.0.1:{GITHUB}"
"""


@pytest.fixture(scope="module")
def project() -> Iterator[SupabaseLite]:
    """Its tokens are about to expire as soon as they are made: the page renews them on the way."""
    with (
        Postgres() as postgres,
        SupabaseLite(
            postgres.database(), schema=SCHEMA.read_text(), jwt_expiry=63, auth=AUTH
        ) as lite,
    ):
        yield lite


@pytest.fixture
async def reached(aiohttp_server: Any, project: SupabaseLite) -> dict[str, Any]:
    """Settings for the project, behind a gateway that lets pages in, as the platform's does."""
    passed = ("apikey", "authorization", "content-type", "prefer", "accept-profile")

    async def gateway(request: web.Request) -> web.Response:
        allowed = {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Headers": "*, authorization",
            "Access-Control-Allow-Methods": "GET, POST, PUT",
        }
        if request.method == "OPTIONS":
            return web.Response(headers=allowed)
        url = f"{project.url}{request.rel_url}"
        headers = {name: value for name, value in request.headers.items() if name.lower() in passed}
        body = await request.read()
        async with (
            aiohttp.ClientSession() as http,
            http.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer,
        ):
            if "Location" in answer.headers:
                raise web.HTTPFound(answer.headers["Location"])
            kind = answer.headers.get("content-type", "text/plain").split(";")[0]
            return web.Response(
                status=answer.status, body=await answer.read(), headers=allowed, content_type=kind
            )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gateway)
    url = str((await aiohttp_server(app)).make_url("/")).rstrip("/")
    return {
        "auth": "supabase",
        "supabase_url": url,
        "supabase_key": project.secret_key,
        "supabase_publishable_key": project.publishable_key,
        "supabase_jwt_secret": project.jwt_secret,
        "frame_ancestors": ("http://127.0.0.1:*",),
    }


@pytest.fixture
async def served(serve: Serve, reached: dict[str, Any]) -> Running:
    """The server, with the project."""
    return await serve(**reached)


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


async def test_signing_out_of_an_element_leaves_the_page_around_it_where_it_is(
    aiohttp_server: Any, settings: Settings, reached: dict[str, Any], chromium: Browser
) -> None:
    site = web.Application()
    element = '<script type="module" src="ai/client/realtime-chat.js"></script><realtime-chat>'
    site.router.add_get("/", document(element))
    site.add_subapp("/ai/", create_app(replace(settings, **reached), model=DemoModel(delay_s=0)))
    theirs = str((await aiohttp_server(site)).make_url("/"))
    page = await chromium.new_page()
    await page.goto(theirs)
    await fill(page, "eve@example.com", PASSWORD, "sign-up")
    await expect(page.locator("#user")).to_have_text("eve@example.com")
    await page.get_by_test_id("sign-out").click()
    await expect(page.get_by_test_id("email")).to_be_visible()
    assert page.url == theirs


async def test_signing_out_in_a_frame_keeps_the_way_out_of_it(
    served: Running, aiohttp_server: Any, chromium: Browser
) -> None:
    site = web.Application()
    source = f"{served.url}/?embed=guest&lang=de"
    site.router.add_get("/", document(f'<iframe width=900 height=600 src="{source}"></iframe>'))
    page = await chromium.new_page()
    await page.goto(str((await aiohttp_server(site)).make_url("/")))
    chat = page.frame_locator("iframe")
    await chat.get_by_test_id("email").fill("zoe@example.com")
    await chat.get_by_test_id("password").fill(PASSWORD)
    await chat.get_by_test_id("sign-up").click()
    await chat.get_by_test_id("message-box").fill("count to 3")
    await chat.get_by_test_id("message-box").press("Enter")
    await expect(chat.locator(".message.assistant")).to_contain_text("1 2 3")
    await chat.get_by_test_id("sign-out").click()
    await expect(chat.get_by_test_id("email")).to_be_visible()
    await expect(chat.locator("#leave")).to_have_attribute("aria-label", "Schließen")


def document(body: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html>{body}", content_type="text/html")

    return handler


def followed(served: Running, project: SupabaseLite, email: str) -> str:
    """The link of the last email, as the platform would have made it for this page."""
    asked = parse_qs(urlsplit(project.mailed(email)).query)
    query = {"token": asked["token"][0], "type": asked["type"][0], "redirect_to": f"{served.url}/"}
    return f"{project.url}/auth/v1/verify?{urlencode(query)}"


async def test_nobody_needs_a_mouse_to_sign_in(served: Running, chromium: Browser) -> None:
    page = await (await chromium.new_context()).new_page()
    await page.goto(served.url)
    await expect(page.get_by_test_id("email")).to_be_focused()
    await page.keyboard.type("kay@example.com")
    await tab_to(page, "Password")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#sign-in-said")).to_have_text("Invalid login credentials")
    await press(page, "Create an account")
    await expect(page.locator("#user")).to_have_text("kay@example.com")
    await expect(page.get_by_test_id("message-box")).to_be_focused()
    await press(page, "Sign out", "Shift+Tab")
    await expect(page.get_by_test_id("email")).to_be_focused()


async def test_a_link_in_an_email_signs_in_and_leaves_no_token_in_the_address(
    served: Running, project: SupabaseLite, chromium: Browser
) -> None:
    context = await chromium.new_context()
    page = await context.new_page()
    await page.goto(served.url)
    await expect(page.get_by_test_id("email")).to_be_focused()
    await page.get_by_test_id("email").fill("eve@example.com")
    await page.get_by_test_id("mail-link").click()
    await expect(page.locator("#sign-in-told")).to_contain_text("on its way to eve@example.com")
    other = await context.new_page()
    link = followed(served, project, "eve@example.com")
    await other.goto(link)
    await expect(other.locator("#user")).to_have_text("eve@example.com")
    assert other.url == f"{served.url}/"
    assert "token" not in await other.evaluate("location.href + history.length")
    await say(other, "count to 4")
    await answered(other, "1 2 3 4")
    await expect(page.locator("#user")).to_have_text("eve@example.com"), "where it was asked for"

    fresh = await (await chromium.new_context()).new_page()
    await fresh.goto(link)
    await expect(fresh.locator("#sign-in-said")).to_contain_text("used before")
    assert fresh.url == f"{served.url}/"


async def test_a_link_makes_nobody_somebody_else(
    served: Running, project: SupabaseLite, chromium: Browser
) -> None:
    page = await chromium.new_page()
    await page.goto(served.url)
    await page.get_by_test_id("email").fill("mallory@example.com")
    await page.get_by_test_id("mail-link").click()
    await expect(page.locator("#sign-in-told")).to_contain_text("mallory")
    await fill(page, "victim@example.com", PASSWORD, "sign-up")
    await expect(page.locator("#user")).to_have_text("victim@example.com")
    await page.goto(followed(served, project, "mallory@example.com"))
    await expect(page.locator("#user")).to_have_text("victim@example.com")
    assert page.url == f"{served.url}/"


async def test_a_forgotten_password_is_replaced(
    served: Running, project: SupabaseLite, chromium: Browser
) -> None:
    page = await (await chromium.new_context()).new_page()
    await page.goto(served.url)
    await fill(page, "bob@example.com", PASSWORD, "sign-up")
    await expect(page.locator("#user")).to_have_text("bob@example.com")
    await page.get_by_test_id("sign-out").click()
    await page.get_by_test_id("email").fill("bob@example.com")
    await page.get_by_test_id("forgotten").click()
    await expect(page.locator("#sign-in-told")).to_contain_text("another password")
    await page.goto(followed(served, project, "bob@example.com"))
    await page.get_by_test_id("new_password").fill("short")
    await page.get_by_test_id("save-password").click()
    await expect(page.locator("#sign-in-said")).to_contain_text("at least 6 characters")
    await page.get_by_test_id("new_password").fill("another horse battery")
    await page.get_by_test_id("save-password").click()
    await expect(page.locator("#user")).to_have_text("bob@example.com")
    await page.get_by_test_id("sign-out").click()
    await fill(page, "bob@example.com", PASSWORD, "sign-in")
    await expect(page.locator("#sign-in-said")).to_have_text("Invalid login credentials")
    await fill(page, "bob@example.com", "another horse battery", "sign-in")
    await expect(page.locator("#user")).to_have_text("bob@example.com")


async def test_a_provider_of_the_project_signs_in(
    served: Running, chromium: Browser, aiohttp_server: Any
) -> None:
    """Supabase Lite does its part; GitHub's is played."""

    async def authorize(request: web.Request) -> web.Response:
        back, state = request.query["redirect_uri"], request.query["state"]
        raise web.HTTPFound(f"{back}?{urlencode({'code': 'c', 'state': state})}")

    async def token(request: web.Request) -> web.Response:
        return web.json_response({"access_token": "g", "token_type": "bearer"})

    async def user(request: web.Request) -> web.Response:
        return web.json_response({"id": 7, "login": "grace", "email": "grace@example.com"})

    async def emails(request: web.Request) -> web.Response:
        email = {"email": "grace@example.com", "primary": True, "verified": True}
        return web.json_response([email])

    github = web.Application()
    github.add_routes(
        [
            web.get("/login/oauth/authorize", authorize),
            web.post("/login/oauth/access_token", token),
            web.get("/api/v3/user", user),
            web.get("/api/v3/user/emails", emails),
        ]
    )
    await aiohttp_server(github, port=GITHUB)
    page = await chromium.new_page()
    await page.goto(served.url)
    await expect(page.get_by_role("button", name="Continue with")).to_have_count(1)
    await page.get_by_role("button", name="Continue with GitHub").click()
    await expect(page.locator("#user")).to_have_text("grace@example.com")
    assert page.url == f"{served.url}/"
    await say(page, "count to 4")
    await answered(page, "1 2 3 4")


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
    await expect(page.locator("#trouble")).to_contain_text("did not let you in: no token")


async def test_whom_the_servers_own_sign_in_knows_and_whom_it_refuses(
    aiohttp_server: Any, settings: Settings, chromium: Browser
) -> None:
    banned = asyncio.Event()

    async def authenticate(token: str | None, request: web.Request) -> User:
        if banned.is_set():
            raise AuthError("You are banned.")
        return User("ada-7", name="Ada")

    app = create_app(settings, model=DemoModel(delay_s=0), authenticate=authenticate)
    page = await opened(chromium, str((await aiohttp_server(app)).make_url("")))
    await expect(page.locator("#user")).to_have_text("Ada")
    banned.set()
    await page.reload()
    await page.get_by_test_id("message-box").fill("hello?")
    await page.get_by_test_id("message-box").press("Enter")
    why = "The server did not let you in: You are banned."
    await expect(page.locator("#banner")).to_have_text(why)
