"""Log lines say which session, run and user they are about, whoever writes them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from realtime.cli.logs import fields
from realtime.models import ModelError
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve
from tests.wire.people import Devices

TOOL = '''
from realtime.tools import tool


@tool
def breaks() -> str:
    """Always fails."""
    raise OSError("the disk is full")
'''


class Lines(logging.Handler):
    """What is logged: the logger's name, and the fields of the line."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, Any]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append((record.name, fields(record)))


async def test_what_a_tool_logs_names_the_run(
    serve: Serve, device: Devices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaking_tool.py").write_text(TOOL)
    monkeypatch.syspath_prepend(tmp_path)
    lines = Lines()
    logger = logging.getLogger("realtime")
    monkeypatch.setattr(logger, "handlers", [lines])
    logger.setLevel("INFO")
    running = await serve(
        ScriptedModel(asks(("breaks", "{}")), says("sorry")), tools=("breaking_tool",)
    )
    one = device(running.url)
    await one.connect()
    done = await one.ask("break it")
    about = {
        "session_id": one.session["session_id"],
        "run_id": done["run_id"],
        "user_id": one.session["user_id"],
    }
    raised = [said for name, said in lines.seen if name == "realtime.tools.tool"]
    assert raised == [about]
    call, run = (said for name, said in lines.seen if name == "realtime.live.run_log")
    (last,) = [one for one in one.events("tool_call") if one["status"] == "failed"]
    assert call.items() >= {**about, "tool": "breaks", "reason": last["error"]["code"]}.items()
    assert run.items() >= {**about, "status": "completed", "ms": done["duration_ms"]}.items()


async def test_what_a_model_fails_with_names_the_run_or_the_session(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines()
    monkeypatch.setattr(logging.getLogger("realtime"), "handlers", [lines])
    bad = ModelError("bad_request", "no")
    running = await serve(ScriptedModel([bad], says("yes"), [bad]))
    one = device(running.url)
    await one.connect()
    failed = await one.ask("hello")
    await one.ask("again")
    await one.call("end")
    await one.durable("summary", status="failed")
    about = {"session_id": one.session["session_id"], "user_id": one.session["user_id"]}
    warned = [said for name, said in lines.seen if name == "realtime.runs.chain"]
    assert warned == [{**about, "run_id": failed["run_id"]}, about]
