"""What an operator does beside workers that share an engine and ship to Supabase."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.device import Device
from tests.support.engine import Engine
from tests.support.fetch import fetch
from tests.support.process import SECRET, realtime
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite

Devices = Callable[..., Device]
SAID = "select content from session_events where event_type = 'user_message' order by seq"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "engine") as running:
        yield running


@pytest.fixture
def project(postgres: Postgres) -> Iterator[SupabaseLite]:
    with SupabaseLite(postgres.database(), schema=SCHEMA.read_text()) as lite:
        yield lite


async def shows(project: SupabaseLite, query: str, *lines: str) -> None:
    async with asyncio.timeout(20):
        while project.psql(query).split() != [*lines]:
            await asyncio.sleep(0.1)


def places(engine: Engine, project: SupabaseLite) -> dict[str, Any]:
    """As settings of a server in this process."""
    shipped = {"supabase_url": project.url, "supabase_key": project.secret_key}
    return {"valkey_url": engine.url, **shipped}


def variables(engine: Engine, project: SupabaseLite) -> dict[str, str]:
    given = {name.upper(): value for name, value in places(engine, project).items()}
    return {**given, "AUTH_SECRET": SECRET}


async def test_a_deleted_session_leaves_the_engine_and_supabase(
    engine: Engine, project: SupabaseLite, serve: Serve, device: Devices, tmp_path: Path
) -> None:
    running = await serve(ScriptedModel(says("Yes.")), **places(engine, project))
    one, two = device(running.url), device(running.url)
    for each, text in ((one, "mine?"), (two, "theirs?")):
        await each.connect()
        await each.ask(text)
    await shows(project, "select count(*) from sessions", "2")
    code, told = await realtime(
        *("sessions", "delete", "--yes", "--user", one.session["user_id"]),
        cwd=tmp_path,
        **variables(engine, project),
    )
    assert (code, told) == (0, "1 deleted\n")
    await one.client.wait()
    assert (await one.connect())["error"]["code"] == "not_found"
    await two.ask("still here?")
    await shows(project, SAID, "theirs?", "still", "here?")
    code, told = await realtime("sessions", "list", cwd=tmp_path, **variables(engine, project))
    assert (code, len(told.splitlines())) == (0, 1)
    assert two.session["session_id"] in told


async def test_a_row_that_supabase_refused_is_sent_again(
    engine: Engine, project: SupabaseLite, serve: Serve, device: Devices, tmp_path: Path
) -> None:
    project.psql(
        "alter table public.session_events add constraint no_tea "
        "check (event_type <> 'user_message' or content !~ 'tea')"
    )
    running = await serve(ScriptedModel(says("Yes.")), **places(engine, project))
    one = device(running.url)
    await one.connect()
    for text in ("water?", "tea?", "juice?"):
        await one.ask(text)
    await shows(project, SAID, "water?", "juice?")
    async with asyncio.timeout(15):
        while (await fetch(f"{running.url}/readyz")).json()["supabase"]["quarantined"] != 1:
            await asyncio.sleep(0.1)

    async def quarantine(*words: str) -> tuple[int, str]:
        return await realtime("quarantine", *words, cwd=tmp_path, **variables(engine, project))

    code, listed = await quarantine("list")
    assert (code, "23514" in listed) == (0, True)
    number = listed.split()[0]
    assert "tea?" in (await quarantine("show", number))[1]
    project.psql("alter table public.session_events drop constraint no_tea")
    assert (await quarantine("resend", number))[0] == 0
    running.server.log.keeper.news.set()
    await shows(project, SAID, "water?", "tea?", "juice?")
    assert (await fetch(f"{running.url}/readyz")).json()["supabase"]["quarantined"] == 0
