"""Who may do what: by role in Postgres, and with real tokens through the Data API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from realtime.supabase import Supabase
from tests.supabase.samples import batch, event, new_id, session, ship
from tests.support.supabase_lite import SupabaseLite

TABLES = ("sessions", "session_events")
OURS = (*TABLES, "realtime_workers", "realtime_deleted", "realtime_provider_state")


@dataclass
class Person:
    """A signed-in user with one session, who speaks to the Data API."""

    user_id: str
    session_id: str
    url: str
    headers: dict[str, str]
    http: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.http.request(
            method, f"{self.url}/rest/v1/{path}", headers=self.headers, json=body
        ) as answer:
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def sign_up(project: SupabaseLite, supabase: Supabase, http: aiohttp.ClientSession) -> Person:
    headers = {"apikey": project.publishable_key}
    body = {"email": f"{new_id()}@example.com", "password": "correct horse"}
    async with http.post(f"{project.url}/auth/v1/signup", headers=headers, json=body) as answer:
        assert answer.status == 200
        signed_up = await answer.json()
    user_id = signed_up["user"]["id"]
    head = session(user_id=user_id)
    await ship(supabase, batch(head, event(head, 1), event(head, 2)))
    headers["Authorization"] = f"Bearer {signed_up['access_token']}"
    headers["Prefer"] = "return=representation"
    return Person(user_id, head.session_id, project.url, headers, http)


@pytest.fixture
async def ada(project: SupabaseLite, supabase: Supabase, http: aiohttp.ClientSession) -> Person:
    return await sign_up(project, supabase, http)


@pytest.fixture
async def bob(project: SupabaseLite, supabase: Supabase, http: aiohttp.ClientSession) -> Person:
    return await sign_up(project, supabase, http)


@pytest.mark.parametrize("table", TABLES)
async def test_a_user_reads_their_own_and_nothing_else(
    ada: Person, bob: Person, table: str
) -> None:
    status, rows = await ada.ask("GET", f"{table}?select=*")
    assert status == 200
    assert {row["session_id"] for row in rows} == {ada.session_id}
    guess = await ada.ask("GET", f"{table}?session_id=eq.{bob.session_id}")
    assert guess == (200, [])


async def test_a_user_writes_nothing(ada: Person, bob: Person, project: SupabaseLite) -> None:
    before = project.psql(
        "select s from sessions s order by 1; select e from session_events e order by 1"
    )
    own, foreign = f"session_id=eq.{ada.session_id}", f"session_id=eq.{bob.session_id}"
    new_event = {"session_id": ada.session_id, "event_type": "user_message", "content": "!"}
    nothing: dict[str, Any] = {"sessions": [], "events": [], "worker": "w", "lease_s": 1}
    refusals = [
        await ada.ask("POST", "sessions", {"session_id": new_id(), "user_id": ada.user_id}),
        await ada.ask("POST", "session_events", new_event),
        await ada.ask("PATCH", f"sessions?{own}", {"summary": "!"}),
        await ada.ask("PATCH", f"sessions?{own}", {"user_id": bob.user_id}),
        await ada.ask("PATCH", f"sessions?{foreign}", {"user_id": ada.user_id}),
        await ada.ask("PATCH", f"session_events?{own}", {"content": "!"}),
        await ada.ask("DELETE", f"sessions?{own}"),
        await ada.ask("DELETE", f"session_events?{foreign}"),
        await ada.ask("POST", "rpc/ship_batch", nothing),
        await ada.ask("POST", "rpc/delete_sessions", {"wanted": [bob.session_id]}),
        await ada.ask("POST", "rpc/read_session", {"wanted": bob.session_id}),
    ]
    for status, body in refusals:
        assert status in (401, 403), body
        assert body["code"] == "42501"
    after = project.psql(
        "select s from sessions s order by 1; select e from session_events e order by 1"
    )
    assert after == before


async def test_a_forged_token_reads_nothing(ada: Person) -> None:
    head, claims, signature = ada.headers["Authorization"].split(".")
    ada.headers["Authorization"] = f"{head}.{claims}.{signature[::-1]}"
    status, body = await ada.ask("GET", "sessions?select=*")
    assert status == 401, body


@pytest.mark.parametrize("table", TABLES)
async def test_without_a_user_nothing_is_to_be_had(
    ada: Person, project: SupabaseLite, table: str
) -> None:
    del ada.headers["Authorization"]
    status, body = await ada.ask("GET", f"{table}?select=*")
    # PostgREST refuses (401); Supabase Lite says that there are no rows.
    assert (status, body) == (200, []) or status == 401
    with pytest.raises(AssertionError, match="permission denied"):
        project.psql(f"select * from public.{table}", role="anon")


@pytest.mark.parametrize("table", OURS)
@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize("deed", ["insert into {} default values", "delete from {}", "truncate {}"])
def test_no_role_but_the_server_s_writes(
    project: SupabaseLite, table: str, role: str, deed: str
) -> None:
    with pytest.raises(AssertionError, match="permission denied"):
        project.psql(deed.format(f"public.{table}"), role=role)


@pytest.mark.parametrize("table", OURS)
def test_row_level_security_binds_the_owner_too(project: SupabaseLite, table: str) -> None:
    assert (
        project.psql(
            "select relrowsecurity, relforcerowsecurity from pg_class "
            f"where oid = 'public.{table}'::regclass"
        )
        == "t|t"
    )
