"""A backup by the lines of docs/deploy.md, taken beside a running server, is whole."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.support.device import Device
from tests.support.process import ROOT, server

Devices = Callable[..., Device]


async def test_a_backup_beside_a_running_server_is_whole(tmp_path: Path, device: Devices) -> None:
    (said,) = re.findall(r"VACUUM INTO '[^']+'", (ROOT / "docs/deploy.md").read_text("utf-8"))
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with server(first) as running:
        one = device(running.url)
        await one.connect()
        done = await one.ask("hello")
        await one.send("count to 2000")
        await one.wait("token")
        database = sqlite3.connect(first / "realtime.db")
        database.execute(said.replace("copy.db", str(second / "realtime.db")))
        database.close()
        shutil.copy(first / "realtime.db.secret", second)
        await one.drop()
    async with server(second) as running:
        two = device(running.url, token=one.auth["token"], session_id=one.session["session_id"])
        session = await two.connect()
        assert session["access"] == "owner"
        assert (await two.durable("done"))[0]["text"] == done["text"]
        assert (await two.ask("go on"))["status"] == "completed"
