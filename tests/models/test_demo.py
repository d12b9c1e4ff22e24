from __future__ import annotations

import json

import pytest

from realtime.models import (
    AssistantText,
    Finished,
    Item,
    ModelEvent,
    Request,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    ToolRequest,
    ToolResult,
    ToolSpec,
    UserText,
)
from realtime.models.demo import MAX_COUNT, DemoModel
from realtime.models.fitting import CONTINUE
from realtime.protocol import Usage

ANALYTICS = ToolSpec(
    "fetch_internal_user_analytics",
    "Figures.",
    {"type": "object", "properties": {"query": {"type": "string"}}},
)
OTHER = ToolSpec("weather", "Weather.", {"type": "object"})


async def answer(
    *context: Item, tools: tuple[ToolSpec, ...] = (), instructions: str = "Be kind."
) -> list[list[ModelEvent]]:
    request = Request(instructions, context, tools)
    return [events async for events in DemoModel(delay_s=0).stream(request)]


def text(batches: list[list[ModelEvent]]) -> str:
    return "".join(e.text for events in batches for e in events if isinstance(e, TextDelta))


async def said(*context: Item, instructions: str = "Be kind.") -> str:
    batches = await answer(*context, instructions=instructions)
    assert batches[-1][-1] == Finished("stop")
    return text(batches)


def test_it_says_what_it_is() -> None:
    assert DemoModel.name == "demo"
    assert "demonstration" in DemoModel.label
    assert "no key" in DemoModel.label


async def test_one_word_per_list_and_the_counts_last() -> None:
    batches = await answer(UserText("Hello there"))
    *words, last = batches
    assert len(words) > 20
    for events in words:
        [event] = events
        assert isinstance(event, TextDelta)
        assert len(event.text.split()) == 1
    assert last == [Usage(4, len(words), estimated=True), Finished("stop")]
    assert batches == await answer(UserText("Hello there")), "it is deterministic"


async def test_it_introduces_itself_once() -> None:
    first = await said(UserText("Hi"))
    assert "demo model" in first
    assert "demo model" not in await said(UserText("Hi"), AssistantText(first), UserText("Ok"))


async def test_it_shows_markdown() -> None:
    first = await said(UserText("Hi"))
    assert "**" in first
    assert "\n- `" in first


async def test_it_remembers() -> None:
    talk: tuple[Item, ...] = (
        UserText("My name is Zoë, by the way"),
        AssistantText("Nice"),
        UserText("I like tea"),
        AssistantText("You said"),
    )
    assert "**Zoë**" in await said(*talk, UserText("What is my name?"))
    assert "My name is Zoë, by the way" in await said(*talk, UserText("What did I say first?"))
    third = await said(*talk, UserText("And now?"))
    assert "2 messages" in third
    assert "I like tea" in third
    assert "not told" in await said(UserText("What is my name?"))


@pytest.mark.parametrize(("asked", "highest"), [(3, 3), (1, 1), (99_999, MAX_COUNT)])
async def test_counting(asked: int, highest: int) -> None:
    counted = await said(UserText("x"), AssistantText("y"), UserText(f"Please count to {asked}"))
    assert [int(word) for word in counted.split()] == list(range(1, highest + 1))


async def test_a_long_story() -> None:
    story = await said(UserText("Tell me a long story"))
    assert 300 < len(story.split()) < 1500
    assert len((await said(UserText("Tell me a story"))).split()) < 200


async def test_a_broken_answer_goes_on_where_it_broke() -> None:
    question = UserText("Count to 20")
    full = await said(question)
    rest = await said(question, AssistantText(full[:60]))
    assert full[:60] + rest == full


async def test_one_that_is_asked_to_continue_goes_on_too() -> None:
    question = UserText("Count to 20")
    full = await said(question)
    rest = await said(question, AssistantText(full[:60]), UserText(CONTINUE))
    assert full[:60] + rest == full


ORDER = ToolSpec(
    "order_status",
    "Where an order is.",
    {
        "type": "object",
        "properties": {
            "order_id": {"type": "string"},
            "depth": {"type": "integer"},
            "fast": {"type": "boolean"},
            "note": {"type": "string"},
        },
        "required": ["order_id", "depth", "fast"],
    },
)


@pytest.mark.parametrize(
    ("asked", "arguments"),
    [
        ("order_status A7 within 3", {"order_id": "A7 within 3", "depth": 7, "fast": True}),
        ("What is the order status?", {"depth": 1, "fast": True}),
        ('Order status {"order_id": "7", "note": "x"}, please', {"order_id": "7", "note": "x"}),
    ],
)
async def test_it_calls_a_tool_by_its_name(asked: str, arguments: dict[str, object]) -> None:
    batches = await answer(UserText(asked), tools=(ANALYTICS, ORDER))
    [call] = batches[-2]
    assert isinstance(call, ToolCallReady)
    assert call.name == "order_status"
    got = json.loads(call.arguments)
    assert got | arguments == got
    other = await answer(UserText("What statuses?"), tools=(ORDER,))
    assert other[-1][-1] == Finished("stop")


QUESTION = UserText("Fetch internal user analytics for last week")
REQUESTED = ToolRequest("t1", ANALYTICS.name, '{"query": "for last week"}')
FIGURES = {"active_users": 18342, "by_country": {"PL": 12, "DE": 7.5}, "top": ["chat", "docs"]}


async def test_it_calls_the_analytics_tool_and_tells_the_figures() -> None:
    batches = await answer(QUESTION, tools=(OTHER, ANALYTICS))
    assert ANALYTICS.name in text(batches)
    started, ready, last = batches[-3:]
    assert started == [ToolCallStarted("0", ANALYTICS.name)]
    [call] = ready
    assert isinstance(call, ToolCallReady)
    assert (call.key, call.name) == ("0", ANALYTICS.name)
    assert json.loads(call.arguments) == {"query": "for last week"}
    assert isinstance(last[0], Usage)
    assert last[1] == Finished("tool_calls")

    told = await answer(
        QUESTION, REQUESTED, ToolResult("t1", json.dumps(FIGURES)), tools=(ANALYTICS,)
    )
    assert told[-1][-1] == Finished("stop")
    for figure in ("18,342", "by country PL**: 12", "7.5", "docs"):
        assert figure in text(told)

    again = await answer(
        QUESTION,
        REQUESTED,
        ToolResult("t1", json.dumps(FIGURES)),
        AssistantText("There."),
        UserText("Now analytics"),
        tools=(ANALYTICS,),
    )
    [call] = again[-2]
    assert isinstance(call, ToolCallReady)
    assert json.loads(call.arguments) == {"query": "Now analytics"}


@pytest.mark.parametrize("tools", [(), (OTHER,)])
async def test_without_the_tool_it_calls_nothing(tools: tuple[ToolSpec, ...]) -> None:
    batches = await answer(QUESTION, tools=tools)
    assert batches[-1][-1] == Finished("stop")
    assert not any(isinstance(e, ToolCallStarted) for events in batches for e in events)


@pytest.mark.parametrize("output", ["no JSON", "", "[]", '{"error": "denied"}', "3"])
async def test_any_result_is_told(output: str) -> None:
    batches = await answer(QUESTION, REQUESTED, ToolResult("t1", output), tools=(ANALYTICS,))
    assert batches[-1][-1] == Finished("stop")
    assert len(text(batches)) > 10


TRANSCRIPT = "User: What is tea?\nAssistant: A drink.\nOf leaves.\nUser: Count to 9\nAssistant: 1"


async def test_a_summary_of_a_transcript() -> None:
    summary = await said(
        UserText(TRANSCRIPT), instructions="Summarise this conversation in two sentences."
    )
    assert "wrote 2 times" in summary
    assert "2 answers" in summary
    assert "What is tea?" in summary
    assert "Count to 9" in summary
    assert "demo model" in summary


async def test_what_is_said_between_tools_is_one_answer() -> None:
    told = "User: How many?\nAssistant: Let me look.\nTool: 3\nAssistant: Three.\nUser: Thanks"
    summary = await said(UserText(told), instructions="Summarise this conversation.")
    assert "wrote 2 times and got 1 answer." in summary
    asked = [UserText("How many?"), AssistantText("Let me look."), AssistantText("Three.")]
    assert "got 1 answer." in await said(*asked, UserText("Summarize, please."))


async def test_a_summary_on_request_and_of_nothing() -> None:
    summary = await said(
        UserText("What is tea?"), AssistantText("A drink"), UserText("Summarize, please.")
    )
    assert "wrote once" in summary
    assert "What is tea?" in summary
    assert "Nothing was said" in await said(instructions="Summarise this conversation.")


async def test_silence_is_answered() -> None:
    assert await said()
    assert await said(UserText("   "))
