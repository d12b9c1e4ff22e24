"""Calls that wait for a person outlive the process."""

from __future__ import annotations

from pathlib import Path

from tests.faults.world import world

APPROVED = """
from pathlib import Path
from realtime.tools import tool

@tool(approval=True)
def launch(what: str) -> str:
    "Launch it, once a person has agreed."
    Path("launched.txt").write_text(what)
    return "launched"
"""


async def test_an_approval_outlives_a_kill(tmp_path: Path) -> None:
    (tmp_path / "own_tools.py").write_text(APPROVED)
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
