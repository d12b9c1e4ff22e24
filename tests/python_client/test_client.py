"""The client before a real server: answers, refusals, other devices, approvals, tools."""

from __future__ import annotations

import asyncio
import sys
import time
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web

from realtime.app import create_app
from realtime.auth import User
from realtime.client import (
    ClientTool,
    CommandRefused,
    NotSent,
    ServerUnreachable,
    SessionClient,
)
from realtime.models import Finished, ModelError, TextDelta, ToolRequest, ToolResult
from realtime.runs.chain import Chain, Link
from realtime.tools import ToolContext, tool
from tests.python_client.conftest import Connect
from tests.support.process import free_port
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve


async def test_an_answer_streams_and_is_whole(serve: Serve, connect: Connect) -> None:
    session = await connect((await serve(ScriptedModel(says("Hello", ", ", "👩‍👩‍👧", "!")))).url)
    assert (session.connection, session.access, session.model) == ("live", "owner", "scripted")
    reply = await session.send("hi")
    assert reply.status == "started"
    deltas = [delta async for delta in reply]
    assert "".join(deltas) == "Hello, 👩‍👩‍👧!"
    run = await reply.done()
    assert (run.status, run.message.text, run.done["text"]) == ("completed", *["".join(deltas)] * 2)
    assert [run.user["text"] for run in session.state.runs] == ["hi"]
    assert session.pending == []


async def test_the_text_goes_on_where_another_model_begins_anew(
    serve: Serve, connect: Connect
) -> None:
    heard = asyncio.Event()
    large = ScriptedModel([[TextDelta("It is 4")], heard, ModelError("unavailable", "gone")])
    small = ScriptedModel(says("It is ", "5."))
    small.name = "small"
    session = await connect((await serve(Chain([Link(large, "a")], [Link(small, "b")]))).url)
    reply = await session.send("what is it?")
    deltas = []
    async for delta in reply:
        deltas.append(delta)
        heard.set()
    assert deltas[0] == "It is 4"
    assert reply.run.message.text == "It is 5."
    assert "".join(deltas[1:]).endswith("5.")
    assert "4" not in "".join(deltas[1:])
    assert (reply.run.status, reply.run.model) == ("completed", "small")


async def test_messages_arrive_in_the_order_in_which_they_were_said(
    serve: Serve, connect: Connect
) -> None:
    session = await connect((await serve()).url)
    said = [f"message {number}" for number in range(4)]
    replies = await asyncio.gather(*(session.send(text) for text in said))
    await replies[-1].done()
    assert [run.user["text"] for run in session.state.runs] == said


async def test_a_refused_command_says_why(serve: Serve, connect: Connect) -> None:
    session = await connect((await serve()).url)
    with pytest.raises(CommandRefused, match="session") as refused:
        await session.join("00000000-0000-0000-0000-000000000000")
    assert (refused.value.code, refused.value.retryable) == ("not_found", False)
    assert session.connection == "live"
    with pytest.raises(CommandRefused) as refused:
        await session.send("hi", if_busy="sometimes")
    assert refused.value.code == "bad_request"
    with pytest.raises(CommandRefused) as refused:
        await session.send("x" * 20_000)
    assert refused.value.code == "too_large"
    with pytest.raises(NotSent) as too_long:
        await session.send("x" * 70_000)
    assert too_long.value.code == "too_large"
    nested: Any = 1
    for _ in range(126):
        nested = [nested]
    with pytest.raises(CommandRefused, match="nested") as refused:
        await session.request("send", {"nested": nested})
    assert refused.value.code == "bad_request"
    with pytest.raises(NotSent, match="128 levels") as too_deep:
        await session.request("send", {"nested": [nested]})
    assert too_deep.value.code == "too_large"
    assert (await (await session.send("hi")).done()).status == "completed"


async def test_what_another_process_says_again_is_one_message(
    serve: Serve, connect: Connect
) -> None:
    url = (await serve()).url
    first = await connect(url)
    reply = await first.send("hi", client_msg_id="job 7")
    again = await connect(url, session_id=first.session_id, token=first.token)
    repeated = await again.send("hi", client_msg_id="job 7")
    assert (repeated.status, repeated.run_id) == ("duplicate", reply.run_id)
    with pytest.raises(CommandRefused) as refused:
        await again.send("something else", client_msg_id="job 7")
    assert refused.value.code == "conflict"
    assert (await repeated.done()).message.text == (await reply.done()).message.text


async def test_sessions_are_begun_left_and_come_back_to(serve: Serve, connect: Connect) -> None:
    session = await connect((await serve()).url)
    first = session.session_id
    await (await session.send("My name is Ada.")).done()
    second = await session.create()
    assert second != first
    assert session.state.runs == []
    assert await session.join(first) == first
    answer = await (await session.send("What is my name?")).done()
    assert "Ada" in answer.message.text
    await session.set_title("Names")
    await session.until(lambda: session.state.title)
    assert session.state.title == "Names"


async def test_a_session_with_options_is_begun_also_without_a_connection(
    serve: Serve, connect: Connect
) -> None:
    model = ScriptedModel(says("Aye."))
    session = await connect((await serve(model, session_options=("instructions",))).url)
    for _ in range(2):
        await session.create(instructions="Answer as a pirate.")
        await (await session.send("hi")).done()
        assert "as a pirate" in model.requests[-1].instructions
        await session.close()


async def test_two_devices_see_one_session(serve: Serve, connect: Connect) -> None:
    url = (await serve()).url
    one = await connect(url)
    other = await connect(url, session_id=one.session_id, token=one.token)
    reply = await one.send("hi")
    run = await other.until(
        lambda: (found := other.state.run(reply.run_id)) and found.done and found
    )
    assert run.message.text == (await reply.done()).message.text
    await one.until(lambda: one.presence.get("devices") == 2 or None)


async def test_a_share_opens_the_session_of_another(serve: Serve, connect: Connect) -> None:
    url = (await serve()).url
    owner = await connect(url)
    await (await owner.send("hi")).done()
    guest = await connect(url)
    with pytest.raises(CommandRefused):
        await guest.join(owner.session_id)
    await guest.join(owner.session_id, await owner.share("read"))
    assert (guest.access, len(guest.state.runs)) == ("read", 1)
    with pytest.raises(CommandRefused) as refused:
        await guest.send("me too")
    assert refused.value.code == "forbidden"


async def test_stop_and_what_waits(serve: Serve, connect: Connect) -> None:
    hold = asyncio.Event()
    model = ScriptedModel([[TextDelta("one ")], hold, [TextDelta("two"), Finished("stop")]])
    session = await connect((await serve(model)).url)
    reply = await session.send("count")
    waiting = await session.send("and then?")
    assert waiting.status == "queued"
    async for delta in reply:
        assert delta == "one "
        assert (await session.stop())["status"] == "cancelled"
    assert reply.run.status == "cancelled"
    await session.stop(waiting.run_id)
    assert (await waiting.done()).status == "cancelled"


async def test_a_message_that_steers_is_answered_by_the_answer_that_took_it_in(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, found = asyncio.Event(), asyncio.Event()

    @tool
    async def look() -> str:
        """Look."""
        looking.set()
        await found.wait()
        return "nothing"

    with_tools(monkeypatch, look=look)
    model = ScriptedModel(asks(("look", "{}")), says("Blue it is."))
    session = await connect((await serve(model, tools=("given",))).url)
    first = await session.send("paint it")
    await looking.wait()
    steering = asyncio.create_task(session.send("in blue", if_busy="steer"))
    await session.until(lambda: session.state.queued or None)
    found.set()
    reply = await steering
    assert reply.status == "consumed"
    assert "".join([delta async for delta in reply]) == "Blue it is."
    assert reply.run is first.run
    assert [part.user["text"] for part in first.run.message.taken] == ["in blue"]


def with_tools(monkeypatch: pytest.MonkeyPatch, **tools: Any) -> None:
    """A module `given` with these tools."""
    module = ModuleType("given")
    vars(module).update(tools)
    monkeypatch.setitem(sys.modules, "given", module)


async def test_approvals_and_progress(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid, told = [], asyncio.Event()

    @tool(approval=True)
    async def pay(to: str, amount: int, context: ToolContext) -> str:
        """Pay somebody."""
        context.progress(0.5, "half way")
        await told.wait()
        paid.append((to, amount))
        return "paid"

    with_tools(monkeypatch, pay=pay)
    call = asks(("pay", '{"to": "Ann", "amount": 5}'))
    model = ScriptedModel(call, says("Done."), call, says("Well."))
    session = await connect((await serve(model, tools=("given",))).url)
    reply = await session.send("pay Ann")
    (asked,) = await session.until(lambda: session.approvals or None)
    assert asked["arguments"] == {"to": "Ann", "amount": 5}
    await session.approve(asked["tool_call_id"], arguments={"to": "Ann", "amount": 4})
    progress = await session.until(lambda: session.progress.get(asked["tool_call_id"]))
    assert (progress["fraction"], progress["message"]) == (0.5, "half way")
    told.set()
    run = await reply.done()
    assert (run.message.text, paid) == ("Done.", [("Ann", 4)])
    assert (run.message.calls[0]["status"], session.progress) == ("completed", {})
    with pytest.raises(CommandRefused) as refused:
        await session.approve(asked["tool_call_id"], "deny")
    assert refused.value.code == "already_resolved"
    assert refused.value.details["decision"] == "approve"

    reply = await session.send("again")
    (asked,) = await session.until(lambda: session.approvals or None)
    await session.approve(asked["tool_call_id"], "deny", reason="too much")
    assert (await reply.done()).message.calls[0]["status"] == "denied"
    (result,) = [item for item in model.requests[-1].context if isinstance(item, ToolResult)][1:]
    assert "too much" in result.output
    assert len(paid) == 1


async def test_tools_that_run_in_the_client(serve: Serve, connect: Connect) -> None:
    where = ClientTool(
        "Where the user is.",
        lambda accuracy: {"lat": 52.5, "accuracy": accuracy},
        {"type": "object", "properties": {"accuracy": {"type": "integer"}}},
    )

    async def broken() -> None:
        raise ValueError("no camera")

    def counts() -> int:
        return 10**100

    calls = ("where", '{"accuracy": 5}'), ("look", "{}"), ("count", "{}")
    model = ScriptedModel(asks(*calls), says("Berlin"))
    running = await serve(model, client_tools=True)
    tools = {
        "where": where,
        "look": ClientTool("Look.", broken),
        "count": ClientTool("Count.", counts),
    }
    session = await connect(running.url, tools=tools)
    run = await (await session.send("where am I?")).done()
    first, second, third = run.message.calls
    assert (first["status"], first["output"]) == ("completed", {"lat": 52.5, "accuracy": 5})
    assert (second["status"], second["error"]["message"]) == ("failed", "no camera")
    assert (third["status"], third["error"]["code"]) == ("failed", "bad_request")
    assert [item.name for item in model.requests[1].context if isinstance(item, ToolRequest)] == [
        *("where", "look", "count")
    ]


async def test_the_list_of_sessions_is_told(serve: Serve, connect: Connect) -> None:
    session = await connect((await serve()).url)
    changes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    session.on_list(changes.put_nowait)
    await session.send("hi")
    change = await asyncio.wait_for(changes.get(), 10)
    assert change["sessions"][0]["session_id"] == session.session_id


async def test_older_pages_are_read_on_demand(serve: Serve, connect: Connect) -> None:
    """Also those that the beginning of an answer lies on."""
    long = says(*(f"{number} " * 100 for number in range(400)))
    url = (await serve(ScriptedModel(says("short"), long))).url
    session = await connect(url)
    await (await session.send("one")).done()
    reply = await session.send("two", client_msg_id="2")
    whole = (await reply.done()).message.text
    again = await connect(url, session_id=session.session_id, token=session.token)
    assert again.state.next_before_seq
    repeated = await again.send("two", client_msg_id="2")
    assert (await repeated.done()).message.text == whole
    while again.state.next_before_seq:
        await again.history()
    assert [run.user["text"] for run in again.state.runs] == ["one", "two"]


async def test_where_nobody_listens() -> None:
    client = SessionClient(f"http://127.0.0.1:{free_port()}")
    try:
        with pytest.raises(ServerUnreachable, match="No server can be reached at http://127") as no:
            await client.connect(timeout=1.5)
        assert (no.value.code, no.value.retryable) == ("unreachable", True)
    finally:
        await client.close()
    with pytest.raises(NotSent, match="closed"):
        await client.send("hi")


async def test_a_server_that_is_no_server_of_ours(aiohttp_server: Any) -> None:
    other = await aiohttp_server(web.Application())
    client = SessionClient(str(other.make_url("/")))
    try:
        with pytest.raises(ServerUnreachable, match=r"Something else answers .* status 404"):
            await client.connect(timeout=1.5)
    finally:
        await client.close()


async def by_expiry(token: str | None, request: web.Request) -> User | None:
    """Ada, until the time that her token is."""
    return User("ada", exp=int(token)) if token else None


async def test_a_token_is_renewed_before_it_expires(serve: Serve, connect: Connect) -> None:
    """On the same connection; who has no token is told so, and who has none any more."""
    url = (await serve(auth=f"{__name__}.by_expiry")).url
    given: list[str] = []

    def token() -> str:
        given.append(str(int(time.time()) + (20 if not given else 3600)))
        return given[-1]

    session = await connect(url, token=token)
    assert session.user_id == "ada"
    await session.until(lambda: len(given) == 2 or None)
    assert (await (await session.send("hi")).done()).status == "completed"
    await session.until(lambda: session.notice is None or None)
    assert len(given) == 2
    with pytest.raises(CommandRefused) as refused:
        await connect(url)
    assert (refused.value.code, refused.value.retryable) == ("unauthorized", False)


async def test_below_a_prefix(aiohttp_server: Any, settings: Any) -> None:

    parent = web.Application()
    parent.add_subapp("/ai/", create_app(settings))
    mounted = await aiohttp_server(parent)
    async with SessionClient(str(mounted.make_url("/ai/"))) as session:
        assert (await (await session.send("hi")).done()).status == "completed"


async def test_a_budget_that_is_used_up_is_no_reason_to_wait_until_midnight(
    serve: Serve, connect: Connect
) -> None:
    running = await serve(ScriptedModel(says("Hello.")), budget_user_tokens=1)
    session = await connect(running.url)
    await (await session.send("hi")).done()
    with pytest.raises(CommandRefused) as error:
        await asyncio.wait_for(session.send("and again"), 10)
    assert error.value.code == "rate_limited"
    assert error.value.retry_after_ms
    assert session.pending == []
