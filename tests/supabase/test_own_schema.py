"""The tables in a schema of their own, in a project that has a `sessions` already."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from realtime.cli.operate import in_schema
from realtime.models import AssistantText, UserText
from realtime.supabase import Supabase, SupabaseError
from tests.supabase.samples import batch, event, new_id, session, ship
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import process
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite

Devices = Callable[..., Device]

THEIRS = """
create table public.sessions (id serial primary key, cookie text, expires timestamptz);
insert into public.sessions (cookie) values ('of somebody else');
alter table public.sessions enable row level security;
create policy "theirs" on public.sessions for select to anon using (true);
grant select on public.sessions to anon;
"""


@pytest.fixture(scope="module")
def shared(postgres: Postgres) -> Iterator[SupabaseLite]:
    schema = THEIRS + in_schema(SCHEMA.read_text(), "chat")
    with SupabaseLite(postgres.database(), schema=schema, exposed=["public", "chat"]) as lite:
        yield lite


@pytest.fixture
async def supabase(shared: SupabaseLite) -> AsyncIterator[Supabase]:
    client = await Supabase.connect(shared.url, shared.secret_key, schema="chat")
    yield client
    await client.close()


async def realtime(folder: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    async with process(sys.executable, "-m", "realtime", *arguments, cwd=folder, **environ) as ran:
        return await ran.ended(), ran.output


def structure(project: SupabaseLite, schema: str) -> list[str]:
    """All that is in a schema, with its rights, in an order that says nothing."""
    shown = project.psql(rf"\d+ {schema}.*" f"\n" rf"\dp {schema}.*" f"\n" rf"\df+ {schema}.*")
    return sorted(shown.replace(f"{schema}.", "").replace(f"{schema}|", "").splitlines())


def test_it_is_the_same_in_any_schema(shared: SupabaseLite, project: SupabaseLite) -> None:
    before = structure(shared, "public")
    shared.psql(in_schema(SCHEMA.read_text(), "chat"))
    assert structure(shared, "chat") == structure(project, "public")
    assert structure(shared, "public") == before
    assert shared.psql("select cookie from public.sessions") == "of somebody else"


async def test_a_conversation_is_kept_there_read_back_and_deleted(
    shared: SupabaseLite, serve: Serve, device: Devices, tmp_path: Path
) -> None:
    of_project = {
        "supabase_url": shared.url,
        "supabase_key": shared.secret_key,
        "supabase_schema": "chat",
    }
    model = ScriptedModel(says("Hello ", "Ada."), says("On names."), says("Ada."))
    running = await serve(model, **of_project)
    one = device(running.url)
    await one.connect()
    session_id = one.session["session_id"]
    await one.done((await one.send("My name is Ada."))["run_id"])
    share = (await one.call("share", {"access": "read"}))["share"]
    await one.call("end")
    await one.durable("summary", status="done")
    await one.drop()
    await running.stop()
    assert (
        shared.psql(f"select summary from chat.sessions where session_id = '{session_id}'")
        == "On names."
    )
    assert (
        shared.psql(
            f"select string_agg(text, ' / ' order by seq) from chat.session_messages "
            f"where session_id = '{session_id}'"
        )
        == "My name is Ada. / Hello Ada."
    )

    fresh = await serve(model, **of_project, database_path=str(tmp_path / "fresh.db"))
    found = await fetch(f"{fresh.url}/api/sessions?q=ada", one.auth["token"])
    assert [row["session_id"] for row in found.json()["sessions"]] == [session_id]
    reader = device(fresh.url, session_id=session_id, share=share)
    assert (await reader.connect())["access"] == "read"
    one.url = fresh.url
    await one.connect()
    await one.done((await one.send("What is my name?"))["run_id"])
    assert model.requests[-1].context == (
        UserText("My name is Ada."),
        AssistantText("Hello Ada."),
        UserText("What is my name?"),
    )
    await one.drop()
    await reader.drop()
    await fresh.stop()

    environ = {name.upper(): value for name, value in of_project.items()}
    code, output = await realtime(tmp_path, "--check", **environ)
    assert code == 0, output
    deleting = ("sessions", "delete", "--yes", session_id)
    assert await realtime(tmp_path, *deleting, **environ) == (0, "1 deleted\n")
    for table in ("sessions", "session_events"):
        where = f"where session_id = '{session_id}'"
        assert shared.psql(f"select count(*) from chat.{table} {where}") == "0"


async def test_users_read_their_own_there(shared: SupabaseLite, supabase: Supabase) -> None:
    headers = {"apikey": shared.publishable_key}
    async with aiohttp.ClientSession(shared.url) as http:
        body = {"email": f"{new_id()}@example.com", "password": "correct horse"}
        async with http.post("/auth/v1/signup", headers=headers, json=body) as answer:
            signed_up = await answer.json()
        own, other = session(user_id=signed_up["user"]["id"]), session()
        await ship(supabase, batch(own, event(own, 1), other, event(other, 1)))
        headers |= {"Accept-Profile": "chat"}
        signed_in = headers | {"Authorization": f"Bearer {signed_up['access_token']}"}
        async with http.get("/rest/v1/sessions", headers=signed_in) as answer:
            assert [row["session_id"] for row in await answer.json()] == [own.session_id]
        async with http.get("/rest/v1/sessions", headers=headers) as answer:
            assert answer.status == 401 or await answer.json() == []


async def test_a_schema_that_is_not_exposed_is_told(shared: SupabaseLite, tmp_path: Path) -> None:
    shared.psql('create schema if not exists "hidden"')
    code, output = await realtime(
        tmp_path,
        "--check",
        SUPABASE_URL=shared.url,
        SUPABASE_KEY=shared.secret_key,
        SUPABASE_SCHEMA="hidden",
    )
    assert code == 3
    assert "does not expose the schema hidden (406 PGRST106" in output
    assert "Integrations → Data API → Settings" in output
    assert "PGRST_DB_SCHEMAS" in output


async def test_tables_that_are_missing_there_are_told_with_the_command_that_makes_them(
    postgres: Postgres,
) -> None:
    with SupabaseLite(postgres.database(), exposed=["public", "chat"]) as lite:
        lite.psql("create schema chat; grant usage on schema chat to service_role")
        client = await Supabase.connect(lite.url, lite.secret_key, schema="chat")
        with pytest.raises(SupabaseError) as raised:
            await client.check()
        await client.close()
    assert "the schema chat of the project" in raised.value.message
    assert "python -m realtime schema --schema chat" in raised.value.remedy


# ------------------------------------------------------------------------ the clash


async def test_a_table_of_somebody_else_is_told_by_a_check(shared: SupabaseLite) -> None:
    client = await Supabase.connect(shared.url, shared.secret_key)
    with pytest.raises(SupabaseError, match="was not made by this server") as raised:
        await client.check()
    await client.close()
    assert raised.value.permanent
    assert "SUPABASE_SCHEMA=chat" in raised.value.remedy


@pytest.mark.parametrize(
    ("theirs", "names"),
    [
        ("create table sessions (id int)", "sessions"),
        ("create table sessions (session_id uuid, user_id text, start_time text)", "sessions"),
        ("create view sessions as select 1 as session_id", "sessions"),
        ("create table session_messages (id int)", "session_messages"),
        (
            "create table sessions (id int); create table session_events (id int)",
            "session_events, sessions",
        ),
    ],
)
async def test_tables_of_somebody_else_are_told_before_anything_is_applied(
    project: SupabaseLite, postgres: Postgres, tmp_path: Path, theirs: str, names: str
) -> None:
    database = postgres.database()  # the roles are there: they came with `project`
    database.psql(theirs)
    code, output = await realtime(tmp_path, "schema", "--apply", database.url)
    assert code == 1
    assert f"The schema public has tables that this server did not make: {names}\n" in output
    assert "SUPABASE_SCHEMA=chat" in output
    assert "under Connect" not in output
    assert database.psql("select count(*) from pg_class where relname like 'realtime_%'") == "0"


async def test_another_schema_is_made_and_named_like_the_setting(
    shared: SupabaseLite, tmp_path: Path
) -> None:
    for arguments, environ in ((("--schema", "order"), {}), ((), {"SUPABASE_SCHEMA": "order"})):
        applying = ("schema", "--apply", shared.database.url, *arguments)
        code, output = await realtime(tmp_path, *applying, **environ)
        assert (code, output) == (0, "schema.sql is applied to the schema order\n")
    assert shared.psql('select "order".realtime_schema_version()'), "a word of SQL, in quotes"


async def test_no_other_text_gets_into_the_sql(tmp_path: Path) -> None:
    code, output = await realtime(tmp_path, "schema", "--schema", 'chat"; drop schema public')
    assert code == 1
    assert output.startswith("--schema must be a schema's name")
