"""`WORKERS=3 python -m realtime`: three processes on one port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest

from tests.support.device import Device
from tests.support.engine import Engine
from tests.support.fetch import fetch
from tests.support.process import ROOT, SECRET, Process, free_port, process, realtime, server
from tests.support.scrape import samples


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "engine") as running:
        yield running


def shared(engine: Engine, **more: str) -> dict[str, str]:
    return {"VALKEY_URL": engine.url, "AUTH_SECRET": SECRET, "WORKERS": "3", **more}


async def names(url: str, count: int) -> set[str]:
    """Of the workers that answer, once there are so many."""
    found: set[str] = set()
    async with asyncio.timeout(30):
        while len(found) < count:
            found.add((await fetch(f"{url}/readyz")).json()["worker"])
    return found


async def counted(url: str) -> dict[str, float]:
    """The connections of each worker, as `/metrics` gives them."""
    text = (await fetch(f"{url}/metrics")).text
    assert len(re.findall("# TYPE realtime_connections ", text)) == 1
    found = re.findall(r'^realtime_connections\{worker="(\w+)"\} ([\d.]+)$', text, re.M)
    return {name: float(value) for name, value in found}


def children(running: Process) -> list[int]:
    pid = running.child.pid
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_three_processes_serve_one_port(tmp_path: Path, engine: Engine) -> None:
    given = shared(engine, LOG_FORMAT="json", DRAIN_SECONDS="2")
    async with server(tmp_path, **given) as running, AsyncExitStack() as undo:
        await running.says("Workers +3, on one port")
        assert running.output.count("Listening") == 1
        assert len(await names(running.url, 3)) == 3
        devices = [Device(running.url) for _ in range(24)]
        for one in devices:
            await one.connect()
            undo.push_async_callback(one.drop)
        connections = await counted(running.url)
        assert len(connections) == 3
        assert sum(connections.values()) == len(devices)
        assert all(connections.values()), "the kernel spreads them"
        await asyncio.gather(*(one.ask("count to 5") for one in devices))
        found = await samples(running.url)
        for name in ("commit_seconds", "first_token_seconds"):
            buckets = [one for one in found if one.name == f"realtime_{name}_bucket"]
            assert {one.labels["worker"] for one in buckets} == set(connections)
        answers = [one for one in found if one.name == "realtime_first_token_seconds_count"]
        assert sum(one.value for one in answers) == len(devices), "histograms add up"
        builds = [one for one in found if one.name == "realtime_build_info"]
        assert {one.labels["worker"]: one.value for one in builds} == dict.fromkeys(connections, 1)

        dead = children(running)[0]
        os.kill(dead, signal.SIGKILL)
        await running.says("a worker ended")
        async with asyncio.timeout(30):
            while len(await counted(running.url)) < 3 or dead in children(running):
                await asyncio.sleep(0.1)
        assert len(children(running)) == 3
        assert await names(running.url, 3) - connections.keys(), "one of them is new"
        for one in devices:
            await one.client.disconnect()
            assert (await one.connect())["recovered"]

        logged = [json.loads(line) for line in running.output.splitlines() if line[:1] == "{"]
        assert {line["worker"] for line in logged if "run ended" in line["message"]}
        assert running.output.count("conversations live in the engine alone") == 1
        workers = children(running)
        ack = await devices[0].send("count to 2000")
        await devices[0].durable("token", run_id=ack["run_id"])
        running.child.send_signal(signal.SIGTERM)
        await devices[0].wait("server", type="draining")
        assert await running.ended() == 0
        assert json.loads(running.output.splitlines()[-1])["message"] == "Stopped."
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        assert "Traceback" not in running.output, running.output[-9000:]


async def test_workers_end_with_whoever_started_them(tmp_path: Path, engine: Engine) -> None:
    async with server(tmp_path, **shared(engine)) as running:
        workers = children(running)
        assert len(workers) == 3
        running.child.kill()
        async with asyncio.timeout(15):
            while [pid for pid in workers if alive(pid)]:
                await asyncio.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def test_what_cannot_be_is_told_once(tmp_path: Path, engine: Engine) -> None:
    code, told = await realtime(cwd=tmp_path, WORKERS="3")
    assert code == 2
    assert "VALKEY_URL is missing: WORKERS=3" in told
    async with server(tmp_path, **shared(engine, WORKERS="1")) as other:
        port = other.url.rpartition(":")[2]
        assert await is_refused(tmp_path, shared(engine, PORT=port, HOST="127.0.0.1"))
    async with server(tmp_path, **shared(engine, WORKERS="2")) as others:
        port = others.url.rpartition(":")[2]
        assert await is_refused(tmp_path, shared(engine, PORT=port, HOST="127.0.0.1"))
    wrong = shared(engine, VALKEY_URL=f"{engine.url}/99")
    code, told = await realtime(cwd=tmp_path, **wrong)
    assert code == 2
    assert told.count("DB index is out of range") == 1
    assert "Traceback" not in told


async def test_they_wait_for_their_engine(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine")
    given = shared(engine, PORT="0", HOST="127.0.0.1")
    async with process(cwd=tmp_path, **given) as running:
        await running.says("cannot start before the engine is back.+refused")
        await running.says(r"a worker ended \(1\); another one starts")
        with engine:
            url = (await running.says(r"Listening\s+(http://\S+)\s"))[1]
            assert len(await names(url, 3)) == 3
            running.child.terminate()
            assert await running.ended() == 0


IMPATIENT = """
import sys
from realtime.cli import several
from realtime.__main__ import main
several.MISSED = 2
sys.exit(main())
"""


async def test_one_that_is_frozen_is_replaced(tmp_path: Path, engine: Engine) -> None:
    async with server(tmp_path, sys.executable, "-c", IMPATIENT, **shared(engine)) as running:
        assert len(await names(running.url, 3)) == 3
        frozen, *others = children(running)
        os.kill(frozen, signal.SIGSTOP)
        await running.says("a worker has said nothing for 10 s: it is killed")
        await running.says(r"a worker ended \(-9\)")
        async with asyncio.timeout(30):
            while len(now := children(running)) < 3:
                await asyncio.sleep(0.1)
        assert frozen not in now
        assert now[:2] == others, "those that live are left alone"
        assert len(await names(running.url, 3)) == 3
        assert len(await counted(running.url)) == 3


async def is_refused(folder: Path, environ: dict[str, str]) -> bool:
    """Because something listens on its port."""
    code, told = await realtime(cwd=folder, **environ)
    return code == 2 and "something else listens there" in told


async def test_a_platform_runs_the_procfile_three_times(tmp_path: Path, engine: Engine) -> None:
    shutil.copy(ROOT / "Procfile", tmp_path)
    port = three_ports()
    given = shared(engine, WORKERS="1", HOST="127.0.0.1")
    given["PATH"] = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    honcho = (sys.executable, "-m", "honcho", "start", "-c", "web=3", "-p", str(port))
    async with process(*honcho, cwd=tmp_path, **given) as running, AsyncExitStack() as undo:
        urls = [f"http://127.0.0.1:{port + number}" for number in range(3)]
        for url in urls:
            await running.says(rf"Listening +{re.escape(url.replace('127.0.0.1', 'localhost'))}\s")
        first = Device(urls[0])
        await first.connect()
        undo.push_async_callback(first.drop)
        devices = [first]
        for url in urls[1:]:
            one = Device(url, token=first.auth["token"])
            one.auth["session_id"] = first.session["session_id"]
            assert (await one.connect())["you"] == first.session["user_id"]
            undo.push_async_callback(one.drop)
            devices.append(one)
        ack = await devices[2].send("count to 20")
        answers = {(await one.done(ack["run_id"]))["text"] for one in devices}
        assert len(answers) == 1
        reports = [(await fetch(f"{url}/readyz")).json() for url in urls]
        assert len({report["worker"] for report in reports}) == 3
        running.child.send_signal(signal.SIGTERM)
        await running.ended()
        assert running.output.count("Stopped.") == 3


def three_ports() -> int:
    """The first of three that are free."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError), ExitStack() as held:
            for number in range(3):
                held.enter_context(socket.create_server(("127.0.0.1", port + number)))
            return port
