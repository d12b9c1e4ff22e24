"""What providers refuse in words of their own: options, tools, keys, and what is too long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.dialects import gateways, hosted, local, rules
from tests.dialects.chat import ChatProvider
from tests.dialects.conftest import Meet
from tests.dialects.responses import OpenAIResponses
from tests.dialects.rules import Body, Fault, Rule, without


class Gateway(ChatProvider):
    """Refuses fields that the server behind it does not take, without an `error`."""

    name = "a gateway"

    def error(self, fault: Fault) -> Any:
        return {"error_code": "BAD_REQUEST", "message": fault.words}


def held_to(make: Any, *more: Rule) -> Any:
    provider = make()
    provider.own = (*more, *provider.own)
    return provider


# -------------------------------------------------------------------- options

OPTIONS: tuple[tuple[Any, str, str, Mapping[str, Any]], ...] = (
    (
        gateways.Azure,
        "reasoning_effort",
        "Unrecognized request argument supplied: reasoning_effort",
        {},
    ),
    (
        gateways.Azure,
        "temperature",
        "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default "
        "(1) value is supported.",
        {"param": "temperature", "code": "unsupported_value"},
    ),
    (
        hosted.XAI,
        "reasoning_effort",
        "Model grok-4 does not support parameter reasoningEffort.",
        {},
    ),
    (
        hosted.Groq,
        "reasoning_effort",
        "`reasoning_effort` is not supported with this model",
        {},
    ),
    (
        hosted.Kimi,
        "temperature",
        "invalid temperature: only 1 is allowed for this model",
        {},
    ),
    (hosted.Anthropic, "temperature", "`temperature` is deprecated for this model.", {}),
    (Gateway, "stream_options", "Unrecognized key(s) in object: 'stream_options'", {}),
    (Gateway, "stream_options", "stream_options: Extra inputs are not permitted", {}),
    (Gateway, "temperature", "temperature: Extra inputs are not permitted", {}),
    (Gateway, "reasoning_effort", "reasoning_effort: Extra inputs are not permitted", {}),
    (local.Ollama, "reasoning_effort", '"gemma3" does not support thinking', {}),
)


@pytest.mark.parametrize(
    ("make", "option", "words", "fields"),
    OPTIONS,
    ids=[f"{make.name}, {words[:32]}" for make, _, words, _ in OPTIONS],
)
async def test_an_option_that_is_not_taken_is_left_out(
    meet: Meet, make: Any, option: str, words: str, fields: Mapping[str, Any]
) -> None:
    provider = held_to(make, without(option, words, **fields))
    talk = await meet(provider, temperature=0.2, max_output_tokens=500, reasoning_effort="low")
    (upstream,) = talk.upstreams
    refusals = 1 if provider.tools else 2
    for text in ("Good morning.", "Good morning again."):
        done = await talk.ask(text)
        assert done["status"] == "completed", [fault.words for fault in upstream.refused]
        assert len(upstream.refused) == refusals, "it is asked without from then on"
    sent = upstream.bodies[-1].keys()
    assert {"temperature", "reasoning_effort", "stream_options"} - {option} <= sent
    assert {"max_tokens", "max_completion_tokens"} & sent


async def test_an_effort_that_the_other_api_must_have(meet: Meet) -> None:
    talk = await meet(hosted.OpenAIChat(), reasoning_effort="high")
    (upstream,) = talk.upstreams
    for text in ("Good morning.", "Good morning again."):
        assert (await talk.ask(text, "call", "say"))["status"] == "completed"
    assert upstream.bodies[-1]["reasoning_effort"] == "none"
    assert len(upstream.refused) == 1


async def test_the_longest_answer_by_its_newer_name(meet: Meet) -> None:
    words = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead."
    )
    rule = without("max_tokens", words, param="max_tokens", code="unsupported_parameter")
    talk = await meet(held_to(ChatProvider, rule), max_output_tokens=500)
    (upstream,) = talk.upstreams
    for text in ("Good morning.", "Good morning again."):
        assert (await talk.ask(text))["status"] == "completed"
    assert upstream.bodies[-1]["max_completion_tokens"] == 500
    assert len(upstream.refused) == 1


async def test_a_field_that_is_forbidden_by_its_place(meet: Meet) -> None:
    talk = await meet(held_to(hosted.Mistral, without("stream_options", "stream_options", 422)))
    (upstream,) = talk.upstreams
    for text in ("Good morning.", "Good morning again."):
        assert (await talk.ask(text))["status"] == "completed"
    assert len(upstream.refused) == 1


async def test_one_tool_that_is_refused_does_not_cost_a_message(meet: Meet) -> None:
    """Several are offered; the provider does not like one of them, and names its place."""

    def rule(body: Body) -> Fault | None:
        names = [tool["function"]["name"] for tool in body.get("tools", ())]
        if "delete_files" not in names:
            return None
        place = names.index("delete_files")
        words = "Invalid schema for function 'delete_files': in context=(), it is too odd."
        param = f"tools[{place}].function.parameters"
        fields = {"param": param, "code": "invalid_function_parameters"}
        return Fault(words, learned=True, fields=fields)

    talk = await meet(
        held_to(gateways.Azure, rule), tools=("realtime.example", "tests.dialects.tools")
    )
    (upstream,) = talk.upstreams
    done = await talk.ask("A figure, please.", "call", "say")
    assert done["status"] == "completed"
    assert len(talk.calls(done["run_id"])) == 1
    offered = [tool["function"]["name"] for tool in upstream.bodies[-1]["tools"]]
    assert "delete_files" not in offered
    assert {"fetch_internal_user_analytics", "send_letter"} <= {*offered}
    assert len(upstream.refused) == 1


class NoSystem(ChatProvider):
    """Its template has two roles, which take turns."""

    name = "a template without a system role"
    tools = False

    def check(self, body: Body) -> Fault | None:
        if any(message["role"] == "system" for message in body["messages"]):
            return Fault("System role not supported", learned=True)
        return rules.alternating("Conversation roles must alternate.")(body)


async def test_instructions_without_a_role_of_their_own(meet: Meet) -> None:
    talk = await meet(NoSystem(), tools=(), instructions="Speak like a pirate.")
    (upstream,) = talk.upstreams
    for text in ("Good morning.", "Good morning again."):
        assert (await talk.ask(text))["status"] == "completed"
    assert len(upstream.refused) == 1
    assert "Speak like a pirate." in upstream.bodies[-1]["messages"][0]["content"]


# -------------------------------------------- accounts, keys, models, unknown
# With the reason for which another model answers.

ELSEWHERE: tuple[tuple[Any, str, Fault], ...] = (
    (
        hosted.Anthropic,
        "quota",
        Fault(
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & "
            "Billing to upgrade or purchase credits."
        ),
    ),
    (
        hosted.XAI,
        "unauthorized",
        Fault(
            "Incorrect API key provided: te***st. You can obtain an API key from "
            "https://console.x.ai."
        ),
    ),
    (hosted.Gemini, "unauthorized", Fault("API key not valid. Please pass a valid API key.")),
    (gateways.OpenRouter, "not_found", Fault("foo/bar is not a valid model ID")),
    (hosted.DeepSeek, "not_found", Fault("Model Not Exist")),
    (hosted.DeepSeek, "quota", Fault("Insufficient Balance", 402)),
    (hosted.GLM, "bad_request", Fault("The stars are not right.")),
    (
        hosted.Groq,
        "",
        Fault(
            "Request too large for model `llama-3.1-8b-instant` on tokens per minute (TPM): Limit "
            "6000, Requested 12328, please reduce your message size and try again.",
            413,
            fields={"code": "rate_limit_exceeded"},
        ),
    ),
    (OpenAIResponses, "unauthorized", Fault("Incorrect API key provided.", 401)),
)


@pytest.mark.parametrize(
    ("make", "reason", "fault"),
    ELSEWHERE,
    ids=[f"{make.name}, {fault.words[:24]}" for make, _, fault in ELSEWHERE],
)
async def test_another_model_answers(meet: Meet, make: Any, reason: str, fault: Fault) -> None:
    talk = await meet(make(), local.SGLang())
    first, second = talk.upstreams
    first.failing = fault
    done = await talk.ask("Good morning.")
    assert (done["status"], done["model"]) == ("completed", second.provider.model)
    assert len(first.bodies) == 1, "asking the same again is of no use"
    (fallback,) = talk.fallbacks(done["run_id"])
    assert reason in ("", fallback["reason"])


# --------------------------------------------------------------------- length

LONG: tuple[tuple[Any, str, int], ...] = (
    (hosted.Anthropic, "prompt is too long: 213462 tokens > 200000 maximum", 400),
    (
        hosted.Anthropic,
        "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000",
        400,
    ),
    (
        hosted.Gemini,
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        400,
    ),
    (
        hosted.XAI,
        "This model's maximum prompt length is 131072 but the request contains 180000 tokens.",
        400,
    ),
    (gateways.Bedrock, "Input is too long for requested model.", 400),
    (
        local.SGLang,
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        400,
    ),
    (
        hosted.Mistral,
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum "
        "context length",
        400,
    ),
    (local.LlamaCpp, "the request exceeds the available context size, try increasing it", 400),
)


@pytest.mark.parametrize(
    ("make", "words", "status"), LONG, ids=[f"{make.name}, {words[:24]}" for make, words, _ in LONG]
)
async def test_a_conversation_that_is_too_long_goes_on(
    meet: Meet, make: Any, words: str, status: int
) -> None:
    def short(body: Body) -> Fault | None:
        long = len(body["messages"]) > 9
        return Fault(words, status, learned=True) if long else None

    talk = await meet(held_to(make, short))
    (upstream,) = talk.upstreams
    for number in range(6):
        done = await talk.ask(f"Message {number}.")
        assert done["status"] == "completed", [fault.words for fault in upstream.refused]
        said = [m["content"] for m in upstream.bodies[-1]["messages"] if m["role"] == "user"]
        assert said[-1] == f"Message {number}."
        assert len(said) >= min(number + 1, 2), "what can stay of the conversation stays"
    assert upstream.refused, "it was too long at the end"
    assert {fault.words for fault in upstream.refused} == {words}
