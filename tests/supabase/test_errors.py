"""Each thing that can be wrong is told apart, names its setting and says what to do."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from realtime.supabase import Supabase, SupabaseError
from tests.supabase.gateway import Gateway
from tests.supabase.samples import batch, event, session, ship
from tests.support.supabase_lite import Postgres, SupabaseLite, free_port

Say = Callable[[int, Any], Awaitable[Supabase]]


def legacy_key(**claims: Any) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, {"iss": "supabase", "ref": "abc"} | claims)
    encoded = [base64.urlsafe_b64encode(msgspec.json.encode(part)) for part in parts]
    return ".".join([part.rstrip(b"=").decode() for part in encoded] + ["c2lnbmF0dXJl"])


async def failure(url: str, key: str) -> SupabaseError:
    supabase = await Supabase.connect(url, key)
    try:
        with pytest.raises(SupabaseError) as raised:
            await supabase.check()
    finally:
        await supabase.close()
    assert key not in str(raised.value)
    assert raised.value.message
    return raised.value


# --------------------------------------------------------- against Supabase Lite


async def test_wrong_key(project: SupabaseLite) -> None:
    error = await failure(project.url, "sb_secret_of_another_project")
    assert (error.kind, error.permanent) == ("key_wrong", True)
    assert "SUPABASE_KEY" in str(error)


async def test_publishable_key(project: SupabaseLite) -> None:
    error = await failure(project.url, project.publishable_key)
    assert (error.kind, error.permanent) == ("publishable_key", True)
    assert "SUPABASE_KEY" in error.remedy


async def test_publishable_key_is_also_told_by_what_it_may_not(project: SupabaseLite) -> None:
    supabase = await Supabase.connect(project.url, project.publishable_key)
    with pytest.raises(SupabaseError) as raised:
        await ship(supabase, batch(session()))
    await supabase.close()
    assert raised.value.kind == "publishable_key"


async def test_tables_that_the_schema_cache_does_not_know(empty_project: SupabaseLite) -> None:
    error = await failure(empty_project.url, empty_project.secret_key)
    assert (error.kind, error.permanent) == ("schema_unknown", True)
    assert "SUPABASE_URL" in error.message
    assert "schema cache" in error.message
    assert "schema.sql" in error.remedy
    assert "NOTIFY pgrst, 'reload schema'" in error.remedy


async def test_schema_old(postgres: Postgres) -> None:
    old = """create table public.sessions (session_id uuid primary key, user_id text);
             grant all on public.sessions to service_role;"""
    with SupabaseLite(postgres.database(), schema=old) as project:
        error = await failure(project.url, project.secret_key)
        assert (error.kind, error.permanent) == ("schema_old", True)
        assert "schema.sql" in error.remedy
        project.migrate(
            "version",
            """create function public.realtime_schema_version() returns integer
               language sql as 'select 0';
               grant execute on function public.realtime_schema_version to service_role;""",
        )
        project.stop()
        project.start()
        error = await failure(project.url, project.secret_key)
        assert error.kind == "schema_old"
        assert "version 0" in error.message


async def test_nobody_there(project: SupabaseLite) -> None:
    error = await failure(f"http://127.0.0.1:{free_port()}", project.secret_key)
    assert (error.kind, error.permanent) == ("unreachable", False)
    assert "SUPABASE_URL" in error.message


async def test_no_such_host(project: SupabaseLite) -> None:
    error = await failure("https://nothing-here.invalid", project.secret_key)
    assert error.kind == "unreachable"


# ---------------------------------------------------------------- without a server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "abc.supabase.co",
        "postgres://postgres@db.abc.supabase.co:5432/postgres",
        "https://",
        "https://supabase.com/dashboard/project/abc",
        "http://host:port",
        "http://[::1",
    ],
)
async def test_what_is_no_project_s_url(url: str) -> None:
    with pytest.raises(SupabaseError) as raised:
        await Supabase.connect(url, "sb_secret_x")
    assert (raised.value.kind, raised.value.permanent) == ("url_wrong", True)
    assert "SUPABASE_URL" in str(raised.value)


@pytest.mark.parametrize("suffix", ["", "/", "/rest/v1", "/rest/v1/", "\n"])
async def test_a_url_as_people_paste_it(project: SupabaseLite, suffix: str) -> None:
    supabase = await Supabase.connect(f" {project.url}{suffix}", f"{project.secret_key}\n")
    await supabase.check()
    await supabase.close()


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (legacy_key(role="anon", exp=9_999_999_999), "publishable_key"),
        (legacy_key(role="authenticated", sub="x"), "key_wrong"),
        (legacy_key(role="service_role", exp=1_700_000_000), "key_wrong"),
        ("sb_publishable_x", "publishable_key"),
        ("two words", "key_wrong"),
    ],
)
async def test_a_key_that_cannot_be_right(key: str, kind: str) -> None:
    error = await failure("http://127.0.0.1:9", key)
    assert (error.kind, error.permanent) == (kind, True)
    assert "SUPABASE_KEY" in str(error)


@pytest.mark.parametrize("key", ["", "  ", "sb_secret_\u00fc", "a\nb"])
async def test_a_key_that_no_header_carries(key: str) -> None:
    with pytest.raises(SupabaseError) as raised:
        await Supabase.connect("http://127.0.0.1:9", key)
    assert raised.value.kind == "key_wrong"


# ------------------------- what PostgREST and what stands before it are known to answer


@pytest.fixture
async def say(aiohttp_server: AiohttpServer) -> AsyncIterator[Say]:
    """A project that gives one answer to everything."""
    clients: list[Supabase] = []

    async def start(status: int, body: Any) -> Supabase:
        async def answer(request: web.Request) -> web.Response:
            if isinstance(body, str):
                return web.Response(status=status, text=body, content_type="text/html")
            return web.json_response(body, status=status)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        server = await aiohttp_server(app)
        url = str(server.make_url("/"))
        clients.append(await Supabase.connect(url, legacy_key(role="service_role")))
        return clients[-1]

    yield start
    for client in clients:
        await client.close()


def postgrest(code: str, message: str = "…") -> dict[str, Any]:
    return {"code": code, "message": message, "details": None, "hint": None}


@pytest.mark.parametrize(
    ("status", "body", "kind", "permanent"),
    [
        (401, {"message": "Invalid API key", "hint": "…"}, "key_wrong", True),
        (401, "", "key_wrong", True),
        (401, postgrest("PGRST301", "JWSError"), "key_wrong", True),
        (401, postgrest("42501", "permission denied"), "publishable_key", True),
        (403, postgrest("42501", "permission denied"), "schema_old", True),
        (401, postgrest("PGRST303", "JWT issued at future"), "clock", False),
        (401, postgrest("PGRST303", "JWT not yet valid"), "clock", False),
        (401, postgrest("PGRST303", "JWT expired"), "clock", False),
        (401, postgrest("PGRST303", ""), "clock", False),
        (401, postgrest("PGRST301", "JWTIssuedAtFuture"), "clock", False),
        (401, {"message": "JWT issued at future"}, "clock", False),
        (401, {"code": 401, "msg": "token used before issued"}, "clock", False),
        (401, postgrest("PGRST303", "JWT not in audience"), "key_wrong", True),
        (401, postgrest("PGRST302", "Anonymous access is disabled"), "key_wrong", True),
        (403, {"message": "You cannot consume this service"}, "key_wrong", True),
        (403, {"error": "Invalid API key"}, "key_wrong", True),
        (403, {"msg": "invalid JWT: token is expired"}, "clock", False),
        (403, {"message": "Blocked: 'is this API key a JWT?'"}, "blocked", False),
        (403, postgrest("28000", "role is not permitted to log in"), "key_wrong", True),
        (402, {"message": "restricted: exceed_db_size_quota"}, "restricted", False),
        (402, "<html>Payment Required</html>", "restricted", False),
        (403, {"message": "Service is restricted due to overdue_payment"}, "restricted", False),
        (405, postgrest("25006", "cannot execute INSERT"), "restricted", False),
        (503, postgrest("53100", "No space left on device"), "restricted", False),
        (402, postgrest("PT402", "a trigger of yours"), "refused", True),
        (403, "<html>Attention Required! | Cloudflare</html>", "blocked", False),
        (403, {"message": "Forbidden"}, "blocked", False),
        (403, {"code": 10000, "error": "Request blocked"}, "blocked", False),
        (403, {"code": "BLOCK", "message": "SQL injection"}, "blocked", False),
        (406, "<html>Not Acceptable! by Mod_Security</html>", "blocked", False),
        (400, "<html>Bad Request</html>", "blocked", False),
        (404, postgrest("PGRST202"), "schema_unknown", False),
        (404, postgrest("PGRST205"), "schema_unknown", False),
        (404, postgrest("42P01"), "schema_missing", True),
        (404, postgrest("42883"), "schema_missing", True),
        (406, postgrest("PGRST106"), "schema_missing", True),
        (405, "<html>Your request has been blocked</html>", "url_wrong", True),
        (409, postgrest("40001", "could not serialize access"), "unavailable", False),
        (540, {"message": "Project paused"}, "unavailable", False),
        (400, postgrest("PGRST204"), "schema_old", True),
        (404, "<h1>Not found</h1>", "url_wrong", True),
        (301, "", "url_wrong", True),
        (200, "<html>A page</html>", "url_wrong", True),
        (400, postgrest("22P05"), "refused", True),
        (409, postgrest("23505"), "refused", True),
        (413, "Payload Too Large", "too_large", True),
        (429, {"message": "Too many requests"}, "rate_limited", False),
        (500, postgrest("57014", "statement timeout"), "unavailable", False),
        (500, postgrest("SUP"), "unavailable", False),
        (503, postgrest("PGRST002"), "unavailable", False),
        (504, postgrest("PGRST003"), "unavailable", False),
        (520, "<html>Cloudflare</html>", "unavailable", False),
        (200, {"nothing": "known"}, "internal", False),
    ],
)
async def test_answers(say: Say, status: int, body: Any, kind: str, permanent: bool) -> None:
    supabase = await say(status, body)
    head = session()
    with pytest.raises(SupabaseError) as raised:
        await ship(supabase, batch(head, event(head, 1)))
    assert (raised.value.kind, raised.value.permanent) == (kind, permanent)


@pytest.mark.parametrize(
    ("status", "body", "says", "never"),
    [
        (401, postgrest("PGRST303", "JWT issued at future"), "passes by itself", "Set SUPABASE"),
        (402, {"message": "due to: exceed_egress_quota"}, "exceed_egress_quota", "SUPABASE_KEY"),
        (405, postgrest("25006", "read-only transaction"), "disk may be full", "SUPABASE_KEY"),
        (403, {"message": "we saw: a secret"}, "firewall or proxy", "a secret"),
        (404, postgrest("PGRST205"), "NOTIFY pgrst, 'reload schema';", "SUPABASE_KEY"),
        (404, postgrest("42P01"), "Run schema.sql", "cache"),
        (406, postgrest("PGRST106"), "Exposed schemas", "schema.sql"),
        (540, {"message": "…"}, "Restore it in the dashboard", "SUPABASE_KEY"),
    ],
)
async def test_the_operator_is_told_what_to_do(
    say: Say, status: int, body: Any, says: str, never: str
) -> None:
    with pytest.raises(SupabaseError) as raised:
        await ship(await say(status, body), batch(session()))
    assert says in str(raised.value)
    assert never not in str(raised.value)


async def test_a_key_that_expires_in_operation_is_no_matter_of_clocks(
    aiohttp_server: AiohttpServer,
) -> None:
    async def expired(request: web.Request) -> web.Response:
        return web.json_response(postgrest("PGRST303", "JWT expired"), status=401)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", expired)
    url = str((await aiohttp_server(app)).make_url("/"))
    supabase = await Supabase.connect(url, legacy_key(role="service_role", exp=1_700_000_000))
    with pytest.raises(SupabaseError, match="SUPABASE_KEY has expired") as raised:
        await ship(supabase, batch(session()))
    await supabase.close()
    assert raised.value.permanent


@pytest.mark.parametrize(
    "refusal", [postgrest("PGRST303", "JWT issued at future"), postgrest("PGRST202")]
)
async def test_a_check_goes_on_after_what_passes_in_a_moment(
    project: SupabaseLite, refusal: dict[str, Any]
) -> None:
    gateway, refusals = Gateway(project.url), [refusal, refusal]
    gateway.firewall = lambda body: (
        web.json_response(refusals.pop(), status=401) if refusals else None
    )
    async with gateway.running():
        supabase = await Supabase.connect(gateway.url, project.secret_key)
        assert await supabase.check() == []
        await supabase.close()
    assert not refusals


async def test_an_answer_that_does_not_come(aiohttp_server: AiohttpServer) -> None:
    import asyncio

    over = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await over.wait()
        return web.json_response(None)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hang)
    server = await aiohttp_server(app)
    supabase = await Supabase.connect(str(server.make_url("/")), "sb_secret_x", timeout_s=0.2)
    with pytest.raises(SupabaseError) as raised:
        await supabase.check()
    over.set()
    await supabase.close()
    assert (raised.value.kind, raised.value.permanent) == ("unavailable", False)
