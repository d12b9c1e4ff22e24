"""schema.sql: anew, again, and over what an older server left."""

from __future__ import annotations

import pytest

from realtime.supabase import Supabase
from realtime.supabase.client import SCHEMA_VERSION
from tests.supabase.samples import batch, event, plain, session, ship, token
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite

OLD_SESSION = "11111111-1111-4111-8111-111111111111"
OTHER_SESSION = "22222222-2222-4222-8222-222222222222"

PLAIN = """
create table public.sessions (
    session_id uuid primary key default gen_random_uuid(),
    user_id text,
    start_time timestamptz default now(),
    end_time timestamptz,
    duration_seconds integer,
    summary text
);
create table public.session_events (
    id bigserial primary key,
    session_id uuid references public.sessions (session_id),
    event_type text,
    content text,
    created_at timestamptz default now()
);
"""
LOOSE = """
create type kind_of_event as enum ('user_message', 'ai_response', 'tool_call');
create table public.sessions (
    session_id text primary key,
    user_id varchar(64) not null,
    start_time timestamp default now(),
    end_time timestamp,
    duration_seconds numeric(10, 2),
    summary varchar(2000)
);
create table public.session_events (
    id uuid primary key,
    session_id text not null,
    event_type kind_of_event not null,
    content jsonb,
    created_at timestamp default now()
);
alter table public.sessions enable row level security;
create policy "anybody" on public.sessions for all to public using (true) with check (true);
grant all on public.sessions, public.session_events to anon, authenticated;
"""
LISTED = """
create table public.sessions (
    session_id uuid primary key, user_id text not null,
    start_time timestamptz not null, end_time timestamptz,
    duration_seconds double precision, summary text
);
create table public.session_events (
    id integer primary key,
    session_id uuid not null references public.sessions on delete set null,
    event_type text not null check (event_type in ('user_message', 'ai_response')),
    content text not null,
    created_at timestamptz not null
);
create policy "anybody" on public.session_events for select to public using (true);
"""


def data(content: str, ids: tuple[str, str]) -> str:
    return f"""
    insert into public.sessions values
        ('{OLD_SESSION}', 'user-1', '2025-05-05 10:00', '2025-05-05 10:02', 120, 'About tea.'),
        ('{OTHER_SESSION}', 'user-1', '2025-06-05 10:00', null, null, null);
    insert into public.session_events (id, session_id, event_type, content, created_at) values
        ({ids[0]}, '{OLD_SESSION}', 'user_message', '{content}', '2025-05-05 10:00:01'),
        ({ids[1]}, '{OLD_SESSION}', 'ai_response', '{content}', '2025-05-05 10:00:02');
    """


UUIDS = ("gen_random_uuid()", "gen_random_uuid()")
OLD_DEPLOYMENTS = {
    "plain": PLAIN
    + data("hello", ("1", "2"))
    + "select setval('public.session_events_id_seq', 2);",
    "loose": LOOSE + data('{"text": "hello"}', UUIDS),
    "listed": LISTED + data("hello", ("1", "7")),
}


def structure(project: SupabaseLite) -> str:
    """Everything that schema.sql may change, as text."""
    return project.psql(
        r"""
        \d+ public.sessions
        \d+ public.session_events
        \d+ public.realtime_*
        \dp public.*
        \df+ public.*
        select obj_description(oid) from pg_class where relname like 'session%' order by oid;
        """
    )


def test_twice_over_a_new_project(project: SupabaseLite) -> None:
    before = structure(project)
    project.psql(SCHEMA.read_text())
    after = structure(project)
    # Grants given anew may be listed in another order.
    assert sorted(after.splitlines()) == sorted(before.splitlines())


@pytest.mark.parametrize("old", OLD_DEPLOYMENTS)
async def test_over_an_older_deployment(postgres: Postgres, old: str) -> None:
    with SupabaseLite(postgres.database(), schema=OLD_DEPLOYMENTS[old]) as project:
        project.migrate("realtime", SCHEMA.read_text())
        project.psql(SCHEMA.read_text())
        project.stop()
        project.start()

        assert project.psql(
            "select session_id, user_id, extract(epoch from end_time - start_time)::int, "
            "duration_seconds, summary, summary_status, epoch from sessions order by start_time"
        ).splitlines() == [
            f"{OLD_SESSION}|user-1|120|120|About tea.|done|1",
            f"{OTHER_SESSION}|user-1||||none|1",
        ]
        kept = project.psql(
            "select event_type, content, seq, created_at at time zone 'UTC' "
            "from session_events order by created_at"
        ).splitlines()
        content = '{"text": "hello"}' if old == "loose" else "hello"
        assert kept == [
            f"user_message|{content}||2025-05-05 10:00:01",
            f"ai_response|{content}||2025-05-05 10:00:02",
        ]
        assert (
            project.psql(
                "select count(*) from pg_policies where policyname = 'anybody' "
                "and tablename in ('sessions', 'session_events')"
            )
            == "0"
        )

        supabase = await Supabase.connect(project.url, project.secret_key)
        await supabase.check()
        listed = await supabase.list_sessions("user-1", 10)
        assert [row.session_id for row in listed] == [OTHER_SESSION, OLD_SESSION]
        assert await supabase.fetch(OLD_SESSION) == (listed[1], [])

        head = session(OTHER_SESSION, user_id="user-1", duration_seconds=0.25)
        done = event(head, 10, "done", provider_state=b'{"signature": "s"}')
        rows = [event(head, 1), token(head, 2, 9), done]
        for _ in range(2):
            assert await ship(supabase, batch(head, *rows)) == []
        fetched = await supabase.fetch(OTHER_SESSION)
        await supabase.close()
        assert fetched is not None
        assert fetched[0] == head
        assert [plain(row) for row in fetched[1]] == [plain(row) for row in rows]
        project.psql("delete from sessions")
        for table in ("session_events", "realtime_provider_state"):
            assert project.psql(f"select count(*) from {table}") == "0"


def test_every_table_and_column_has_a_comment(project: SupabaseLite) -> None:
    bare = project.psql(
        "select c.relname, a.attname from pg_class c "
        "join pg_attribute a on a.attrelid = c.oid and a.attnum >= 0 and not a.attisdropped "
        "where (c.relname in ('sessions', 'session_events') or c.relname like 'realtime_%') "
        "and c.relkind = 'r' "
        "and c.relnamespace = 'public'::regnamespace "
        "and col_description(c.oid, a.attnum) is null"
    )
    assert bare == ""


def test_functions_are_pinned_and_the_server_s_own(project: SupabaseLite) -> None:
    for role in ("anon", "authenticated", "public"):
        loose = project.psql(
            "select proname from pg_proc where pronamespace = 'public'::regnamespace "
            "and (proconfig is distinct from array['search_path=\"\"'] or prosecdef "
            f"or has_function_privilege('{role}', oid, 'execute') "
            "or not has_function_privilege('service_role', oid, 'execute'))"
        )
        assert loose == "", role


def test_the_server_knows_the_version(project: SupabaseLite) -> None:
    assert project.psql("select public.realtime_schema_version()") == str(SCHEMA_VERSION)


async def test_what_people_ask_the_table_for(supabase: Supabase, project: SupabaseLite) -> None:
    head = session()
    await ship(
        supabase,
        batch(
            head,
            event(head, 1, content="Wie wird Sencha aufgegossen?"),
            event(
                head,
                2,
                "done",
                content="Mit 70 Grad.",
                payload=b'{"status": "completed", "usage": {"output_tokens": 4}}',
            ),
        ),
    )
    assert (
        project.psql(
            "select content from session_events where event_type in ('user_message', 'done') "
            "and to_tsvector('simple', left(content, 100000)) @@ "
            f"plainto_tsquery('simple', 'sencha') and session_id = '{head.session_id}'"
        )
        == "Wie wird Sencha aufgegossen?"
    )
    assert (
        project.psql(
            "select content, status, usage ->> 'output_tokens', created_at at time zone 'UTC' "
            f"from session_events where session_id = '{head.session_id}' and seq = 2"
        )
        == "Mit 70 Grad.|completed|4|2026-01-01 00:00:00.125"
    )
