"""What a model wants back of its answer, where it stood, in later runs and after a restart."""

from __future__ import annotations

from typing import Any, Literal

from realtime.core.answer import Answer
from realtime.core.provider_state import (
    MAX_PROVIDER_STATE,
    ProviderState,
    keep,
    keep_provider_state,
    kept,
)
from realtime.models import AssistantText, Item, Thought, ToolRequest, ToolResult, UserText
from realtime.models.fitting import NO_THOUGHT
from realtime.protocol import Done, File, Token, ToolCall, Usage, UserMessage, utf16_len

BY = "m at host (responses)"
A, B, C = ({"type": "reasoning", "id": id} for id in "abc")


def says(answer: Answer, text: str, kind: Literal["text", "reasoning"] = "text") -> None:
    answer.add_text(Token(message_id="m", offset=answer.length[kind], delta=text, kind=kind))


def call(
    id: str, status: Any = "ready", *, extra: dict[str, Any] | None = None, **thoughts: Any
) -> ToolCall:
    event = ToolCall(tool_call_id=id, name="f", status=status, arguments={}, output="42")
    places = thoughts.get("thoughts", [])
    keep(event, ProviderState(BY, id=f"own-{id}", extra=extra, thoughts=places))
    return event


def completed(answer: Answer, *ids: str) -> None:
    for id in ids:
        done = ToolCall(tool_call_id=id, name="f", status="completed", arguments={}, output="42")
        answer.set_call(done)


def done(*thoughts: tuple[int, dict[str, Any]]) -> Done:
    event = Done(
        status="completed",
        finish_reason="stop",
        message_id="m",
        text_len=0,
        usage=Usage(0, 0),
        model="m",
        duration_ms=0,
    )
    keep(event, ProviderState(BY, thoughts=list(thoughts)))
    return event


def thought(data: dict[str, Any]) -> Thought:
    return Thought(data, BY)


def asked(id: str, extra: dict[str, Any] | None = None) -> ToolRequest:
    return ToolRequest(id, "f", "{}", extra, BY if extra else "")


def result(id: str) -> ToolResult:
    return ToolResult(id, "42")


def test_thoughts_stand_where_they_were_thought() -> None:
    answer = Answer()
    says(answer, "Hm.", "reasoning")
    says(answer, "I look 😀. ")
    says(answer, "Twice.")
    place = utf16_len("I look 😀. ")
    signed = {"extra_content": {"signature": "x"}}
    answer.set_call(call("1", thoughts=[(0, A), (place, B)], extra=signed))
    answer.set_call(call("2", thoughts=[(answer.length["text"], C)]))
    completed(answer, "1", "2")
    says(answer, "\n\nFound.")
    answer.close(done((answer.length["text"] - len("\n\nFound."), A)))
    expected: list[Item] = [
        *(thought(A), AssistantText("I look 😀. "), thought(B), AssistantText("Twice.")),
        *(asked("1", signed), thought(C), asked("2"), result("1"), result("2")),
        *(thought(A), AssistantText("\n\nFound.")),
    ]
    assert list(answer.items()) == expected


def test_an_answer_that_was_continued_keeps_those_of_each_run() -> None:
    answer = Answer()
    says(answer, "One, ")
    answer.close(done((0, A)))
    says(answer, "two.")
    answer.close(done((5, B)))
    assert list(answer.items()) == [
        *(thought(A), AssistantText("One, "), thought(B), AssistantText("two."))
    ]


def test_a_step_that_a_fallback_took_back_leaves_none() -> None:
    answer = Answer()
    says(answer, "I look.")
    answer.set_call(call("1", thoughts=[(0, A)]))
    answer.reset(0)
    says(answer, "No.")
    answer.close(done())
    assert list(answer.items()) == [AssistantText("No.")]


def test_what_is_too_long_is_dropped_and_what_must_be_there_is_empty() -> None:
    long = "x" * MAX_PROVIDER_STATE
    event = call("1", thoughts=[(3, {"reasoning_content": long})], extra={"extra_content": long})
    state = kept(event)
    assert state is not None
    assert state.thoughts == [(3, {"reasoning_content": NO_THOUGHT})]
    assert (state.id, state.extra) == ("own-1", None)
    assert kept(done((0, {"type": "reasoning", "encrypted_content": long}))) is None


def test_a_state_that_cannot_be_read_is_none() -> None:
    event = done()
    keep_provider_state(event, b'{"by": 3}')
    assert kept(event) is None


def test_calls_that_are_not_made_are_in_no_context_with_what_led_to_them() -> None:
    answer = Answer()
    says(answer, "I look.")
    answer.set_call(call("1", thoughts=[(0, A), (7, B)]))
    assert list(answer.items()) == [AssistantText("I look.")]
    completed(answer, "1")
    assert list(answer.items()) == [
        *(thought(A), AssistantText("I look."), thought(B), asked("1"), result("1"))
    ]


def test_what_a_step_wrote_between_its_calls_stands_there() -> None:
    answer = Answer()
    says(answer, "One.")
    answer.set_call(call("1"))
    says(answer, " Two.")
    answer.set_call(call("2"))
    says(answer, " Both.")
    assert [made.tool_call_id for made in answer.last_step()] == ["1", "2"]
    completed(answer, "1", "2")
    assert [made.tool_call_id for made in answer.last_step()] == ["1", "2"]
    says(answer, "\n\nFound.")
    assert answer.last_step() == []
    assert answer.steps == 1
    assert list(answer.items()) == [
        *(AssistantText("One."), asked("1"), AssistantText(" Two."), asked("2")),
        *(AssistantText(" Both."), result("1"), result("2"), AssistantText("\n\nFound.")),
    ]


def said(text: str, *files: File) -> UserMessage:
    return UserMessage(message_id=text, client_msg_id=text, text=text, user_id="u", files=files)


def test_messages_that_it_took_in_stand_between_the_steps_and_are_no_step() -> None:
    answer, file = Answer(), File("f", "blue.png", "image/png", 9)
    says(answer, "I look.")
    answer.set_call(call("1"))
    completed(answer, "1")
    messages = [said("in blue", file), said("and dark")]
    for message in messages:
        answer.take_in(message)
    size = answer.size()
    assert (answer.steps, answer.newest_text()) == (1, "")
    assert [made.tool_call_id for made in answer.last_step()] == ["1"], "the next is to begin"
    says(answer, "\n\nRed it is.")
    answer.reset(len("I look."))  # the step is made again: it still has heard them
    assert (answer.size(), answer.steered) == (size, messages)
    says(answer, "\n\nBlue it is.")
    assert answer.last_step() == []
    steered = [UserText("in blue", files=(file,), steers=True), UserText("and dark", steers=True)]
    assert list(answer.items()) == [
        *(AssistantText("I look."), asked("1"), result("1")),
        *(*steered, AssistantText("\n\nBlue it is.")),
    ]
    assert list(answer.stretches()) == [
        ([], ["I look.", answer.calls["1"]]),
        (messages, ["\n\nBlue it is."]),
    ]
    assert list(Answer().stretches()) == [([], [])]


def test_a_stretch_has_text_and_calls_in_their_order() -> None:
    answer = Answer()
    answer.set_call(call("1"))
    answer.set_call(call("2"))
    says(answer, "One.")
    answer.set_call(call("3"))
    completed(answer, "1", "2", "3")
    says(answer, "\n\nTwo.")
    first, second, third = (answer.calls[key] for key in "123")
    assert list(answer.stretches()) == [([], [first, second, "One.", third, "\n\nTwo."])]
