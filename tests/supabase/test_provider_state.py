"""Provider state in Supabase: another server goes on with it, and no user can read it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from realtime.core.rows import Batch, EventRow
from realtime.log.log import Log
from realtime.protocol import Done, to_json
from realtime.supabase import Supabase
from realtime.supabase.shipper import fitting
from tests.supabase.samples import batch, event, new_id, session, ship, token
from tests.supabase.test_moves import until
from tests.support.device import Device
from tests.support.process import process
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve
from tests.support.states import MARK, expected, filling, state_of, states
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite

Devices = Callable[..., Device]
TABLE = "realtime_provider_state"
VERSION_2 = Path(__file__).parent / "schema-2.sql"
"""The schema without provider state."""


def stateful(of: Any, seq: int, kind: str = "done") -> EventRow:
    done = Done(
        seq=seq, status="completed", finish_reason="stop", message_id="m", text_len=0,
        usage={}, model="m", duration_ms=1,  # type: ignore[arg-type]
    )  # fmt: skip
    return event(of, seq, kind, payload=to_json(done), provider_state=state_of(done))


def stored(project: SupabaseLite, session_id: str) -> str:
    return project.psql(f"select count(*) from {TABLE} where session_id = '{session_id}'")


async def test_it_comes_back_byte_for_byte_with_its_event(
    supabase: Supabase, project: SupabaseLite
) -> None:
    head = session()
    sent = batch(head, event(head, 1), stateful(head, 2, "tool_call"), token(head, 3, 9))
    last = batch(head, stateful(head, 10))
    for again in (sent, sent, last, last, sent):
        assert await ship(supabase, again) == []
    assert stored(project, head.session_id) == "2"
    fetched = await supabase.fetch(head.session_id)
    assert fetched
    wanted = [row.provider_state for row in (*sent.events, *last.events)]
    assert [row.provider_state for row in fetched[1]] == wanted
    assert wanted.count(None) == 2

    other = new_id()
    await supabase.ship(batch(), "worker-1", 60, [head.session_id])
    taken = await supabase.take(head.session_id, other, 60)
    assert taken
    assert [row.provider_state for row in taken.events] == wanted
    moved = session(head.session_id, epoch=2)
    row = stateful(moved, 11)
    assert await ship(supabase, batch(moved, row), other) == []
    fetched = await supabase.fetch(head.session_id)
    assert fetched
    assert [row.provider_state for row in fetched[1]] == [*wanted, row.provider_state]


async def test_it_goes_with_its_event_and_with_its_session(
    supabase: Supabase, project: SupabaseLite
) -> None:
    heads = [session() for _ in range(3)]
    for head in heads:
        await ship(supabase, batch(head, stateful(head, 1, "tool_call"), stateful(head, 2)))
    deleted, pruned, stays = (head.session_id for head in heads)
    await supabase.delete([deleted])
    project.psql(f"delete from session_events where session_id = '{pruned}' and seq = 1")
    assert [stored(project, one) for one in (deleted, pruned, stays)] == ["0", "1", "2"]


def test_it_counts_in_the_size_of_a_batch() -> None:
    head = session()
    rows = [event(head, n, "done", provider_state=b"x" * 60_000) for n in range(1, 41)]
    sent = fitting(batch(head, *rows), 1_000_000)
    assert len(sent.events) == 16
    assert fitting(Batch([], rows[:1], 1), 1000).events == rows[:1]


# ---------------------------------------------------------------------- who may read


@pytest.fixture
async def signed_in(project: SupabaseLite) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """A user's id, and their connection to the Data API."""
    async with aiohttp.ClientSession(headers={"apikey": project.publishable_key}) as http:
        body = {"email": f"{new_id()}@example.com", "password": "correct horse"}
        async with http.post(f"{project.url}/auth/v1/signup", json=body) as answer:
            user = await answer.json()
        http.headers["Authorization"] = f"Bearer {user['access_token']}"
        yield user["user"]["id"], http


async def test_users_read_all_columns_of_their_events_and_no_state(
    project: SupabaseLite, supabase: Supabase, signed_in: tuple[str, aiohttp.ClientSession]
) -> None:
    user_id, http = signed_in
    head = session(user_id=user_id)
    await ship(supabase, batch(head, event(head, 1), stateful(head, 2)))

    async def ask(path: str) -> tuple[int, Any]:
        async with http.get(f"{project.url}/rest/v1/{path}") as answer:
            return answer.status, await answer.text()

    for path in ("session_events?select=*", "sessions?select=*", "session_overview?select=*"):
        status, text = await ask(path)
        assert status == 200
        assert head.session_id in text
        assert MARK not in text
    for path in (
        f"{TABLE}?select=*",
        f"session_events?select=*,{TABLE}(*)",
        f"sessions?select=*,session_events(*,{TABLE}(*))",
    ):
        status, text = await ask(path)
        assert MARK not in text
        assert status >= 400, text


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_no_role_but_the_server_s_reads_it(project: SupabaseLite, role: str) -> None:
    with pytest.raises(AssertionError, match="permission denied"):
        project.psql(f"select * from {TABLE}", role=role)
    # Row level security holds it, too, where somebody grants too much.
    assert (
        project.psql(
            f"grant select on {TABLE} to {role}; set role {role}; select * from {TABLE};"
            f"reset role; revoke all on {TABLE} from {role}"
        )
        == ""
    )


# ------------------------------------------------------- a project of the version before


async def test_a_project_of_the_version_before_works_and_is_told_of(
    postgres: Postgres, tmp_path: Path
) -> None:
    with SupabaseLite(postgres.database(), schema=VERSION_2.read_text()) as project:
        supabase = await Supabase.connect(project.url, project.secret_key)
        (told,) = await supabase.check()
        assert told.kind == "schema_old"
        assert "version 2" in told.message
        assert "schema.sql" in told.remedy
        environ = {"SUPABASE_URL": project.url, "SUPABASE_KEY": project.secret_key}
        command = (sys.executable, "-m", "realtime", "--check")
        async with process(*command, cwd=tmp_path, **environ) as ran:
            assert await ran.ended() == 3
            assert str(told) in ran.output

        head = session()
        before = batch(head, event(head, 1), stateful(head, 2))
        assert await ship(supabase, before) == []
        fetched = await supabase.fetch(head.session_id)
        assert fetched
        assert [row.provider_state for row in fetched[1]] == [None, None]

        for _ in range(2):
            project.psql(SCHEMA.read_text())
        project.stop()
        project.start()
        assert await supabase.check() == []
        assert await ship(supabase, batch(head, *before.events, stateful(head, 3))) == []
        fetched = await supabase.fetch(head.session_id)
        assert fetched
        assert [row.seq for row in fetched[1]] == [1, 2, 3]
        assert fetched[1][2].provider_state == stateful(head, 3).provider_state
        await supabase.close()


async def test_the_start_tells_of_it_and_goes_on(
    serve: Serve,
    device: Devices,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Log, "append", filling())
    with SupabaseLite(postgres.database(), schema=VERSION_2.read_text()) as project:
        running = await serve(
            ScriptedModel(says("Hello.")),
            supabase_url=project.url,
            supabase_key=project.secret_key,
        )
        assert "at version 2" in caplog.text
        one = device(running.url)
        await one.connect()
        await one.done((await one.send("hi"))["run_id"])
        await until(
            project, "select content from session_events where event_type = 'done'", "Hello."
        )
        assert running.server.shipper.state.status == "ok"
        found = await running.server.log.keeper.session(one.session["session_id"])
        assert found
        assert states(found[1]) == expected(found[1])
        await one.drop()
        await running.stop()
