"""A session that moves from one server to another, in the whole product."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from realtime.log.journal import Journal
from realtime.log.log import Log
from realtime.supabase import leases
from tests.supabase.disks import Here, disks
from tests.supabase.gateway import Gateway
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.proxy import proxy
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Running, Serve
from tests.support.states import MARK, expected, filling, states
from tests.support.supabase_lite import SupabaseLite

Devices = Callable[..., Device]


@pytest.fixture
def here(project: SupabaseLite, tmp_path: Path) -> Here:
    return disks(project, tmp_path, grace_seconds=0.2)


async def met(device: Devices, running: Running) -> tuple[Device, str]:
    """A device whose session has one question and its answer, and the clause that names it."""
    one = device(running.url)
    await one.connect()
    assert (await one.ask("hi"))["status"] == "completed"
    return one, f"where session_id = '{one.session['session_id']}'"


def expire(project: SupabaseLite, running: Running) -> None:
    """The project has not heard of this server for an hour."""
    assert running.server.leases
    project.psql(
        "update realtime_workers set until = now() - interval '1 hour' "
        f"where worker = '{running.server.leases.worker}'"
    )


async def until(project: SupabaseLite, sql: str, wanted: str) -> None:
    async with asyncio.timeout(15):
        while (got := await asyncio.to_thread(project.psql, sql)) != wanted:
            await asyncio.sleep(0.05)
    assert got == wanted


async def test_a_deploy_hands_sessions_over_at_once(
    serve: Serve, device: Devices, here: Here, project: SupabaseLite
) -> None:
    model = ScriptedModel(says("Hello."))
    old, new = await serve(model, **here("old")), await serve(model, **here("new"))
    one, where = await met(device, old)
    await until(project, f"select held from sessions {where}", "t")

    other = device(new.url, **one.auth)
    refused = (await other.connect())["error"]
    assert (refused["code"], refused["retryable"]) == ("busy", True)
    assert refused["retry_after_ms"] > 0
    asked = await fetch(f"{new.url}/api/sessions/{one.session['session_id']}", one.auth["token"])
    assert asked.status == 503
    await other.drop()

    await old.server.drain()
    await one.drop()
    await old.stop()
    session = await other.connect()
    assert (session["mode"], session["epoch"], session["ended"]) == ("snapshot", 2, False)
    assert (await other.ask("again"))["status"] == "completed"


async def test_what_was_held_on_trust_and_is_lost_is_read_again(
    serve: Serve,
    device: Devices,
    here: Here,
    project: SupabaseLite,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "TAKE_S", 0.5)
    gateway = Gateway(project.url)
    async with gateway.running():
        there = {**here("old"), "supabase_url": gateway.url}
        running = await serve(ScriptedModel(says("Hello.")), **there)
        one, where = await met(device, running)
        await one.drop()
        await until(project, f"select held from sessions {where}", "f")
        gateway.mode = "hanging"
        await one.connect()
        gateway.mode = "well"
        await running.server.hub.lost(one.session["session_id"], deleted=False)
        await one.drop()
        again = device(running.url, **one.place)
        assert "error" not in await again.connect()
        assert again.events("user_message")[0]["text"] == "hi"
        await again.drop()
        await running.stop()


async def test_a_server_that_lost_a_session_shows_its_devices_out(
    serve: Serve,
    device: Devices,
    here: Here,
    project: SupabaseLite,
) -> None:
    model = ScriptedModel(says("Hello."))
    old, new = await serve(model, **here("old")), await serve(model, **here("new"))
    one, where = await met(device, old)
    session_id = one.session["session_id"]
    idle = device(old.url)
    await idle.connect()
    await until(project, f"select held from sessions {where}", "t")
    expire(project, old)  # though it lives
    project.psql(
        "update realtime_workers set since = now() - interval '1 hour' "
        f"where worker = '{new.server.leases.worker}'"
    )
    other = device(new.url, **one.auth)
    assert (await other.connect())["epoch"] == 2
    assert (await other.ask("from here"))["status"] == "completed"

    ack = await one.send("from there")  # taken there, before anybody could know
    assert ack["ok"]
    async with asyncio.timeout(15):
        while one.client.connected:
            await asyncio.sleep(0.02)
    assert idle.client.connected, "another session of the same batch goes on"
    kept = old.server.log.keeper.journal.quarantine.rows()
    assert "from there" in [row.content for row in kept], "it is nowhere else"
    assert await old.server.log.keeper.row(session_id) is None
    await other.drop()
    await new.stop()
    session = await one.connect()
    assert (session["mode"], session["epoch"]) == ("snapshot", 3)
    assert [event["text"] for event in one.events("user_message")] == ["hi", "from here"]


@pytest.mark.parametrize("goes_on", [False, True])
async def test_what_a_wiped_disk_left_is_finished_by_another(
    goes_on: bool,
    serve: Serve,
    device: Devices,
    here: Here,
    project: SupabaseLite,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits = asyncio.Event()
    port = urlsplit(project.url).port
    assert port
    async with proxy(port) as line:
        model = ScriptedModel([*says("Half an ans")[:1], waits])
        old = await serve(model, **{**here("old"), "supabase_url": line.url})
        one = device(old.url)
        await one.connect()
        session_id = one.session["session_id"]
        await one.send("hi")
        where = f"where session_id = '{session_id}'"
        tokens = f"select count(*) from session_events {where} and event_type = 'token'"
        await until(project, tokens, "1")
        line.cut()  # it is gone, disk and all: nothing more of it arrives
        expire(project, old)
        monkeypatch.setattr(leases, "LEASE_S", 1.0)
        monkeypatch.setattr(leases, "SWEEP_S", 0.2)
        model = ScriptedModel(*([says("wer.")] if goes_on else []), says("A summary."))
        new = await serve(model, continue_automatically=goes_on, **here("new"))
        await until(project, f"select summary from sessions {where}", "A summary.")
        done = f"select content, status, epoch from session_events {where} and event_type = 'done'"
        ends = ["Half an ans|interrupted|2", "Half an answer.|completed|2"]
        assert project.psql(f"{done} order by seq").split("\n") == ends[: 1 + goes_on]
        assert project.psql(f"select end_time > start_time from sessions {where}") == "t"
        await until(project, f"select held from sessions {where}", "f")
        await new.stop()
        await one.drop()
        line.refusing = False
        await old.stop()


async def test_a_session_of_which_only_the_head_arrived_begins_anew(
    serve: Serve,
    device: Devices,
    here: Here,
    project: SupabaseLite,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch may end between a head and its first event, and the worker with it."""
    monkeypatch.setattr(leases, "LEASE_S", 1.0)
    monkeypatch.setattr(leases, "SWEEP_S", 0.2)
    session_id = str(uuid4())
    project.psql(
        "insert into realtime_workers (worker, since, until) "
        "values ('dead', now() - interval '2 hours', now() - interval '1 hour');"
        "insert into sessions (session_id, user_id, epoch, start_time, worker, held) "
        f"values ('{session_id}', 'u', 1, now() - interval '1 hour', 'dead', true)"
    )
    running = await serve(ScriptedModel(says("Hello.")), **here("one"))
    where = f"where session_id = '{session_id}'"
    await until(project, f"select user_id, end_time is not null from sessions {where}", "u|t")
    await until(
        project,
        f"select string_agg(event_type, ' ' order by seq) from session_events {where} and seq < 3",
        "session_started session_ended",
    )
    await met(device, running)  # nobody else's session suffers


async def test_a_head_is_shipped_without_an_event(
    serve: Serve, device: Devices, here: Here, project: SupabaseLite
) -> None:
    running = await serve(ScriptedModel(says("Hello.")), **{**here("one"), "grace_seconds": 60})
    one = device(running.url)
    await one.connect()
    where = f"where session_id = '{one.session['session_id']}'"
    assert (await one.call("share"))["ok"]
    await until(project, f"select share_key is not null from sessions {where}", "t")
    assert (await one.call("unshare"))["ok"]
    await until(project, f"select share_key is null from sessions {where}", "t")
    await one.drop()
    await until(project, f"select left_at >= start_time from sessions {where}", "t")


async def test_provider_state_moves_with_its_session(
    serve: Serve,
    device: Devices,
    here: Here,
    project: SupabaseLite,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Log, "append", filling())
    model = ScriptedModel(says("Hello."))
    old = await serve(model, **{**here("old"), "grace_seconds": 60})
    one, _ = await met(device, old)
    session_id = one.session["session_id"]
    found = await old.server.log.keeper.session(session_id)
    assert found
    given = states(found[1])
    assert given
    await one.drop()
    await old.stop()

    new = await serve(model, **{**here("new"), "grace_seconds": 60})
    other = device(new.url, **one.place)
    assert (await other.connect())["epoch"] == 2
    found = await new.server.log.keeper.session(session_id)
    assert found
    assert states(found[1]) == given
    await other.ask("again")
    async with new.server.hub.hold(session_id) as actor:
        assert actor
        runs = [run.done for run in actor.session.started]
    assert states(done for done in runs if done) == expected(done for done in runs if done)
    assert MARK not in str([one.record, other.record])
    await other.drop()
    await new.stop()
    with closing(Journal(here("new")["database_path"])) as journal:
        found = journal.session(session_id)
        assert found
        assert len(states(found[1])) == 4
