"""What providers want back goes back to them, and to nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dialects import gateways, hosted
from tests.dialects.conftest import Meet
from tests.dialects.outcomes import agreed, calls, completes, whole
from tests.dialects.responses import OpenAIResponses

Makes = tuple[type[Any], ...]
OPAQUE: Makes = (hosted.Gemini, gateways.OpenRouter, OpenAIResponses)
THINKING: Makes = (
    hosted.DeepSeek,
    hosted.Kimi,
    gateways.OpenRouter,
    OpenAIResponses,
)


@pytest.mark.parametrize("make", OPAQUE, ids=lambda make: make.name)
async def test_no_device_is_told(meet: Meet, make: Any) -> None:
    talk = await meet(make())
    await calls(talk, "Two figures, please.", 2, "calls", "say")
    await completes(talk, "Thanks.", "All is well.", "say")
    await talk.close()
    await talk.open()
    await completes(talk, "Still there?", "All is well.", "say")

    (upstream,) = talk.upstreams
    assert upstream.provider.given
    told = await talk.told()
    assert [mark for mark in upstream.provider.given if mark in told] == []


@pytest.mark.parametrize("make", THINKING, ids=lambda make: make.name)
async def test_thoughts_that_are_not_shown_go_back_all_the_same(meet: Meet, make: Any) -> None:
    talk = await meet(make(), show_reasoning=False)
    await calls(talk, "Two figures, please.", 2, "calls", "say")
    await completes(talk, "Thanks.", "All is well.", "say")
    await talk.close()
    await talk.open()
    await completes(talk, "Still there?", "All is well.", "say")

    agreed(talk)
    assert talk.upstreams[0].lost == []
    told = await talk.told()
    assert '"reasoning"' not in told
    assert "I need figures" not in told


class LongThoughts(hosted.DeepSeek):
    name = "long thoughts"

    def remember(self, thought: str) -> None:
        """They are longer than what is kept."""

    def think(self, thought: str) -> list[Any]:
        return super().think(thought * 5000)


async def test_thoughts_that_are_too_long_to_keep(meet: Meet) -> None:
    talk = await meet(LongThoughts())
    await calls(talk, "Two figures, please.", 2, "calls", "say")
    await completes(talk, "Thanks.", "All is well.", "say")
    await talk.close()
    await talk.open()
    await completes(talk, "Still there?", "All is well.", "say")
    assert not talk.upstreams[0].refused


@pytest.mark.parametrize("make", OPAQUE, ids=lambda make: make.name)
async def test_another_account_cannot_read_what_the_first_one_gave(meet: Meet, make: Any) -> None:
    """As after a new key, or behind a gateway that has several."""
    talk = await meet(make())
    await calls(talk, "Two figures, please.", 2, "calls", "say")
    await completes(talk, "Thanks.", "All is well.", "say")

    (upstream,) = talk.upstreams
    upstream.provider.given.clear()
    await completes(talk, "Still there?", "All is well.", "say")
    whole(talk)
    await calls(talk, "Two more.", 2, "calls", "say")
    await completes(talk, "Thanks again.", "All is well.", "say")
    assert len(upstream.refused) <= 3, [fault.words for fault in upstream.refused]
