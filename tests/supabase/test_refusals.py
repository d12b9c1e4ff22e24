"""What stands between a server and its project refuses something: one row, or everything for a
while. The server starts, the chat goes on, and every row that can arrive does."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web

from realtime.config import ConfigError
from realtime.supabase import Leases, Shipper, Supabase, SupabaseError
from realtime.supabase.delivery import Delivery
from tests.supabase.gateway import Gateway
from tests.supabase.samples import batch, event, new_id, session
from tests.supabase.test_shipper import QUICK, MemorySource, until
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import process
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Running, Serve
from tests.support.supabase_lite import SupabaseLite

Devices = Callable[..., Device]
TABOO = "http://localhost:3100"

Answer = Callable[[], web.Response | Literal["cut"]]


def page(status: int, **headers: str) -> Answer:
    return lambda: web.Response(
        status=status, text="<html>Blocked</html>", content_type="text/html", headers=headers
    )


def json(status: int, **body: Any) -> Answer:
    return lambda: web.json_response(body, status=status)


FIREWALLS: dict[str, Answer] = {
    "a page with 403": page(403, Server="cloudflare"),
    "JSON with 403": json(403, message="Forbidden"),
    "JSON with a code of its own": json(403, code=10000, message="Request blocked"),
    "a page with 405": page(405),
    "a page with 404": page(404),
    "a page with 406": page(406),
    "a page with 200": page(200),
    "JSON with 200": json(200, blocked=True),
    "a page that calls itself JSON": lambda: web.Response(
        text="<html>Blocked</html>", content_type="application/json"
    ),
    "a redirect": page(302, Location="https://blocked.example/"),
    "a page with 400": page(400),
    "a page with 503": page(503),
    "the connection closed": lambda: "cut",
}


@pytest.fixture
async def gateway(project: SupabaseLite) -> AsyncIterator[Gateway]:
    async with Gateway(project.url).running() as between:
        yield between


def through(gateway: Gateway, project: SupabaseLite) -> dict[str, Any]:
    return {"supabase_url": gateway.url, "supabase_key": project.secret_key}


async def shipping(running: Running) -> dict[str, Any]:
    state: dict[str, Any] = (await fetch(f"{running.url}/readyz")).json()["supabase"]
    return state


async def until_it(running: Running, **wanted: Any) -> dict[str, Any]:
    """Until `/readyz` says this of Supabase."""
    async with asyncio.timeout(30):
        while True:
            state = await shipping(running)
            if wanted.items() <= state.items():
                return state
            await asyncio.sleep(0.05)


# ------------------------------------------------------------------------- one row


@pytest.mark.parametrize("name", FIREWALLS)
async def test_a_firewall_keeps_back_the_row_that_it_does_not_like_and_no_other(
    project: SupabaseLite, gateway: Gateway, name: str
) -> None:
    supabase = await Supabase.connect(gateway.url, project.secret_key)
    gateway.firewall = lambda body: FIREWALLS[name]() if TABOO.encode() in body else None
    source = MemorySource()
    heads = [session() for _ in range(3)]
    for seq in range(1, 40):
        for head in heads:
            bad = seq == 17 and head is heads[1]
            source.add(head, event(head, seq, content=f"see {TABOO}" if bad else "well"))

    async def lost(session: Any) -> None:
        raise AssertionError(session)

    shipper = Shipper(
        source, supabase, Leases(supabase, source.worker), on_lost=lost, retry_s=QUICK
    )
    shipper.start()
    await source.drained()
    await until(lambda: shipper.state.status == "ok")
    await shipper.stop()

    assert [(row.session_id, row.seq) for row in source.quarantine] == [(heads[1].session_id, 17)]
    assert TABOO not in source.quarantine[0].message
    for head in heads:
        fetched = await supabase.fetch(head.session_id)
        assert fetched
        there = [row.seq for row in fetched[1]]
        assert there == [n for n in range(1, 40) if (head, n) != (heads[1], 17)]
    await supabase.close()


async def test_a_conversation_about_what_a_firewall_does_not_like(
    project: SupabaseLite, gateway: Gateway, serve: Serve, device: Devices
) -> None:
    """Its question, its answer and its summary are refused; everything else of it arrives, and
    of the conversations beside it."""
    gateway.firewall = lambda body: (
        FIREWALLS["a page with 403"]() if TABOO.encode() in body else None
    )
    model = ScriptedModel(says("Open ", f"{TABOO}."), says(f"On {TABOO}."), says("Well."))
    running = await serve(model, **through(gateway, project))
    one, other = device(running.url), device(running.url)
    await one.connect()
    await one.done((await one.send(f"What is {TABOO}?"))["run_id"])
    await one.call("end")
    await one.durable("summary", status="done")
    await other.connect()
    await other.done((await other.send("And this?"))["run_id"])
    await until_it(running, status="ok", backlog_age_s=0.0, quarantined=5)

    def stored(of: Device) -> list[str]:
        return project.psql(
            "select event_type from session_events "
            f"where session_id = '{of.session['session_id']}' order by seq"
        ).split()

    async with asyncio.timeout(30):
        while stored(other)[-1:] != ["done"]:
            await asyncio.sleep(0.05)
    assert stored(one) == ["session_started", "run", "session_ended"]
    head = project.psql(
        "select end_time is not null, summary is null, summary_status from sessions "
        f"where session_id = '{one.session['session_id']}'"
    )
    assert head == "t|t|done"


async def test_heads_that_a_firewall_does_not_like_go_without_their_summaries(
    project: SupabaseLite, gateway: Gateway
) -> None:
    supabase = await Supabase.connect(gateway.url, project.secret_key)
    gateway.firewall = lambda body: (
        FIREWALLS["a page with 403"]() if TABOO.encode() in body else None
    )
    good, bad = [session(summary="well")], [session(summary=f"on {TABOO}") for _ in range(2)]
    delivery = Delivery(supabase, Leases(supabase, new_id()))

    answer = await delivery.ship(batch(*good, *bad), [])
    assert {(row.session_id, row.seq) for row in answer.refused} == {
        (head.session_id, None) for head in bad
    }
    again = batch(bad[0], event(bad[0], 1), event(bad[0], 2, content=f"see {TABOO}"))
    again.sessions[0].revision = 0
    answer = await delivery.ship(again, [])
    assert [row.seq for row in answer.refused] == [2], "its head is known"
    for head, summary in ((good[0], "well"), (bad[0], None), (bad[1], None)):
        fetched = await supabase.fetch(head.session_id)
        assert fetched
        assert fetched[0].summary == summary
    await supabase.close()


async def test_a_firewall_that_likes_no_row_of_anybody_is_waited_for(
    project: SupabaseLite, gateway: Gateway
) -> None:
    supabase = await Supabase.connect(gateway.url, project.secret_key)
    gateway.firewall = lambda body: FIREWALLS["a page with 403"]() if b"text " in body else None
    heads = [session(), session()]
    rows = [event(head, seq) for head in heads for seq in (1, 2)]
    delivery = Delivery(supabase, Leases(supabase, new_id()))
    with pytest.raises(SupabaseError, match="firewall or proxy"):
        await delivery.ship(batch(*heads, *rows), [])
    await supabase.close()


async def test_what_is_refused_only_once_is_no_row_at_fault(
    project: SupabaseLite, gateway: Gateway
) -> None:
    supabase = await Supabase.connect(gateway.url, project.secret_key)
    refusals = [FIREWALLS["a page with 403"]()]
    gateway.firewall = lambda body: refusals.pop() if refusals and b"something" in body else None
    source = MemorySource()
    head = session()
    source.add(head, event(head, 1, content="something"))

    async def lost(session: Any) -> None:
        raise AssertionError(session)

    shipper = Shipper(source, supabase, Leases(supabase, source.worker), on_lost=lost)
    shipper.start()
    await source.drained()
    await shipper.stop()
    await supabase.close()
    assert not refusals
    assert source.quarantine == []


async def test_a_firewall_that_refuses_everything_puts_no_row_into_quarantine(
    project: SupabaseLite, gateway: Gateway, serve: Serve, device: Devices
) -> None:
    running = await serve(ScriptedModel(says("Yes.")), **through(gateway, project))
    one = device(running.url)
    await one.connect()
    gateway.firewall = lambda body: FIREWALLS["a page with 403"]()
    assert (await one.done((await one.send("Still there?"))["run_id"]))["status"] == "completed"
    state = await until_it(running, status="degraded", quarantined=0)
    assert "firewall or proxy before Supabase" in state["last_error"]
    assert "'cloudflare'" in state["last_error"]
    gateway.firewall = lambda body: None
    await until_it(running, status="ok", quarantined=0, backlog_age_s=0.0)


# ------------------------------------------------------------ everything, for a while

FUTURE = json(401, code="PGRST303", message="JWT issued at future", details=None, hint=None)
RESTRICTED = json(402, message="Service for this project is restricted: exceed_egress_quota.")
FULL = json(405, code="25006", message="cannot execute INSERT in a read-only transaction")
UNKNOWN = json(404, code="PGRST202", message="Could not find the function in the schema cache")

PASSING: dict[str, tuple[Answer, str]] = {
    "clocks": (FUTURE, "SUPABASE_KEY is not at fault"),
    "a restriction": (RESTRICTED, "exceed_egress_quota"),
    "a disk that is full": (FULL, "refuses writes"),
    "a stale schema cache": (UNKNOWN, "schema cache"),
    "a firewall": (page(403), "firewall or proxy"),
}


@pytest.mark.parametrize("name", PASSING)
async def test_what_passes_is_said_and_asked_again_soon(
    project: SupabaseLite,
    gateway: Gateway,
    serve: Serve,
    device: Devices,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    answer, says_why = PASSING[name]
    running = await serve(ScriptedModel(says("Yes.")), **through(gateway, project))
    one = device(running.url)
    await one.connect()
    gateway.firewall = lambda body: answer()
    await one.done((await one.send("Well?"))["run_id"])
    state = await until_it(running, status="degraded")
    assert says_why in state["last_error"]
    assert "Set SUPABASE_KEY" not in caplog.text
    gateway.firewall = lambda body: None
    await until_it(running, status="ok", quarantined=0, backlog_age_s=0.0)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert sum(says_why in message for message in told) == 1


@pytest.mark.parametrize("name", ["clocks", "a restriction", "a disk that is full", "a firewall"])
async def test_what_passes_is_no_reason_not_to_start(
    project: SupabaseLite, gateway: Gateway, serve: Serve, device: Devices, name: str
) -> None:
    answer, says_why = PASSING[name]
    gateway.firewall = lambda body: answer()
    running = await serve(ScriptedModel(says("Yes.")), **through(gateway, project))
    one = device(running.url)
    await one.connect()
    assert (await one.done((await one.send("Well?"))["run_id"]))["status"] == "completed"
    assert says_why in (await until_it(running, status="degraded"))["last_error"]
    gateway.firewall = lambda body: None
    await until_it(running, status="ok", quarantined=0, backlog_age_s=0.0)


@pytest.mark.parametrize(
    ("answer", "says_why"),
    [
        (json(401, message="Invalid API key"), "refuses SUPABASE_KEY"),
        (json(401, code="PGRST301", message="JWSInvalidSignature"), "refuses SUPABASE_KEY"),
        (json(403, message="You cannot consume this service"), "refuses SUPABASE_KEY"),
        (UNKNOWN, "schema cache"),
        (json(404, code="42883", message="function does not exist"), "not in the project"),
    ],
)
async def test_what_lasts_is_refused_at_the_start(
    project: SupabaseLite, gateway: Gateway, serve: Serve, answer: Answer, says_why: str
) -> None:
    gateway.firewall = lambda body: answer()
    with pytest.raises(ConfigError, match=says_why):
        await serve(ScriptedModel(says("Yes.")), **through(gateway, project))


@pytest.mark.parametrize(
    ("answer", "says_why"),
    [
        (FUTURE, "FAIL  Supabase .*passes by itself"),
        (RESTRICTED, "FAIL  Supabase .*exceed_egress_quota"),
        (UNKNOWN, "FAIL  Supabase .*NOTIFY pgrst, 'reload schema'"),
        (page(403), "FAIL  Supabase .*firewall or proxy"),
    ],
)
async def test_a_check_says_what_it_is(
    tmp_path: Path, project: SupabaseLite, gateway: Gateway, answer: Answer, says_why: str
) -> None:
    gateway.firewall = lambda body: answer()
    environ = {"SUPABASE_URL": gateway.url, "SUPABASE_KEY": project.secret_key}
    async with process(sys.executable, "-m", "realtime", "--check", cwd=tmp_path, **environ) as ran:
        await ran.says(says_why)
        assert await ran.ended() == 3
        assert "Set SUPABASE_KEY" not in ran.output
