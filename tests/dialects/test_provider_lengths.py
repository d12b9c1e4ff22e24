"""Conversations with calls that are longer than what a provider reads: what is left of them is
still in an order that it takes."""

from __future__ import annotations

from typing import Any

from tests.dialects import local
from tests.dialects.conftest import Meet
from tests.dialects.outcomes import calls, completes, each_strict
from tests.dialects.rules import Body, Fault

TOO_LONG = "This model's maximum context length is 800 tokens."


@each_strict
async def test_only_the_newest_part_is_sent(meet: Meet, make: Any) -> None:
    talk = await meet(make(), history_tokens=250)
    (upstream,) = talk.upstreams
    for number in range(4):
        await calls(talk, f"Figures, {number}.", 2, "call", "call", "say")
        await completes(talk, f"Thanks, {number}.", "All is well.", "say")
    assert [fault.words for fault in upstream.refused] == []
    assert len(upstream.bodies[-1].get("messages") or upstream.bodies[-1]["input"]) < 20


@each_strict
async def test_it_is_too_long_in_the_middle_of_a_run(meet: Meet, make: Any) -> None:
    provider = make()
    check = provider.check

    def short(body: Body) -> Fault | None:
        if len(body.get("messages") or body["input"]) > 14:
            return Fault(TOO_LONG, learned=True, fields={"code": "context_length_exceeded"})
        return check(body)

    provider.check = short
    talk = await meet(provider)
    (upstream,) = talk.upstreams
    for number in range(4):
        await calls(talk, f"Figures, {number}.", 2, "call", "call", "say")
    assert {fault.words for fault in upstream.refused} == {TOO_LONG}


async def test_a_window_that_the_newest_quarter_does_not_fit(meet: Meet) -> None:
    """Short messages, so many that to leave out the older half twice does not help."""
    provider = local.SGLang()

    def short(body: Body) -> Fault | None:
        return Fault(TOO_LONG) if len(body["messages"]) > 3 else None

    talk = await meet(provider)
    for number in range(9):
        await completes(talk, f"Message {number}.", "All is well.", "say")
    provider.check = short  # type: ignore[method-assign]
    for number in range(2):
        await completes(talk, f"And {number}.", "All is well.", "say")
