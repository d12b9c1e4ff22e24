"""Messages that steer: the answer under way takes them in between two steps, or they wait."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from types import ModuleType
from typing import Any

import pytest

from realtime.config import Settings
from realtime.core.rows import StorageError
from realtime.core.session import Session
from realtime.live.steering import Steering
from realtime.models import Item, ModelError, TextDelta, ToolResult
from realtime.models.fitting import CONTINUE
from realtime.protocol import Send
from realtime.tools import tool
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.fold import fold
from tests.support.scrape import scrape
from tests.support.scripted import Script, ScriptedModel, asks, says
from tests.support.serving import Running, Serve

Devices = Callable[..., Device]
LOOKS = [[TextDelta("I look.")], *asks(("look", "{}"))]


class Scene:
    """An answer whose first step makes a call, which lasts until `gate`; two devices watch."""

    def __init__(self, serve: Serve, devices: Devices, gate: asyncio.Event) -> None:
        self.serve, self._devices = serve, devices
        self.gate = gate
        self.model: ScriptedModel
        self.running: Running
        self.one: Device
        self.two: Device
        self.run_id = ""

    async def begin(self, *scripts: Script, **settings: Any) -> Scene:
        self.model = ScriptedModel(*(scripts or (LOOKS, says("Blue", " it is."))))
        self.running = await self.serve(self.model, tools=("desk",), **settings)
        self.one = self._devices(self.running.url)
        await self.one.connect()
        self.two = await self.fresh()
        self.run_id = (await self.one.send("paint it"))["run_id"]
        await self.one.durable("tool_call", status="running")
        return self

    async def fresh(self) -> Device:
        """Another device of the same user, which knows nothing yet."""
        one = self.one
        other = self._devices(one.url, token=one.auth["token"], session_id=self.session_id)
        await other.connect()
        return other

    async def guest(self) -> Device:
        share = (await self.one.call("share"))["share"]
        other = self._devices(self.one.url, session_id=self.session_id, share=share)
        await other.connect()
        return other

    @property
    def session_id(self) -> str:
        return str(self.one.session["session_id"])

    async def steer(
        self, text: str, device: Device | None = None, **more: Any
    ) -> tuple[asyncio.Task[dict[str, Any]], dict[str, Any]]:
        """Send it; the ack that is to come, and what the log has of it."""
        task = asyncio.create_task((device or self.one).send(text, if_busy="steer", **more))
        (said,) = await self.one.durable("user_message", text=text)
        await self.one.durable("run", run_id=said["run_id"], status="queued")
        return task, said

    async def go_on(self) -> dict[str, Any]:
        self.gate.set()
        return await self.one.done(self.run_id)

    async def agree(self) -> list[dict[str, Any]]:
        """What all devices show, and one that has just come."""
        last = self.one.last_seq
        await self.two.until(lambda: self.two.last_seq >= last or None)
        views = [shown(each) for each in (self.one, self.two, await self.fresh())]
        assert views[0] == views[1] == views[2]
        return views[0]


def shown(device: Device) -> list[dict[str, Any]]:
    return fold(payload | {"event": name} for _, (name, payload) in sorted(device.log.items()))


def words(context: tuple[Item, ...]) -> list[str]:
    """What a model was told, in short."""
    return [
        "(result)" if isinstance(item, ToolResult) else getattr(item, "text", "(call)")
        for item in context
    ]


@pytest.fixture
async def scene(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[Scene]]:
    gate = asyncio.Event()

    @tool
    async def look() -> str:
        """Look at it."""
        await gate.wait()
        return "seen"

    @tool(approval=True)
    def pay() -> str:
        """Pay for it."""
        return "paid"

    module = ModuleType("desk")
    module.look, module.pay = look, pay  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "desk", module)
    return Scene(serve, device, gate).begin


Begin = Callable[..., Awaitable[Scene]]


async def test_the_model_is_told_at_the_next_step(scene: Begin) -> None:
    it = await scene()
    ack, said = await it.steer("in blue")
    assert said["steer"] is True
    more, second = await it.steer("and dark")
    assert not ack.done()
    assert [run["status"] for run in await it.agree()] == ["started", "queued", "queued"]
    await it.go_on()
    taken = await ack
    assert taken == {
        "ok": True,
        "status": "consumed",
        "message_id": said["message_id"],
        "run_id": said["run_id"],
        "seq": said["seq"],
    }
    assert (await more)["status"] == "consumed"
    done = it.one.events("done")
    assert [(e["run_id"], e["status"], e.get("consumed_by")) for e in done] == [
        (said["run_id"], "consumed", it.run_id),
        (second["run_id"], "consumed", it.run_id),
        (it.run_id, "completed", None),
    ]
    assert done[0]["usage"] == {"input_tokens": 0, "output_tokens": 0}
    told = ["paint it", "I look.", "(call)", "(result)", "in blue", "and dark"]
    assert words(it.model.requests[1].context) == told
    (run,) = await it.agree()
    assert run["text"] == "I look.\n\nBlue it is."
    assert run["messages"] == [{"text": text, "offset": 7} for text in ("in blue", "and dark")]

    await it.one.ask("thanks")
    later = [*told, "\n\nBlue it is.", "thanks"]
    assert words(it.model.requests[2].context) == later
    await it.running.stop()
    running = await it.serve(it.model, tools=("desk",))
    it.one.url = running.url
    await it.one.connect()
    await it.one.ask("again")
    assert words(it.model.requests[3].context)[: len(later)] == later, "after a restart, too"


async def test_an_answer_that_ends_first_leaves_it_in_the_queue(scene: Begin) -> None:
    last = asyncio.Event()
    it = await scene(LOOKS, [[TextDelta("So")], last, *says("!")], says("Blue."))
    it.gate.set()
    await it.one.until(lambda: "So" in it.one.text(it.run_id) or None)
    ack, said = await it.steer("in blue")
    last.set()
    assert (await ack)["status"] == "queued"
    assert it.one.events("done", run_id=it.run_id), "it has ended"
    assert (await it.one.done(said["run_id"]))["text"] == "Blue."
    assert [run["user_text"] for run in await it.agree()] == ["paint it", "in blue"]


async def test_with_no_answer_under_way_it_starts(scene: Begin) -> None:
    it = await scene()
    await it.go_on()
    ack = await it.one.send("in blue", if_busy="steer")
    assert ack["status"] == "started"
    assert "steer" not in it.one.events("user_message", run_id=ack["run_id"])[0]


async def test_what_cannot_be_taken_in_waits(scene: Begin) -> None:
    """Tools have the rights of who asked, and an answer by a schema is one of its own."""
    it = await scene(LOOKS, says("Blue."))
    guest = await it.guest()
    theirs = await guest.send("in red", if_busy="steer")
    held = await it.one.send("as JSON", if_busy="steer", schema={"type": "object"})
    waits = await it.one.send("later", if_busy="queue")
    assert [ack["status"] for ack in (theirs, held, waits)] == ["queued"] * 3
    await it.go_on()
    assert words(it.model.requests[1].context)[-1] == "(result)"
    await it.one.done(waits["run_id"])
    runs = await it.agree()
    assert [run["user_text"] for run in runs] == ["paint it", "in red", "as JSON", "later"]


async def test_what_somebody_else_has_edited_is_theirs(scene: Begin) -> None:
    it = await scene(LOOKS, says("Blue."))
    guest = await it.guest()
    ack, said = await it.steer("in blue")
    edit = {"edit": {"run_id": said["run_id"], "text": "in red"}}
    assert (await guest.call("queue", edit))["ok"]
    assert (await ack)["status"] == "queued"
    await it.go_on()
    assert words(it.model.requests[1].context)[-1] == "(result)"


async def test_it_is_edited_moved_and_dropped_as_whatever_waits(scene: Begin) -> None:
    it = await scene()
    acks, runs = [], []
    for text in ("one", "two", "three"):
        ack, said = await it.steer(text)
        acks.append(ack)
        runs.append(said["run_id"])
    for change in (  # by the socket whose acks are open, too
        {"drop": {"run_id": runs[1]}},
        {"move": {"run_id": runs[2], "before": runs[0]}},
        {"edit": {"run_id": runs[0], "text": "one, better"}},
    ):
        assert (await it.one.call("queue", change))["ok"]
    assert (await acks[1])["status"] == "queued", "it was never taken in"
    assert it.one.events("done", run_id=runs[1])[0]["status"] == "cancelled"
    await it.go_on()
    assert [(await ack)["status"] for ack in acks] == ["consumed", "queued", "consumed"]
    assert words(it.model.requests[1].context)[-2:] == ["three", "one, better"]
    for change in ({"drop": {"run_id": runs[0]}}, {"move": {"run_id": runs[2]}}):
        assert (await it.one.call("queue", change))["error"]["code"] == "already_done"
    (run, *dropped) = await it.agree()
    assert [message["text"] for message in run["messages"]] == ["three", "one, better"]
    assert [run["status"] for run in dropped] == ["cancelled"]


async def test_a_retry_is_answered_at_once(scene: Begin) -> None:
    it = await scene()
    say: dict[str, Any] = {"text": "in blue", "client_msg_id": "1", "if_busy": "steer"}
    ack, said = await it.steer(**{key: say[key] for key in ("text", "client_msg_id")})
    for _ in range(2):  # while it waits, and once it was taken in
        retry = await it.two.call("send", {**say, "session_id": it.session_id})
        assert (retry["status"], retry["run_id"]) == ("duplicate", said["run_id"])
        await it.go_on()
    assert (await ack)["status"] == "consumed"
    assert len(it.model.requests) == 2


async def test_the_queue_has_its_bound(scene: Begin) -> None:
    it = await scene()
    acks = [(await it.steer(str(n)))[0] for n in range(5)]
    assert (await it.one.send("6", if_busy="steer"))["error"]["code"] == "queue_full"
    await it.go_on()
    assert [(await ack)["status"] for ack in acks] == ["consumed"] * 5


async def test_a_server_that_stops_answers(scene: Begin) -> None:
    """A call that waits for a person survives the server, and so does what steers its answer."""
    pays = asks(("pay", "{}"))
    it = await scene(LOOKS, pays, says("Paid."))
    it.gate.set()
    call = (await it.one.durable("tool_call", status="awaiting_approval"))[0]["tool_call_id"]
    ack, said = await it.steer("in blue")
    await it.running.stop()
    assert (await ack)["status"] == "queued"
    it.one.url = (await it.serve(it.model, tools=("desk",))).url
    await it.one.connect()
    answer = {"tool_call_id": call, "decision": "approve"}
    assert (await it.one.call("approve", answer))["ok"]
    done = await it.one.done(said["run_id"])
    assert (done["status"], done["consumed_by"]) == ("consumed", it.run_id)
    await it.one.done(it.run_id)
    assert words(it.model.requests[-1].context)[-2:] == ["(result)", "in blue"]


async def test_an_answer_that_goes_on_by_itself_takes_it_in_at_a_step(
    scene: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.runs.outcome.PAUSE_S", 0.01)
    breaks, cut = asyncio.Event(), ModelError("cut", "it broke off")
    it = await scene(
        LOOKS,
        [[TextDelta("I mix")], breaks, cut],
        [[TextDelta(" paint.")], *asks(("look", "{}"))],
        says("Blue."),
        continue_automatically=True,
    )
    it.gate.set()
    await it.one.until(lambda: "I mix" in it.one.text(it.run_id) or None)
    ack, said = await it.steer("in blue")
    breaks.set()
    assert (await ack)["status"] == "consumed"
    heir = (await it.one.done(it.run_id))["continued_by"]
    assert (await it.one.done(said["run_id"]))["consumed_by"] == heir
    await it.one.done(heir)
    assert words(it.model.requests[2].context)[-1] == CONTINUE, "in the middle of a step"
    assert words(it.model.requests[3].context)[-2:] == ["(result)", "in blue"]
    await it.agree()


async def test_it_is_on_the_branch_of_the_answer_alone(scene: Begin) -> None:
    it = await scene(LOOKS, says("Blue."), says("Red."))
    ack, said = await it.steer("in blue")
    await it.go_on()
    leaf = it.one.events("run", run_id=it.run_id)[0]["message_id"]
    again = (await it.one.call("regenerate", {"run_id": it.run_id}))["run_id"]
    await it.one.done(again)
    assert words(it.model.requests[2].context) == ["paint it"]
    (run,) = await it.agree()
    assert (run["text"], run.get("messages")) == ("Red.", None)
    other = await it.one.call("history", {"leaf": leaf})
    (run,) = fold(other["events"])
    assert run["messages"] == [{"text": "in blue", "offset": 7}]
    refused = await it.one.send("in green", replaces=said["message_id"])
    assert refused["error"]["code"] == "not_found"
    await ack


async def test_what_is_open_in_a_session_that_is_deleted_is_not_found(scene: Begin) -> None:
    it = await scene()
    ack, _ = await it.steer("in blue")
    assert (await it.one.call("delete", {"session_id": it.session_id}))["ok"]
    error = (await ack)["error"]
    assert (error["code"], error["retryable"]) == ("not_found", False)


async def test_it_is_no_answer_in_any_figure(scene: Begin, settings: Settings) -> None:
    it = await scene()
    ack, _ = await it.steer("in blue")
    await it.go_on()
    assert (await ack)["status"] == "consumed"
    found = await scrape(it.running.url)
    runs = {name: value for name, value in found.items() if name.startswith("runs_total")}
    assert {name for name in runs if runs[name]} == {'runs_total{status="completed"}'}
    assert sum(runs.values()) == 1
    with closing(sqlite3.connect(settings.database_path)) as journal:
        assert journal.execute("SELECT messages, answers FROM counts").fetchall() == [(2, 1)]


async def test_an_export_has_it_in_its_place(scene: Begin) -> None:
    it = await scene()
    await it.one.call("auth", {"token": it.one.auth["token"], "name": "Ann"})
    await it.steer("in blue")
    await it.go_on()
    url = f"{it.running.url}/api/sessions/{it.session_id}/export"
    text = (await fetch(f"{url}?format=markdown", it.one.auth["token"])).text
    lines = [line.split(", 20")[0] for line in text.splitlines() if line]
    assert lines == [
        *("## User", "paint it", "## Assistant", "I look.", "*Tool look: completed*"),
        *("## Ann", "in blue", "## Assistant", "Blue it is."),
    ]
    events = (await fetch(url, it.one.auth["token"])).json()["events"]
    assert fold(events) == await it.agree()


async def test_a_session_that_goes_out_of_memory_decides_nothing() -> None:
    session = Session("s")
    session.begin("u", 1)
    session.send(Send(text="paint it", client_msg_id="1"), "u", "m", 1)
    steers = Send(text="in blue", client_msg_id="2", if_busy="steer")
    _, waiting = session.send(steers, "u", "m", 1)
    steering = Steering(session)
    decided = steering.of(waiting)
    assert decided is not None
    steering.look(session.head)
    assert not decided.done()
    steering.close(StorageError("it is out of memory"))
    with pytest.raises(StorageError):
        await decided
