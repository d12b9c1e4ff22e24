"""A shared session: whose rights a tool call has, who decides on it, and whom it counts against."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from realtime.config import Settings
from realtime.models import Finished, TextDelta, ToolCallReady, Usage
from realtime.tools import ToolContext, User, tool
from tests.support.device import Device
from tests.support.scripted import Script, ScriptedModel, says
from tests.support.serving import Running, Serve
from tests.support.world import World, world

MakeDevice = Callable[..., Device]
Begin = Callable[..., Awaitable["Shared"]]
TOOLS = {"tools": ("desk",)}


def calls(name: str) -> Script:
    return [[ToolCallReady("1", name, "{}"), Finished("tool_calls")]]


def cut() -> Script:
    """An answer that the model did not finish."""
    return [[TextDelta("so ")], [Finished("length")]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[ToolContext]:
    """What the calls of `look` and, with approval, of `pay` were given."""
    contexts: list[ToolContext] = []

    @tool
    def look(context: ToolContext) -> str:
        """Look something up."""
        contexts.append(context)
        return "seen"

    @tool(approval=True)
    def pay(context: ToolContext) -> str:
        """Pay somebody."""
        contexts.append(context)
        return "paid"

    module = ModuleType("desk")
    module.look, module.pay = look, pay  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "desk", module)
    return contexts


class Shared:
    """A session, its owner and a guest who may take part."""

    def __init__(self, running: Running, device: MakeDevice) -> None:
        self.running, self._device = running, device
        self._homes: list[Device] = []
        self.owner, self.guest = device(running.url), device(running.url)

    async def begin(self) -> Shared:
        await self.owner.connect()
        self.session_id = self.owner.session["session_id"]
        self.guest = await self.joined("full")
        self.owner_id, self.guest_id = (each.session["you"] for each in (self.owner, self.guest))
        assert self.owner_id != self.guest_id
        return self

    async def joined(self, access: str | None) -> Device:
        """Somebody else; without `access` one who only knows the session's id."""
        share = (await self.owner.call("share", {"access": access}))["share"] if access else None
        one = self._device(self.running.url, session_id=self.session_id, share=share)
        await one.connect()
        return one

    async def home(self, one: Device) -> Device:
        """The same user in a session of their own."""
        self._homes.append(self._device(self.running.url, token=one.auth["token"]))
        await self._homes[-1].connect()
        return self._homes[-1]

    async def again(self, running: Running) -> None:
        """On another server, from the cursors."""
        self.running = running
        for each in (self.owner, self.guest, *self._homes):
            each.url = running.url
            await each.connect()


@pytest.fixture
def shared(serve: Serve, device: MakeDevice, made: list[ToolContext]) -> Begin:
    async def begin(*scripts: Script, **settings: Any) -> Shared:
        running = await serve(ScriptedModel(*scripts), **TOOLS, **settings)
        return await Shared(running, device).begin()

    return begin


async def waits(one: Device, count: int = 1) -> str:
    """The id of the newest call that waits for approval."""
    found = await one.durable("tool_call", count, status="awaiting_approval")
    return str(found[-1]["tool_call_id"])


def code(ack: dict[str, Any]) -> str:
    return "ok" if ack["ok"] else str(ack["error"]["code"])


# -------------------------------------------------------------------- rights


async def test_a_tool_acts_for_who_asked(shared: Begin, made: list[ToolContext]) -> None:
    scene = await shared(calls("look"), says("seen"), calls("look"), says("seen"))
    for one, user_id in ((scene.guest, scene.guest_id), (scene.owner, scene.owner_id)):
        run_id = (await one.send("look"))["run_id"]
        assert (await one.done(run_id))["user_id"] == user_id
        context = made[-1]
        assert (context.user, context.user_id) == (User(user_id), user_id)
        assert (context.owner_id, context.run_id) == (scene.owner_id, run_id)
        (started,) = one.events("run", run_id=run_id)
        assert started["user_id"] == user_id
    with pytest.raises(AttributeError):
        made[0].user.user_id = scene.owner_id  # type: ignore[misc]


async def test_messages_that_waited_are_of_who_sent_them(
    shared: Begin, made: list[ToolContext]
) -> None:
    gate = asyncio.Event()
    held: Script = [gate, *says("done")]
    scene = await shared(held, calls("look"), says("seen"), calls("look"), says("seen"))
    owner, guest = scene.owner, scene.guest
    first = await owner.send("hold", client_msg_id="1")
    queued = [await guest.send("hold", client_msg_id="1"), await owner.send("look")]
    assert [first["status"], *(ack["status"] for ack in queued)] == ["started", "queued", "queued"]
    assert (await guest.send("hold", client_msg_id="1"))["run_id"] == queued[0]["run_id"]
    page = await owner.call("join", {"session_id": scene.session_id})
    assert page["active_run"]["user_id"] == scene.owner_id
    assert [entry["user_id"] for entry in page["queue"]] == [scene.guest_id, scene.owner_id]
    gate.set()
    for ack in queued:
        await owner.done(ack["run_id"])
    assert [context.user_id for context in made] == [scene.guest_id, scene.owner_id]


@pytest.mark.parametrize(("asked", "continued"), [("owner", "guest"), ("guest", "owner")])
async def test_an_answer_is_continued_by_who_continues_it(
    shared: Begin, made: list[ToolContext], asked: str, continued: str
) -> None:
    scene = await shared(cut(), calls("look"), says("seen"))
    one, other = getattr(scene, asked), getattr(scene, continued)
    run_id = (await one.send("begin"))["run_id"]
    await other.done(run_id)
    again = await other.call("continue", {"run_id": run_id})
    assert (await other.done(again["run_id"]))["user_id"] == other.session["you"]
    assert [context.user_id for context in made] == [other.session["you"]]


# ---------------------------------------------------------------- decisions

DECIDES = {
    "owner": {"owner": "ok", "guest": "forbidden"},
    "guest": {"owner": "ok", "guest": "ok"},
}
"""Of a call that the first asked for. Nobody else ever decides."""


@pytest.mark.parametrize(("asked", "who"), [(a, w) for a in DECIDES for w in DECIDES[a]])
@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_who_asked_and_the_owner_decide_and_nobody_else(
    shared: Begin, made: list[ToolContext], asked: str, who: str, decision: str
) -> None:
    scene = await shared(calls("pay"), says("paid"))
    asker, decider = getattr(scene, asked), getattr(scene, who)
    run_id = (await asker.send("pay"))["run_id"]
    answer = {"tool_call_id": await waits(scene.owner), "session_id": scene.session_id}
    answer["decision"] = decision
    for access, refusal in (("full", "forbidden"), ("read", "forbidden"), (None, "not_found")):
        other = await scene.joined(access)
        assert code(await other.call("approve", answer)) == refusal
        if access:
            (pending,) = other.session["pending_approvals"]
            told = pending["approval"]["asked_by"]
            assert told == asker.session["you"] != other.session["you"], "it could be known"
    assert code(await decider.call("approve", answer)) == DECIDES[asked][who]
    if DECIDES[asked][who] != "ok":
        assert made == []
        assert code(await asker.call("approve", answer)) == "ok"
        decider = asker
    await scene.owner.done(run_id)
    last = scene.owner.events("tool_call")[-1]["approval"]
    assert (last["asked_by"], last["decided_by"]) == (
        asker.session["you"],
        decider.session["you"],
    )
    used = [asker.session["you"]] if decision == "approve" else []
    assert [context.user_id for context in made] == used, "with the rights of who asked"


async def test_any_device_of_who_asked_decides_but_not_where_it_only_reads(
    shared: Begin, device: MakeDevice, made: list[ToolContext]
) -> None:
    scene = await shared(calls("pay"), says("paid"))
    run_id = (await scene.guest.send("pay"))["run_id"]
    answer = {"tool_call_id": await waits(scene.guest), "decision": "approve"}
    second = device(scene.running.url, token=scene.guest.auth["token"])
    await second.connect()
    answer["session_id"] = scene.session_id
    assert code(await second.call("approve", answer)) == "not_found"
    for access, result in (("read", "forbidden"), ("full", "ok")):
        share = (await scene.owner.call("share", {"access": access}))["share"]
        await second.call("join", {"session_id": scene.session_id, "share": share})
        assert code(await second.call("approve", answer)) == result
    await scene.owner.done(run_id)
    assert [context.user_id for context in made] == [scene.guest_id]


async def test_who_takes_part_may_stop_what_another_asked_for(
    shared: Begin, made: list[ToolContext]
) -> None:
    scene = await shared(calls("pay"))
    for asker, other in ((scene.owner, scene.guest), (scene.guest, scene.owner)):
        run_id = (await asker.send("pay"))["run_id"]
        call = await waits(asker, 1 if asker is scene.owner else 2)
        reader, stranger = await scene.joined("read"), await scene.joined(None)
        stop = {"session_id": scene.session_id, "run_id": run_id}
        assert code(await reader.call("stop", stop)) == "forbidden"
        assert code(await stranger.call("stop", stop)) == "not_found"
        assert (await other.call("stop", stop))["status"] == "cancelled"
        assert (await asker.done(run_id))["user_id"] == asker.session["you"]
        late = await asker.call("approve", {"tool_call_id": call, "decision": "approve"})
        assert code(late) == "already_done"
    assert made == []


# -------------------------------------------------------- restarts and crashes


async def test_a_restart_changes_nobody(
    serve: Serve, shared: Begin, made: list[ToolContext]
) -> None:
    scene = await shared(calls("pay"), says("paid"))
    run_id = (await scene.guest.send("pay"))["run_id"]
    call = await waits(scene.guest)
    queued = await scene.owner.send("pay")
    third = await scene.joined("full")
    await scene.running.stop()
    model = ScriptedModel(says("paid"), calls("pay"), says("paid"))
    await scene.again(await serve(model, **TOOLS, runs_per_user=1))
    for one in (scene.guest, scene.owner):
        elsewhere = await scene.home(one)
        assert code(await elsewhere.send("hello")) == "rate_limited", "theirs waits here"
    third.url = scene.running.url
    await third.connect()
    answer = {"tool_call_id": call, "decision": "approve"}
    assert code(await third.call("approve", answer)) == "forbidden"
    assert code(await scene.guest.call("approve", answer)) == "ok"
    await scene.guest.done(run_id)
    answer["tool_call_id"] = await waits(scene.owner, 2)
    assert code(await scene.guest.call("approve", answer)) == "forbidden"
    assert code(await scene.owner.call("approve", answer)) == "ok"
    await scene.owner.done(queued["run_id"])
    assert [context.user_id for context in made] == [scene.guest_id, scene.owner_id]


DESK = """
import asyncio
from pathlib import Path
from realtime.tools import ToolContext, tool

def keep(context, what):
    with Path("calls.txt").open("a") as effects:
        effects.write(f"{what} {context.user.user_id} {context.owner_id}\\n")
    return "done"

@tool(approval=True)
def pay(context: ToolContext) -> str:
    "Pay somebody."
    return keep(context, "pay")

@tool(repeatable=True)
async def look(context: ToolContext) -> str:
    "Look something up; slow until a file is there."
    keep(context, "look")
    while not Path("go").exists():
        await asyncio.sleep(0.02)
    return "seen"
"""


async def guest_of(scene: World, owner: Any) -> Any:
    share = (await owner.call("share"))["share"]
    guest = scene.stranger(session_id=owner.auth["session_id"], share=share)
    await guest.start()
    guest.auth["token"] = guest.pages[0]["guest_token"]
    return guest


async def test_a_crash_changes_nobody(tmp_path: Path) -> None:
    (tmp_path / "desk.py").write_text(DESK)

    def made() -> list[list[str]]:
        lines = (tmp_path / "calls.txt").read_text().splitlines()
        return [line.split() for line in lines]

    async with world(tmp_path, TOOLS="desk") as scene:
        owner = await scene.device("raw")
        guest = await guest_of(scene, owner)
        owner_id, guest_id = [one.pages[0]["you"] for one in (owner, guest)]
        assert owner_id != guest_id
        wishes = [
            (guest, "look"),  # is caught in mid-call
            (owner, "pay"),  # waits in the queue
            (guest, "pay"),
        ]
        runs = [
            (await one.send(f"tool {name} {{}} tokens 1 rate 0"))["run_id"] for one, name in wishes
        ]
        await guest.until(
            lambda: [e for e in guest.events("tool_call") if e["status"] == "running"] or None
        )
        await scene.restart()
        (tmp_path / "go").touch()
        for run_id, (asker, _) in zip(runs[1:], wishes[1:], strict=True):
            call = await owner.until(lambda run_id=run_id: asked(owner, run_id))
            assert call["approval"]["asked_by"] == asker.pages[0]["you"]
            answer = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
            if asker is owner:
                await scene.restart()
                for one in (owner, guest):
                    await one.until(lambda one=one: one.live or None)
                assert code(await guest.call("approve", **answer)) == "forbidden"
            assert code(await asker.call("approve", **answer)) == "ok"
            assert (await owner.done(run_id, 10))["user_id"] == asker.pages[0]["you"]
        looked = [row for row in made() if row[0] == "look"]
        assert looked, "called again after the crash, for the same user"
        assert {tuple(row) for row in looked} == {("look", guest_id, owner_id)}
        paid = [row[1:] for row in made() if row[0] == "pay"]
        assert paid == [[owner_id, owner_id], [guest_id, owner_id]]


def asked(one: Any, run_id: str) -> dict[str, Any] | None:
    events = [e for e in one.events("tool_call") if e["run_id"] == run_id]
    return events[-1] if events and events[-1]["status"] == "awaiting_approval" else None


# ------------------------------------------------------------------ old logs


def forget_who_asked(settings: Settings) -> None:
    """Make the journal one of a server that did not write it beside the message."""
    with sqlite3.connect(settings.database_path) as journal:
        journal.execute(
            """UPDATE log SET payload = CAST(json_set(json_remove(CAST(payload AS TEXT),
                   '$.approval.asked_by'), '$.user_id', NULL) AS BLOB)
               WHERE event_type IN ('run', 'done', 'tool_call')"""
        )


async def test_in_an_older_log_a_message_says_who_asked(
    serve: Serve, shared: Begin, settings: Settings, made: list[ToolContext]
) -> None:
    scene = await shared(calls("pay"))
    run_id = (await scene.guest.send("pay"))["run_id"]
    call = await waits(scene.guest)
    await scene.running.stop()
    forget_who_asked(settings)
    await scene.again(await serve(ScriptedModel(says("paid")), **TOOLS))
    answer = {"tool_call_id": call, "decision": "approve"}
    third = await scene.joined("full")
    assert code(await third.call("approve", answer)) == "forbidden"
    assert code(await scene.guest.call("approve", answer)) == "ok"
    assert (await scene.guest.done(run_id))["user_id"] == scene.guest_id
    assert [context.user_id for context in made] == [scene.guest_id]


async def test_a_call_of_nobody_knows_whom_is_not_made(
    serve: Serve, shared: Begin, settings: Settings, made: list[ToolContext]
) -> None:
    scene = await shared(cut(), calls("pay"))
    first = (await scene.owner.send("begin"))["run_id"]
    await scene.owner.done(first)
    again = (await scene.guest.call("continue", {"run_id": first}))["run_id"]
    call = await waits(scene.guest)
    await scene.running.stop()
    forget_who_asked(settings)
    await scene.again(await serve(ScriptedModel(calls("look"), says("seen")), **TOOLS))
    done = await scene.guest.done(again)
    assert (done["status"], "user_id" in done) == ("interrupted", False)
    answer = {"tool_call_id": call, "decision": "approve"}
    assert code(await scene.owner.call("approve", answer)) == "already_done"
    assert made == []
    third = (await scene.guest.call("continue", {"run_id": again}))["run_id"]
    assert (await scene.guest.done(third))["status"] == "completed"
    assert [context.user_id for context in made] == [scene.guest_id]


# ------------------------------------------------------------- revoked shares


async def test_unshare_ends_what_others_asked_for(
    serve: Serve, shared: Begin, made: list[ToolContext]
) -> None:
    scene = await shared(calls("pay"), calls("look"), says("seen"))
    owner, guest = scene.owner, scene.guest
    asked = [await guest.send("pay"), await guest.send("more"), await owner.send("look")]
    call = await waits(owner)
    assert code(await owner.call("unshare")) == "ok"
    statuses = [(await owner.done(ack["run_id"]))["status"] for ack in asked]
    assert statuses == ["cancelled", "cancelled", "completed"]
    assert [context.user_id for context in made] == [scene.owner_id]
    while guest.client.connected:
        await asyncio.sleep(0.01)
    assert (await guest.connect())["error"]["code"] == "not_found"
    answer = {"tool_call_id": call, "decision": "approve", "session_id": scene.session_id}
    run = {"run_id": asked[0]["run_id"]}
    text = {"text": "again", "client_msg_id": "2"}
    commands = {"approve": answer, "send": text, "continue": run, "stop": run, "end": {}}
    for command, payload in commands.items():
        ack = await guest.call(command, {**payload, "session_id": scene.session_id})
        assert code(ack) == "not_found", command
    assert code(await owner.call("approve", answer)) == "already_done"
    await scene.running.stop()
    running = await serve(ScriptedModel(says("hello")), **TOOLS)
    owner.url = running.url
    await owner.connect()
    assert [done["status"] for done in owner.events("done")] == statuses
    assert len(made) == 1


async def test_unshare_leaves_the_owners_answer_alone(shared: Begin) -> None:
    gate = asyncio.Event()
    scene = await shared([gate, *says("done")])
    mine, theirs = await scene.owner.send("hold"), await scene.guest.send("wait")
    await scene.owner.call("unshare")
    assert (await scene.owner.done(theirs["run_id"]))["status"] == "cancelled"
    gate.set()
    assert (await scene.owner.done(mine["run_id"]))["status"] == "completed"


# ------------------------------------------------------------------- limits


def costs(tokens: int, *gate: asyncio.Event) -> Script:
    return [[TextDelta("so ")], *gate, [Usage(tokens, 0), Finished("stop")]]


async def test_runs_at_once_count_against_who_asks_and_the_owner(shared: Begin) -> None:
    gate = asyncio.Event()
    scene = await shared(costs(1, gate), runs_per_user=1)
    owner, guest = scene.owner, scene.guest
    mine, theirs = await scene.home(owner), await scene.home(guest)
    for busy, whose in ((theirs, "your answers"), (mine, "owner")):
        assert (await busy.send("hello"))["status"] == "started"
        refused = await guest.send("hello")
        assert code(refused) == "rate_limited"
        assert whose in refused["error"]["message"]
        assert (await busy.call("stop"))["status"] == "cancelled"

    assert (await owner.send("hello"))["status"] == "started"
    queued = await guest.send("hello")
    assert queued["status"] == "queued"
    assert code(await theirs.send("hello")) == "rate_limited", "what waits will run"
    gate.set()
    await guest.done(queued["run_id"])
    assert (await theirs.send("hello"))["status"] == "started"


@pytest.mark.parametrize("over", ["guest", "owner"])
async def test_what_is_spent_counts_against_both_and_once_against_the_server(
    serve: Serve, shared: Begin, over: str
) -> None:
    limits = {"budget_user_tokens": 1000, "budget_server_tokens": 1700}
    scene = await shared(costs(600), **limits)
    homes = {one: await scene.home(getattr(scene, one)) for one in ("owner", "guest")}
    spender = homes.pop(over)
    (other,) = homes.values()
    await scene.guest.done((await scene.guest.send("on us both"))["run_id"])
    await spender.done((await spender.send("hello"))["run_id"])
    for _ in range(2):  # before a restart, and behind it
        refused = await scene.guest.send("more")
        assert code(refused) == "rate_limited", "one of the two is at 1200 of 1000"
        whose = "your budget" if over == "guest" else "the session owner's budget"
        assert refused["error"]["message"].startswith(whose)
        assert code(await spender.send("more")) == "rate_limited"
        await scene.running.stop()
        await scene.again(await serve(ScriptedModel(costs(600)), **TOOLS, **limits))
    await other.done((await other.send("1200 of the server's 1700"))["run_id"])
    third = await scene.home(await scene.joined("full"))
    refused = await third.send("then 1800")
    assert refused["error"]["message"].startswith("this server's budget")
