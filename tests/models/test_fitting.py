"""Whatever happened in a conversation, every provider takes what is made of it."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from realtime.models import (
    AssistantText,
    Item,
    Request,
    Thought,
    ToolRequest,
    ToolResult,
    UserText,
    chat,
    responses,
)
from realtime.models.fitting import EARLIER, GO_ON, MEANWHILE, NO_ANSWER, NO_OUTPUT, fitted, wire_id

ME, OTHER = "me at here (chat)", "another at there (chat)"
TEXTS = st.sampled_from(["", " ", "\n\n", "Hello.", "\n\nAnd more", "你好", "x" * 50])
NAMES = st.sampled_from(["look_up", "functions.look_up", "größe", "a" * 80, "look<|channel|>", ""])
DATA = st.sampled_from([{"reasoning_content": "Hm."}, {"phase": "commentary"}])


@st.composite
def steps(draw: st.DrawFn) -> list[Item]:
    """What a step of an answer can have left behind."""
    items: list[Item] = []
    count = draw(st.integers(0, 3))
    ids = [str(draw(st.uuids())) for _ in range(count)]
    for id in ids:
        if draw(st.booleans()):
            items.append(Thought(draw(DATA), draw(st.sampled_from([ME, OTHER]))))
        if draw(st.booleans()):
            items.append(AssistantText(draw(TEXTS)))
        items.append(ToolRequest(id, draw(NAMES), "{}", {"extra_content": 1}, ME))
    if draw(st.booleans()):
        items.append(AssistantText(draw(TEXTS)))
    items += [ToolResult(id, draw(TEXTS)) for id in ids if draw(st.integers(0, 9))]
    return items


SAID = st.builds(UserText, TEXTS, steers=st.booleans()).map(lambda item: [item])
CONVERSATIONS = st.lists(st.one_of(SAID, steps()))


def messages(context: list[Item]) -> list[dict[str, Any]]:
    return chat.body("m", Request("Be kind.", tuple(context)))["messages"]  # type: ignore[no-any-return]


@given(CONVERSATIONS, st.booleans())
def test_the_roles_take_turns_and_nothing_is_empty(parts: list[list[Item]], calls: bool) -> None:
    context = fitted([item for part in parts for item in part], ME, calls=calls)
    system, *rest = messages(context)
    assert system["role"] == "system"
    open_calls: list[str] = []
    before = "system"
    for message in rest:
        role = message["role"]
        match role:
            case "user":
                assert before in ("system", "assistant")
                assert not open_calls
            case "assistant":
                assert before in ("user", "tool")
                assert not open_calls
                asked = message.get("tool_calls", [])
                open_calls = [call["id"] for call in asked]
                assert all(re.fullmatch("[a-zA-Z0-9]{9}", id) for id in open_calls)
                assert len(set(open_calls)) == len(open_calls)
                names = [call["function"]["name"] for call in asked]
                assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in names)
                assert asked or message["content"]
            case "tool":
                assert message["tool_call_id"] in open_calls
                open_calls.remove(message["tool_call_id"])
        assert message["content"] is None or message["content"].strip()
        before = role
    assert before in ("user", "tool")
    assert not open_calls
    assert calls or all(message["role"] != "tool" for message in rest)


@given(CONVERSATIONS)
def test_what_people_said_is_never_changed_and_what_fits_is_left_alone(
    parts: list[list[Item]],
) -> None:
    items = [item for part in parts for item in part]
    context = fitted(items, ME)
    people = [item.text for item in items if isinstance(item, UserText) and item.text.strip()]
    sent = [item.text for item in context if isinstance(item, UserText)]
    left = iter(sent)
    assert all(text in left for text in people), "each is there, whole and in its order"
    assert fitted(context, ME)[: len(context)] == [
        ToolRequest(wire_id(i.tool_call_id), i.name, i.arguments, i.extra, i.by)
        if isinstance(i, ToolRequest)
        else ToolResult(wire_id(i.tool_call_id), i.output)
        if isinstance(i, ToolResult)
        else i
        for i in context
    ]


@given(CONVERSATIONS)
def test_only_the_model_that_thought_it_gets_it_back(parts: list[list[Item]]) -> None:
    items = [item for part in parts for item in part]
    for by in (ME, OTHER):
        context = fitted(items, by)
        assert all(item.by == by for item in context if isinstance(item, Thought))
        extras = [item.extra for item in context if isinstance(item, ToolRequest)]
        assert all((extra is not None) == (by == ME) for extra in extras)
        for item, following in zip(context, [*context[1:], None], strict=True):
            if isinstance(item, Thought):
                assert isinstance(following, Thought | AssistantText | ToolRequest)


def test_placeholders_stand_where_nothing_was_said() -> None:
    asked, call, result = UserText("Hi"), ToolRequest("1", "f", "{}"), ToolResult("1", " ")
    id = wire_id("1")
    assert fitted([asked, asked], ME) == [asked, AssistantText(NO_ANSWER), asked]
    assert fitted([asked, call, result, asked], ME) == [
        *(asked, ToolRequest(id, "f", "{}"), ToolResult(id, NO_OUTPUT)),
        *(AssistantText(NO_ANSWER), asked),
    ]
    assert fitted([asked, AssistantText("Half")], ME)[-1] == UserText(GO_ON)
    assert fitted([AssistantText("Half"), asked], ME)[0] == UserText(EARLIER)
    assert fitted([], ME) == [UserText(GO_ON)]


def test_an_answer_in_pieces_is_one_message() -> None:
    thought = Thought({"reasoning_content": "Hm."}, ME)
    context = fitted(
        [
            *(UserText("Hi"), AssistantText("Hel"), thought, AssistantText("lo"), thought),
            *(UserText("More"), thought, AssistantText("One."), ToolRequest("1", "f", "{}")),
            *(AssistantText("\n\nTwo."), ToolResult("1", "3"), UserText("And?")),
        ],
        ME,
    )
    _, hi, hello, more, called, result, _, _ = messages(context)
    assert (hi["content"], hello["content"], more["content"]) == ("Hi", "Hello", "More")
    assert "reasoning_content" not in hello, "thoughts go back with calls only"
    assert called["content"] == "One.\n\nTwo."
    assert called["reasoning_content"] == "Hm."
    assert result["content"] == "3"


def test_a_thought_goes_before_what_it_led_to() -> None:
    item = {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA"}
    by = "m at api.openai.com (responses)"
    context = fitted(
        [
            *(UserText("Hi"), Thought(item, by), Thought({"phase": "commentary"}, by)),
            *(AssistantText("I look."), Thought({"phase": "final_answer"}, by)),
            *(AssistantText("\n\nFound."), Thought(item, by), UserText("More")),
        ],
        by,
    )
    assert responses.body("m", Request("", tuple(context)))["input"] == [
        {"role": "user", "content": "Hi"},
        item,
        {"role": "assistant", "content": "I look.", "phase": "commentary"},
        {"role": "assistant", "content": "Found.", "phase": "final_answer"},
        {"role": "user", "content": "More"},
    ]


def test_a_server_without_tools_reads_what_they_gave() -> None:
    context = fitted(
        [UserText("Hi"), ToolRequest("1", "f", '{"a":1}'), ToolResult("1", "42")], ME, calls=False
    )
    assert context == [UserText("Hi"), AssistantText('[f({"a":1}) gave: 42]'), UserText(GO_ON)]


def test_an_id_is_the_same_each_time() -> None:
    ids = [wire_id(json.dumps(n)) for n in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == [wire_id(json.dumps(n)) for n in range(1000)]


def test_a_message_between_two_steps_is_announced() -> None:
    """Strict templates take no user behind the result of a tool."""
    steers = [UserText("in blue", steers=True), UserText("and dark", steers=True)]
    call, result = ToolRequest(wire_id("1"), "mix", "{}"), ToolResult(wire_id("1"), "done")
    first = UserText("paint it")
    assert fitted([first, ToolRequest("1", "mix", "{}"), ToolResult("1", "done"), *steers], ME) == [
        *(first, call, result, AssistantText(MEANWHILE), steers[0]),
        *(AssistantText(MEANWHILE), steers[1]),
    ]
