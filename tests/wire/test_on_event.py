"""An extension is told of everything that happened, and may fail as often as it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from realtime.app import SERVER, create_app
from realtime.config import Settings
from realtime.extensions import Follower, Pauses, SessionRow
from realtime.log.journal import Journal
from realtime.log.journal.keeper import JournalKeeper
from realtime.protocol import EVENT_NAMES, Done, Event, SessionEnded, UserMessage
from tests.log.test_followers import commit, told
from tests.support.fetch import fetch
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Running
from tests.support.talk import talk
from tests.wire.people import Devices


class Listener:
    """Keeps what it is told. It does not take a message that says "poison"."""

    def __init__(self) -> None:
        self.told: list[tuple[Event, SessionRow]] = []
        self.poison = "poison"
        self.tried = 0
        self._more = asyncio.Condition()

    async def on_event(self, event: Event, session: SessionRow) -> None:
        async with self._more:
            self._more.notify_all()
            if isinstance(event, UserMessage) and event.text == self.poison:
                self.tried += 1
                raise OSError("no connection")
            self.told.append((event, session))

    async def until(self, true: Any) -> None:
        async with asyncio.timeout(15), self._more:
            await self._more.wait_for(true)

    def kinds(self, session_id: str) -> list[str]:
        return [EVENT_NAMES[type(one)] for one, row in self.told if row.session_id == session_id]


@pytest.fixture
async def serve(aiohttp_server: Any, settings: Settings) -> Any:
    async def start(*extensions: object) -> Running:
        app = create_app(settings, model=ScriptedModel(says("hel", "lo")), extensions=extensions)
        server = await aiohttp_server(app)
        return Running(str(server.make_url("/")).rstrip("/"), app[SERVER], server.close)

    return start


async def waits(running: Running, sessions: int) -> None:
    """Until events of so many sessions wait, by what is told of the server."""
    async with asyncio.timeout(15):
        while True:
            state = (await fetch(f"{running.url}/readyz")).json()["followers"]
            assert list(state) == [f"{__name__}:Listener"]
            if state[f"{__name__}:Listener"]["waiting"] == sessions:
                return


async def test_it_is_told_of_everything_but_tokens(serve: Any, device: Devices) -> None:
    running = await serve(listener := Listener())
    one = device(running.url)
    session_id = (await one.connect())["session_id"]
    await one.ask("hello")
    await one.call("end")
    await listener.until(lambda: any(isinstance(event, SessionEnded) for event, _ in listener.told))
    kinds = ["session_started", "user_message", "run", "done", "session_ended"]
    assert listener.kinds(session_id) == kinds
    assert [event.seq for event, _ in listener.told] == [
        payload["seq"] for name in kinds for payload in one.events(name)
    ]
    (done,) = (event for event, _ in listener.told if isinstance(event, Done))
    assert (done.text, done.status) == ("hello", "completed")
    assert {row.user_id for _, row in listener.told} == {one.session["you"]}


async def test_what_is_not_taken_waits_and_holds_up_nobody_else(
    serve: Any, device: Devices, caplog: pytest.LogCaptureFixture
) -> None:
    running = await serve(listener := Listener())
    one, other = device(running.url), device(running.url)
    stuck = (await one.connect())["session_id"]
    fine = (await other.connect())["session_id"]
    await one.ask("poison")
    await listener.until(lambda: listener.tried > 0)
    assert (await other.ask("hello"))["status"] == "completed"
    await listener.until(lambda: "done" in listener.kinds(fine))
    assert listener.kinds(stuck) == ["session_started"]
    name = f"{__name__}:Listener"
    await waits(running, 1)
    figures = (await fetch(f"{running.url}/metrics")).text
    assert f'realtime_events_waiting{{follower="{name}"}} 1.0' in figures
    assert f'realtime_event_failures_total{{follower="{name}"}} 0.0' not in figures
    await listener.until(lambda: listener.tried > 1)
    assert "did not take an event (attempt 1); again in 1 s: " in caplog.text
    listener.poison = ""
    await listener.until(lambda: "done" in listener.kinds(stuck))
    assert listener.kinds(stuck)[:2] == ["session_started", "user_message"]


async def test_a_session_that_is_deleted_is_no_longer_stuck(serve: Any, device: Devices) -> None:
    running = await serve(listener := Listener())
    one = device(running.url)
    session_id = (await one.connect())["session_id"]
    await one.ask("poison")
    await listener.until(lambda: listener.tried > 0)
    assert (await one.call("delete", {"session_id": session_id}))["ok"]
    await waits(running, 0)
    assert listener.kinds(session_id) == ["session_started"]


async def test_a_restart_goes_on_where_it_was(serve: Any, device: Devices) -> None:
    running = await serve(listener := Listener())
    one = device(running.url)
    session_id = (await one.connect())["session_id"]
    await one.ask("poison")
    await listener.until(lambda: listener.tried > 0)
    await one.drop()
    await running.stop()
    again = Listener()
    again.poison = ""
    await serve(again)
    await again.until(lambda: "done" in again.kinds(session_id))
    both = listener.kinds(session_id) + again.kinds(session_id)
    assert both == ["session_started", "user_message", "run", "done"]


async def test_what_happened_as_the_server_stopped_is_still_told(
    serve: Any, device: Devices
) -> None:
    running = await serve(listener := Listener())
    one = device(running.url)
    session_id = (await one.connect())["session_id"]
    done = asyncio.create_task(one.ask("hello"))
    await listener.until(lambda: "user_message" in listener.kinds(session_id))
    await running.stop()
    assert "done" in listener.kinds(session_id)
    done.cancel()


async def test_what_a_lifespan_made_is_there_until_the_last_event(
    serve: Any, device: Devices
) -> None:
    class Pool(Listener):
        async def lifespan(self, app: web.Application) -> AsyncIterator[None]:
            yield
            self.closed = list(self.told)

    running = await serve(pool := Pool())
    one = device(running.url)
    session_id = (await one.connect())["session_id"]
    done = asyncio.create_task(one.ask("hello"))
    await pool.until(lambda: "user_message" in pool.kinds(session_id))
    await running.stop()
    assert "done" in pool.kinds(session_id)
    assert pool.closed == pool.told
    done.cancel()


async def test_an_event_that_is_too_old_is_given_up(tmp_path: Any) -> None:
    """In talk() it is always 1970."""
    keeper = JournalKeeper(Journal(str(tmp_path / "journal.db")))
    session = talk(1)
    events = session.take()
    given: list[Event] = []

    async def give(event: Event, row: SessionRow) -> None:
        given.append(event)
        if isinstance(event, UserMessage):
            raise OSError("no connection")

    follower = Follower(keeper, "a", give, Pauses(give_up_s=86_400))
    follower.start((await keeper.follow(["a"]))["a"])
    await commit(keeper, session, events)
    await follower.stop()
    assert given == told(events)
    messages = sum(isinstance(event, UserMessage) for event in events)
    assert (follower.dropped, follower.failures) == (messages, messages)
    assert follower.taken == len(given) - messages
    await keeper.close()


def test_pauses_grow_to_their_bound() -> None:
    pauses = Pauses(first_s=2, last_s=60)
    means = [2, 4, 8, 16, 32, 60, 60]
    for failures, mean in enumerate(means, 1):
        assert 0.75 * mean <= pauses.after(failures) <= 1.25 * mean
    assert pauses.after(10_000) <= 75
