"""How a session is answered: its options, its limits, what is left out, what it costs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pytest

from realtime.background import summary
from realtime.cli import admin
from realtime.config.models import ModelEntry
from realtime.core.rows import Head
from realtime.log.encode import Append
from realtime.models import (
    Finished,
    ModelError,
    ModelEvent,
    TextDelta,
    Thought,
    ToolCallReady,
    ToolCallStarted,
)
from realtime.protocol import Usage
from realtime.runs.chain import Chain, Link
from tests.config.test_config import load, problems
from tests.support.device import Device
from tests.support.scripted import Script, ScriptedModel, says
from tests.support.serving import Serve

Devices = Callable[..., Device]
TOOL = "fetch_internal_user_analytics"
PRICES = {"scripted": {"input": 2.0, "output": 10.0, "cached": 0.5}}


def calls(*keys: str) -> Script:
    """A step that asks for calls."""
    asked = [ToolCallReady(key, TOOL, '{"query": "today"}') for key in keys]
    begun = [ToolCallStarted(key, TOOL) for key in keys]
    return [[*begun, *asked, Usage(100, 20), Finished("tool_calls")]]


def choices(*names: str) -> tuple[Chain, dict[str, ScriptedModel]]:
    models = {name: ScriptedModel(says("hi")) for name in names}
    for name, model in models.items():
        model.name = name
    return Chain([Link(model, name) for name, model in models.items()]), models


# -------------------------------------------------------------------- options


async def test_a_session_chooses_among_what_is_offered(serve: Serve, device: Devices) -> None:
    chain, models = choices("small", "large")
    offered = ("instructions", "temperature", "max_output_tokens", "reasoning_effort")
    one = device((await serve(chain, session_options=offered, temperature=0.5)).url)
    await one.connect()
    wish = {"model": "large", "instructions": "Rhyme.", "max_output_tokens": 99}
    created = await one.call("create", {"options": {**wish, "reasoning_effort": "low"}})
    assert created["model"] == "large"
    assert created["events"][0]["options"] == {**wish, "reasoning_effort": "low"}
    await one.call("leave", {"session_id": one.session["session_id"]})
    one.adopt(created)
    done = await one.done((await one.send("hi"))["run_id"])
    assert done["model"] == "large"
    (request,) = models["large"].requests
    assert request.instructions == "Rhyme."
    options = request.options
    assert (options.temperature, options.max_output_tokens) == (0.5, 99)
    assert options.reasoning_effort == "low"
    assert not models["small"].requests


async def test_they_survive_a_restart(serve: Serve, device: Devices) -> None:
    first = await serve(choices("small", "large")[0])
    one = device(first.url)
    await one.connect()
    created = await one.call("create", {"options": {"model": "large"}})
    await one.drop()
    await first.stop()
    chain, models = choices("small", "large")
    again = device((await serve(chain)).url, token=one.auth["token"])
    again.auth |= {"session_id": created["session_id"]}
    assert (await again.connect())["model"] == "large"
    await again.done((await again.send("hi"))["run_id"])
    assert len(models["large"].requests) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": "huge"}, "available: small, large"),
        ({"temperature": 1}, "sessions may not set temperature"),
        ({"instructions": "x" * 20_000}, "instructions"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"top_p": 1}, "top_p"),
    ],
)
async def test_what_is_not_offered_is_refused(
    serve: Serve, device: Devices, options: dict[str, Any], told: str
) -> None:
    chain, _ = choices("small", "large")
    running = await serve(chain, session_options=("instructions", "reasoning_effort"))
    one = device(running.url)
    await one.connect()
    ack = await one.call("create", {"options": options})
    assert ack["error"]["code"] == "bad_request"
    assert told in ack["error"]["message"]


async def test_hidden_reasoning_is_counted_and_neither_shown_nor_stored(
    serve: Serve, device: Devices
) -> None:
    secret: Script = [
        [TextDelta("let me think", "reasoning")],
        [TextDelta("Yes.")],
        [Usage(5, 9, reasoning_tokens=7), Finished("stop")],
    ]
    running = await serve(ScriptedModel(secret), show_reasoning=False)
    one = device(running.url)
    session = await one.connect()
    done = await one.done((await one.send("hi"))["run_id"])
    assert (done["text"], done["usage"]["reasoning_tokens"]) == ("Yes.", 7)
    stored = await running.server.log.keeper.session(session["session_id"])
    assert "let me think" not in str(one.record) + str(stored)


async def test_a_slow_disk_lets_a_run_read_one_step_ahead(serve: Serve, device: Devices) -> None:
    given, disk = [], asyncio.Event()

    def script() -> Iterator[list[ModelEvent]]:
        for word in "abcdefgh":
            given.append(word)
            yield [TextDelta(word)]
        yield [Usage(1, 8), Finished("stop")]

    model = ScriptedModel()
    model.scripts = [script()]  # type: ignore[list-item]
    running = await serve(model)
    keeper = running.server.log.keeper
    commit = keeper.commit

    async def slowly(appends: Sequence[Append], heads: Collection[Head]) -> set[str]:
        if any(append.events and append.only_tokens for append in appends):
            await disk.wait()
        return await commit(appends, heads)

    keeper.commit = slowly  # type: ignore[method-assign]
    one = device(running.url)
    await one.connect()
    sent = asyncio.create_task(one.send("hi"))
    while len(given) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert given == ["a", "b"]
    assert one.events("token") == []
    disk.set()
    assert (await one.done((await sent)["run_id"]))["text"] == "abcdefgh"


# ---------------------------------------------------------------- limits


async def test_sixteen_calls_are_the_most(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(calls(*"abcdefgh"), calls(*"abcdefgh"), calls("a"), says("never"))
    one = device((await serve(model)).url)
    await one.connect()
    done = await one.done((await one.send("hi"))["run_id"])
    assert (done["status"], done["finish_reason"]) == ("limit", "limit")
    last = {event["tool_call_id"]: event["status"] for event in one.events("tool_call")}
    assert list(last.values()) == ["completed"] * 16 + ["cancelled"]
    assert len(model.requests) == 3
    assert done["usage"]["input_tokens"] == 300


async def test_a_step_s_reasoning_goes_back_before_its_calls(serve: Serve, device: Devices) -> None:
    thought = Thought({"type": "reasoning", "id": "rs_1", "encrypted_content": "…"})
    (asked,) = calls("a")
    model = ScriptedModel([[thought], asked], says("Done."))
    one = device((await serve(model)).url)
    await one.connect()
    for _ in range(2):
        await one.done((await one.send("hi"))["run_id"])
    assert [type(item).__name__ for item in model.requests[1].context] == [
        *("UserText", "Thought", "ToolRequest", "ToolResult")
    ]
    kept = [item for item in model.requests[2].context if isinstance(item, Thought)]
    assert kept == [Thought(thought.data, by=model.label)], "in later runs, too"


async def test_a_reopened_session_brings_its_summary_for_what_is_left_out(
    serve: Serve, device: Devices
) -> None:
    model = ScriptedModel(says("long " * 500), says("They talked about the sea."), says("Yes."))
    chain = Chain([Link(model, "", history_tokens=300)])
    one = device((await serve(chain)).url)
    await one.connect()
    await one.done((await one.send("about the sea"))["run_id"])
    await one.call("end")
    await one.wait("summary", status="done")
    await one.done((await one.send("and now?"))["run_id"])
    request = model.requests[-1]
    assert [item.text for item in request.context] == ["and now?"]
    assert request.instructions.endswith("They talked about the sea.")


# ------------------------------------------------------------ what it costs


async def test_the_cost_of_answers_is_on_the_record(serve: Serve, device: Devices) -> None:
    (asked,) = calls("a")
    answer: Script = [[TextDelta("Yes.")], [Usage(1000, 50, cached_tokens=400), Finished("stop")]]
    running = await serve(ScriptedModel([asked], answer), prices=PRICES)
    one = device(running.url)
    session = await one.connect()
    done = await one.done((await one.send("hi"))["run_id"])
    cost = (100 * 2 + 20 * 10 + 600 * 2 + 400 * 0.5 + 50 * 10) / 1e6
    assert done["usage"]["cost"] == pytest.approx(cost)
    figures = await running.server.log.keeper.figures(session["user_id"], 0)
    assert figures["cost"] == pytest.approx(cost)
    assert (figures["input_tokens"], figures["output_tokens"]) == (1100, 70)
    assert (await running.server.log.keeper.figures("somebody else", 0))["cost"] == 0
    stored = await admin.found([running.server.log.keeper], session["session_id"])
    shown = admin.as_markdown(*stored)
    assert "1100 tokens read, 70 written, $0.0023" in shown


async def test_without_the_price_of_each_model_there_is_no_cost(
    serve: Serve, device: Devices
) -> None:
    broken = ScriptedModel([[TextDelta("half")], ModelError("unavailable", "away")])
    second = ScriptedModel(says("whole"))
    second.name = "unpriced"
    chain = Chain([Link(broken, "a")], [Link(second, "b")])
    one = device((await serve(chain, prices=PRICES)).url)
    await one.connect()
    done = await one.done((await one.send("hi"))["run_id"])
    assert done["status"] == "completed"
    assert done["usage"]["estimated"]
    assert "cost" not in done["usage"]


async def test_a_stopped_run_is_billed_for_what_it_did(serve: Serve, device: Devices) -> None:
    never = asyncio.Event()
    (asked,) = calls("a")
    model = ScriptedModel([asked], [[TextDelta("x" * 400)], never])
    one = device((await serve(model, prices=PRICES, instructions="i" * 4000)).url)
    await one.connect()
    ack = await one.send("hi")
    await one.wait("token")
    await one.call("stop")
    usage = (await one.done(ack["run_id"]))["usage"]
    assert usage["estimated"]
    assert usage["output_tokens"] == 20 + 100, "counted for the first step, guessed for the second"
    assert usage["input_tokens"] > 100 + 1000
    assert usage["cost"] == pytest.approx(
        (usage["input_tokens"] * 2 + usage["output_tokens"] * 10) / 1e6
    )


async def test_a_run_that_a_crash_cut_off_is_estimated(serve: Serve, device: Devices) -> None:
    never = asyncio.Event()
    first = await serve(ScriptedModel([[TextDelta("x" * 400)], never]), prices=PRICES)
    one = device(first.url)
    session = await one.connect()
    ack = await one.send("h" * 800)
    await one.wait("token")
    await first.server.hub.close()  # as a crash does: the run ends without a word
    await one.drop()
    await first.stop()
    again = device((await serve(ScriptedModel(says("hi")), prices=PRICES)).url, **one.auth)
    again.auth |= {"after_seq": None, "session_id": session["session_id"]}
    await again.connect()
    usage = (await again.done(ack["run_id"]))["usage"]
    assert usage["estimated"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (200, 100)
    assert usage["cost"] == pytest.approx((200 * 2 + 100 * 10) / 1e6)


async def test_a_continued_answer_is_billed_once(serve: Serve, device: Devices) -> None:
    model = ScriptedModel([[TextDelta("x" * 400)]], [[TextDelta("y" * 40)]])
    one = device((await serve(model)).url)
    await one.connect()
    broken = await one.done((await one.send("hi"))["run_id"])
    assert broken["usage"]["output_tokens"] == 100
    rest = await one.done((await one.call("continue", {"run_id": broken["run_id"]}))["run_id"])
    assert rest["usage"]["output_tokens"] == 10
    assert rest["text_len"] == 440


async def test_a_summary_is_made_when_the_quota_is_back(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "RETRY_S", (0.05,))
    used_up = ModelError("quota", "used up")
    model = ScriptedModel([used_up], [used_up], says("They said hi."))
    one = device((await serve(model)).url)
    await one.connect()
    assert (await one.done((await one.send("hi"))["run_id"]))["status"] == "quota_exceeded"
    await one.call("end")
    _, failed = await one.wait("summary", status="failed")
    assert failed["error"]["code"] == "quota_exceeded"
    _, made = await one.wait("summary", status="done")
    assert made["text"] == "They said hi."


# --------------------------------------------------------------- the settings


def test_entries_of_models() -> None:
    entries = load(
        OPENAI_API_KEY="sk-1",
        GROQ="gsk-2",
        FALLBACKS="small, @cf/llama@https://api.groq.com/openai/v1/ key=GROQ history=8000 , demo",
        MODELS="large",
    )
    assert entries.fallbacks == (
        ModelEntry(name="small"),
        ModelEntry(
            name="@cf/llama", url="https://api.groq.com/openai/v1", key="GROQ", history=8000
        ),
        ModelEntry(name="demo"),
    )
    assert entries.model_keys == {"GROQ": "gsk-2"}
    assert "gsk-2" not in repr(entries)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"FALLBACKS": "m@https://x.example key=NO_KEY"}, "NO_KEY is missing"),
        ({"FALLBACKS": "small", "MODEL": "demo"}, "small without a URL"),
        ({"FALLBACKS": "m@https://x.example api=grpc"}, "api=grpc"),
        ({"FALLBACKS": "m@https://x.example color=red"}, "'color=red' after"),
        ({"FALLBACKS": "@https://x.example"}, "without a model"),
        ({"FALLBACKS": "demo key=K"}, "only NAME@URL"),
        ({"PRICES": "cheap"}, "must be JSON"),
        ({"PRICES": '{"m": {"input": 1}}'}, "m has input"),
        ({"PRICES": '{"m": {"input": 1, "output": "2"}}'}, "output of m is not a price"),
        ({"TEMPERATURE": "3"}, "from 0 to 2"),
        ({"REASONING_EFFORT": "much"}, "must be one of: none"),
        ({"SHOW_REASONING": "maybe"}, "must be true or false"),
        ({"SESSION_OPTIONS": "top_p"}, "may have: instructions"),
        ({"HISTORY_TOKENS": "few"}, "must be a number of tokens"),
    ],
)
def test_bad_ones_are_refused(environ: dict[str, str], told: str) -> None:
    text = problems(**environ)
    assert re.search(re.escape(told), text), text
