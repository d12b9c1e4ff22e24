"""Supabase away in every way; an answer that is seen there while it grows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from realtime.models import Finished, TextDelta, Usage
from tests.supabase import outage
from tests.supabase.gateway import Gateway
from tests.support.device import Device
from tests.support.scripted import ScriptedModel
from tests.support.serving import Serve
from tests.support.supabase_lite import SupabaseLite

Devices = Callable[..., Device]


async def test_an_outage_under_load_costs_nothing(project: SupabaseLite, tmp_path: Path) -> None:
    figures = await outage.play(0.15, 4, tmp_path, project, "tests.supabase.worker")
    assert figures["backlog"] > 100
    assert figures["drain_requests"] <= 12 + figures["backlog"] // 100, "in full batches"


async def test_an_answer_is_seen_while_it_grows_and_is_one_row_in_the_end(
    serve: Serve, device: Devices, project: SupabaseLite
) -> None:
    gateway = Gateway(project.url)
    steps = [asyncio.Event() for _ in range(8)]
    script = [part for n, step in enumerate(steps) for part in ([TextDelta(f"w{n} ")], step)]
    async with gateway.running():
        running = await serve(
            ScriptedModel([*script, [Usage(1, 8), Finished("stop")]]),
            supabase_url=gateway.url,
            supabase_key=project.secret_key,
        )
        one = device(running.url)
        await one.connect()
        session_id = one.session["session_id"]
        ack = await one.send("count")
        shown = (
            "select coalesce(string_agg(content, '' order by seq), '') from session_events "
            f"where session_id = '{session_id}' and event_type = 'token'"
        )
        text = ""
        for number, step in enumerate(steps):
            text += f"w{number} "
            async with asyncio.timeout(10):
                while await asyncio.to_thread(project.psql, shown) != text.strip():
                    await asyncio.sleep(0.02)
            step.set()
        await one.done(ack["run_id"])
        await one.drop()
        await running.stop()
        asked = gateway.asked("ship_batch")
    assert all(fifth - first > 0.95 for first, fifth in zip(asked, asked[4:-2], strict=False)), [
        round(later - one, 3) for one, later in pairwise(asked)
    ]
    rows = project.psql(
        "select content, seq - first_seq from session_events "
        f"where session_id = '{session_id}' and event_type = 'token'"
    )
    assert rows == f"{text}|7"
