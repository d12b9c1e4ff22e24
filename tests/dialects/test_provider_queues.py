"""What people do while an answer is under way, before providers that want an order."""

from __future__ import annotations

from typing import Any

from tests.dialects.conftest import Meet
from tests.dialects.outcomes import agreed, completes, each_strict, whole

TOOLS = ("realtime.example", "tests.dialects.tools")


@each_strict
async def test_messages_that_wait_for_an_answer(meet: Meet, make: Any) -> None:
    talk = await meet(make(), tools=TOOLS)
    first = await talk.send("Write to Ada.", "call", "letter")
    await talk.asked(first)
    second = await talk.send("And to Grace.")
    third = await talk.send("And to Alan.")

    assert (await talk.decide(first, "approve"))["status"] == "completed"
    for run_id in (second, third):
        assert (await talk.done(run_id))["status"] == "completed"
    await completes(talk, "Thanks.", "All is well.", "say")
    agreed(talk)
    whole(talk)


@each_strict
async def test_a_message_that_interrupts_an_answer(meet: Meet, make: Any) -> None:
    talk = await meet(make())
    first = await talk.send("A figure, and think about it.", "call", "wait")
    await talk.upstreams[0].waits.wait()
    second = await talk.send("Something else.", "calls", "say", if_busy="interrupt")

    assert (await talk.done(first))["status"] == "cancelled"
    assert (await talk.done(second))["status"] == "completed"
    assert len(talk.calls(second)) == 2
    await completes(talk, "Thanks.", "All is well.", "say")
    agreed(talk)
    whole(talk)


@each_strict
async def test_a_stop_while_a_tool_works(meet: Meet, make: Any) -> None:
    talk = await meet(make(), tools=TOOLS)
    run_id = await talk.send("A figure, and ponder.", "call that lasts", "say")
    await talk.works(run_id)
    assert (await talk.stop(run_id))["status"] == "cancelled"

    await completes(talk, "Leave it.", "All is well.", "say")
    agreed(talk)
    whole(talk)


@each_strict
async def test_a_call_that_is_denied(meet: Meet, make: Any) -> None:
    talk = await meet(make(), tools=TOOLS)
    run_id = await talk.send("Write to Ada.", "letter", "say")
    assert (await talk.decide(run_id, "deny"))["status"] == "completed"
    assert not talk.calls(run_id)

    await completes(talk, "All the same, thanks.", "All is well.", "say")
    agreed(talk)
    whole(talk)
