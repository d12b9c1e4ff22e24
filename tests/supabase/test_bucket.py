"""Files in Supabase Storage: kept there alone, read by any server, deleted with their session."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from realtime.config import ConfigError, Settings
from realtime.core.rows import Missing
from realtime.runs.chain import Chain, Link
from realtime.supabase import SupabaseError
from realtime.supabase.bucket import AT_ONCE, StorageBucket
from tests.supabase.disks import Here, kept, seeing
from tests.support.attach import PDF, ask, files_of, png, upload, uploaded
from tests.support.device import Device
from tests.support.process import ROOT, process
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve
from tests.support.supabase_lite import SupabaseLite

Devices = Callable[..., Device]


async def read(bucket: StorageBucket, session_id: str, file_id: str) -> bytes:
    return b"".join([piece async for piece in bucket.read(session_id, file_id)])


async def test_bytes_come_back_and_go(bucket: StorageBucket, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(png() * 9999)
    for _ in range(2):  # sent again, it changes nothing
        await bucket.put("s", "f", path, "image/png")
    assert await read(bucket, "s", "f") == png() * 9999
    with pytest.raises(Missing):
        await read(bucket, "s", "other")
    await bucket.delete(["s", "none"])
    with pytest.raises(Missing):
        await read(bucket, "s", "f")


async def test_a_session_with_more_files_than_one_request_removes(
    bucket: StorageBucket, storing: SupabaseLite, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")
    for number in range(AT_ONCE + 3):
        await bucket.put("many", str(number), path, "text/plain")
    await bucket.put("many-more", "f", path, "text/plain")
    await bucket.delete(["many"])
    assert (kept(storing, "many"), kept(storing, "many-more")) == (0, 1)


async def test_what_is_wrong_with_a_bucket_is_told(storing: SupabaseLite, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")
    headers = {"apikey": storing.secret_key, "Authorization": f"Bearer {storing.secret_key}"}
    made = {"id": "open", "name": "open", "public": True}
    httpx.post(f"{storing.url}/storage/v1/bucket", json=made, headers=headers).raise_for_status()
    for url, key, name, kind in (
        (storing.url, storing.secret_key, "open", "refused"),
        (storing.url, "sb_secret_wrong", "files", "key_wrong"),
        ("http://127.0.0.1:9", storing.secret_key, "files", "unreachable"),
    ):
        wrong = StorageBucket(url, key, name)
        with pytest.raises(SupabaseError) as caught:
            await wrong.prepare()
        assert caught.value.kind == kind
        await wrong.close()
    nowhere = StorageBucket(storing.url, storing.secret_key, "none-such")
    with pytest.raises(SupabaseError, match="Storage answered 404"):
        await nowhere.put("s", "f", path, "text/plain")
    await nowhere.close()


async def test_a_public_bucket_stops_the_start(
    serve: Serve, here: Here, storing: SupabaseLite
) -> None:
    storing.psql("insert into storage.buckets (id, name, public) values ('shown', 'shown', true)")
    with pytest.raises(ConfigError, match="is public"):
        await serve(seeing(), **{**here("a"), "supabase_bucket": "shown"})


async def test_a_server_that_takes_a_session_over_has_its_files(
    serve: Serve,
    device: Devices,
    here: Here,
    storing: SupabaseLite,
    tmp_path: Path,
) -> None:
    old = await serve(seeing(), **here("old"))
    one = device(old.url)
    await one.connect()
    session_id = one.session["session_id"]
    picture = await uploaded(one, png())
    paper = await uploaded(one, PDF, "a.pdf", "application/pdf")
    files = [picture["id"], paper["id"]]
    await one.done((await one.send("look", files=files))["run_id"])
    assert [path for path in tmp_path.rglob("*.files/*/*") if path.is_file()] == []
    assert kept(storing, session_id) == 2
    await one.drop()
    await old.stop()

    model = ScriptedModel(says("Still."))
    front = "https://front.example"
    chain = Chain([Link(model, "", takes=("image",))])
    new = await serve(chain, **here("new"), allowed_origins=(front,))
    late = device(new.url, **one.auth)
    assert (await late.connect())["mode"] == "snapshot"
    place = f"{files_of(late)}/{picture['id']}"
    got = await ask("GET", place, late.auth["token"], Origin=front)
    assert got.headers["Access-Control-Allow-Origin"] == front
    assert (got.status, got.body) == (200, png())
    assert got.headers["Content-Length"] == str(len(png()))
    assert got.headers["Content-Disposition"].startswith("inline")
    assert got.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    link = (await ask("POST", f"{files_of(late)}/{paper['id']}/url", late.auth["token"])).json
    got = await ask("GET", f"{new.url}/{link['url']}")
    assert (got.body, got.headers["Content-Type"]) == (PDF, "application/pdf")
    await late.done((await late.send("and now?"))["run_id"])
    asked = model.requests[0].context[0]
    assert [media.type for media in asked.media] == ["image/png"]  # type: ignore[union-attr]
    assert asked.text == "look\n\n[PDF: a.pdf]"  # type: ignore[union-attr]
    again = await late.send("once more", files=[picture["id"]])
    assert again["ok"], "the log lists it"


async def test_files_go_with_a_session_that_is_deleted(
    serve: Serve, device: Devices, here: Here, storing: SupabaseLite
) -> None:
    settings = here("old")
    running = await serve(seeing(), **settings)
    one = device(running.url)
    await one.connect()
    session_id = one.session["session_id"]
    await uploaded(one, png())
    await one.done((await one.send("hi"))["run_id"])
    told = storing.psql
    async with asyncio.timeout(15):
        count = f"select count(*) from session_events where session_id = '{session_id}'"
        while int(await asyncio.to_thread(told, count)) < 4:
            await asyncio.sleep(0.05)
    environ = {
        "SUPABASE_URL": settings["supabase_url"],
        "SUPABASE_KEY": settings["supabase_key"],
        "SUPABASE_BUCKET": "files",
        "DATABASE_PATH": settings["database_path"],
    }
    command = [sys.executable, "-m", "realtime", "sessions", "delete", "--yes", session_id]
    async with process(*command, cwd=ROOT, **environ) as deleting:
        assert await deleting.ended() == 0, deleting.output
    assert kept(storing, session_id) == 0


async def test_while_storage_is_away_uploads_are_refused_and_the_chat_goes_on(
    serve: Serve, device: Devices, here: Here, storing: SupabaseLite
) -> None:
    running = await serve(seeing(), **here("away"))
    one = device(running.url)
    await one.connect()
    file = await uploaded(one, png())
    storing.stop()
    try:
        got = await upload(one, png())
        assert (got.status, got.code) == (503, "storage_unavailable")
        got = await ask("GET", f"{files_of(one)}/{file['id']}", one.auth["token"])
        assert (got.status, got.code) == (503, "storage_unavailable")
        ended = await one.done((await one.send("look", files=[file["id"]]))["run_id"])
        assert ended["status"] == "completed"
    finally:
        storing.start()


def test_a_bucket_needs_a_project() -> None:
    with pytest.raises(ConfigError, match="SUPABASE_URL is missing"):
        Settings.load({"SUPABASE_BUCKET": "files"}, None)
    with pytest.raises(ConfigError, match="must be a bucket's name"):
        Settings.load({"SUPABASE_BUCKET": "../files"}, None)


async def test_a_copy_of_a_file_in_the_bucket_counts_as_an_upload(
    serve: Serve, device: Devices, here: Here, storing: SupabaseLite
) -> None:
    running = await serve(seeing(), **here("a"), files_per_day=2)
    one = device(running.url)
    await one.connect()
    file = await uploaded(one, png())
    done = await one.done((await one.send("look", files=[file["id"]]))["run_id"])
    there = {"message_id": done["message_id"]}
    copy = await one.call("fork", there)
    assert kept(storing, copy["session_id"]) == 1
    refused = await one.call("fork", there)
    assert refused["error"]["code"] == "rate_limited"
    left = await running.server.hub.log.keeper.list_sessions(one.session["user_id"], 9)
    assert len(left) == 2, "no part of a copy is left behind"
    assert (await upload(one, png())).status == 429
