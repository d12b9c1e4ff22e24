"""A tool that may be repeated runs again after a crash, under the same key."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.support.recorder import Lost
from tests.support.world import world

REPEATABLE = """
import os, signal
from pathlib import Path
from realtime.tools import ToolContext, tool

@tool(repeatable=True)
def look_up(key: str, context: ToolContext) -> str:
    "Look something up; it may be done again."
    with Path("effects.txt").open("a") as effects:
        effects.write(f"{context.tool_call_id} {key}\\n")
    if os.environ.get("CRASH_AT") == "effect":
        os.kill(os.getpid(), signal.SIGKILL)
    return "found"
"""


async def test_a_repeatable_tool_runs_again_under_its_key(tmp_path: Path) -> None:
    (tmp_path / "own_tools.py").write_text(REPEATABLE)
    async with world(tmp_path, TOOLS="own_tools") as scene:
        one = await scene.device("raw")
        await scene.restart(CRASH_AT="effect")
        await one.reaches(1)
        with contextlib.suppress(Lost):
            await one.send('tool look_up {"key": "a"} tokens 4 rate 0', client_msg_id="look")
        await scene.process.ended()
        await scene.kill()
        await scene.start()
        ack = await one.say('tool look_up {"key": "a"} tokens 4 rate 0', client_msg_id="look")
        done = await one.done(ack["run_id"], 10)
        assert done["status"] == "completed", "the run goes on"
        effects = (tmp_path / "effects.txt").read_text().splitlines()
        assert len(effects) == 2
        assert len(set(effects)) == 1, "twice, under one key"
        assert len({call["tool_call_id"] for call in one.events("tool_call")}) == 1
        (await scene.verdict()).hold()
