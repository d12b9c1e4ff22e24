"""What a share gives, and that it ends with `unshare`."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from realtime.live.tail import Tail
from realtime.log.journal import Journal
from realtime.log.journal.migrations import MIGRATIONS
from realtime.protocol import COMMANDS
from tests.support.device import Device
from tests.support.serving import Running, Serve
from tests.wire.people import Devices, gone, payloads


async def owner_of(running: Running, device: Devices) -> tuple[Device, str]:
    one = device(running.url)
    session_id = (await one.connect())["session_id"]
    await one.done((await one.send("hello"))["run_id"])
    return one, session_id


async def test_a_share_goes_as_far_as_it_says(serve: Serve, device: Devices) -> None:
    running = await serve()
    one, session_id = await owner_of(running, device)
    read = (await one.call("share", {"access": "read"}))["share"]
    full = (await one.call("share"))["share"]
    assert (await one.call("share", {"access": "all"}))["error"]["code"] == "bad_request"

    reader = device(running.url, session_id=session_id, share=read)
    joined = await reader.connect()
    assert (joined["head"], joined["access"]) == (one.last_seq, "read")
    allowed = {"create", "auth", "join", "history", "leave", "fork"}
    for command in set(COMMANDS) - allowed:
        ack = await reader.call(command, payloads(command, session_id))
        assert ack["error"]["code"] == "forbidden", command
    assert (await reader.call("history", {"session_id": session_id}))["events"]
    assert (await reader.call("join", {"session_id": session_id}))["ok"]
    run_id = (await one.send("for all to see"))["run_id"]
    await reader.done(run_id)
    assert (await reader.call("leave", {"session_id": session_id}))["ok"]

    writer = device(running.url)
    await writer.connect()
    assert (await writer.call("join", {"session_id": session_id}))["error"]["code"] == "not_found"
    joined = await writer.call("join", {"session_id": session_id, "share": full})
    assert joined["access"] == "full"
    assert (await writer.send("me too", session_id=session_id))["ok"]
    for command in ("share", "unshare"):
        ack = await writer.call(command, {"session_id": session_id})
        assert ack["error"]["code"] == "forbidden"
    own = (await writer.call("create"))["session_id"]
    joined = await writer.call("join", {"session_id": own, "share": full})
    assert joined["ok"], "a share of another session changes nothing"
    stranger = device(running.url, session_id=own, share=full)
    assert (await stranger.connect())["error"]["code"] == "not_found"
    joined = await one.call("join", {"session_id": session_id, "share": read})
    assert joined["access"] == "owner"
    assert (await one.send("still mine", session_id=session_id))["ok"], "the owner stays the owner"


async def test_unshare_shows_out_who_came_by_a_share_for_good(
    serve: Serve, device: Devices
) -> None:
    running = await serve()
    one, session_id = await owner_of(running, device)
    shares = [(await one.call("share", {"access": a}))["share"] for a in ("read", "full")]
    token = one.auth["token"]
    both = device(running.url, token=token, session_id=session_id, share=shares[0])
    await both.connect()
    guests = [device(running.url, session_id=session_id, share=share) for share in shares]
    for guest in guests:
        assert "error" not in await guest.connect()
    await one.wait("presence", devices=4)
    before = len(one.record)
    assert await one.call("unshare") == {"ok": True}
    for guest in guests:
        await gone(guest)
    await one.wait("presence", since=before, devices=2)
    for guest in guests:
        refused = await guest.connect()
        assert refused["error"]["code"] == "not_found"
        ack = await guest.call("history", {"session_id": session_id})
        assert ack["error"]["code"] == "not_found"
    assert both.client.connected, "the owner's own devices stay"
    assert (await one.call("unshare"))["ok"], "twice is as once"
    again = (await one.call("share"))["share"]

    await running.stop()
    running = await serve()
    for share, code in ((shares[0], "not_found"), (shares[1], "not_found"), (again, None)):
        guest = device(running.url, session_id=session_id, share=share)
        assert (await guest.connect()).get("error", {}).get("code") == code, "after a restart"
    one.url = running.url
    await one.connect()
    await one.call("unshare")
    await one.call("end")
    await running.stop()
    running = await serve()
    guest = device(running.url, session_id=session_id, share=again)
    assert (await guest.connect())["error"]["code"] == "not_found"


async def test_unshare_overtakes_a_join(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await serve()
    one, session_id = await owner_of(running, device)
    share = (await one.call("share"))["share"]
    guest = device(running.url)
    await guest.connect()
    reading, revoked = asyncio.Event(), asyncio.Event()
    snapshot = Tail.snapshot

    async def slow(tail: Tail, *shown: Any) -> Any:
        reading.set()
        await revoked.wait()
        return await snapshot(tail, *shown)

    async with running.server.hub.hold(session_id) as actor:
        assert actor
        monkeypatch.setattr(Tail, "snapshot", slow)
        joining = asyncio.create_task(
            guest.call("join", {"session_id": session_id, "share": share})
        )
        await reading.wait()
        assert (await one.call("unshare"))["ok"]
        revoked.set()
        assert (await joining)["error"]["code"] == "not_found"
        assert len(actor.presence.devices) == 1


async def test_an_ended_session_that_nobody_watches_is_unshared_too(
    serve: Serve, device: Devices
) -> None:
    running = await serve()
    one, session_id = await owner_of(running, device)
    share = (await one.call("share"))["share"]
    await one.call("end")
    await one.durable("summary")
    await one.call("leave", {"session_id": session_id})
    assert not running.server.hub.holds(session_id)
    assert (await one.call("unshare", {"session_id": session_id}))["ok"]
    guest = device(running.url, session_id=session_id, share=share)
    assert (await guest.connect())["error"]["code"] == "not_found"


def test_an_older_journal_is_brought_along(tmp_path: Path) -> None:
    path = str(tmp_path / "old.db")
    with sqlite3.connect(path) as old:
        old.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version=1;")
        old.execute(
            "INSERT INTO sessions VALUES ('s', 'ada', 1, 5, NULL, NULL, NULL, 'none', 0, NULL)"
        )
    old.close()
    journal = Journal(path)
    found = journal.session("s")
    journal.close()
    assert found
    assert (found[0].row.user_id, found[0].left_at, found[0].share_key) == ("ada", None, None)
