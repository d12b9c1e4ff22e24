"""The server ends in the middle of a run; what a provider wants back outlives it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects import gateways, hosted
from tests.dialects.conftest import Meet
from tests.dialects.outcomes import agreed, calls, completes
from tests.dialects.responses import OpenAIResponses

TOOLS = ("realtime.example", "tests.dialects.tools")
PARTICULAR: tuple[type[Any], ...] = (
    hosted.Mistral,
    hosted.Gemini,
    hosted.DeepSeek,
    hosted.Kimi,
    gateways.OpenRouter,
    gateways.Bedrock,
    OpenAIResponses,
)
each = pytest.mark.parametrize("make", PARTICULAR, ids=lambda make: make.name)


@each
async def test_an_approval_that_comes_after_the_restart(meet: Meet, make: Any) -> None:
    talk = await meet(make(), tools=TOOLS)
    await calls(talk, "A figure, please.", 1, "call", "say")
    run_id = await talk.send("Write to Ada.", "call", "letter")
    await talk.asked(run_id)

    await talk.close()
    await talk.open()
    talk.upstreams[0].plan = ["call", "say"]
    done = await talk.decide(run_id, "approve")

    assert (done["status"], len(talk.calls(run_id))) == ("completed", 3)
    assert talk.upstreams[0].lost == []
    await completes(talk, "Thanks.", "All is well.", "say")
    agreed(talk)
    assert talk.upstreams[0].lost == []


@each
async def test_an_answer_that_the_end_of_the_server_cut(meet: Meet, make: Any) -> None:
    talk = await meet(make(), drain_seconds=0.1)
    run_id = await talk.send("A figure, and think about it.", "call", "wait")
    await talk.upstreams[0].waits.wait()

    await talk.close()
    await talk.open()
    assert (await talk.done(run_id))["status"] == "interrupted"
    done = await talk.go_on(run_id, "call", "say")
    assert (done["status"], done["text"].endswith("All is well.")) == ("completed", True)
    await completes(talk, "And now?", "All is well.", "say")
    await calls(talk, "Another figure.", 1, "call", "say")
    agreed(talk)
    assert talk.upstreams[0].lost == []


@each
async def test_a_tool_that_the_end_of_the_server_cut(meet: Meet, make: Any) -> None:
    talk = await meet(make(), tools=TOOLS, drain_seconds=0.1)
    run_id = await talk.send("A figure, and ponder.", "call that lasts")
    await talk.works(run_id)

    await talk.close()
    await talk.open()
    talk.upstreams[0].plan = ["say"]
    assert (await talk.done(run_id))["status"] in ("completed", "interrupted")
    await completes(talk, "And now?", "All is well.", "say")
    await calls(talk, "Another figure.", 1, "call", "say")
    agreed(talk)
    assert talk.upstreams[0].lost == []
