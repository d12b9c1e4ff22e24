"""A message that steers, and kill -9: before it is taken in, behind that, and where it is not."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from tests.support.recorder import Lost, Recorder
from tests.support.upstream import numbered
from tests.support.world import World, world

HOLDS = """
import asyncio
from pathlib import Path
from realtime.tools import tool

@tool(repeatable=True)
async def hold(until: str) -> str:
    "Wait for a file."
    while not Path(until).exists():
        await asyncio.sleep(0.01)
    return "held"
"""
ASKED = 'tool hold {"until": "go"} tokens 4 rate 0'


async def steers(one: Recorder, text: str) -> tuple[asyncio.Task[None], dict[str, Any]]:
    """Send it, whether or not its ack comes; and what the log has of it."""

    async def send() -> None:
        with contextlib.suppress(Lost):
            await one.send(text, client_msg_id="s", if_busy="steer")

    sending = asyncio.create_task(send())
    return sending, (await one.until(lambda: one.events("run", status="queued") or None))[-1]


async def begun(scene: World) -> tuple[Recorder, str]:
    """A run that waits for its call, and two more devices that watch."""
    one = await scene.device("raw")
    await scene.device("stock", of=one)
    await scene.device("node", of=one)
    run_id = (await one.send(ASKED))["run_id"]
    await one.until(lambda: one.events("tool_call", status="running") or None)
    return one, run_id


async def test_before_it_is_taken_in(tmp_path: Path) -> None:
    (tmp_path / "own_tools.py").write_text(HOLDS)
    async with world(tmp_path, TOOLS="own_tools") as scene:
        one, run_id = await begun(scene)
        text = "tokens 20 rate 0"
        sending, said = await steers(one, text)
        await scene.restart()
        (tmp_path / "go").touch()
        done = await one.done(said["run_id"])
        assert (done["status"], done["consumed_by"]) == ("consumed", run_id)
        assert (await one.done(run_id))["text"] == numbered(20)
        retry = await one.say(text, client_msg_id="s", if_busy="steer")
        assert (retry["status"], retry["run_id"]) == ("duplicate", said["run_id"])
        await sending
        (await scene.verdict()).hold()


async def test_after_it_was_taken_in(tmp_path: Path) -> None:
    (tmp_path / "own_tools.py").write_text(HOLDS)
    async with world(tmp_path, TOOLS="own_tools", CONTINUE_AUTOMATICALLY="true") as scene:
        one, run_id = await begun(scene)
        sending, said = await steers(one, "tokens 400 rate 0 gate x at 200")
        (tmp_path / "go").touch()
        await one.until(lambda: sum(len(e["delta"]) for e in one.events("token")) >= 1600 or None)
        await scene.restart()
        scene.upstream.gate("x").set()
        done = await one.done(said["run_id"])
        assert (done["status"], done["consumed_by"]) == ("consumed", run_id)
        heir = (await one.done(run_id))["continued_by"]
        assert (await one.done(heir))["text"] == numbered(400)
        await sending
        (await scene.verdict()).hold()


async def test_an_answer_that_cannot_go_on_leaves_it_in_the_queue(tmp_path: Path) -> None:
    async with world(tmp_path, CONTINUE_AUTOMATICALLY="false") as scene:
        one = await scene.device("raw")
        await scene.device("node", of=one)
        run_id = (await one.send("tokens 9 rate 0 gate x at 5"))["run_id"]
        await one.until(lambda: one.events("token") or None)
        sending, said = await steers(one, "tokens 20 rate 0")
        await scene.restart()
        scene.upstream.gate("x").set()
        assert (await one.done(run_id))["status"] == "interrupted"
        done = await one.done(said["run_id"])
        assert (done["status"], done["text"]) == ("completed", numbered(20))
        await sending
        (await scene.verdict()).hold()
