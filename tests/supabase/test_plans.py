"""What the server asks of Postgres reads what it is about, not the past of everybody."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite

BIG = ("sessions", "session_events")

SEED = """
    insert into public.sessions
        (session_id, user_id, start_time, end_time, duration_seconds, worker, active_at, title)
    select gen_random_uuid(), case when n % 10 = 0 then 'many' else 'user-' || n % 200 end,
        now() - n * interval '10 minutes', now(), 60, 'w', now() - n * interval '10 minutes',
        case when n % 3 = 0 then 'A title ' || n end
    from generate_series(1, 20000) n;
    insert into public.session_events
        (session_id, epoch, seq, first_seq, run_id, event_type, content, payload)
    select s.session_id, 1, e.seq, e.seq, 'r', e.kind,
        'text often ' || case when random() < 0.001 then 'rare' else 'beginning' end, e.payload
    from public.sessions s cross join (values
        (1, 'session_started', '{}'::jsonb), (2, 'user_message', '{"message_id": "q"}'),
        (3, 'run', '{"message_id": "a"}'),
        (4, 'token', '{"message_id": "a", "kind": "text", "offset": 0}'),
        (5, 'done', '{"message_id": "a", "status": "completed"}')
    ) e (seq, kind, payload);
    analyze;
"""


@pytest.fixture(scope="module")
def seeded(postgres: Postgres) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with (
        SupabaseLite(postgres.database(), schema=SCHEMA.read_text()) as project,
        psycopg.connect(project.database.url, autocommit=True) as connection,
    ):
        connection.execute(SEED.encode())
        connection.execute("load 'auto_explain'")
        for name, value in (
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_nested_statements", "on"),
            ("client_min_messages", "log"),
        ):
            connection.execute(f"set {name} = {value}".encode())
        yield connection


def plans(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> str:
    """The plans of a statement and of all that it calls."""
    told: list[str] = []

    def note(notice: psycopg.errors.Diagnostic) -> None:
        told.append(notice.message_primary or "")

    connection.add_notice_handler(note)
    try:
        connection.execute(statement.encode())
    finally:
        connection.remove_notice_handler(note)
    return "\n".join(told)


@pytest.mark.parametrize(
    "statement",
    [
        "select public.list_sessions(null, 200, true)",
        "select public.list_sessions('user-7', 200, true)",
        "select public.list_sessions('user-7', 200, false)",
        "select public.find_sessions('user-7', 50, null, false, '')",
        "select public.find_sessions('user-7', 50, {place}, true, '')",
        "select public.find_sessions('user-7', 50, null, false, 'rare')",
        "select public.find_sessions('user-7', 50, {place}, false, 'rare often beg')",
        "select public.find_sessions('many', 50, null, false, 'often')",
        "select public.find_sessions('many', 50, null, false, 'rare often beg')",
        "select public.find_sessions('many', 50, {place}, false, '')",
        "select public.find_sessions('user-7', 50, null, false, 'often text beg')",
        "select public.session_figures('user-7', 0)",
        "select public.session_figures(null, {recent})",
        "select public.read_session('{session}')",
        "select public.take_session('{session}', 'w', 60)",
        "select public.delete_sessions('[\"{session}\"]')",
        "select * from public.session_messages where session_id = '{session}'",
        "select * from public.session_overview where session_id = '{session}'",
        """select public.ship_batch('[{head}]', '[{event}]', 'w', 60)""",
    ],
)
def test_no_statement_scans_a_big_table(
    seeded: psycopg.Connection[tuple[object, ...]], statement: str
) -> None:
    ((session,),) = seeded.execute(
        "select session_id::text from public.sessions where user_id = 'user-7' limit 1"
    ).fetchall()
    head = (
        f'{{"session_id": "{session}", "user_id": "user-7", "epoch": 1, "start_time": 1, '
        '"summary_status": "none", "revision": 5}'
    )
    event = (
        f'{{"session_id": "{session}", "epoch": 1, "seq": 6, "first_seq": 6, "run_id": "r", '
        '"event_type": "done", "content": "text", "created_at": 1, "payload": {"session_id": '
        f'"{session}", "seq": 6, "ts": 1, "run_id": "r", "message_id": "a", "text": "text", '
        '"status": "completed"}}'
    )
    asked = statement
    for name, value in (
        ("session", str(session)),
        ("place", '\'{"pinned": false, "active_at": 1, "session_id": "x"}\''),
        ("recent", str(int(time.time() * 1000) - 86_400_000)),
        ("head", head),
        ("event", event),
    ):
        asked = asked.replace(f"{{{name}}}", value)
    for _ in range(7):  # from the sixth time on Postgres may take a plan for any values
        found = plans(seeded, asked)
        assert "Plan" in found or "Scan" in found
        scanned = re.findall(r"Seq Scan on (?:public\.)?(\w+)", found)
        assert not set(scanned) & set(BIG), found
        if "delete" in asked:
            break


def test_a_scan_would_be_seen(seeded: psycopg.Connection[tuple[object, ...]]) -> None:
    found = plans(seeded, "select count(content) from public.session_events")
    assert "Seq Scan on session_events" in found


@pytest.mark.parametrize(
    ("word", "least", "most"), [("often", 20_000, 60_000), ("rare", 1, 1000), ("none", 0, 1000)]
)
def test_the_planner_knows_how_rare_a_word_is(
    seeded: psycopg.Connection[tuple[object, ...]], word: str, least: int, most: int
) -> None:
    """From statistics of the index, which a partial one would not give."""
    explained = seeded.execute(
        f"""explain select from public.session_events where public.search_words(
            case when event_type = 'user_message' or payload ->> 'kind' = 'text'
                then left(content, 100000) end) @@ '{word}'::tsquery""".encode()
    ).fetchall()
    estimate = re.search(r"rows=(\d+)", str(explained[0]))
    assert estimate
    assert least <= int(estimate[1]) <= most
