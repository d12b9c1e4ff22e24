"""Tools and crashes: repeatable ones may run again, approvals wait on."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.faults.recorder import Lost
from tests.faults.world import world

TOOLS = """
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

@tool(approval=True)
def launch(what: str) -> str:
    "Launch it, once a person has agreed."
    Path("launched.txt").write_text(what)
    return "launched"
"""


async def test_a_repeatable_tool_runs_again_under_its_key(tmp_path: Path) -> None:
    (tmp_path / "own_tools.py").write_text(TOOLS)
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


async def test_an_approval_outlives_a_kill(tmp_path: Path) -> None:
    (tmp_path / "own_tools.py").write_text(TOOLS)
    async with world(tmp_path, TOOLS="own_tools") as scene:
        one = await scene.device("raw")
        other = await scene.device("stock", of=one)
        ack = await one.send('tool launch {"what": "x"} tokens 4 rate 0')
        await one.until(lambda: one.events("tool_call", status="awaiting_approval") or None)
        await scene.restart()
        await other.until(lambda: (other.connects > 1 and other.live) or None)
        assert not other.events("done"), "it goes on waiting"
        (pending,) = other.pages[-1]["pending_approvals"]
        call_id = pending["tool_call_id"]
        assert not (tmp_path / "launched.txt").exists()
        first = await other.call("approve", tool_call_id=call_id, decision="approve")
        assert first["status"] == "resolved"
        late = await one.call("approve", tool_call_id=call_id, decision="deny")
        assert late["error"]["code"] == "already_resolved"
        assert (await one.done(ack["run_id"], 10))["status"] == "completed"
        assert (tmp_path / "launched.txt").read_text() == "x"
        (await scene.verdict()).hold()
