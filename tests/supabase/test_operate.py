"""The operator's commands, each as its own process: schema, check, sessions, quarantine."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import free_port, process
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite

Devices = Callable[..., Device]


async def realtime(folder: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    """`python -m realtime …` in a folder: its exit code, and what it said."""
    async with process(sys.executable, "-m", "realtime", *arguments, cwd=folder, **environ) as ran:
        return await ran.ended(), ran.output


def of(project: SupabaseLite) -> dict[str, str]:
    return {"SUPABASE_URL": project.url, "SUPABASE_KEY": project.secret_key}


# ------------------------------------------------------------------------- schema


async def test_the_schema_is_printed_and_written_as_a_migration(tmp_path: Path) -> None:
    code, output = await realtime(tmp_path, "schema")
    assert (code, output) == (0, SCHEMA.read_text())
    names = {(await realtime(tmp_path, "schema", "--migration"))[1].strip() for _ in range(2)}
    assert len(names) == 1, "unchanged, it is not written again"
    (name,) = names
    assert re.fullmatch(r"supabase/migrations/\d{14}_realtime\.sql", name)
    assert (tmp_path / name).read_text() == SCHEMA.read_text()


async def test_the_schema_is_applied(
    postgres: Postgres, project: SupabaseLite, tmp_path: Path
) -> None:
    # A project has Supabase's roles from the start; here they came with the first one.
    with SupabaseLite(postgres.database()) as project:
        for _ in range(2):
            code, output = await realtime(tmp_path, "schema", "--apply", project.database.url)
            assert code == 0, output
        project.stop()
        project.start()
        code, output = await realtime(tmp_path, "--check", **of(project))
        assert code == 0, output
        assert f"ok    Supabase {project.url}" in output


async def test_a_schema_that_cannot_be_applied_says_why(tmp_path: Path) -> None:
    url = f"postgres://postgres:open-sesame@127.0.0.1:{free_port()}/postgres"
    code, output = await realtime(tmp_path, "schema", "--apply", url)
    assert code == 1
    assert "not applied" in output
    assert "Traceback" not in output
    assert "open-sesame" not in output


# -------------------------------------------------------------------------- check


async def test_row_level_security_that_is_off_is_told(postgres: Postgres, tmp_path: Path) -> None:
    with SupabaseLite(postgres.database(), schema=SCHEMA.read_text()) as project:
        project.psql("alter table public.session_events disable row level security")
        code, output = await realtime(tmp_path, "--check", **of(project))
        assert code == 3
        assert "Row level security is off for session_events" in output
        assert "schema.sql" in output
        project.psql("alter table public.session_events enable row level security")
        project.psql(
            "create or replace function public.realtime_health() returns jsonb language sql "
            "set search_path = '' as $$ select jsonb_build_object('version', 2, 'open_tables', "
            "'[]'::jsonb, 'now', (extract(epoch from now()) * 1000)::bigint - 60000) $$"
        )
        code, output = await realtime(tmp_path, "--check", **of(project))
        assert code == 3
        assert re.search(r"clock is (59|60|61) s ahead", output), output
        assert "NTP" in output


async def test_a_disk_that_is_wiped_is_warned_of(tmp_path: Path) -> None:
    dyno = {"DYNO": "web.1", "AUTH_SECRET": "a-secret-for-tests-of-32-characters", "PORT": "0"}
    code, output = await realtime(tmp_path, "--check", **dyno)
    assert code == 3
    assert "wipes the disk" in output
    async with process(cwd=tmp_path, **dyno) as running:
        await running.says("Listening")
        assert re.search(r"ERROR.*wipes the disk", running.output), running.output


# ----------------------------------------------------------------------- sessions


async def spoken(one: Device, text: str) -> str:
    """A session in which something was said, ended; its id."""
    await one.connect()
    await one.done((await one.send(text))["run_id"])
    await one.call("end")
    await one.durable("summary", status="done")
    return str(one.session["session_id"])


async def test_a_session_only_in_supabase_is_listed_and_exported(
    serve: Serve, device: Devices, project: SupabaseLite, tmp_path: Path
) -> None:
    running = await serve(
        ScriptedModel(says("Green ", "tea."), says("On tea.")),
        supabase_url=project.url,
        supabase_key=project.secret_key,
    )
    one = device(running.url)
    session_id = await spoken(one, "Which tea?")
    await one.drop()
    here = await realtime(
        tmp_path, "sessions", "export", session_id, DATABASE_PATH=str(tmp_path / "journal.db")
    )
    await running.stop()
    there = await realtime(tmp_path, "sessions", "export", session_id, **of(project))
    assert here[0] == there[0] == 0, here[1] + there[1]
    assert json.loads(here[1]) == json.loads(there[1])
    assert json.loads(there[1])["session"]["summary"] == "On tea."
    code, output = await realtime(
        tmp_path, "sessions", "export", session_id, "--format", "markdown", **of(project)
    )
    assert code == 0
    assert "Which tea?" in output
    assert "Green tea." in output
    code, output = await realtime(tmp_path, "sessions", "list", **of(project))
    assert session_id in output


async def test_all_of_a_user_is_deleted_while_shipping_is_behind(
    serve: Serve, device: Devices, project: SupabaseLite, tmp_path: Path
) -> None:
    running = await serve(
        ScriptedModel(says("Yes.")),
        supabase_url=project.url,
        supabase_key=project.secret_key,
        grace_seconds=600,
    )
    one = device(running.url)
    first = await spoken(one, "One?")
    user = one.session["user_id"]
    ack = await one.call("create")
    second = ack["session_id"]
    mine = f"from sessions where user_id = '{user}'"
    async with asyncio.timeout(10):
        while project.psql(f"select count(*) {mine}") != "2":
            await asyncio.sleep(0.05)

    # What is shipped now has been read before the deletion.
    ship = running.server.supabase.ship
    held, go_on = asyncio.Event(), asyncio.Event()

    async def late(*arguments: object) -> object:
        held.set()
        await go_on.wait()
        return await ship(*arguments)

    running.server.supabase.ship = late
    await one.call("leave", {"session_id": first})
    sent = await one.send("Two?", session_id=second)
    await held.wait()
    code, output = await realtime(
        tmp_path,
        *("sessions", "delete", "--yes", "--user", user),
        DATABASE_PATH=str(tmp_path / "journal.db"),
        **of(project),
    )
    assert (code, output) == (0, "2 deleted\n")
    running.server.supabase.ship = ship
    go_on.set()
    await one.drop()
    await running.stop()
    assert sent["ok"]
    assert project.psql(f"select count(*) {mine}") == "0"
    assert (
        project.psql(
            f"select count(*) from session_events where session_id in ('{first}', '{second}')"
        )
        == "0"
    )


async def test_nothing_is_deleted_here_while_supabase_is_away(tmp_path: Path) -> None:
    away = {"SUPABASE_URL": f"http://127.0.0.1:{free_port()}", "SUPABASE_KEY": "sb_secret_x"}
    code, output = await realtime(tmp_path, "sessions", "delete", "--yes", "--user", "ada", **away)
    assert code == 1
    assert "cannot be reached" in output
    assert "Traceback" not in output


# --------------------------------------------------------------------- quarantine


async def test_a_row_in_quarantine_is_looked_at_and_sent_again(
    serve: Serve, device: Devices, postgres: Postgres, tmp_path: Path
) -> None:
    with SupabaseLite(postgres.database(), schema=SCHEMA.read_text()) as project:
        project.psql(
            "alter table public.session_events add constraint no_tea "
            "check (event_type <> 'user_message' or content !~ 'tea')"
        )
        running = await serve(
            ScriptedModel(says("Yes.")), supabase_url=project.url, supabase_key=project.secret_key
        )
        one = device(running.url)
        await one.connect()
        for text in ("water?", "tea?", "juice?"):
            await one.done((await one.send(text))["run_id"])
        said = "select content from session_events where event_type = 'user_message' order by seq"
        async with asyncio.timeout(15):
            while project.psql(said).split() != ["water?", "juice?"]:
                await asyncio.sleep(0.1)
        ready = (await fetch(f"{running.url}/readyz")).json()["supabase"]
        assert (ready["status"], ready["quarantined"]) == ("ok", 1)

        journal = {"DATABASE_PATH": str(tmp_path / "journal.db")}
        code, output = await realtime(tmp_path, "quarantine", "list", **journal)
        assert code == 0
        number = output.split()[0]
        assert "23514" in output
        assert "tea?" in (await realtime(tmp_path, "quarantine", "show", number, **journal))[1]
        code, output = await realtime(tmp_path, "quarantine", "show", "99", **journal)
        assert code == 1
        assert "no row 99" in output

        project.psql("alter table public.session_events drop constraint no_tea")
        code, output = await realtime(tmp_path, "quarantine", "resend", number, **journal)
        assert code == 0, output
        running.server.log.keeper.news.set()
        async with asyncio.timeout(15):
            while project.psql(said).split() != ["water?", "tea?", "juice?"]:
                await asyncio.sleep(0.1)
        ready = (await fetch(f"{running.url}/readyz")).json()["supabase"]
        assert ready["quarantined"] == 0
        await one.drop()
        await running.stop()
