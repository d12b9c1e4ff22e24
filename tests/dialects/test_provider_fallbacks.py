"""A conversation that goes from one provider to another and back, with the calls and the
thoughts of each before the other."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects import gateways, hosted, local
from tests.dialects.conftest import Meet, Talk
from tests.dialects.outcomes import agreed
from tests.dialects.responses import OpenAIResponses
from tests.dialects.rules import Fault

LOCKED_OUT = Fault("Unauthorized", 401)
PAIRS: tuple[tuple[Any, Any], ...] = (
    (hosted.DeepSeek, hosted.Gemini),
    (hosted.DeepSeek, hosted.Groq),
    (hosted.Gemini, hosted.Mistral),
    (hosted.Mistral, hosted.DeepSeek),
    (hosted.Mistral, OpenAIResponses),
    (hosted.Groq, hosted.Kimi),
    (gateways.OpenRouter, hosted.Anthropic),
    (OpenAIResponses, hosted.DeepSeek),
    (OpenAIResponses, hosted.Mistral),
    (OpenAIResponses, hosted.Gemini),
    (hosted.Anthropic, local.LlamaCpp),
    (local.NIM, gateways.Bedrock),
)


@pytest.mark.parametrize(
    ("one", "two"), PAIRS, ids=[f"{one.name} to {two.name}" for one, two in PAIRS]
)
async def test_one_provider_stands_in_for_another(meet: Meet, one: Any, two: Any) -> None:
    talk = await meet(one(), two())
    first, second = talk.upstreams
    await answered(talk, one, "Two figures, please.", "calls", "say")

    # It calls tools, and its key is no longer good when their results are there.
    first.fails_after = 1
    first.failing = LOCKED_OUT
    await answered(talk, two, "And two more.", "calls")
    second.plan = ["calls", "say"]
    await answered(talk, two, "Two of your own.")
    agreed(talk)

    # After a restart the first one is asked again, with the other's calls in the conversation.
    await talk.close()
    first.failing = None
    await talk.open()
    await answered(talk, one, "Are you back?", "say")
    await answered(talk, one, "Two figures again.", "calls", "say")
    await answered(talk, one, "Goodbye.", "say")
    agreed(talk)
    assert first.lost == []


async def answered(talk: Talk, by: Any, text: str, *plan: Any) -> None:
    done = await talk.ask(text, *plan)
    reasons = [fault.words for upstream in talk.upstreams for fault in upstream.refused]
    assert done["status"] == "completed", (text, done.get("error"), reasons)
    assert (done["model"], done["text"][-12:]) == (by.model, "All is well."), reasons
    assert not talk.calls(done["run_id"], "failed")
