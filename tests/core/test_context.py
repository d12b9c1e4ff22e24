"""What a model is given of a conversation: the rules, for any conversation."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.core.context import MAX_OLD_OUTPUT, ContextWindow, exchanges, fit
from realtime.core.usage import tokens_of
from realtime.models import AssistantText, Item, ToolRequest, ToolResult, UserText
from realtime.protocol import File

TEXT = st.text(max_size=40).map(lambda text: text * 30)


@st.composite
def steps(draw: st.DrawFn, number: int) -> list[Item]:
    """Some text, and perhaps calls with their results."""
    ids = [f"{number}.{n}" for n in range(draw(st.integers(0, 3)))]
    items: list[Item] = [AssistantText(draw(TEXT))]
    items += [ToolRequest(id, "look_up", "{}") for id in ids]
    return items + [ToolResult(id, draw(TEXT) * draw(st.integers(1, 4))) for id in ids]


@st.composite
def conversations(draw: st.DrawFn) -> list[Item]:
    items: list[Item] = []
    for _ in range(draw(st.integers(1, 6))):
        items.append(UserText(draw(TEXT)))
        for _ in range(draw(st.integers(0, 3))):
            items += draw(steps(len(items)))
    return items


def size(items: list[Item]) -> int:
    return sum(map(tokens_of, items))


def plain(items: list[Item]) -> list[object]:
    """Without the outputs, which may have been shortened."""
    return [item.tool_call_id if isinstance(item, ToolResult) else item for item in items]


@settings(max_examples=150)
@given(conversations(), st.integers(16, 6000))
def test_it_fits_or_only_the_newest_exchange_is_left(items: list[Item], budget: int) -> None:
    kept, left_out = fit(items, budget)
    whole = exchanges(items)
    assert plain(kept) == plain(items)[-len(kept) :], "the newest part, in its order"
    assert exchanges(kept)[0][0] == whole[-len(exchanges(kept))][0], "exchanges stay whole"
    assert left_out == (len(exchanges(kept)) < len(whole))
    newest = [item for item in items if isinstance(item, UserText)][-1]
    assert newest in kept
    requests = [item.tool_call_id for item in kept if isinstance(item, ToolRequest)]
    assert requests == [item.tool_call_id for item in kept if isinstance(item, ToolResult)]
    if size(items) <= budget:
        assert kept == items
    elif size(kept) > budget:
        assert len(exchanges(kept)) == 1
    outputs = {item.tool_call_id: item.output for item in items if isinstance(item, ToolResult)}
    for item in kept:
        if isinstance(item, ToolResult) and item.output != outputs[item.tool_call_id]:
            assert len(item.output) < len(outputs[item.tool_call_id])
            assert item.output.startswith(outputs[item.tool_call_id][: MAX_OLD_OUTPUT // 2])


@settings(max_examples=100)
@given(conversations(), st.integers(16, 6000))
def test_nothing_is_left_out_that_would_have_fitted(items: list[Item], budget: int) -> None:
    kept, left_out = fit(items, budget)
    if left_out:
        whole = exchanges(items)
        one_more = whole[-len(exchanges(kept)) - 1]
        shortest = [
            ToolResult(item.tool_call_id, item.output[:MAX_OLD_OUTPUT])
            if isinstance(item, ToolResult)
            else item
            for item in one_more
        ]
        # the newest exchange is shortened last, when the others have gone
        *earlier, _ = exchanges(kept)
        given = sum(map(size, earlier)) + size(whole[-1])
        assert size(shortest) + given + 20 * len(one_more) > budget


def halve(items: list[Item]) -> list[Item] | None:
    """What is given after an overflow."""
    window = ContextWindow(None)
    return list(window.fit(items, 2**62)[0]) if window.shorten(items) else None


@given(conversations())
def test_halving_ends_with_the_newest_question(items: list[Item]) -> None:
    newest = [item for item in items if isinstance(item, UserText)][-1]
    rounds = 0
    while (shorter := halve(items)) is not None:
        assert size(shorter) < size(items)
        assert newest in shorter
        items, rounds = shorter, rounds + 1
    assert rounds <= 5
    assert len(exchanges(items)) == 1


def test_the_last_step_of_the_newest_exchange_keeps_its_output() -> None:
    items: list[Item] = [UserText("q")]
    for number in ("1", "2"):
        items += [ToolRequest(number, "look_up", "{}"), ToolResult(number, number * 9000)]
    kept, _ = fit(items, 2500)
    results = [item for item in kept if isinstance(item, ToolResult)]
    assert [len(result.output) < 9000 for result in results] == [True, False]


def test_what_an_answer_took_in_is_a_part_of_its_exchange() -> None:
    steers = UserText("in blue", steers=True)
    items: list[Item] = [UserText("old"), AssistantText("x" * 400), UserText("paint it")]
    items += [ToolRequest("1", "mix", "{}"), ToolResult("1", "y" * 9000), steers]
    items += [ToolRequest("2", "mix", "{}"), ToolResult("2", "z" * 9000)]
    assert [len(exchange) for exchange in exchanges(items)] == [2, 6]
    kept, left_out = fit(items, 2700)
    assert left_out
    assert [item for item in kept if isinstance(item, UserText)] == [items[2], steers]
    results = [item for item in kept if isinstance(item, ToolResult)]
    assert [len(result.output) < 9000 for result in results] == [True, False]
    window = ContextWindow(None)
    assert window.keep_newest(items)
    assert list(window.fit(items, 2**62)[0]) == items[2:]


def test_old_files_become_notes_before_anything_else_is_shortened() -> None:
    def asked(name: str) -> UserText:
        return UserText("look", files=(File(name, name, "image/png", 9),))

    output = ToolResult("1", "x" * 4000)
    call = ToolRequest("1", "get", "{}")
    items = [asked("a"), call, output, asked("b"), AssistantText("well"), asked("c")]
    whole = sum(map(tokens_of, items))
    assert fit(items, whole) == (items, False)
    noted = UserText("look\n\n[image: a]")
    assert fit(items, whole - 1000) == ([noted, *items[1:]], False)
    less, left_out = fit(items, whole - 2100)
    assert less[:3] == [noted, call, output]
    assert less[3:] == [UserText("look\n\n[image: b]"), AssistantText("well"), asked("c")]
    assert not left_out
    least, left_out = fit(items, 1)
    assert (least, left_out) == ([asked("c")], True)
