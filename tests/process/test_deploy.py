"""deploy/ and the Dockerfile, as far as they can be tried without the platforms that read them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from tests.support.debian import program
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import ROOT, free_port, process

Devices = Callable[..., Device]
DEPLOY = ROOT / "deploy"
DOCS = (ROOT / "docs" / "deploy.md").read_text("utf-8")
LONGEST_STOP_S = 27
"""What docs/deploy.md promises, with extensions."""

STAGE = (ROOT / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]
"""The last one, which is the image."""


def lines(instruction: str) -> list[str]:
    return re.findall(rf"^{instruction} (.*)$", STAGE, re.M)


def as_somebody() -> list[str]:
    """What runs a command as another user than root, who may read all and write nothing."""
    if os.geteuid() != 0:
        return []
    reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", *reads]


async def test_what_the_image_has_is_enough(tmp_path: Path, device: Devices) -> None:
    app, data, port = tmp_path / "app", tmp_path / "data", str(free_port())
    for line in lines("COPY"):
        if not line.startswith("--from"):
            source, target = line.split()
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, app / target)
    (app / "node_modules").symlink_to(ROOT / "node_modules")
    data.mkdir()
    if as_somebody():
        os.chown(data, 10001, 10001)
    for path in [app, *app.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o555)
    (env,) = lines("ENV")
    environ = dict(item.split("=", 1) for item in env.split())
    assert environ["PORT"] == "8000"
    environ |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PORT": port,
        "DATABASE_PATH": environ["DATABASE_PATH"].replace(lines("VOLUME")[0], str(data)),
        "PYTHONPATH": str(app),
    }
    (start,), (health,) = lines("CMD"), re.findall(r"HEALTHCHECK .*CMD (.*)", STAGE)
    looks = [*as_somebody(), *json.loads(health)]
    async with process(*as_somebody(), *json.loads(start), cwd=app, **environ) as running:
        await running.says("Listening")
        assert (await fetch(f"http://127.0.0.1:{port}/")).status == 200
        one = device(f"http://127.0.0.1:{port}")
        await one.connect()
        assert (await one.ask("hello"))["status"] == "completed"
        async with process(*looks, cwd=app, **environ) as looking:
            assert await looking.ended() == 0, looking.output
        running.child.send_signal(signal.Signals[lines("STOPSIGNAL")[0]])
        assert await running.ended() == 0
    assert (data / "realtime.db").exists()
    async with process(*looks, cwd=app, **environ) as looking:
        assert await looking.ended() != 0
    for path in app.rglob("*"):
        path.chmod(path.stat().st_mode | 0o200)  # to be removed


def test_docker_is_given_what_the_dockerfile_copies_and_no_secret() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    given = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = re.findall(
        r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.M
    )
    assert given == {name for names in copied for name in names.split()}
    assert "*" in ignored


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    analyze = program("systemd-analyze", package="systemd")
    assert analyze, "this test needs systemd-analyze: install systemd"
    unit = (DEPLOY / "realtime.service").read_text("utf-8")
    here = tmp_path / "realtime.service"
    here.write_text(unit.replace("/opt/realtime/.venv/bin/python", sys.executable))
    line = [analyze, "verify", "--man=no", str(here)]
    checked = subprocess.run(line, check=False, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_nobody_kills_the_server_before_it_has_ended() -> None:
    def seconds(pattern: str, file: str) -> int:
        (found,) = re.findall(pattern, (ROOT / file).read_text("utf-8"))
        return int(found)

    assert seconds(r"stop_grace_period: (\d+)s", "deploy/compose.yaml") > LONGEST_STOP_S
    assert seconds(r"TimeoutStopSec=(\d+)\n", "deploy/realtime.service") > LONGEST_STOP_S
    assert seconds(r"maxShutdownDelaySeconds: (\d+)", "deploy/render.yaml") > LONGEST_STOP_S
    fly = tomllib.loads((DEPLOY / "fly.toml").read_text("utf-8"))
    assert int(fly["kill_timeout"].removesuffix("s")) > LONGEST_STOP_S
    assert fly["http_service"]["internal_port"] == int(fly["env"]["PORT"])
    kubernetes = r"terminationGracePeriodSeconds: (\d+)"
    assert seconds(kubernetes, "docs/several-workers.md") > LONGEST_STOP_S
