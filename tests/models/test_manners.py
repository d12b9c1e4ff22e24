"""What a server refuses is learned once, and asked for in another way."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from realtime.models import ModelError, Request, ToolRequest, ToolResult, ToolSpec, UserText
from realtime.models.chat import body
from realtime.models.fitting import GO_ON, NO_THOUGHT
from realtime.models.manners import Manners
from realtime.protocol import Options

ME = "me"
TOOLS = tuple(ToolSpec(name, "", {"type": "object"}) for name in ("a", "b", "c"))
CALLED = (
    UserText("Hi"),
    ToolRequest("1", "a", "{}", {"extra_content": 1}, ME),
    ToolResult("1", "x"),
)
REQUEST = Request(
    "Be kind.",
    CALLED,
    TOOLS,
    Options(temperature=0.5, max_output_tokens=99, reasoning_effort="low"),
)


class Asked:
    """A server that refuses what a test says."""

    def __init__(self) -> None:
        self.manners = Manners()

    def body(self, **options: Any) -> dict[str, Any]:
        request = replace(REQUEST, options=replace(REQUEST.options, **options))
        return self.manners.trim(body("m", self.manners.shape(request, ME)))

    def refuse(self, param: str) -> str | None:
        return self.manners.learn(ModelError("bad_request", "", param=param), REQUEST, self.body())


def names(asked: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in asked.get("tools", ())]


@pytest.mark.parametrize("field", ["temperature", "reasoning_effort", "stream_options"])
def test_what_an_answer_can_do_without_is_left_out(field: str) -> None:
    asked = Asked()
    assert field in asked.body()
    assert field in (asked.refuse(field) or "")
    assert field not in asked.body()
    assert asked.refuse(field) is None, "asking once more would not help"


def test_the_longest_answer_goes_by_its_other_name_and_then_by_none() -> None:
    asked = Asked()
    asked.refuse("max_tokens")
    assert (asked.body().get("max_tokens"), asked.body()["max_completion_tokens"]) == (None, 99)
    asked.refuse("max_completion_tokens")
    assert not {"max_tokens", "max_completion_tokens"} & set(asked.body())


@pytest.mark.parametrize(("option", "other"), [("temperature", 0.7), ("reasoning_effort", "high")])
def test_what_one_session_chose_in_vain_the_others_still_have(option: str, other: Any) -> None:
    asked = Asked()
    asked.refuse(option)
    assert option not in asked.body()
    assert asked.body(**{option: other})[option] == other


def test_an_answer_that_may_not_be_so_long_leaves_shorter_ones_their_limit() -> None:
    asked = Asked()
    asked.refuse("max_tokens")
    asked.refuse("max_completion_tokens")
    assert asked.body(max_output_tokens=20)["max_tokens"] == 20


@pytest.mark.parametrize("param", ["tools[1]", "tools[1].function.parameters", "tools.b"])
def test_one_tool_is_left_out_alone(param: str) -> None:
    asked = Asked()
    asked.refuse(param)
    assert names(asked.body()) == ["a", "c"]


def test_a_tool_is_counted_in_the_request_that_was_refused() -> None:
    asked = Asked()
    asked.refuse("tools[0]")
    asked.refuse("tools[0]")
    assert names(asked.body()) == ["c"]
    assert asked.refuse("tools[7]") is None


def test_a_server_without_tools_is_given_none_and_reads_what_they_gave() -> None:
    asked = Asked()
    assert "TOOLS=none" in (asked.refuse("tools") or "")
    sent = asked.body()
    assert "tools" not in sent
    assert [message["role"] for message in sent["messages"]] == [
        *("system", "user", "assistant", "user")
    ]
    assert "[a({}) gave: x]" in sent["messages"][2]["content"]
    assert sent["messages"][3]["content"] == GO_ON
    assert asked.refuse("tools") is None


def test_tools_are_sent_with_no_effort_where_they_exclude_reasoning() -> None:
    asked = Asked()
    asked.refuse("reasoning_effort:none")
    assert asked.body()["reasoning_effort"] == "none"


def test_fields_of_messages_are_left_out_or_filled_in() -> None:
    asked = Asked()
    asked.refuse("messages.reasoning_content:missing")
    assert asked.body()["messages"][2]["reasoning_content"] == NO_THOUGHT
    asked.refuse("messages.extra_content")
    assert "extra_content" not in asked.body()["messages"][2]["tool_calls"][0]
    asked = Asked()
    asked.manners.shape(REQUEST, ME)
    asked.refuse("messages.thought_signature:missing")
    assert asked.body()["messages"][2]["tool_calls"][0]["extra_content"] == 1
    foreign = asked.manners.trim(body("m", asked.manners.shape(REQUEST, "another")))
    call = foreign["messages"][2]["tool_calls"][0]
    assert call["extra_content"]["google"]["thought_signature"]


def test_unreadable_provider_state_is_left_out_and_newer_state_is_sent() -> None:
    asked = Asked()
    asked.refuse("provider_state:unreadable")
    assert "extra_content" not in asked.body()["messages"][2]["tool_calls"][0]
    assert asked.refuse("provider_state:unreadable") is None
    newer = ToolRequest("2", "a", "{}", {"extra_content": 2}, ME)
    request = replace(REQUEST, context=(*CALLED, newer, ToolResult("2", "y")))
    sent = body("m", asked.manners.shape(request, ME))["messages"]
    assert sent[4]["tool_calls"][0]["extra_content"] == 2


def test_instructions_become_the_first_message_where_no_system_role_is_taken() -> None:
    asked = Asked()
    asked.refuse("messages.system")
    roles = [message["role"] for message in asked.body()["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "tool"]
    assert asked.body()["messages"][0]["content"] == "Be kind."


@pytest.mark.parametrize("param", [None, "model", "messages", "messages.content", "input", "top_k"])
def test_what_cannot_be_changed_stays_a_failure(param: str | None) -> None:
    asked = Asked()
    assert asked.refuse(param or "") is None


def test_a_schema_that_is_refused_goes_in_words_and_others_in_their_field() -> None:
    asked, other = Asked(), {"type": "object", "properties": {"a": {}}}
    schema = {"type": "object"}

    def sent(schema: dict[str, Any]) -> tuple[bool, bool, int]:
        request = asked.manners.shape(replace(REQUEST, schema=schema), ME)
        made = asked.manners.trim(body("m", request))
        in_words = "JSON Schema" in made["messages"][0]["content"]
        return "response_format" in made, in_words, len(made.get("tools", ()))

    def refuse(param: str, detail: str = "") -> str | None:
        request = replace(REQUEST, schema=schema)
        error = ModelError("bad_request", "", param=param, detail=detail)
        return asked.manners.learn(error, request, body("m", asked.manners.shape(request, ME)))

    assert sent(schema) == (True, False, 3)
    assert refuse("tools", "failed to parse grammar")
    assert sent(schema) == (False, True, 3), "the schema may be to blame, and costs nobody else"
    assert sent(other) == (True, False, 3)
    assert refuse("tools", "failed to parse grammar"), "it was not"
    assert refuse("response_format") is None, "it is not there any more"
    assert sent({"type": "array"}) == (False, True, 0), "no provider takes a list"
