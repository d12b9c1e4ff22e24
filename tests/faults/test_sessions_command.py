"""`python -m realtime sessions list|show|export|delete`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import uuid4

from tests.support.oracle import rows
from tests.support.process import process, realtime
from tests.support.world import World, world


async def sessions(scene: World, *arguments: str) -> tuple[int, str]:
    return await realtime("sessions", *arguments, cwd=scene.folder, **scene.environ)


async def test_sessions_are_listed_shown_and_exported(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        one = await scene.device("raw", straight=True)
        await one.done((await one.say("tokens 3 rate 0"))["run_id"])
        session_id = one.auth["session_id"]
        for arguments in (("list",), ("show", session_id), ("export", session_id)):
            code, output = await sessions(scene, *arguments)
            assert code == 0, output
            assert session_id in output
        assert "t000003" in (await sessions(scene, "show", session_id))[1]
        code, output = await sessions(scene, "show", str(uuid4()))
        assert code != 0
        assert "Traceback" not in output


async def test_a_deleted_session_is_gone_and_its_client_begins_anew(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        one = await scene.device("raw", straight=True)
        other = await scene.device("raw", straight=True)
        for device in (one, other):
            await device.done((await device.say("tokens 3 rate 0"))["run_id"])
            await device.call("end")
        await one.close()
        session_id = one.auth["session_id"]
        code, output = await sessions(scene, "delete", "--yes", session_id)
        assert code == 0, output
        for table in ("sessions", "events"):
            asked = f"SELECT count(*) FROM {table} WHERE session_id = ?"
            assert rows(scene.path, asked, session_id) == [(0,)]
            assert rows(scene.path, asked, other.auth["session_id"])[0][0] > 0
        again = scene.stranger(**one.auth, epoch=one.epoch, after_seq=one.last_seq)
        scene.devices.remove(one)
        starting = asyncio.create_task(again.start())
        await again.until(lambda: again.notices or None)
        assert again.notices[0][1]["error"]["code"] == "not_found"
        starting.cancel()


async def test_a_reader_may_leave_before_the_end(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        one = await scene.device("raw", straight=True)
        await one.done((await one.say("tokens 30000 rate 0"))["run_id"])
        shown = f"{sys.executable} -m realtime sessions show {one.auth['session_id']}"
        for command in (shown, f"{sys.executable} -m realtime schema"):
            piped = ("bash", "-o", "pipefail", "-c", f"{command} | head -n 1")
            async with process(*piped, cwd=scene.folder, **scene.environ) as running:
                assert await running.ended() == 0, running.output
                assert len(running.output.splitlines()) == 1


async def test_a_journal_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "realtime", "sessions", "list")
    async with process(*command, cwd=tmp_path) as running:
        assert await running.ended() == 1
        assert f"there is no journal {tmp_path / 'realtime.db'}" in running.output
    assert not list(tmp_path.iterdir())
