"""Files in Supabase Storage when sessions go: of those that are deleted none stays, also where
Storage was away then; of those that only leave the journal all stay."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from realtime.background.retention import delete_ended
from realtime.files.store import Files
from realtime.live.clock import now_ms
from realtime.log.journal import Journal
from realtime.log.journal.keeper import JournalKeeper
from realtime.supabase.bucket import StorageBucket
from tests.supabase.disks import Here, kept, seeing
from tests.supabase.gateway import Gateway
from tests.support.attach import ask, files_of, png, uploaded
from tests.support.device import Device
from tests.support.process import ROOT, process
from tests.support.serving import Serve
from tests.support.supabase_lite import SupabaseLite

Devices = Callable[..., Device]


async def shipped(project: SupabaseLite, session_id: str, event: str) -> None:
    """Wait until the project has such an event of the session."""
    count = (
        f"select count(*) from session_events where session_id = '{session_id}' "
        f"and event_type = '{event}'"
    )
    async with asyncio.timeout(15):
        while not int(await asyncio.to_thread(project.psql, count)):
            await asyncio.sleep(0.05)


async def test_retention_leaves_the_files_of_a_session_that_stays_in_supabase(
    serve: Serve, device: Devices, here: Here, storing: SupabaseLite
) -> None:
    running = await serve(seeing(), **here("kept"))
    one = device(running.url)
    await one.connect()
    session_id, hub = one.session["session_id"], running.server.hub
    file = await uploaded(one, png())
    await one.done((await one.send("look", files=[file["id"]]))["run_id"])
    await one.drop()
    await shipped(storing, session_id, "summary")
    async with asyncio.timeout(15):
        while not await delete_ended(hub, now_ms() + 1):
            await asyncio.sleep(0.05)
    assert await hub.log.keeper.row(session_id) is None
    late = device(running.url, **one.auth)
    assert (await late.connect())["session_id"] == session_id, "it is read back"
    got = await ask("GET", f"{files_of(late)}/{file['id']}", late.auth["token"])
    assert (got.status, got.body) == (200, png())


def no_lists(body: bytes) -> web.Response | None:
    """Storage fails, and the rest of the project does not."""
    refused = web.json_response({"statusCode": "500", "message": "no"}, status=400)
    return refused if b'"prefix"' in body else None


@pytest.mark.parametrize("by", ["command", "sql"])
async def test_what_storage_would_not_remove_is_removed_later(
    serve: Serve,
    device: Devices,
    here: Here,
    storing: SupabaseLite,
    by: str,
) -> None:
    gateway = Gateway(storing.url)
    async with gateway.running():
        settings = {**here(by), "supabase_url": gateway.url, "grace_seconds": 30}
        running = await serve(seeing(), **settings)
        one = device(running.url)
        await one.connect()
        session_id = one.session["session_id"]
        await uploaded(one, png())
        await one.done((await one.send("hi"))["run_id"])
        await shipped(storing, session_id, "done")
        gateway.firewall = no_lists
        if by == "command":
            environ = {
                "SUPABASE_URL": gateway.url,
                "SUPABASE_KEY": settings["supabase_key"],
                "SUPABASE_BUCKET": "files",
                "DATABASE_PATH": settings["database_path"],
            }
            asked = ("sessions", "delete", "--yes", session_id)
            command = [sys.executable, "-m", "realtime", *asked]
            async with process(*command, cwd=ROOT, **environ) as deleting:
                assert await deleting.ended() == 0, deleting.output
                assert "stay in Supabase Storage for now" in deleting.output
        else:
            wanted = f'["{session_id}"]'
            storing.psql(f"select delete_sessions('{wanted}'::jsonb)")
        async with asyncio.timeout(15):
            while not await running.server.hub.log.keeper.strays():
                with contextlib.suppress(TimeoutError):  # it may be shown out meanwhile
                    async with asyncio.timeout(1):
                        await one.send("still there?")
                await asyncio.sleep(0.1)
        assert kept(storing, session_id) == 1
        await one.drop()
        await running.stop()
        gateway.firewall = lambda body: None
        again = await serve(seeing(), **settings)
        async with asyncio.timeout(15):
            while await again.server.hub.log.keeper.strays():
                await asyncio.sleep(0.05)
        assert kept(storing, session_id) == 0
        await again.stop()


async def test_strays_are_tried_again_while_the_server_runs(
    bucket: StorageBucket, storing: SupabaseLite, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")
    await bucket.put("gone", "f", path, "text/plain")
    keeper = JournalKeeper(Journal(str(tmp_path / "j.db")))
    gateway = Gateway(storing.url)
    async with gateway.running():
        gateway.firewall = no_lists
        behind = StorageBucket(gateway.url, storing.secret_key, "files")
        files = Files(keeper, bucket=behind)
        await files.forget(["gone", "none"])
        tidying = asyncio.create_task(files.tidy(pause_s=0.05))
        async with asyncio.timeout(10):
            while len(gateway.asked("/list/files")) < 3:
                await asyncio.sleep(0.01)
            assert sorted(await keeper.strays()) == ["gone", "none"]
            gateway.firewall = lambda body: None
            while await keeper.strays():
                await asyncio.sleep(0.01)
        assert kept(storing, "gone") == 0
        tidying.cancel()
        await behind.close()
    await keeper.close()
