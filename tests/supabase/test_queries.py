"""The statements of docs/supabase.md, on rows that they are about."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from realtime.supabase import Supabase
from tests.supabase.samples import T0, batch, event, new_id, session, ship
from tests.support.supabase_lite import ROOT, SupabaseLite

PAGE = (ROOT / "docs" / "supabase.md").read_text("utf-8")
STATEMENTS = re.findall(r"```sql\n(.*?);\n```", PAGE, re.S)
USAGE, LONGEST, FAILED, SEARCH, OVERVIEW = STATEMENTS


def rows(project: SupabaseLite, statement: str, before: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        project.psql(f"{before} select coalesce(json_agg(r), '[]') from ({statement}) r")
    )
    return found


@pytest.fixture
async def user(supabase: Supabase, project: SupabaseLite) -> str:
    """A user with a long session in which one of two runs failed, and a short one."""
    name = new_id()
    long = session(user_id=name, end_time=T0 + 10**9, duration_seconds=10.0**6)
    short = session(user_id=name, end_time=T0 + 10, duration_seconds=0.01)
    usage = {"input_tokens": 5, "output_tokens": 9}
    good = json.dumps({"status": "completed", "usage": usage}).encode()
    bad = {"status": "failed", "usage": usage, "error": {"code": "x", "message": "no model"}}
    none = {"input_tokens": 0, "output_tokens": 0}
    taken_in = json.dumps({"status": "consumed", "usage": none, "consumed_by": "r2"}).encode()
    title = json.dumps({"title": "Tea", "model": "m", "usage": usage}).encode()
    asked = f"Which green tea, {name}?"
    await ship(
        supabase,
        batch(
            *(long, short),
            event(long, 1, content=asked, run_id="r1"),
            event(long, 2, "done", content="Sencha.", payload=good, run_id="r1"),
            event(long, 3, content="And why?", run_id="r2"),
            event(long, 4, "done", payload=json.dumps(bad).encode(), run_id="r2"),
            event(long, 5, "session_updated", content="Tea", payload=title),
            event(long, 6, content="The black one.", run_id="r3"),
            event(long, 7, "done", payload=taken_in, run_id="r3"),
            event(short, 1, content="Nothing."),
        ),
    )
    project.psql(
        "update session_events set created_at = now() where session_id in "
        f"(select session_id from sessions where user_id = '{name}')"
    )
    return name


def test_usage(project: SupabaseLite, user: str) -> None:
    (row,) = [row for row in rows(project, USAGE) if row["user_id"] == user]
    assert (row["answers"], row["input_tokens"], row["output_tokens"]) == (2, 10, 18)


async def test_titles_and_messages_that_an_answer_took_in_are_no_answers(
    supabase: Supabase, project: SupabaseLite, user: str
) -> None:
    statement = f"select * from session_overview where user_id = '{user}' and answers > 0"
    (row,) = rows(project, statement)
    figures = await supabase.figures(user, 0)
    for found in (row, figures):
        assert [found[name] for name in ("answers", "input_tokens", "output_tokens")] == [2, 10, 18]


def test_longest_sessions(project: SupabaseLite, user: str) -> None:
    assert user in [row["user_id"] for row in rows(project, LONGEST)]


def test_failed_runs(project: SupabaseLite, user: str) -> None:
    newest = rows(project, FAILED)[0]
    assert (newest["content"], newest["status"], newest["why"]) == (
        "And why?",
        "failed",
        "no model",
    )


def test_search_uses_its_index(project: SupabaseLite, user: str) -> None:
    assert f"Which green tea, {user}?" in [row["content"] for row in rows(project, SEARCH)]
    plan = project.psql(f"set enable_seqscan = off; explain {SEARCH}")
    assert "session_events_all_words_idx" in plan


def test_the_overview_shows_users_their_own(project: SupabaseLite, user: str) -> None:
    mine = f"set local request.jwt.claim.sub = '{user}'; set local role authenticated;"
    seen = rows(project, OVERVIEW, mine)
    assert sorted((row["messages"], row["failed"]) for row in seen) == [(1, 0), (3, 1)]
    with pytest.raises(AssertionError, match="permission denied"):
        project.psql("select * from session_overview", role="anon")
