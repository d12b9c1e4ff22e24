"""The whole server with a project behind it: kept there, and read back on an empty disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from realtime.models import AssistantText, UserText
from tests.supabase.whole import journalled, stored
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import process
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve
from tests.support.supabase_lite import SupabaseLite

Devices = Callable[..., Device]


async def test_everything_is_kept_there_and_read_back(
    serve: Serve, device: Devices, project: SupabaseLite, tmp_path: Path
) -> None:
    supabase = {"supabase_url": project.url, "supabase_key": project.secret_key}
    model = ScriptedModel(says("Hello ", "Ada."), says("A summary."), says("As I said."))
    running = await serve(model, **supabase)
    one = device(running.url)
    await one.connect()
    session_id = one.session["session_id"]
    await one.done((await one.send("My name is Ada."))["run_id"])
    await one.call("end")
    await one.durable("summary", status="done")
    await one.drop()
    await running.stop()  # ships what is left

    rows = stored(project, [session_id])
    assert rows == journalled(running.server.settings.database_path)
    assert [row["event_type"] for row in rows] == [
        "session_started", "user_message", "run", "token", "done", "session_ended", "summary",
    ]  # fmt: skip
    assert rows[1]["content"] == "My name is Ada."
    assert rows[3]["content"] == "Hello Ada."
    head = project.psql(
        "select user_id, summary, duration_seconds > 0, end_time > start_time "
        f"from sessions where session_id = '{session_id}'"
    )
    assert head.strip() == f"{one.session['user_id']}|A summary.|t|t"

    fresh = await serve(model, **supabase, database_path=str(tmp_path / "fresh.db"))
    one.url = fresh.url
    session = await one.connect()
    assert (session["mode"], session["recovered"], session["epoch"]) == ("snapshot", False, 2)
    assert session["ended"]
    listed = (await fetch(f"{fresh.url}/api/sessions", one.auth["token"])).json()
    assert [row["summary"] for row in listed["sessions"]] == ["A summary."]
    ack = await one.send("What is my name?")
    assert (await one.done(ack["run_id"]))["status"] == "completed"
    assert model.requests[-1].context == (
        UserText("My name is Ada."),
        AssistantText("Hello Ada."),
        UserText("What is my name?"),
    )
    await one.drop()
    await fresh.stop()
    after = stored(project, [session_id])
    assert after[: len(rows)] == rows, "nothing is stored twice"
    assert after == journalled(fresh.server.settings.database_path)
    assert project.psql(
        f"select count(*) from session_events where session_id = '{session_id}' and epoch = 2"
    ).strip() == str(len(after) - len(rows))


async def test_chat_goes_on_while_supabase_is_away(
    serve: Serve, device: Devices, project: SupabaseLite
) -> None:
    running = await serve(
        ScriptedModel(says("Still ", "here.")),
        supabase_url=project.url,
        supabase_key=project.secret_key,
    )
    one = device(running.url)
    await one.connect()
    project.stop()
    try:
        done = await one.done((await one.send("are you there?"))["run_id"])
        assert done["text"] == "Still here."
        async with asyncio.timeout(20):
            while True:
                ready = await fetch(f"{running.url}/readyz")
                assert ready.status == 200, "it still serves"
                if ready.json()["supabase"]["status"] == "degraded":
                    break
                await asyncio.sleep(0.1)
        assert project.secret_key not in ready.text
    finally:
        project.start()
    await one.drop()
    async with asyncio.timeout(30):
        while running.server.shipper.state.status != "ok":
            await asyncio.sleep(0.1)
    await running.stop()
    session_id = one.session["session_id"]
    assert stored(project, [session_id]) == journalled(running.server.settings.database_path)


async def test_a_wrong_key_or_no_schema_is_refused_at_the_start(
    project: SupabaseLite, empty_project: SupabaseLite, tmp_path: Path
) -> None:
    for url, key, says_what in (
        (project.url, project.publishable_key, "SUPABASE_KEY"),
        (project.url, "sb_secret_wrong", "SUPABASE_KEY"),
        (empty_project.url, empty_project.secret_key, "schema.sql"),
    ):
        async with process(cwd=tmp_path, PORT="0", SUPABASE_URL=url, SUPABASE_KEY=key) as running:
            assert await running.ended() == 2, running.output
            assert says_what in running.output
            assert key not in running.output
            assert "Traceback" not in running.output
