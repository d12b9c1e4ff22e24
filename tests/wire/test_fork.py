"""Copies of a conversation, and what people think of its answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime.models import AssistantText, TextDelta, UserText
from realtime.runs.chain import Chain, Link
from tests.support.attach import ask, files_of, png, uploaded
from tests.support.device import Device
from tests.support.fold import fold
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve
from tests.wire.people import Devices
from tests.wire.test_files import stored
from tests.wire.test_list import listed

TOOLS = "tests.dialects.tools"


async def forked(one: Device, message_id: str) -> dict[str, Any]:
    """The session payload of a copy, which the device watches then."""
    there = {"session_id": one.session["session_id"], "message_id": message_id}
    ack = await one.call("fork", there)
    assert ack["ok"], ack
    return await one.call("join", {"session_id": ack["session_id"]})


def texts(payload: dict[str, Any]) -> list[tuple[str, str]]:
    return [(run["user_text"], run["text"]) for run in fold(payload["events"])]


async def test_a_copy_has_the_branch_up_to_a_message_and_goes_on_alone(
    serve: Serve, device: Devices
) -> None:
    model = ScriptedModel(says("one"), says("uno"), says("two"), says("three"), says("four"))
    running = await serve(model)
    one = device(running.url)
    await one.connect()
    first = await one.ask("1")
    await one.call("regenerate", {"run_id": first["run_id"]})
    again = (await one.durable("done", 2))[1]
    second = await one.ask("2")
    await one.ask("3")
    copy = await forked(one, second["message_id"])
    assert texts(copy) == [("1", "uno"), ("2", "two")]
    assert copy["events"][0]["forked_from"] == {
        "session_id": one.session["session_id"],
        "message_id": second["message_id"],
    }
    assert {event["usage"]["input_tokens"] for event in copy["events"] if "usage" in event} == {0}
    (row,) = [row for row in await listed(one) if row["session_id"] == copy["session_id"]]
    assert row["last_text"] == "two"
    two = device(running.url, token=one.auth["token"], session_id=copy["session_id"])
    assert texts(await two.connect()) == [("1", "uno"), ("2", "two")]
    await two.ask("and then?")
    context = model.requests[-1].context
    assert [i.text for i in context if isinstance(i, UserText | AssistantText)] == [
        *("1", "uno", "2", "two", "and then?")
    ]
    assert len(one.events("user_message")) == 3, "the first conversation knows nothing of it"
    by_question = await forked(one, one.events("user_message")[1]["message_id"])
    assert texts(by_question) == [("1", "uno"), ("2", "two")], "a question with its answer"
    other = await one.call(
        "fork", {"message_id": first["message_id"], "session_id": one.session["session_id"]}
    )
    joined = await one.call("join", {"session_id": other["session_id"]})
    assert texts(joined) == [("1", "one")], "of another branch"
    assert again["message_id"] != first["message_id"]


async def test_a_copy_knows_no_run_that_is_not_in_it(serve: Serve, device: Devices) -> None:
    one = device((await serve(ScriptedModel(says("one"), says("uno"), says("two")))).url)
    await one.connect()
    first = await one.ask("pelican", client_msg_id="asked")
    again = await one.call("regenerate", {"run_id": first["run_id"]})
    await one.done(again["run_id"])
    second = await one.ask("2")
    copy = await forked(one, second["message_id"])
    here = {"session_id": copy["session_id"]}
    stopped = await one.call("stop", {**here, "run_id": first["run_id"]})
    assert stopped["status"] == "not_found"
    repeated = await one.send("pelican", client_msg_id="asked", **here)
    assert (repeated["status"], repeated["run_id"]) == ("duplicate", again["run_id"])
    assert (await one.call("rename", {**here, "title": "Birds"}))["ok"]
    assert copy["session_id"] in [row["session_id"] for row in await listed(one, q="pelican")]


async def test_a_copy_survives_a_restart_with_its_tools_and_files(
    serve: Serve, device: Devices
) -> None:
    model = ScriptedModel(
        asks(("fetch_internal_user_analytics", '{"query": "all"}')), says("So it is.")
    )
    running = await serve(model)
    one = device(running.url)
    await one.connect()
    file = await uploaded(one, png(), "a.png")
    ack = await one.send("", files=[file["id"]], session_id=one.session["session_id"])
    if not ack["ok"]:  # this model takes no images
        file = await uploaded(one, b"some text", "a.txt", "text/plain")
        ack = await one.send("", files=[file["id"]])
    done = await one.done(ack["run_id"])
    copy = await forked(one, done["message_id"])
    await running.stop()
    running = await serve(model)
    two = device(running.url, token=one.auth["token"], session_id=copy["session_id"])
    joined = await two.connect()
    (mine,) = next(e for e in joined["events"] if e["event"] == "user_message")["files"]
    assert (mine["name"], mine["id"] != file["id"]) == (file["name"], True)
    url = f"{running.url}/api/sessions/{copy['session_id']}/files/{mine['id']}"
    assert (await ask("GET", url, one.auth["token"])).body == b"some text"
    calls = [e for e in joined["events"] if e["event"] == "tool_call"]
    assert [call["status"] for call in calls] == ["completed"]
    assert (await two.call("delete", {"session_id": one.session["session_id"]}))["ok"]
    assert (await ask("GET", url, one.auth["token"])).body == b"some text"


async def test_a_copy_keeps_a_file_that_is_gone_in_its_list(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(says("I see."), says("Nothing now."))
    running = await serve(Chain([Link(model, "", takes=("image",))]))
    one = device(running.url)
    await one.connect()
    gone, there = await uploaded(one, png(), "a.png"), await uploaded(one, b"words", "b.txt", "")
    done = await one.done((await one.send("", files=[gone["id"], there["id"]]))["run_id"])
    url = f"{running.url}/api/sessions/{one.session['session_id']}/files/{gone['id']}"
    (lost,) = [path for path in stored(running) if path.read_bytes() == png()]
    lost.unlink()
    assert (await ask("GET", url, one.auth["token"])).status == 404
    copy = await forked(one, done["message_id"])
    files = next(e for e in copy["events"] if e["event"] == "user_message")["files"]
    assert [(f["name"], f["size"]) for f in files] == [("a.png", len(png())), ("b.txt", 5)]
    two = device(running.url, token=one.auth["token"], session_id=copy["session_id"])
    await two.connect()
    await two.ask("what was it?")
    asked = model.requests[-1].context[0]
    assert asked.text == (  # type: ignore[union-attr]
        "[image: a.png, which is no longer there]\n\n[file: b.txt]\n```txt\nwords\n```"
    )
    statuses = [(await ask("GET", f"{files_of(two)}/{f['id']}", one.auth["token"])) for f in files]
    assert [got.status for got in statuses] == [404, 200]


async def test_copies_cost_nothing_on_the_disk_and_are_held_to_no_limit_of_uploads(
    serve: Serve, device: Devices
) -> None:
    running = await serve(files_per_day=1)
    one = device(running.url)
    await one.connect()
    file = await uploaded(one, b"some text " * 9, "a.txt", "text/plain")
    source = one.session["session_id"]
    done = await one.done((await one.send("", files=[file["id"]]))["run_id"])
    await running.stop()
    running = await serve(files_per_day=1, file_mb=0)
    two = device(running.url, token=one.auth["token"], session_id=source)
    await two.connect()
    for _ in range(3):
        there = {"session_id": source, "message_id": done["message_id"]}
        assert (await two.call("fork", there))["ok"]
    assert len(stored(running)) == 1


async def test_a_copy_is_there_as_a_whole_and_told_once(serve: Serve, device: Devices) -> None:
    running = await serve(ScriptedModel(*(says(f"answer {n}") for n in range(62))))
    one = device(running.url)
    await one.connect()
    for n in range(60):
        done = await one.ask(f"question {n}")
    assert (await one.call("rename", {"title": "Long"}))["ok"]
    await one.wait("sessions", since=len(one.record) - 1)
    before = len(one.record)
    hub, keeper = running.server.hub, running.server.hub.log.keeper
    copying = asyncio.create_task(one.call("fork", {"message_id": done["message_id"]}))
    stored = set()
    while not copying.done():
        for actor in hub.actors():
            if actor.session_id != one.session["session_id"]:
                found = await keeper.session(actor.session_id)
                stored.add(len(found[1]) if found else 0)
        await asyncio.sleep(0)
    ack = await copying
    found = await keeper.session(ack["session_id"])
    assert found
    assert stored <= {0, 1, len(found[1])}
    await one.ask("and then?", session_id=one.session["session_id"])
    rows = [
        row
        for name, told in one.record[before:]
        if name == "sessions"
        for row in told["sessions"]
        if row["session_id"] == ack["session_id"]
    ]
    assert [(row["title"], row["last_text"]) for row in rows] == [("Long", "answer 59")]


async def test_an_answer_that_ends_just_now_is_copied_with_its_end(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()
    running = await serve(ScriptedModel([[TextDelta("Well")], gate, *says(" done.")]))
    one = device(running.url)
    await one.connect()
    ack = await one.send("go")
    await one.durable("token")
    hub, user_id = running.server.hub, one.session["user_id"]
    commit = hub.log.keeper.commit

    async def late(*given: Any) -> Any:
        await asyncio.sleep(0.2)
        return await commit(*given)

    monkeypatch.setattr(hub.log.keeper, "commit", late)
    async with hub.open(one.session["session_id"], user_id) as seat:
        gate.set()
        while seat.session.active:
            await asyncio.sleep(0)
        copy = await hub.fork(seat, user_id, ack["message_id"])
    assert not copy.session.unfinished
    assert texts(await one.call("join", {"session_id": copy.session_id})) == [("go", "Well done.")]


async def test_who_may_read_may_copy_and_what_runs_is_busy(serve: Serve, device: Devices) -> None:
    gate = asyncio.Event()
    running = await serve(ScriptedModel(says("yes"), [[TextDelta("w")], gate, *says("ait")]))
    one = device(running.url)
    await one.connect()
    done = await one.ask("hello")
    read = (await one.call("share", {"access": "read"}))["share"]
    guest = device(running.url, session_id=one.session["session_id"], share=read)
    theirs = (await guest.connect())["you"]
    copy = await forked(guest, done["message_id"])
    assert (copy["user_id"], copy["access"]) == (theirs, "owner")
    ack = await one.send("wait")
    await one.durable("token", run_id=ack["run_id"])
    for message_id, code in ((ack["message_id"], "busy"), ("x", "not_found")):
        refused = await one.call("fork", {"message_id": message_id})
        assert refused["error"]["code"] == code
    there = {"session_id": one.session["session_id"], "message_id": done["message_id"]}
    assert (await guest.call("fork", there))["ok"], "what runs is behind it"
    gate.set()


async def test_feedback_is_an_event_of_whoever_may_write(serve: Serve, device: Devices) -> None:
    running = await serve(ScriptedModel(says("yes")))
    one = device(running.url)
    me = (await one.connect())["user_id"]
    done = await one.ask("hello")
    rate = {"message_id": done["message_id"], "value": "down", "comment": "too short"}
    for _ in range(2):
        assert (await one.call("feedback", rate))["ok"]
    (event,) = one.events("feedback")
    assert {key: event[key] for key in rate} == rate
    assert event["user_id"] == me
    assert (await one.call("feedback", {**rate, "value": None, "comment": None}))["ok"]
    assert [event["value"] for event in await one.durable("feedback", 2)] == ["down", None]
    for wrong, code in (
        ({**rate, "value": "maybe"}, "bad_request"),
        ({"message_id": done["message_id"]}, "bad_request"),
        ({**rate, "message_id": "x"}, "not_found"),
        ({**rate, "message_id": one.events("user_message")[0]["message_id"]}, "not_found"),
        ({**rate, "comment": "x" * 1001}, "bad_request"),
    ):
        assert (await one.call("feedback", wrong))["error"]["code"] == code, wrong
    two = device(running.url, token=one.auth["token"], session_id=one.session["session_id"])
    joined = await two.connect()
    assert [e["value"] for e in joined["events"] if e["event"] == "feedback"] == ["down", None]
