"""What an operator does to the sessions of servers that share an engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from realtime.core.rows import Refused
from realtime.log.hot.keeper import HotLog
from tests.support.cluster import PREFIX, cluster
from tests.support.device import Device
from tests.support.engine import Engine
from tests.support.process import SECRET, realtime
from tests.support.serving import Serve

Devices = Callable[..., Device]


async def test_a_session_is_deleted_on_every_worker(tmp_path: Path, device: Devices) -> None:
    async with cluster(tmp_path) as world:
        given = {"VALKEY_URL": world.engine.url, "AUTH_SECRET": SECRET}
        urls = [f"http://127.0.0.1:{port}" for port in world.ports]

        async def sessions(*words: str) -> tuple[int, str]:
            return await realtime("sessions", *words, cwd=tmp_path, **given)

        first = device(urls[0])
        await first.connect()
        await first.ask("tokens 5 rate 0 what stays")
        session_id, user_id = first.session["session_id"], first.session["user_id"]
        watching, listing = (device(url, token=first.auth["token"]) for url in urls[1:])
        watching.auth["session_id"] = session_id
        await watching.connect()
        await listing.connect()

        code, listed = await sessions("list", "--user", user_id)
        assert (code, listed.count(session_id)) == (0, 1)
        assert "what stays" in (await sessions("show", session_id))[1]
        whole = json.loads((await sessions("export", session_id))[1])
        assert whole["session"]["user_id"] == user_id
        code, told = await sessions("delete", session_id)
        assert (code, "add --yes" in told) == (1, True)
        assert await sessions("delete", "--yes", session_id) == (0, "1 deleted\n")
        assert session_id not in (await sessions("list"))[1]

        await listing.wait("sessions", deleted=[session_id])
        for one in (first, watching):
            await one.client.wait()  # its transport was closed
            assert (await one.connect())["error"]["code"] == "not_found"
        assert await sessions("delete", "--yes", "--user", user_id) == (0, "1 deleted\n")
        assert await sessions("list") == (0, "no sessions\n")
        workers = world.engine.tell("ZCARD", f"{PREFIX}workers")
        assert workers == len(urls), "who only looks is no worker"


async def test_rows_that_were_refused_are_shown_dropped_and_sent_again(
    tmp_path: Path, serve: Serve, device: Devices
) -> None:
    with Engine(tmp_path / "engine") as engine:
        running = await serve(valkey_url=engine.url)
        one = device(running.url)
        await one.connect()
        await one.ask("tea?")
        session_id = one.session["session_id"]
        keeper = running.server.log.keeper
        assert isinstance(keeper, HotLog)
        await keeper.file()
        batch = await keeper.unshipped(100)
        await keeper.shipped(batch)
        said = next(row for row in batch.events if row.event_type == "user_message")
        await keeper.refused(
            [
                Refused(session_id, 1, said.seq, "23514", "no tea"),
                Refused(session_id, 1, None, "23514", "no head"),
                Refused("gone", 1, 4, "taken", "another worker writes it"),
            ]
        )
        assert await keeper.quarantined() == 3

        async def quarantine(*words: str) -> tuple[int, str]:
            given = {"VALKEY_URL": engine.url, "AUTH_SECRET": SECRET}
            return await realtime("quarantine", *words, cwd=tmp_path, **given)

        code, listed = await quarantine("list")
        assert code == 0
        assert [line.split()[0] for line in listed.splitlines()] == ["1", "2", "3"]
        assert "tea?" in (await quarantine("show", "1"))[1]
        code, told = await quarantine("show", "9")
        assert (code, "no row 9" in told) == (1, True)
        code, told = await quarantine("resend", "3")
        assert (code, "another worker has continued" in told) == (1, True)
        assert (await quarantine("resend", "1"))[0] == 0
        assert (await quarantine("drop", "2", "3"))[1] == "2 dropped\n"
        assert await quarantine("list") == (0, "the quarantine is empty\n")
        again = await keeper.unshipped(100)
        assert [head.row.session_id for head in again.sessions] == [session_id]
        assert [row.seq for row in again.events] == [
            row.seq for row in batch.events if row.seq >= said.seq
        ]
        await one.drop()
        await running.stop()


async def test_an_engine_that_is_away_is_told(tmp_path: Path) -> None:
    with Engine(tmp_path / "engine") as engine:
        url = engine.url
    code, told = await realtime(
        "sessions", "list", cwd=tmp_path, VALKEY_URL=url, AUTH_SECRET=SECRET
    )
    assert code == 1
    assert "cannot be reached" in told
    assert "Traceback" not in told
