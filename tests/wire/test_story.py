"""The main job over real sockets: send, stream, tools, resume, several devices, the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from realtime.models import (
    AssistantText,
    Finished,
    ModelError,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    ToolRequest,
    ToolResult,
    UserText,
)
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Running, Serve

Devices = Callable[..., Device]


async def ended_row(running: Running, session_id: str, status: str) -> dict[str, object]:
    """The session's row once its summary has this status."""
    log = running.server.log
    async with asyncio.timeout(10):
        while True:
            row = await log.keeper.row(session_id)
            if row and row.end_time and row.summary_status == status:
                return {name: getattr(row, name) for name in row.__struct_fields__}
            await asyncio.sleep(0.02)


async def test_an_answer_streams_and_is_whole(serve: Serve, device: Devices) -> None:
    one = device((await serve()).url)
    session = await one.connect()
    assert session["events"][0]["event"] == "session_started"
    ack = await one.send("My name is Ada.")
    assert (ack["ok"], ack["status"], ack["seq"]) == (True, "started", 2)
    done = await one.done(ack["run_id"])
    assert done["status"] == "completed"
    assert one.text(ack["run_id"]) == done["text"]
    assert done["text_len"] == len(done["text"].encode("utf-16-le")) // 2
    assert len(one.events("token")) > 5, "it streams"
    assert sorted(one.log) == list(range(1, one.last_seq + 1))


async def test_the_analytics_tool_runs_and_its_result_goes_back(
    serve: Serve, device: Devices
) -> None:
    one = device((await serve()).url)
    await one.connect()
    ack = await one.send("fetch internal user analytics")
    done = await one.done(ack["run_id"])
    calls = one.events("tool_call")
    assert [call["status"] for call in calls] == ["streaming", "ready", "running", "completed"]
    assert calls[-1]["name"] == "fetch_internal_user_analytics"
    assert calls[-1]["output"]["yours"]["messages"] == 1
    assert calls[-1]["output"]["sessions_today"] == 1
    last_call = calls[-1]["seq"]
    assert any(token["seq"] > last_call for token in one.events("token")), "the answer goes on"
    assert done["status"] == "completed"


async def test_parallel_tool_calls_and_what_the_model_sees_next(
    serve: Serve, device: Devices
) -> None:
    def call(key: str, query: str) -> list[object]:
        name = "fetch_internal_user_analytics"
        arguments = f'{{"query":"{query}"}}'
        return [ToolCallStarted(key, name), ToolCallReady(key, name, arguments)]

    asks = [[TextDelta("Let me look.")], call("a", "messages") + call("b", "tokens")]
    bad = [
        [
            ToolCallReady("c", "no_such_tool", "{}"),
            ToolCallReady("d", "fetch_internal_user_analytics", '{"quarry":1}'),
        ]
    ]
    finished = [[Finished("tool_calls")]]
    model = ScriptedModel(asks + finished, bad + finished, says("That is all."))
    one = device((await serve(model)).url)
    await one.connect()
    ack = await one.send("figures, please")
    done = await one.done(ack["run_id"])
    assert (done["status"], done["text"]) == ("completed", "Let me look.\n\nThat is all.")
    second, third = model.requests[1].context, model.requests[2].context
    assert [type(item) for item in second] == [
        UserText, AssistantText, ToolRequest, ToolRequest, ToolResult, ToolResult,
    ]  # fmt: skip
    assert [item.tool_call_id for item in second[2:4]] == [item.tool_call_id for item in second[4:]]
    results = [item.output for item in third[-2:]]
    assert "unknown_tool" in results[0]
    assert "fetch_internal_user_analytics" in results[0], "it says which tools there are"
    assert "bad_arguments" in results[1]
    assert "quarry" in results[1]
    ack = await one.send("and again?")
    await one.done(ack["run_id"])
    assert model.requests[3].context[:-1] == (*third, AssistantText("\n\nThat is all."))


async def test_steps_are_limited(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(
        [[ToolCallReady("k", "fetch_internal_user_analytics", "{}"), Finished("tool_calls")]]
    )
    one = device((await serve(model)).url)
    await one.connect()
    done = await one.done((await one.send("go"))["run_id"])
    assert (done["status"], done["finish_reason"], len(model.requests)) == ("limit", "limit", 8)


async def test_a_reload_in_mid_answer_misses_nothing(serve: Serve, device: Devices) -> None:
    one = device((await serve()).url)
    await one.connect()
    ack = await one.send("count to 300")
    await one.wait("token")
    await one.drop()
    seen = one.last_seq
    assert 0 < seen < 300
    await asyncio.sleep(0.1)
    session = await one.connect()
    assert (session["mode"], session["recovered"]) == ("replay", True)
    assert session["events"][0].get("first_seq", session["events"][0]["seq"]) <= seen + 1
    done = await one.done(ack["run_id"])
    assert one.text(ack["run_id"]) == done["text"]
    assert "300" in done["text"]


async def test_a_second_device_sees_the_same(serve: Serve, device: Devices) -> None:
    running = await serve()
    one = device(running.url)
    await one.connect()
    ack = await one.send("count to 200")
    await one.wait("token")
    share = (await one.call("share"))["share"]
    two = device(running.url, session_id=one.session["session_id"], share=share)
    session = await two.connect()
    assert session["mode"] == "snapshot"
    assert session["active_run"]["run_id"] == ack["run_id"]
    await one.wait("presence", devices=2)
    done = await two.done(ack["run_id"])
    assert two.text(ack["run_id"]) == done["text"]
    reply = await two.send("count to 3")
    await one.done(reply["run_id"])
    first, second = one.events("user_message")
    assert first["user_id"] == one.session["user_id"]
    assert second["user_id"] != first["user_id"], "who said it is on the record"


async def test_a_foreign_session_answers_like_a_missing_one(serve: Serve, device: Devices) -> None:
    running = await serve()
    one, two, three = (device(running.url) for _ in range(3))
    await one.connect()
    two.auth["session_id"] = one.session["session_id"]
    three.auth["session_id"] = "00000000-0000-4000-8000-000000000000"
    foreign, missing = await two.connect(), await three.connect()
    assert foreign["error"] == missing["error"]
    assert foreign["error"]["code"] == "not_found"
    for command, more in (("send", {"text": "x", "client_msg_id": "x"}), ("stop", {}), ("end", {})):
        session_id = one.session["session_id"]
        ack = await two.call(command, {"session_id": session_id, **more})
        assert ack["error"]["code"] == "not_found"
    assert (await two.call("create"))["ok"], "the socket is still good"


async def test_stop_closes_upstream_and_keeps_the_text(serve: Serve, device: Devices) -> None:
    never = asyncio.Event()
    model = ScriptedModel([[TextDelta("Once upon ")], never], says("Yes."))
    one = device((await serve(model)).url)
    await one.connect()
    ack = await one.send("tell me a story")
    await one.wait("token")
    stopped = await one.call("stop", {"run_id": ack["run_id"]})
    assert (stopped["status"], stopped["upstream_closed"]) == ("cancelled", True)
    assert model.closed == 1
    done = await one.done(ack["run_id"])
    assert (done["status"], done["text"]) == ("cancelled", "Once upon ")
    assert done["usage"]["estimated"] is True
    again = await one.call("stop", {"run_id": ack["run_id"]})
    assert again["status"] == "already_done"
    assert (await one.call("stop"))["status"] == "not_found"
    await one.done((await one.send("go on"))["run_id"])
    assert AssistantText("Once upon ") in model.requests[1].context


async def test_busy_policies(serve: Serve, device: Devices) -> None:
    gate = asyncio.Event()
    model = ScriptedModel([[TextDelta("a")], gate, [Finished("stop")]])
    one = device((await serve(model)).url)
    await one.connect()
    first = await one.send("1")
    queued = [await one.send(str(n)) for n in range(2, 7)]
    assert {ack["status"] for ack in queued} == {"queued"}
    assert (await one.send("7"))["error"]["code"] == "queue_full"
    assert (await one.send("8", if_busy="reject"))["error"]["code"] == "busy"
    stopped = await one.call("stop", {"run_id": queued[0]["run_id"]})
    assert stopped["status"] == "cancelled"
    urgent = await one.send("now", if_busy="interrupt")
    assert urgent["status"] == "started"
    assert (await one.done(first["run_id"]))["status"] == "cancelled"
    gate.set()
    last = await one.done(queued[-1]["run_id"])
    assert last["status"] == "completed"
    started = [run["run_id"] for run in one.events("run", status="started")]
    assert started == [a["run_id"] for a in (first, urgent, *queued[1:])]
    said = [item.text for item in model.requests[-1].context if isinstance(item, UserText)]
    assert said == ["1", "now", "3", "4", "5", "6"], "a stopped message stays outside"


async def test_the_same_message_twice_is_one(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(says("ok"))
    one = device((await serve(model)).url)
    await one.connect()
    payload = {"text": "hello", "client_msg_id": "m-1"}
    acks = await asyncio.gather(*(one.call("send", payload) for _ in range(10)))
    assert {(a["message_id"], a["run_id"], a["seq"]) for a in acks} == {
        (acks[0]["message_id"], acks[0]["run_id"], 2)
    }
    assert sorted(a["status"] for a in acks) == ["duplicate"] * 9 + ["started"]
    await one.done(acks[0]["run_id"])
    assert len(model.requests) == 1
    other = await one.call("send", {"text": "other", "client_msg_id": "m-1"})
    assert other["error"]["code"] == "conflict"


async def test_bad_commands_are_refused_clearly(serve: Serve, device: Devices) -> None:
    one = device((await serve()).url)
    await one.connect()
    for command, payload, code in (
        ("send", {"text": 5, "client_msg_id": "x"}, "bad_request"),
        ("send", {"text": "hi"}, "bad_request"),
        ("send", {"text": "  ", "client_msg_id": "x"}, "bad_request"),
        ("send", {"text": "x" * 17_000, "client_msg_id": "x"}, "too_large"),
        ("send", ["text"], "bad_request"),
        ("send", {"text": "hi", "client_msg_id": "x", "tone": "kind"}, "bad_request"),
        (
            "send",
            {"text": "x", "client_msg_id": "x", "on_abandon": {"cancel_after_s": 1e9}},
            "bad_request",
        ),
        ("history", {"limit": 0}, "bad_request"),
        ("history", {"before_seq": 2**70}, "bad_request"),
        ("history", {"before_seq": -1}, "bad_request"),
        ("stop", {"\ud800": 1}, "bad_request"),
        ("nonsense", {}, "bad_request"),
        ("approve", {"tool_call_id": "x", "decision": "approve"}, "not_found"),
        ("continue", {"run_id": "x"}, "not_found"),
    ):
        ack = await one.call(command, payload)
        assert (ack["ok"], ack["error"]["code"]) == (False, code), (command, payload, ack)
        assert len(ack["error"]["message"]) > 10
    assert (await one.call("send", {"text": "x", "client_msg_id": "\ud800"}))["ok"]
    assert (await one.call("stop", {"run_id": "\ud800"}))["status"] == "not_found"
    await one.done((await one.send("still good?"))["run_id"])


async def test_a_join_without_an_epoch_is_a_replay(serve: Serve, device: Devices) -> None:
    one = device((await serve()).url)
    await one.connect()
    await one.done((await one.send("hello"))["run_id"])
    page = await one.call("join", {"after_seq": 2, "session_id": one.session["session_id"]})
    assert (page["mode"], page["recovered"], page["seq"]) == ("replay", True, one.last_seq)
    for beyond in ({"after_seq": one.last_seq + 1}, {"after_seq": 2, "epoch": 9}):
        page = await one.call("join", {"session_id": one.session["session_id"], **beyond})
        assert (page["mode"], page["recovered"]) == ("snapshot", False)


async def test_what_a_strict_provider_refuses_is_not_sent_back(
    serve: Serve, device: Devices
) -> None:
    calls = [
        ToolCallReady("a", "fetch_internal_user_analytics", '{"query": tru'),
        Finished("tool_calls"),
    ]
    cut = [[ToolCallStarted("b", "fetch_internal_user_analytics")], asyncio.Event()]
    model = ScriptedModel([calls], says("ok"), cut, says("ok"))
    one = device((await serve(model)).url)
    await one.connect()
    await one.done((await one.send("1"))["run_id"])
    ack = await one.send("2")
    await one.wait("tool_call", status="streaming")
    await one.call("stop")
    await one.done(ack["run_id"])
    await one.done((await one.send("3"))["run_id"])
    asked = [item for item in model.requests[-1].context if isinstance(item, ToolRequest)]
    assert [item.arguments for item in asked] == ["{}"]


async def test_a_session_that_ends_again_meanwhile_gets_its_summary(
    serve: Serve, device: Devices
) -> None:
    gate = asyncio.Event()
    slow = [gate, *says("The first.")]
    model = ScriptedModel(says("a"), slow, says("b"), says("The second."))
    one = device((await serve(model)).url)
    await one.connect()
    await one.done((await one.send("1"))["run_id"])
    await one.call("end")
    await one.done((await one.send("2"))["run_id"])
    await one.call("end")
    gate.set()
    (told,) = await one.durable("summary", status="done")
    assert told["text"] == "The second."


async def test_quota_is_told_honestly(serve: Serve, device: Devices) -> None:
    gone = ModelError("quota", "insufficient_quota")
    model = ScriptedModel([gone], says("Back."))
    running = await serve(model, grace_seconds=0.05)
    one = device(running.url)
    await one.connect()
    done = await one.done((await one.send("hi"))["run_id"])
    assert (done["status"], done["text"]) == ("quota_exceeded", "")
    assert done["error"]["code"] == "quota_exceeded"
    done = await one.done((await one.send("and now?"))["run_id"])
    assert done["text"] == "Back."
    context = model.requests[-1].context
    assert context == (UserText("hi"), UserText("and now?")), "no invented answer"
    model.scripts = [[gone]]
    await one.drop()
    row = await ended_row(running, one.session["session_id"], "failed")
    assert row["summary"] is None
    await one.connect()
    (told,) = await one.durable("summary")
    assert (told["status"], told["error"]["code"]) == ("failed", "quota_exceeded")


async def test_a_cut_stream_is_interrupted_and_goes_on(serve: Serve, device: Devices) -> None:
    model = ScriptedModel([[TextDelta("half of ")]], says("an answer"))
    one = device((await serve(model)).url)
    await one.connect()
    ack = await one.send("hi")
    done = await one.done(ack["run_id"])
    assert (done["status"], done["text"]) == ("interrupted", "half of ")
    more = await one.call("continue", {"run_id": ack["run_id"]})
    assert more["message_id"] == done["message_id"]
    done = await one.done(more["run_id"])
    assert (done["status"], done["text"]) == ("completed", "half of an answer")
    deltas = [token["delta"] for token in one.events("token", message_id=done["message_id"])]
    assert "".join(deltas) == done["text"]
    again = await one.call("continue", {"run_id": ack["run_id"]})
    assert again["error"]["code"] == "conflict"


async def test_the_session_ends_after_the_grace_period_with_a_summary(
    serve: Serve, device: Devices
) -> None:
    running = await serve(grace_seconds=0.2)
    one = device(running.url)
    await one.connect()
    await one.done((await one.send("hello there"))["run_id"])
    await one.drop()
    row = await ended_row(running, one.session["session_id"], "done")
    assert row["summary"]
    assert row["duration_seconds"] == (row["end_time"] - row["start_time"]) / 1000
    async with asyncio.timeout(10):
        while running.server.hub.sessions:  # nothing of it stays in memory
            await asyncio.sleep(0.01)
    url, session_id = running.url, one.session["session_id"]
    listed = (await fetch(f"{url}/api/sessions", one.auth["token"])).json()["sessions"]
    assert [entry["session_id"] for entry in listed] == [session_id]
    assert listed[0]["summary"] == row["summary"]
    whole = (await fetch(f"{url}/api/sessions/{session_id}", one.auth["token"])).json()
    assert [event["event"] for event in whole["events"]] == [
        "session_started", "user_message", "run", "token", "done", "session_ended", "summary",
    ]  # fmt: skip
    assert (await fetch(f"{url}/api/sessions")).status == 401
    assert (await fetch(f"{url}/api/sessions", "not.a.token")).status == 401
    stranger = device(url)
    await stranger.connect()
    foreign = await fetch(f"{url}/api/sessions/{session_id}", stranger.auth["token"])
    missing = await fetch(f"{url}/api/sessions/no-such-session", stranger.auth["token"])
    assert (foreign.status, foreign.text) == (missing.status, missing.text)
    assert foreign.status == 404


async def test_back_within_the_grace_period_ends_nothing(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(says("ok"))
    running = await serve(model, grace_seconds=5)
    one = device(running.url)
    await one.connect()
    await one.done((await one.send("hi"))["run_id"])
    for _ in range(4):  # away for longer than the grace period in all, but never at once
        await one.drop()
        await asyncio.sleep(1.4)
        await one.connect()
    assert not one.session["ended"]
    assert len(model.requests) == 1, "no summary was asked for"


async def test_nothing_said_ends_without_a_model_call(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(says("never"))
    running = await serve(model, grace_seconds=0)
    one = device(running.url)
    await one.connect()
    await one.drop()
    row = await ended_row(running, one.session["session_id"], "none")
    assert row["duration_seconds"] is not None
    assert model.requests == []
    await one.connect()
    assert (await one.durable("summary"))[0]["status"] == "skipped"


async def test_end_and_reopen(serve: Serve, device: Devices) -> None:
    running = await serve()
    one = device(running.url)
    await one.connect()
    ack = await one.send("count to 2000")
    await one.wait("token")
    assert (await one.call("end"))["ok"]
    assert (await one.done(ack["run_id"]))["status"] == "cancelled"
    await one.durable("summary", status="done")
    await one.done((await one.send("one more thing"))["run_id"])
    row = await running.server.log.keeper.row(one.session["session_id"])
    assert row
    assert (row.end_time, row.duration_seconds) == (None, None)
    await one.call("end")
    assert len(await one.durable("summary", 2, status="done")) == 2


async def test_history_pages_lead_to_the_beginning(serve: Serve, device: Devices) -> None:
    one = device((await serve(ScriptedModel(says("one ", "two")))).url)
    await one.connect()
    for number in range(12):
        await one.done((await one.send(f"message {number}"))["run_id"])
    pages, before = [], None
    while True:
        page = await one.call("history", {"limit": 7, "before_seq": before})
        assert len(page["events"]) <= 7
        pages = page["events"] + pages
        before = page["next_before_seq"]
        if before is None:
            break
    said = [event["text"] for event in pages if event["event"] == "user_message"]
    assert said == [f"message {number}" for number in range(12)]
    assert [event["seq"] for event in pages] == sorted(event["seq"] for event in pages)
    assert sum(event["event"] == "token" for event in pages) == 12, "folded"


async def test_polling_works_too(serve: Serve, device: Devices) -> None:
    one = device((await serve()).url)
    await one.connect(transports=["polling"])
    done = await one.done((await one.send("hello"))["run_id"])
    assert one.text(done["run_id"]) == done["text"]


async def test_offsets_count_utf16_and_lone_surrogates_are_replaced(
    serve: Serve, device: Devices
) -> None:
    words = ["caf\u00e9 ", "\U0001f600", "\ud83d", "\ude00", "x\ud800", "y\0", "\U0001f44b" * 9000]
    one = device((await serve(ScriptedModel(says(*words)))).url)
    await one.connect()
    ack = await one.send("emoji \ud83d please \0")
    done = await one.done(ack["run_id"])
    expected = "caf\u00e9 \U0001f600\U0001f600x\ufffdy\ufffd" + "\U0001f44b" * 9000
    assert one.text(ack["run_id"]) == expected
    assert done["text_len"] == len(expected.encode("utf-16-le")) // 2
    assert one.events("user_message")[0]["text"] == "emoji \ufffd please \ufffd"
