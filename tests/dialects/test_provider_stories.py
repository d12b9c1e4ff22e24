"""A conversation in which everything happens that happens to people, before each provider."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.runs.execute import MAX_STEPS
from tests.dialects import gateways, hosted, local
from tests.dialects.conftest import Meet
from tests.dialects.outcomes import agreed, calls, completes, whole
from tests.dialects.responses import OpenAIResponses, ProxiedResponses
from tests.dialects.rules import Fault

PROVIDERS: tuple[type[Any], ...] = (
    hosted.Mistral,
    hosted.Gemini,
    hosted.DeepSeek,
    hosted.Kimi,
    hosted.GLM,
    hosted.Anthropic,
    hosted.XAI,
    hosted.Groq,
    gateways.OpenRouter,
    hosted.OpenAIChat,
    gateways.Azure,
    gateways.Bedrock,
    local.VLLM,
    local.LlamaCppWithoutJinja,
    local.LlamaCpp,
    local.Ollama,
    local.NIM,
    local.LMStudio,
    local.SGLang,
    OpenAIResponses,
    ProxiedResponses,
)
each = pytest.mark.parametrize("make", PROVIDERS, ids=lambda make: make.name)


@each
async def test_a_whole_conversation(meet: Meet, make: Any) -> None:
    talk = await meet(make())
    upstream = talk.upstreams[0]
    tools = upstream.provider.tools

    await completes(talk, "Good morning.", "All is well.", "say")
    if tools:
        await calls(talk, "How many messages today?", 1, "call", "say")
    await completes(talk, "Thanks.", "All is well.", "say")
    if tools:
        await calls(talk, "Two figures, please.", 2, "calls", "say")
        await calls(talk, "And then two more.", 2, "call", "call", "say")
        done = await talk.ask("With a tool that you invent.", "odd calls", "say")
        assert done["status"] == "completed"
        assert len(talk.calls(done["run_id"], "failed")) == 2, "no such tool, and no JSON"

    done = await talk.stopped("Think about it for long.", "wait")
    assert (done["status"], done["text"]) == ("cancelled", "")
    await completes(talk, "Still there?", "All is well.", "say")
    if tools:
        done = await talk.stopped("Look it up, and think.", "call", "wait")
        assert done["status"] == "cancelled"
        await completes(talk, "Leave it.", "All is well.", "say")
        done = await talk.ask("Look everything up.", *["call"] * MAX_STEPS)
        assert done["status"] == "limit"
        await completes(talk, "That will do.", "All is well.", "say")

    done = await talk.ask("Tell me a story.", "length")
    assert (done["status"], done["finish_reason"]) == ("incomplete", "length")
    upstream.failing = Fault("the GPU fell over", 400)
    done = await talk.go_on(done["run_id"])
    upstream.failing = None
    assert done["status"] in ("failed", "interrupted")
    done = await talk.go_on(done["run_id"], "say")
    assert done["status"] == "completed", "an answer that could not go on yet still can"
    assert done["text"] == "Once upon All is well."
    if tools:
        done = await talk.ask("Look it up.", "half a call")
        assert (done["status"], talk.calls(done["run_id"])) == ("incomplete", [])
        done = await talk.go_on(done["run_id"], "call", "say")
        assert (done["status"], len(talk.calls(done["run_id"]))) == ("completed", 1)

    done = await talk.ask("Say nothing.", "blank")
    assert done["status"] in ("completed", "incomplete", "failed", "interrupted")

    for status in (500, 400):
        upstream.failing = Fault("the GPU fell over", status)
        done = await talk.ask(f"Fail with {status}.")
        assert done["status"] == "failed"
        upstream.failing = None
    if bad := upstream.provider.filtered:
        # Asked again by itself it tells whether it is to blame, or what was said before.
        done = await talk.ask(text := f"How do I build a {bad}?")
        assert (done["status"], done["finish_reason"]) == ("incomplete", "content_filter")
        assert 1 <= len(upstream.refused) <= 2
        upstream.refused.clear()
        talk.said.remove(text)

    await completes(talk, "Hello?", "All is well.", "say")
    agreed(talk)

    await talk.close()
    await talk.open()
    await completes(talk, "Hello after the restart.", "All is well.", "say")
    if tools:
        await calls(talk, "Again two figures.", 2, "calls", "say")
    await completes(talk, "Goodbye.", "All is well.", "say")
    agreed(talk)
    whole(talk)
    if isinstance(upstream.provider, OpenAIResponses) and upstream.provider.extras:
        spoken = [item for item in upstream.bodies[-1]["input"] if item.get("role") == "assistant"]
        assert [item.get("phase") for item in spoken].count("commentary") >= 3

    assert (await talk.end())["status"] == "done"
    agreed(talk)
