"""The server as a process: start, refusal, signals, crash, Procfile."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

from tests.support.device import Device
from tests.support.engine import Engine
from tests.support.fetch import fetch
from tests.support.postgres_server import free_port
from tests.support.process import ROOT, SECRET, process, ran, realtime, server

Devices = Callable[..., Device]


async def session_row(path: Path, session_id: str, status: str) -> sqlite3.Row:
    """The session's row once its summary has this status."""
    async with asyncio.timeout(15):
        while True:
            with sqlite3.connect(path / "realtime.db") as database:
                database.row_factory = sqlite3.Row
                row = database.execute(
                    "SELECT * FROM sessions WHERE session_id = ? AND summary_status = ?",
                    (session_id, status),
                ).fetchone()
            database.close()
            if row:
                return row
            await asyncio.sleep(0.05)


def test_a_start_loads_nothing_that_it_does_not_use() -> None:
    """What draws in a terminal, and the clients of services: each takes long."""
    code = "import sys, realtime.__main__, realtime.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert not {"rich", "openai", "supabase"} & set(loaded.stdout.decode().split())


async def test_it_says_where_it_is_and_how_to_change_it(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        await running.says("change it: SUPABASE_URL")
        assert "demo" in running.output
        assert "realtime.db" in running.output
        assert (await fetch(f"{running.url}/healthz")).status == 200
        assert (await fetch(f"{running.url}/readyz")).json()["status"] == "ok"
        page = await fetch(f"{running.url}/")
        assert "script-src 'self' 'sha256-" in page.headers["Content-Security-Policy"]
        for path in ("/client/app.js", "/vendor/socket.io-client.js", "/vendor/lezer-markdown.js"):
            assert (await fetch(running.url + path)).status == 200, path
        for path in ("/client/..%2f..%2f.env", "/vendor/x.js", "/client/none.js", "/none"):
            assert (await fetch(running.url + path)).status == 404, path
        running.child.send_signal(signal.SIGTERM)
        assert await running.ended() == 0
        assert "Traceback" not in running.output


async def test_a_bad_configuration_is_refused(tmp_path: Path) -> None:
    code, told = await realtime(cwd=tmp_path, SUPABASE_URL="https://x.supabase.co", PORT="x")
    assert code == 2
    assert "SUPABASE_KEY is missing" in told
    assert "PORT=x must be a port" in told
    assert "Traceback" not in told
    code, told = await realtime(cwd=tmp_path, TOOLS="no_such_module")
    assert code == 2
    assert "TOOLS=no_such_module cannot be used" in told


async def test_a_damaged_journal_is_set_aside_and_never_overwritten(tmp_path: Path) -> None:
    damaged = b"this is no database, it only looks like a file" * 300
    (tmp_path / "realtime.db").write_bytes(damaged)
    async with server(tmp_path) as running:
        await running.says("is damaged and was renamed to realtime.db.damaged-")
        assert (await fetch(f"{running.url}/readyz")).status == 200
    (aside,) = tmp_path.glob("realtime.db.damaged-*")
    assert aside.read_bytes() == damaged


async def test_a_second_server_on_the_same_journal_is_refused(tmp_path: Path) -> None:
    async with server(tmp_path):
        code, told = await realtime(cwd=tmp_path, PORT="0")
    assert code == 2
    assert "another server is using realtime.db" in told


async def answered(folder: Path, answer: str, *words: str) -> tuple[int, bool]:
    """The exit code of a command that a person answers, and whether it asked."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "realtime", *words]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    os.write(ours, f"{answer}\n".encode())
    running = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environ, stdin=theirs, stdout=subprocess.PIPE
    )
    said, _ = await running.communicate()
    os.close(ours)
    os.close(theirs)
    return running.returncode or 0, b"Delete 1 session for good" in said


async def test_sessions_are_listed_shown_exported_and_deleted(
    tmp_path: Path, device: Devices
) -> None:
    async def sessions(*words: str) -> tuple[int, str]:
        return await realtime("sessions", *words, cwd=tmp_path)

    async with server(tmp_path) as running:
        one, two = device(running.url), device(running.url)
        for each in (one, two):
            await each.connect()
            await each.ask("fetch internal user analytics")
        session_id, user_id = one.session["session_id"], one.session["user_id"]
        code, listed = await sessions("list")
        assert (code, listed.count("guest-")) == (0, 2)
        assert (await sessions("list", "--user", user_id))[1].count(session_id) == 1
        assert "fetch internal user analytics" in (await sessions("show", session_id))[1]
        whole = json.loads((await sessions("export", session_id))[1])
        assert whole["session"]["user_id"] == user_id
        assert [event["event"] for event in whole["events"]].count("tool_call") == 1
        assert "## Assistant" in (await sessions("export", session_id, "--format", "markdown"))[1]
        code, told = await sessions("show", "no-such-session")
        assert (code, "no-such-session" in told) == (1, True)

        both = json.loads((await sessions("export", "--user", user_id))[1])
        assert [one["session"]["session_id"] for one in both] == [session_id]
        assert both == [whole]
        text = (await sessions("export", "--user", user_id, "--format", "markdown"))[1]
        assert "## Assistant" in text
        assert json.loads((await sessions("export", "--user", "nobody"))[1]) == []

        code, told = await sessions("delete", session_id)
        assert (code, "add --yes" in told) == (1, True)
        for answer, code in (("", 1), ("no", 1)):
            asked = await answered(tmp_path, answer, "sessions", "delete", session_id)
            assert asked == (code, True)
            assert session_id in (await sessions("list"))[1]
        assert await answered(tmp_path, "y", "sessions", "delete", session_id) == (0, True)
        refused = await one.send("am I still here?")
        assert refused["error"]["code"] == "not_found"
        await one.drop()
        assert (await one.connect())["error"]["code"] == "not_found"
        await two.ask("others go on")
        theirs = two.session["user_id"]
        assert await sessions("delete", "--yes", "--user", theirs) == (0, "1 deleted\n")
    with sqlite3.connect(tmp_path / "realtime.db") as database:
        counts = database.execute(
            "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM sessions)"
        ).fetchone()
    database.close()
    assert counts == (0, 0)


async def test_async_durability_shows_tokens_early_and_admits_what_a_crash_took(
    tmp_path: Path, device: Devices
) -> None:
    async with server(tmp_path, DURABILITY="async") as running:
        one = device(running.url)
        await one.connect()
        ack = await one.send("count to 2000")
        await one.wait("token")
        await one.until(lambda: one if one.last_seq > 40 else None)
        running.child.kill()
    await one.drop()
    async with server(tmp_path, DURABILITY="async") as running:
        one.url = running.url
        session = await one.connect()
        assert (session["mode"], session["recovered"], session["epoch"]) == ("snapshot", False, 2)
        done = await one.done(ack["run_id"])
        assert (done["status"], done["text"]) == ("interrupted", one.text(ack["run_id"]))
        clean = await one.send("count to 5")
        await one.done(clean["run_id"])
        running.child.send_signal(signal.SIGTERM)
        await running.ended()
    async with server(tmp_path) as running:
        one.url = running.url
        assert (await one.connect())["epoch"] == 2, "a clean end takes nothing back"


async def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, told = await realtime(cwd=tmp_path, PORT=port, HOST="127.0.0.1")
    assert code == 2
    assert f"PORT={port} on HOST=127.0.0.1 cannot be used: something" in told
    assert "Traceback" not in told


async def test_check_and_help(tmp_path: Path) -> None:
    code, told = await realtime("--check", cwd=tmp_path)
    assert (code, told.count("ok  ")) == (0, 4)
    nowhere = {"OPENAI_API_KEY": "sk-hidden", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    code, told = await realtime("--check", cwd=tmp_path, **nowhere)
    assert code == 3
    assert "FAIL" in told
    assert "hidden" not in told
    nobody = f"redis://:hidden@127.0.0.1:{free_port()}"
    code, told = await realtime("--check", cwd=tmp_path, REDIS_URL=nobody, AUTH_SECRET=SECRET)
    assert code == 3
    assert "FAIL  engine 127.0.0.1:" in told
    assert "hidden" not in told
    with Engine(tmp_path / "engine") as engine:
        place = engine.address.label
        given = {"VALKEY_URL": engine.url, "AUTH_SECRET": SECRET}
        code, told = await realtime("--check", cwd=tmp_path, **given)
    assert code == 0
    assert f"ok    engine {place} (Valkey " in told
    code, told = await realtime("--help", cwd=tmp_path)
    assert code == 0
    assert "GRACE_SECONDS" in told


async def test_killed_before_the_end_it_sums_up_at_the_next_start(
    tmp_path: Path, device: Devices
) -> None:
    async with server(tmp_path, GRACE_SECONDS="1") as running:
        one = device(running.url)
        await one.connect()
        await one.ask("hello there")
        ack = await one.send("count to 2000")
        await one.wait("token", run_id=ack["run_id"])
        running.child.kill()
    await one.drop()
    cursor = one.last_seq
    began = time.time()
    async with server(tmp_path, GRACE_SECONDS="1") as running:
        row = await session_row(tmp_path, one.session["session_id"], "done")
        assert row["summary"]
        assert row["end_time"] < began * 1000 + 1000, "the end is when it was left"
        one.url = running.url
        session = await one.connect()
        assert (session["recovered"], session["ended"]) == (True, True)
        done = await one.done(ack["run_id"])
        assert done["status"] == "interrupted"
        assert one.text(ack["run_id"]) == done["text"], "what was seen is still there"
        assert done["seq"] > cursor
        assert len(one.events("done", run_id=ack["run_id"])) == 1


async def test_sigterm_tells_the_devices_and_keeps_the_text(
    tmp_path: Path, device: Devices
) -> None:
    async with server(tmp_path, DRAIN_SECONDS="1") as running:
        one = device(running.url)
        await one.connect()
        ack = await one.send("count to 2000")
        await one.wait("token")
        began = time.monotonic()
        running.child.send_signal(signal.SIGTERM)
        await one.wait("server", type="draining")
        refused = await one.send("too late")
        assert refused["error"]["code"] == "draining"
        assert refused["error"]["retry_after_ms"] > 0
        done = await one.done(ack["run_id"])
        assert (done["status"], done["text"]) == ("interrupted", one.text(ack["run_id"]))
        assert await running.ended() == 0
        assert time.monotonic() - began < 15
        assert "Traceback" not in running.output


async def test_json_logs_name_the_run_and_no_text(tmp_path: Path, device: Devices) -> None:
    async with server(tmp_path, LOG_FORMAT="json") as running:
        one = device(running.url)
        await one.connect()
        ack = await one.send("a secret wish")
        await one.done(ack["run_id"])
        run = json.loads((await running.says(r'\{.*"run ended.*'))[0])
        about = {"session_id": one.session["session_id"], "user_id": one.session["user_id"]}
        assert run.items() >= {**about, "run_id": ack["run_id"], "status": "completed"}.items()
        assert run["model"]
        assert run["reason"] == "stop"
        assert 0 <= run["first_token_ms"] <= run["ms"]
        assert run["input_tokens"] > 0
        assert run["output_tokens"] > 0
        done = await one.ask("fetch internal user analytics")
        call = json.loads((await running.says(r'\{.*"tool call ended.*'))[0])
        about |= {"run_id": done["run_id"], "tool": "fetch_internal_user_analytics"}
        assert call.items() >= {**about, "status": "completed"}.items()
        assert call["ms"] >= 0
        assert "secret wish" not in running.output
        running.child.send_signal(signal.SIGTERM)
        assert await running.ended() == 0
        lines = [json.loads(line) for line in running.output.splitlines()]
        assert lines[0]["message"].startswith("Listening http://")
        assert [line["message"] for line in lines[-2:]] == ["Draining …", "Stopped."]
    code, told = await realtime(cwd=tmp_path, LOG_FORMAT="json", MODEL="none")
    assert (code, json.loads(told)["level"]) == (2, "ERROR")
    assert "MODEL=none must be one of" in json.loads(told)["message"]


async def test_a_failing_run_is_found_by_its_user(tmp_path: Path, device: Devices) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    model = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"http://127.0.0.1:{nobody}/v1"}
    async with server(tmp_path, **model) as running:
        one = device(running.url)
        await one.connect()
        done = await one.done((await one.send("hello"))["run_id"], 60)
        assert done["status"] == "failed"
        await running.says("run ended: failed")
        lines = [line for line in running.output.splitlines() if one.session["user_id"] in line]
        ended = next(line for line in lines if "run ended: failed" in line)
        for said in (f"run_id={done['run_id']}", f"reason={done['error']['code']}", "ms="):
            assert said in ended


async def test_the_procfile_serves_on_the_given_port(tmp_path: Path) -> None:
    """As a platform runs it: only requirements.txt is installed, `$PORT` says where."""
    shutil.copy(ROOT / "Procfile", tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    venv.create(tmp_path / "venv")
    pip = (sys.executable, "-m", "pip", "--python", str(python))
    install = (*pip, "install", "-q", "--no-compile", "-r", str(ROOT / "requirements.txt"))
    code, told = await ran(*install, cwd=tmp_path, seconds=300)
    assert code == 0, told
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with process(
        sys.executable, "-m", "honcho", "start", "-p", str(port), "web",
        cwd=tmp_path,
        PATH=f"{python.parent}:/usr/bin:/bin",
    ) as running:  # fmt: skip
        await running.says("Listening")
        for path in ("/healthz", "/"):
            assert (await fetch(f"http://127.0.0.1:{port}{path}")).status == 200
        running.child.send_signal(signal.SIGTERM)
        assert await running.ended() in (0, 143, -15)
        assert "Stopped." in running.output
