"""How answers end and conversations go on, whatever a model does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest

from realtime.models import (
    AssistantText,
    Finished,
    ModelError,
    ModelEvent,
    Request,
    TextDelta,
    Thought,
    ToolCallReady,
    ToolCallStarted,
    ToolResult,
    UserText,
)
from realtime.models.fitting import CONTINUE
from realtime.runs.chain import Chain, Link
from tests.support.device import Device
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve

TOOL = "fetch_internal_user_analytics"
CALL: list[ModelEvent] = [
    ToolCallStarted("a", TOOL),
    ToolCallReady("a", TOOL, '{"query":"messages"}'),
]
WHOLE: list[ModelEvent] = [Finished("tool_calls")]
Devices = Callable[..., Device]


def refused(kind: str = "content_filter") -> ModelError:
    return ModelError(kind, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "unseen", [TextDelta("Let me see.", "reasoning"), Thought({"phase": "commentary"})]
)
async def test_an_answer_of_which_nothing_was_shown_is_asked_for_again(
    unseen: ModelEvent, serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.runs.chain.PAUSE_S", 0.01)
    model = ScriptedModel([[unseen], refused("cut")], says("Four."))
    one = device((await serve(model, show_reasoning=False)).url)
    await one.connect()
    done = await one.done((await one.send("2 + 2?"))["run_id"])
    assert (done["status"], done["text"], len(model.requests)) == ("completed", "Four.", 2)


class Panic(BaseException):
    """As libraries in Rust raise it."""


async def test_a_run_ends_whatever_comes_out_of_it(serve: Serve, device: Devices) -> None:
    class Panics(ScriptedModel):
        async def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
            if not self.requests:
                self.requests.append(request)
                yield [TextDelta("Fo")]
                raise Panic
            async for batch in super().stream(request):
                yield batch

    one = device((await serve(Panics(says("Four.")))).url)
    await one.connect()
    done = await one.ask("2 + 2?")
    assert (done["status"], done["error"]["code"]) == ("failed", "internal")
    assert (await one.ask("2 + 2?"))["text"] == "Four."


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_no_call_is_made_behind_an_answer_that_is_not_whole(
    reason: str, serve: Serve, device: Devices
) -> None:
    model = ScriptedModel([CALL, [Finished(reason)]])  # type: ignore[arg-type]
    one = device((await serve(model)).url)
    await one.connect()
    done = await one.done((await one.send("hi"))["run_id"])
    assert (done["status"], done["finish_reason"]) == ("incomplete", reason)
    statuses = [event["status"] for event in one.events("tool_call")]
    assert statuses == ["streaming", "ready", "cancelled"]
    assert len(model.requests) == 1


async def test_a_message_that_a_filter_refused_is_not_sent_again(
    serve: Serve, device: Devices
) -> None:
    model = ScriptedModel([refused()], says("Four."))
    running = await serve(model)
    one = device(running.url)
    session = await one.connect()
    run = (await one.send("something awful"))["run_id"]
    done = await one.done(run)
    assert (done["status"], done["finish_reason"]) == ("incomplete", "content_filter")
    assert done["error"]["code"] == "content_filter"
    ack = await one.call("continue", {"run_id": run})
    assert ack["error"]["code"] == "conflict", "there is nothing to go on with"
    done = await one.done((await one.send("2 + 2?"))["run_id"])
    assert done["text"] == "Four."
    await one.drop()
    two = device(running.url, token=session["guest_token"], session_id=session["session_id"])
    await two.connect()
    await two.done((await two.send("And again?"))["run_id"])
    said = [item.text for item in model.requests[-1].context if isinstance(item, UserText)]
    assert said == ["2 + 2?", "And again?"]


async def test_what_a_tool_gave_and_a_filter_refused_is_not_sent_again(
    serve: Serve, device: Devices
) -> None:
    model = ScriptedModel([CALL, WHOLE], [refused()], says("Fine."))
    one = device((await serve(model)).url)
    await one.connect()
    done = await one.done((await one.send("figures, please"))["run_id"])
    assert done["error"]["code"] == "content_filter"
    assert (await one.done((await one.send("Hello?"))["run_id"]))["status"] == "completed"
    assert model.requests[-1].context == (UserText("Hello?"),)


@pytest.mark.parametrize("kind", ["content_filter", "bad_request"])
async def test_an_old_message_that_is_refused_does_not_cost_the_new_one(
    kind: str, serve: Serve, device: Devices
) -> None:
    model = ScriptedModel(says("Hello."), [refused(kind)], says("Four."))
    one = device((await serve(model)).url)
    await one.connect()
    await one.done((await one.send("hi"))["run_id"])
    done = await one.done((await one.send("2 + 2?"))["run_id"])
    assert (done["status"], done["text"]) == ("completed", "Four.")
    assert model.requests[-1].context == (UserText("2 + 2?"),)


async def test_a_request_that_nobody_understands_is_tried_elsewhere(
    serve: Serve, device: Devices
) -> None:
    first, second = ScriptedModel([refused("bad_request")]), ScriptedModel(says("Four."))
    first.name = first.label = "first"
    one = device((await serve(Chain([Link(first, "a")], [Link(second, "b")]))).url)
    await one.connect()
    done = await one.done((await one.send("2 + 2?"))["run_id"])
    assert (done["status"], done["model"]) == ("completed", "scripted")
    assert len(first.requests) == 1


@pytest.mark.parametrize("newest", [True, False])
async def test_a_failure_to_continue_leaves_an_answer_that_can_be_continued(
    newest: bool, serve: Serve, device: Devices
) -> None:
    half = [[TextDelta("One, "), Finished("length")]]
    model = ScriptedModel(half, [refused("unauthorized")], says("two."))
    one = device((await serve(model)).url)
    await one.connect()
    run = (await one.send("count"))["run_id"]
    await one.done(run)
    ack = await one.call("continue", {"run_id": run})
    assert (await one.done(ack["run_id"]))["status"] == "failed"
    ack = await one.call("continue", {"run_id": ack["run_id"] if newest else run})
    done = await one.done(ack["run_id"])
    assert (done["status"], done["text"]) == ("completed", "One, two.")
    ack = await one.call("continue", {"run_id": run})
    assert ack["error"]["code"] == "conflict"
    assert model.requests[-1].context == (
        *(UserText("count"), AssistantText("One, "), UserText(CONTINUE, ours=True)),
    )
    assert CONTINUE not in model.requests[-1].instructions


async def test_a_continued_answer_goes_on_in_its_sentence_behind_calls_too(
    serve: Serve, device: Devices
) -> None:
    model = ScriptedModel(
        [[TextDelta("I look.")], CALL, WHOLE],
        [[TextDelta("\n"), TextDelta("They are "), Finished("length")]],
        says("many."),
    )
    one = device((await serve(model)).url)
    await one.connect()
    ack = await one.send("figures, please")
    await one.done(ack["run_id"])
    ack = await one.call("continue", {"run_id": ack["run_id"]})
    done = await one.done(ack["run_id"])
    assert done["text"] == "I look.\n\nThey are many."
    assert isinstance(model.requests[1].context[-1], ToolResult)
