"""Tools: schema from the signature, validation, deadline, output cap, honest errors."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from realtime.protocol import to_json
from realtime.tools import (
    MAX_OUTPUT,
    FunctionTool,
    Output,
    Tool,
    ToolContext,
    ToolError,
    User,
    error_value,
    load,
    tool,
)


@dataclass
class Counted:
    of: int


class NoFigures:
    async def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        return {}


CONTEXT = ToolContext("s", "r", User("u"), "u", "t", NoFigures())


@tool
def book(city: str, nights: int = 1, kind: Literal["hotel", "hostel"] = "hotel") -> dict[str, Any]:
    """Book a room."""
    return {"city": city, "nights": nights, "kind": kind}


def made(function: Any, **options: Any) -> Tool:
    return FunctionTool(function, **options)


async def called(found: Tool, arguments: str) -> Output:
    return await found.call(found.parse(arguments), CONTEXT)


async def call(found: Tool, arguments: str) -> Any:
    return (await called(found, arguments)).value


def test_the_schema_comes_from_the_signature() -> None:
    spec = made(book).spec
    assert (spec.name, spec.description) == ("book", "Book a room.")
    assert spec.parameters["required"] == ["city"]
    assert spec.parameters["properties"]["nights"]["type"] == "integer"
    assert spec.parameters["properties"]["kind"]["enum"] == ["hotel", "hostel"]
    assert spec.parameters["additionalProperties"] is False
    assert book("Rome") == {"city": "Rome", "nights": 1, "kind": "hotel"}, "still a function"


def test_a_signature_that_no_model_can_use_is_refused() -> None:
    def spread(*args: str) -> None: ...

    with pytest.raises(TypeError, match="spread"):
        made(spread)


async def test_arguments_are_validated() -> None:
    found = made(book)
    assert await call(found, '{"city": "Rome", "nights": 2}') == book("Rome", 2)
    for bad, says in (
        ("{}", "city"),
        ('{"city": "Rome", "nights": "many"}', "nights"),
        ('{"city": "Rome", "stars": 5}', "stars"),
        ('["Rome"]', "arguments"),
        ('{"city": NaN}', "JSON"),
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        (f'{{"city": {"[" * 128 + "]" * 128}}}', "128 deep"),
        ('{"city": "Rome", "nights": 1e999}', "not finite"),
        (f'{{"city": "Rome", "nights": {10**100}}}', "100 digits"),
        (f'{{"city": "Rome", "nights": {"9" * 5000}}}', "100 digits"),
    ):
        with pytest.raises(ToolError, match=says) as caught:
            found.parse(bad)
        assert caught.value.code == "bad_arguments"


async def test_the_context_is_given_and_not_in_the_schema() -> None:
    async def who(context: ToolContext) -> str:
        return f"{context.user_id} {context.tool_call_id}"

    found = made(who)
    assert found.spec.parameters["properties"] == {}
    assert await call(found, "") == "u t"


async def test_a_plain_function_holds_nobody_up() -> None:
    begun, ends = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        return "done" if ends.wait(10) else "the loop stood still"

    async def others() -> None:
        while not begun.is_set():
            await asyncio.sleep(0.01)
        ends.set()

    others_go_on = asyncio.create_task(others())
    assert await call(made(slow), "{}") == "done"
    await others_go_on


async def test_the_deadline() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(ToolError) as caught:
        await call(made(forever, deadline_s=0.05), "{}")
    assert caught.value.code == "timeout"


async def test_whatever_a_tool_does_is_an_error_value() -> None:
    def crash() -> None:
        raise KeyError("secret-of-the-tool")

    def tells() -> None:
        raise ToolError("no such order", "no_order")

    def deep() -> Any:
        nested: list[Any] = []
        for _ in range(100_000):
            nested = [nested]
        return nested

    def leaves() -> None:
        sys.exit(3)

    async def cancelled_inside() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    def stops() -> None:
        raise StopIteration

    for function in (leaves, cancelled_inside, stops):
        with pytest.raises(ToolError):
            await call(made(function), "{}")
    assert to_json(error_value(ToolError("a\udcff", "b\ud800"))), "it can be written"
    with pytest.raises(ToolError) as caught:
        await call(made(crash), "{}")
    assert caught.value.code == "internal"
    assert "secret" not in str(caught.value)
    with pytest.raises(ToolError) as caught:
        await call(made(tells), "{}")
    assert (caught.value.code, str(caught.value)) == ("no_order", "no such order")
    with pytest.raises(ToolError):
        await call(made(deep), "{}")


async def test_any_result_becomes_json_within_the_cap() -> None:
    def odd() -> Any:
        return {"nan": math.nan, "path": Path("x"), "set": {1}, "text": "a\ud800\0b"}

    result = await call(made(odd), "{}")
    assert result["nan"] is None
    assert result["path"] == "x"
    assert "\ud800" not in result["text"]

    for huge, kind in (("x" * 1_000_000, "text"), (["é\n"] * 100_000, "json")):
        output = await called(made(lambda value=huge: value), "{}")
        assert "cut" in output.value
        assert len(to_json(output.value)) <= MAX_OUTPUT
        assert output.full
        assert output.full.kind == kind
        whole = output.full.data.decode()
        assert (json.loads(whole) if kind == "json" else whole) == huge


async def test_an_integer_that_not_every_client_can_read_becomes_text() -> None:
    most, least = 10**100 - 1, -(10**99) + 1

    def numbers() -> Any:
        return [most, most + 1, least, least - 1, {"in": (10**4000,)}, Counted(10**100)]

    read = [most, str(most + 1), least, str(least - 1), {"in": [str(10**4000)]}]
    assert await call(made(numbers), "{}") == [*read, {"of": str(10**100)}]


async def test_what_a_generator_raises_is_its_own_and_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise ValueError("secret-of-the-tool")

    def tells() -> Iterator[int]:
        yield 1
        raise ToolError("no such order", "no_order")

    for function in (breaks, lambda: {"in": [breaks()]}):
        caplog.clear()
        with pytest.raises(ToolError) as caught:
            await call(made(function), "{}")
        told = (caught.value.code, str(caught.value))
        assert told == ("internal", "the tool failed: ValueError")
        assert "secret-of-the-tool" in caplog.text
    with pytest.raises(ToolError) as caught:
        await call(made(tells), "{}")
    assert caught.value.code == "no_order"


def test_modules_are_loaded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = ModuleType("my_tools")
    mine.book = book
    monkeypatch.setitem(sys.modules, "my_tools", mine)
    box = load(["realtime.example", "my_tools"])
    assert [spec.name for spec in box.specs] == ["fetch_internal_user_analytics", "book"]
    assert box.find("book").spec.name == "book"
    with pytest.raises(ToolError, match="book") as caught:
        box.find("cook")
    assert caught.value.code == "unknown_tool"
    monkeypatch.setitem(sys.modules, "empty_tools", ModuleType("empty_tools"))
    with pytest.raises(ValueError, match="empty_tools"):
        load(["empty_tools"])
    with pytest.raises(ImportError):
        load(["no_such_module_at_all"])
