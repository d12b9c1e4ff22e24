"""How a conversation must have gone, and the providers that insist on an order."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects import gateways, hosted, local
from tests.dialects.conftest import Talk
from tests.dialects.responses import OpenAIResponses

STRICT: tuple[type[Any], ...] = (
    hosted.Mistral,
    hosted.Gemini,
    hosted.DeepSeek,
    hosted.GLM,
    gateways.Bedrock,
    local.LlamaCpp,
    OpenAIResponses,
)
each_strict = pytest.mark.parametrize("make", STRICT, ids=lambda make: make.name)


async def completes(talk: Talk, text: str, answer: str, *plan: Any, **more: Any) -> None:
    done = await talk.ask(text, *plan, **more)
    reasons = [fault.words for fault in talk.upstreams[0].refused]
    assert done["status"] == "completed", (text, done.get("error"), reasons)
    assert done["text"].endswith(answer)


async def calls(talk: Talk, text: str, count: int, *plan: Any) -> None:
    done = await talk.ask(text, *plan)
    reasons = [fault.words for fault in talk.upstreams[0].refused]
    assert done["status"] == "completed", (text, done.get("error"), reasons)
    assert len(talk.calls(done["run_id"])) == count
    assert not talk.calls(done["run_id"], "failed")


def agreed(talk: Talk) -> None:
    """Nothing was refused but what nobody can know before, and that once in a server's life."""
    for upstream in talk.upstreams:
        assert [fault.words for fault in upstream.refused if not fault.learned] == []
        assert len(upstream.refused) <= 1, [fault.words for fault in upstream.refused]
        upstream.refused.clear()


def whole(talk: Talk) -> None:
    """The last request held all that was said, in its order and as it was said, and whatever
    the provider gave to be sent back."""
    upstream = talk.upstreams[0]
    body = upstream.bodies[-1]
    messages = body.get("messages") or body["input"]
    said = [text_of(message) for message in messages if message.get("role") == "user"]
    assert [text for text in said if text in talk.said] == talk.said
    assert upstream.lost == []


def text_of(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
