"""An older backup that is served again: Supabase sees another worker, which takes sessions over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.supabase.disks import Here, disks
from tests.support.device import Device
from tests.support.process import realtime
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve
from tests.support.supabase_lite import SupabaseLite

Devices = Callable[..., Device]


@pytest.fixture
def here(project: SupabaseLite, tmp_path: Path) -> Here:
    return disks(project, tmp_path, grace_seconds=60)


async def until(project: SupabaseLite, sql: str, wanted: str) -> None:
    async with asyncio.timeout(15):
        while await asyncio.to_thread(project.psql, sql) != wanted:
            await asyncio.sleep(0.05)


async def command(*words: str, here: Here, disk: str, folder: Path) -> None:
    code, told = await realtime(*words, cwd=folder, DATABASE_PATH=here(disk)["database_path"])
    assert code == 0, told


@pytest.mark.parametrize("ended", [False, True], ids=["open", "ended"])
async def test_what_supabase_has_of_a_session_counts(
    ended: bool, serve: Serve, device: Devices, here: Here, project: SupabaseLite, tmp_path: Path
) -> None:
    first = await serve(ScriptedModel(says("Hello.")), **here("first"))
    one = device(first.url)
    await one.connect()
    await one.ask("before")
    if ended:
        await one.call("end")
        await one.durable("summary", status="done")
    await command("backup", "b.zip", here=here, disk="first", folder=tmp_path)
    await one.ask("after")
    where = f"where session_id = '{one.session['session_id']}'"
    said = f"select count(*) from session_events {where} and event_type = 'done'"
    await until(project, said, "2")
    seen = one.last_seq

    await command("restore", "b.zip", here=here, disk="second", folder=tmp_path)
    second = await serve(ScriptedModel(says("Welcome back.")), **here("second"))
    assert second.server.leases.worker != first.server.leases.worker
    other = device(second.url, **one.auth)
    refused = (await other.connect())["error"]
    assert (refused["code"], refused["retryable"]) == ("busy", True), "the first one writes it"
    await other.drop()
    await one.drop()
    await first.stop()

    session = await other.connect()
    assert session["mode"] == "snapshot"
    assert session["epoch"] > one.session["epoch"]
    assert session["seq"] >= seen
    assert [event["text"] for event in other.events("user_message")] == ["before", "after"]
    assert (await other.ask("again"))["status"] == "completed"
    await until(project, said, "3")
    await until(project, f"select epoch from sessions {where}", str(session["epoch"]))
    twice = f"select seq from session_events {where} group by seq having count(*) > 1"
    assert project.psql(twice) == ""
    assert second.server.log.keeper.journal.quarantine.count() == 0


async def test_a_session_that_never_reached_supabase_goes_on_from_the_backup(
    serve: Serve, device: Devices, here: Here, project: SupabaseLite, tmp_path: Path
) -> None:
    alone = here("first") | {"supabase_url": "", "supabase_key": ""}
    first = await serve(ScriptedModel(says("Hello.")), **alone)
    one = device(first.url)
    await one.connect()
    await one.ask("before")
    await command("backup", "b.zip", here=here, disk="first", folder=tmp_path)
    await one.ask("after")
    await one.drop()
    await first.stop()

    await command("restore", "b.zip", "--yes", here=here, disk="first", folder=tmp_path)
    second = await serve(ScriptedModel(says("Welcome back.")), **here("first"))
    one.url = second.url
    session = await one.connect()
    assert session["mode"] == "snapshot"
    assert session["epoch"] > 1
    assert [event["text"] for event in one.events("user_message")] == ["before"]
    await one.ask("again")
    where = f"where session_id = '{one.session['session_id']}'"
    texts = f"select string_agg(content, ' ' order by seq) from session_events {where}"
    await until(project, f"{texts} and event_type = 'user_message'", "before again")
    await until(project, f"select epoch from sessions {where}", str(session["epoch"]))
    await one.drop()
    await second.stop()
