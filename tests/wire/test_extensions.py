"""What an operator's own object is asked, and what happens where it answers badly."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web

from realtime.app import SERVER, create_app
from realtime.auth import User
from realtime.config import ConfigError, Settings
from realtime.extensions import (
    BadExtension,
    Extension,
    Limits,
    MessageRefused,
    NewMessage,
    SessionRow,
    load,
)
from realtime.extensions.extension import HookFailed
from realtime.models.demo import DemoModel
from realtime.tools import ToolContext, tool
from tests.support.fetch import fetch
from tests.support.scripted import Script, ScriptedModel, asks, says
from tests.support.serving import Running
from tests.wire.people import Devices, gone

KEY = web.AppKey("key", list)


@pytest.fixture
async def serve(aiohttp_server: Any, settings: Settings) -> Any:
    """A server with these extensions."""

    async def start(
        *extensions: object,
        model: Any = None,
        tools: Any = None,
        authenticate: Any = None,
        mounted: bool = False,
        **changes: Any,
    ) -> Running:
        values = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
        app = made = create_app(
            Settings(**{**values, **changes}),
            model=model or DemoModel(delay_s=0.002),
            tools=tools,
            authenticate=authenticate,
            extensions=extensions,
        )
        if mounted:
            app = web.Application()
            app.add_subapp("/ai/", made)
        server = await aiohttp_server(app)
        return Running(str(server.make_url("/")).rstrip("/"), made[SERVER], server.close)

    return start


def stored(running: Running) -> str:
    journal = sqlite3.connect(running.server.settings.database_path)
    try:
        return str(journal.execute("SELECT content FROM events").fetchall())
    finally:
        journal.close()


# ------------------------------------------------------------------ lifespan


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]])
@pytest.mark.parametrize("mounted", [False, True])
async def test_what_a_lifespan_made_is_there_for_tools_and_for_auth(
    serve: Any, device: Devices, transports: list[str], mounted: bool
) -> None:
    happened: list[Any] = []

    class Pool:
        @asynccontextmanager
        async def lifespan(self, app: web.Application) -> AsyncIterator[None]:
            app[KEY] = happened
            happened.append("open")
            yield
            happened.append("closed")

    @tool
    def look(context: ToolContext) -> str:
        """Look."""
        context.app[KEY].append("tool")
        return "seen"

    async def authenticate(token: str | None, request: web.Request) -> User | None:
        request.app[KEY].append("auth")
        return User(token) if token else None

    model = ScriptedModel(asks(("look", "{}")), says("seen"))
    running = await serve(
        Pool(), model=model, tools=[look], authenticate=authenticate, mounted=mounted
    )
    one = device(running.url, token="ada")
    path = "ai/socket.io" if mounted else "socket.io"
    await one.connect(socketio_path=path, transports=transports)
    await one.ask("look")
    assert (await one.call("auth", {"token": "ada"}))["ok"]
    prefix = "/ai" if mounted else ""
    assert (await fetch(f"{running.url}{prefix}/api/sessions", "ada")).status == 200
    await one.drop()
    await running.stop()
    assert happened == ["open", "auth", "tool", "auth", "auth", "closed"]


async def test_a_bare_generator_is_a_lifespan_too(serve: Any) -> None:
    happened: list[str] = []

    class Pool:
        async def lifespan(self, app: web.Application) -> AsyncIterator[None]:
            happened.append("open")
            yield
            happened.append("closed")

    running = await serve(Pool())
    await running.stop()
    assert happened == ["open", "closed"]


async def test_a_lifespan_that_cannot_begin_stops_the_start_and_ends_the_others(
    serve: Any,
) -> None:
    happened: list[str] = []

    class Good:
        @asynccontextmanager
        async def lifespan(self, app: web.Application) -> AsyncIterator[None]:
            yield
            happened.append("closed")

    class Bad:
        @asynccontextmanager
        async def lifespan(self, app: web.Application) -> AsyncIterator[None]:
            raise OSError("no database")
            yield

    class NoManager:
        async def lifespan(self, app: web.Application) -> None:
            return None

    with pytest.raises(ConfigError, match=r"Bad has a lifespan that failed: OSError: no database"):
        await serve(Good(), Bad())
    assert happened == ["closed"]
    with pytest.raises(ConfigError, match="must be an async context manager"):
        await serve(NoManager())


# -------------------------------------------------------------- instructions


async def test_instructions_are_added_for_who_asks(serve: Any, device: Devices) -> None:
    class First:
        def instructions(self, user: User, session: SessionRow) -> str:
            assert threading.current_thread() is not threading.main_thread()
            return f"{user.user_id} in a session of {session.user_id}"

    class Second:
        async def instructions(self, user: User, session: SessionRow) -> str | None:
            return "Be kind." if session.title is None else None

    model = ScriptedModel(says("hello"))
    running = await serve(First(), Second(), model=model, instructions="Be brief.")
    one = device(running.url)
    you = (await one.connect())["you"]
    await one.ask("hello")
    asked = f"Be brief.\n\n{you} in a session of {you}\n\nBe kind."
    assert model.requests[0].instructions == asked


@pytest.mark.parametrize("what", ["raises", "exits", "returns a number", "cancels itself"])
async def test_without_its_instructions_nothing_is_answered(
    serve: Any, device: Devices, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    class Broken:
        async def instructions(self, user: User, session: SessionRow) -> Any:
            match what:
                case "raises":
                    raise RuntimeError("no template")
                case "exits":
                    raise SystemExit(1)
                case "cancels itself":
                    raise asyncio.CancelledError
            return 7

    model = ScriptedModel(says("hello"))
    running = await serve(Broken(), model=model)
    one = device(running.url)
    await one.connect()
    done = await one.ask("hello")
    assert (done["status"], done["error"]["code"]) == ("failed", "internal")
    assert done["error"]["retryable"]
    assert not model.requests
    (line,) = (line for line in caplog.records if "instructions of" in line.getMessage())
    assert "Broken" in line.getMessage()


# ------------------------------------------------------------------- limits


class Plans:
    """By the user's id."""

    def __init__(self, **plans: Any) -> None:
        self.plans = plans
        self.asked = 0

    async def limits(self, user: User) -> Limits | None:
        self.asked += 1
        found = self.plans.get(user.user_id)
        if isinstance(found, Exception):
            raise found
        return found


async def by_name(token: str | None, request: web.Request) -> User | None:
    return User(token) if token else None


async def test_each_user_has_the_tokens_of_their_plan(serve: Any, device: Devices) -> None:
    plans = Plans(ada=Limits(tokens=3), eve=Limits(tokens=0))
    running = await serve(
        plans,
        model=ScriptedModel(says("a", "b", "c", "d")),
        authenticate=by_name,
        budget_user_tokens=8,
    )
    taken = {}
    for name in ("ada", "bob", "eve"):
        one = device(running.url, token=name)
        await one.connect()
        taken[name] = 0
        while taken[name] < 5:
            ack = await one.send("hello")
            if not ack["ok"]:
                assert ack["error"]["code"] == "rate_limited"
                break
            await one.done(ack["run_id"])
            taken[name] += 1
    assert taken == {"ada": 1, "bob": 2, "eve": 5}
    assert plans.asked == 3, "asked once in a while, not for each message"


async def test_how_many_answers_at_once_is_a_part_of_the_plan(serve: Any, device: Devices) -> None:
    gate = asyncio.Event()
    held: Script = [gate, *says("done")]
    running = await serve(
        Plans(ada=Limits(runs=1)), model=ScriptedModel(held), authenticate=by_name
    )
    first, second = device(running.url, token="ada"), device(running.url, token="ada")
    await first.connect()
    await second.connect()
    ack = await first.send("hello")
    assert (await second.send("hello"))["error"]["code"] == "rate_limited"
    gate.set()
    await first.done(ack["run_id"])
    assert (await second.send("hello"))["ok"]


async def test_a_guest_of_a_session_spends_what_its_owner_may(serve: Any, device: Devices) -> None:
    plans = Plans(ada=Limits(tokens=3), bob=Limits(tokens=0))
    model = ScriptedModel(says("a", "b", "c", "d"))
    running = await serve(plans, model=model, authenticate=by_name)
    ada = device(running.url, token="ada")
    session_id = (await ada.connect())["session_id"]
    share = (await ada.call("share", {"access": "full"}))["share"]
    bob = device(running.url, token="bob", session_id=session_id, share=share)
    await bob.connect()
    await ada.ask("hello")
    refused = (await bob.send("hello"))["error"]
    assert refused["message"] == "the session owner's budget for today is used up"
    bob.auth = {"token": "bob"}
    await bob.drop()
    await bob.connect()
    assert (await bob.ask("hello"))["status"] == "completed"


async def test_a_model_that_is_not_in_the_plan_does_not_answer(serve: Any, device: Devices) -> None:
    plans = Plans(ada=Limits(models=["scripted"]), bob=Limits(models=["large"]))
    running = await serve(plans, model=ScriptedModel(says("hello")), authenticate=by_name)
    ada, bob = device(running.url, token="ada"), device(running.url, token="bob")
    await ada.connect()
    await bob.connect()
    assert (await ada.ask("hello"))["status"] == "completed"
    refused = (await bob.send("hello"))["error"]
    assert refused["code"] == "forbidden"
    assert refused["message"] == "scripted may not answer you; you may use: large"
    refused = (await bob.call("create", {"options": {"model": "scripted"}}))["error"]
    assert refused["code"] == "forbidden"
    assert "hello" not in str(bob.record)


async def test_limits_that_cannot_be_told_stop_who_is_new_and_nobody_else(
    serve: Any, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.live.people.FRESH_S", 0)
    plans = Plans(ada=Limits(runs=2))
    running = await serve(plans, model=ScriptedModel(says("hello")), authenticate=by_name)
    ada, bob = device(running.url, token="ada"), device(running.url, token="bob")
    await ada.connect()
    await bob.connect()
    await ada.ask("hello")
    plans.plans = {"ada": OSError("no database"), "bob": OSError("no database")}
    assert (await ada.ask("hello"))["status"] == "completed"
    refused = (await bob.send("hello"))["error"]
    assert (refused["code"], refused["retryable"]) == ("internal", True)


def test_limits_are_numbers() -> None:
    with pytest.raises(ValueError, match="tokens of Limits must be a number"):
        Limits(tokens=-1)
    with pytest.raises(ValueError, match="models of Limits must be a list"):
        Limits(models="demo")


# ----------------------------------------------------------- before_message


class Moderation:
    """Refuses what has "bad" in it, and takes numbers out."""

    def __init__(self) -> None:
        self.asked: list[NewMessage] = []
        self.gate: asyncio.Event | None = None

    async def before_message(self, message: NewMessage, user: User, session: SessionRow) -> Any:
        self.asked.append(message)
        if self.gate:
            await self.gate.wait()
        if "bad" in message.text:
            raise MessageRefused("mind your words")
        if "crash" in message.text:
            raise OSError("no connection")
        if "number" in message.text:
            return 7
        return message.text.replace("4111 1111", "****")


async def test_a_message_is_refused_before_it_is_stored_or_seen(
    serve: Any, device: Devices
) -> None:
    running = await serve(moderation := Moderation())
    one = device(running.url)
    await one.connect()
    refused = (await one.send("a bad word"))["error"]
    assert (refused["code"], refused["message"]) == ("forbidden", "mind your words")
    for text in ("crash", "a number"):
        failed = (await one.send(text))["error"]
        assert (failed["code"], failed["retryable"]) == ("internal", True)
    assert len(moderation.asked) == 3
    assert not one.events("user_message")
    assert "bad word" not in stored(running)
    assert (await one.ask("hello"))["status"] == "completed"


async def test_a_message_is_changed_and_its_repeat_is_one(serve: Any, device: Devices) -> None:
    running = await serve(moderation := Moderation(), model=(model := ScriptedModel(says("ok"))))
    one = device(running.url)
    await one.connect()
    done = await one.ask("my card is 4111 1111", client_msg_id="1")
    (message,) = one.events("user_message")
    assert (message["text"], message["changed"]) == ("my card is ****", True)
    assert "4111 1111" not in stored(running)
    assert "4111 1111" not in str(model.requests)
    again = await one.send("my card is 4111 1111", client_msg_id="1")
    assert (again["status"], again["run_id"]) == ("duplicate", done["run_id"])
    assert len(moderation.asked) == 1, "what is stored is not asked about again"
    await one.ask("hello", client_msg_id="2")
    assert "changed" not in one.events("user_message")[-1]
    assert (await one.send("other", client_msg_id="2"))["error"]["code"] == "conflict"


async def test_messages_that_wait_steer_or_are_edited_are_asked_about(
    serve: Any, device: Devices
) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([gate, *says("one")], says("two"))
    running = await serve(moderation := Moderation(), model=model)
    one = device(running.url)
    await one.connect()
    first = await one.send("hold")
    assert (await one.send("bad", if_busy="steer"))["error"]["code"] == "forbidden"
    waiting = await one.send("wait")
    edit = {"run_id": waiting["run_id"], "text": "a bad word"}
    assert (await one.call("queue", {"edit": edit}))["error"]["message"] == "mind your words"
    edit["text"] = "card 4111 1111"
    assert (await one.call("queue", {"edit": edit}))["ok"]
    gate.set()
    await one.done(first["run_id"])
    await one.done(waiting["run_id"])
    assert one.events("user_message")[-1]["text"] == "card ****"
    said = one.events("user_message")[0]["message_id"]
    assert (await one.send("bad", replaces=said))["error"]["code"] == "forbidden"
    assert moderation.asked[-1].replaces == said


async def test_what_could_not_be_taken_anyway_is_not_asked_about(
    serve: Any, device: Devices
) -> None:
    running = await serve(moderation := Moderation())
    one = device(running.url)
    await one.connect()
    assert (await one.send(" "))["error"]["code"] == "bad_request"
    assert (await one.send("x" * 20_000))["error"]["code"] == "too_large"
    assert (await one.send("x", files=["none"]))["error"]["code"] == "not_found"
    assert not moderation.asked


async def test_who_lost_the_share_meanwhile_says_nothing(serve: Any, device: Devices) -> None:
    running = await serve(moderation := Moderation())
    owner = device(running.url)
    session_id = (await owner.connect())["session_id"]
    share = (await owner.call("share", {"access": "full"}))["share"]
    guest = device(running.url, session_id=session_id, share=share)
    await guest.connect()
    moderation.gate = asyncio.Event()
    sending = asyncio.create_task(guest.send("hello"))
    while not moderation.asked:
        await asyncio.sleep(0.01)
    assert (await owner.call("unshare"))["ok"]
    moderation.gate.set()
    await gone(guest)
    sending.cancel()
    moderation.gate = None
    await owner.ask("hello")
    assert [said["text"] for said in owner.events("user_message")] == ["hello"]


async def test_a_method_that_takes_too_long_is_given_up_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Slow:
        def limits(self, user: User) -> None:
            time.sleep(5)

    one = Extension("slow", Slow())
    with pytest.raises(HookFailed):
        await one.call("limits", User("ada"), about={"user_id": "ada"}, seconds=0.05)
    assert "limits of slow took longer than 0.05 s" in caplog.text


# ------------------------------------------------------------------- loading


def module(**members: Any) -> ModuleType:
    made = ModuleType("chat")
    for member in members.values():
        if callable(member):
            member.__module__ = "chat"
    vars(made).update(members)
    return made


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (module(before_mesage=lambda m, u, s: None), "did you mean before_message"),
        (module(on_events=lambda e, s: None), "did you mean on_event"),
        (module(limits=lambda user, session: None), r"must define limits\(user\)"),
        (module(instructions=lambda: None), r"must define instructions\(user, session\)"),
        (module(instructions="Be kind."), r"must define instructions\(user, session\)"),
        (module(helper=lambda: None), "has none of lifespan, instructions"),
    ],
)
def test_a_mistake_is_told_at_the_start(given: ModuleType, says: str) -> None:
    with pytest.raises(BadExtension, match=f"EXTENSIONS: chat .*{says}"):
        load([], [given])


def test_what_a_module_imports_is_no_mistake() -> None:
    given = module(limits=lambda user: None)
    given.Limits, given.limit = Limits, by_name  # type: ignore[attr-defined]
    assert load([], [given]).items[0].methods == ["limits"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("no.such.module", "cannot be imported: ModuleNotFoundError"),
        ("realtime.extensions:missing", "has no missing"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_at_the_start(path: str, says: str) -> None:
    with pytest.raises(BadExtension, match=f"EXTENSIONS: {path} .*{says}"):
        load([path])


def test_a_setting_that_is_no_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="neither a module nor module:object"):
        Settings.load({"EXTENSIONS": "my app"}, None)


async def test_tools_that_are_given_must_be_tools(serve: Any) -> None:
    with pytest.raises(ConfigError, match="is not marked with @tool"):
        await serve(tools=[print])
