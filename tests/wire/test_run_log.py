"""Log lines say which session, run and user they are about, whoever writes them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from realtime.cli import logs
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


async def test_a_message_that_a_limit_refuses_leaves_a_line(
    serve: Serve, device: Devices, caplog: pytest.LogCaptureFixture
) -> None:
    running = await serve(ScriptedModel(says("Hello.")), budget_user_tokens=1)
    one = device(running.url)
    await one.connect()
    await one.ask("hi")
    with caplog.at_level(logging.INFO, "realtime"):
        assert not (await one.send("and again"))["ok"]
    (record,) = [record for record in caplog.records if record.message == "send refused"]
    about = fields(record)
    assert (about["user_id"], about["reason"]) == (one.session["user_id"], "rate_limited")
    assert "again" not in str(vars(record))


def test_the_fields_stand_before_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]
    level = root.level
    try:
        logs.set_up("INFO", "text")
        try:
            raise ValueError("what it is")
        except ValueError:
            logging.getLogger("realtime.x").exception("it failed", extra={"user_id": "ada"})
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    first, *_, last = capfd.readouterr().err.strip().splitlines()
    assert first.endswith("it failed user_id=ada")
    assert last == "ValueError: what it is"
