"""An answer that its provider keeps moves with its session, in mid-word, from server to server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime.models.openai import OpenAIModel
from tests.supabase.disks import Here, disks
from tests.support.device import Device
from tests.support.keeping import WORDS, Keeper, providing, said
from tests.support.serving import Serve
from tests.support.supabase_lite import SupabaseLite

Devices = Callable[..., Device]


def asking(keeper: Keeper) -> OpenAIModel:
    return OpenAIModel(
        api_key="k", base_url=keeper.url, model="m", api="responses", background=True
    )


@pytest.fixture
def here(project: SupabaseLite, tmp_path: Path) -> Here:
    return disks(project, tmp_path, grace_seconds=60, drain_seconds=0.1)


async def test_whoever_takes_the_session_finishes_the_answer(
    serve: Serve, device: Devices, here: Here, project: SupabaseLite
) -> None:
    async with providing(said(WORDS)) as keeper:
        models = asking(keeper), asking(keeper)
        old, new = [
            await serve(model, **here(disk))
            for model, disk in zip(models, ("old", "new"), strict=True)
        ]
        one = device(old.url)
        await one.connect()
        run_id = (await one.send("go"))["run_id"]
        await keeper.make(12)
        await one.until(lambda: one.text(run_id).endswith(WORDS[9]) or None)
        await old.server.drain()
        await one.drop()
        await old.stop()

        rows = "select string_agg(content, '' order by seq) from session_events where "
        rows += f"session_id = '{one.session['session_id']}' and event_type = 'token'"
        got = project.psql(rows)
        assert got == "".join(WORDS[:10]).strip(), "shipped to the last token"
        other = device(new.url, **one.auth)
        session = await other.connect()
        assert (session["mode"], session["epoch"]) == ("snapshot", 2)
        assert session["active_run"]["run_id"] == run_id
        await keeper.make(100)
        done = await other.done(run_id)
        assert (done["status"], done["text"]) == ("completed", "".join(WORDS))
        assert other.text(run_id) == "".join(WORDS)
        assert (len(keeper.asked), keeper.cancelled, keeper.read) == (1, [], [None])
        await other.drop()
        await new.stop()
        for model in models:
            await model.close()


async def test_a_session_that_is_deleted_cancels_its_answer(
    serve: Serve, device: Devices, here: Here, project: SupabaseLite
) -> None:
    async with providing(said(WORDS)) as keeper:
        model = asking(keeper)
        running = await serve(model, **here("one"))
        one = device(running.url)
        await one.connect()
        await one.send("go")
        await keeper.make(12)
        await one.durable("token")
        session_id = one.session["session_id"]
        await running.server.hub.lost(session_id, deleted=True)
        async with asyncio.timeout(10):
            while not keeper.cancelled:
                await asyncio.sleep(0.01)
        await one.drop()
        await running.stop()
        await model.close()
