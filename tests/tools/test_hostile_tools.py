"""Tools that do everything wrong: their call fails, the model is told, nobody else notices."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Annotated, Any

import pydantic
import pytest

from realtime.config import ConfigError
from realtime.models import ToolResult
from realtime.tools import MAX_OUTPUT, FunctionTool, ToolContext, ToolError, tool
from realtime.tools.output import MAX_KEPT
from tests.support.device import Device
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve

MakeDevice = Callable[..., Device]


class Odd:
    def __str__(self) -> str:
        raise KeyError("odd")

    __repr__ = __str__


def blocks() -> None:
    time.sleep(30)


async def hangs() -> None:
    await asyncio.Event().wait()


def crashes() -> None:
    raise KeyError("a secret of the tool")


def recurses(depth: int = 0) -> int:
    return recurses(depth + 1) + 1


async def recurses_async(depth: int = 0) -> int:
    return await recurses_async(depth + 1) + 1


def prints() -> str:
    print("\x1b[2J" * 1000)  # noqa: T201
    return "printed"


def leaves() -> None:
    sys.exit(3)


async def leaves_async() -> None:
    sys.exit(3)


def interrupts() -> None:
    raise KeyboardInterrupt


async def interrupts_async() -> None:
    raise KeyboardInterrupt


async def raises_a_base() -> None:
    class Base(BaseException):
        pass

    raise Base


async def closes_itself() -> None:
    raise GeneratorExit


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task
    task.cancel()
    await asyncio.sleep(30)


async def closes_the_loop() -> None:
    asyncio.get_running_loop().close()


def huge() -> str:
    return "x" * 100_000_000


def huge_list() -> list[str]:
    return ["x" * 1000] * 100_000


def huge_bytes() -> bytes:
    return b"x" * 100_000_000


def endless() -> Iterator[str]:
    while True:
        yield "x" * 1000


def deep() -> Any:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


def circular() -> Any:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def surrogates() -> str:
    return "a\ud800b\0c"


def not_numbers() -> Any:
    return {"none": math.nan, "far": [math.inf, -math.inf], math.nan: 1}


def odd() -> Any:
    return [Odd()]


def odd_keys() -> Any:
    return {1: "a", None: "b", (1, 2): "d", b"e": "e"}


def breaks_off() -> Iterator[int]:
    yield 1
    raise ValueError("a secret of the tool")


def counts() -> int:
    return 10**4000


def generates() -> Iterator[int]:
    yield from (1, 2, 3)


async def later() -> str:
    return "awaited"


def returns_a_coroutine() -> Any:
    return later()


def hides_a_coroutine() -> Any:
    return {"later": later()}


def mutates(items: list[Any], more: dict[str, Any]) -> Any:
    items.clear()
    more["added"] = True
    return [items, more]


def outlives() -> str:
    threading.Thread(target=lambda: time.sleep(0.2), daemon=True).start()
    return "gone before it"


def reports_too_much(context: ToolContext) -> str:
    for step in range(100_000):
        context.progress(step / 100_000, "x" * 1000)
    return "reported"


def reports_nonsense(context: ToolContext) -> str:
    context.progress("half")  # type: ignore[arg-type]
    return "reported"


def raises_an_odd_error() -> None:
    raise ToolError(Odd(), Odd())  # type: ignore[arg-type]


class Exits:
    def __str__(self) -> str:
        sys.exit(3)


def raises_an_error_that_leaves() -> None:
    raise ToolError(Exits())  # type: ignore[arg-type]


FAILS = {
    blocks: "timeout",
    hangs: "timeout",
    crashes: "internal",
    recurses: "internal",
    recurses_async: "internal",
    leaves: "internal",
    leaves_async: "internal",
    interrupts: "internal",
    interrupts_async: "internal",
    raises_a_base: "internal",
    closes_itself: "internal",
    cancels_itself: "internal",
    closes_the_loop: "internal",
    deep: "tool_error",
    circular: "tool_error",
    hides_a_coroutine: "tool_error",
    breaks_off: "internal",
    reports_nonsense: "internal",
    raises_an_odd_error: "tool_error",
    raises_an_error_that_leaves: "tool_error",
}
GIVES: dict[Any, Any] = {
    prints: "printed",
    odd: ["<Unserializable Odd object>"],
    surrogates: "a\ufffdb\ufffdc",
    not_numbers: {"none": None, "far": [None, None], "nan": 1},
    odd_keys: {"1": "a", "None": "b", "1,2": "d", "e": "e"},
    generates: [1, 2, 3],
    counts: str(10**4000),
    returns_a_coroutine: "awaited",
    mutates: [[], {"added": True}],
    outlives: "gone before it",
    reports_too_much: "reported",
}
CUT = (huge, huge_list, huge_bytes, endless)
ARGUMENTS = {mutates: '{"items": [1], "more": {}}'}


@pytest.mark.parametrize("function", [*FAILS, *GIVES, *CUT], ids=lambda f: f.__name__)
async def test_a_tool_hurts_nobody(
    serve: Serve, device: MakeDevice, monkeypatch: pytest.MonkeyPatch, function: Any
) -> None:
    deadline_s = 0.3 if FAILS.get(function) == "timeout" else 20
    module = ModuleType("hostile")
    module.function = tool(deadline_s=deadline_s)(function)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hostile", module)
    arguments = ARGUMENTS.get(function, "{}")
    model = ScriptedModel(asks((function.__name__, arguments)), says("noted"))
    running = await serve(model, tools=("hostile",))
    one = device(running.url)
    await one.connect()
    done = await one.done((await one.send("go"))["run_id"])
    assert (done["status"], done["text"]) == ("completed", "noted"), "the run goes on"
    result = model.requests[1].context[-1]
    assert isinstance(result, ToolResult)
    call = one.events("tool_call")[-1]
    if function in FAILS:
        assert (call["status"], call["error"]["code"]) == ("failed", FAILS[function])
        assert "secret" not in result.output
    else:
        assert call["status"] == "completed"
        if function in GIVES:
            assert call["output"] == GIVES[function]
        else:
            assert len(json.dumps(call["output"])) <= MAX_OUTPUT
            assert "more than" in result.output
            kept = await running.server.log.keeper.output(call["session_id"], call["output_ref"])
            assert kept
            assert MAX_KEPT - 4 <= len(kept[1]) <= MAX_KEPT
    assert call.get("arguments") == json.loads(arguments)
    assert (await one.send("and now?"))["ok"], "the server goes on"
    assert [name for name, _ in one.record].count("progress") < 50


async def test_the_loop_turns_while_tools_work(
    serve: Serve, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others get their answers before a tool that works for long has ended."""
    asked, over = threading.Event(), threading.Event()

    def busy() -> str:
        asked.set()
        while not over.is_set():  # never gives up the processor by itself
            sum(range(1000))
        return "x" * 10_000_000

    module = ModuleType("hostile")
    module.busy = tool(busy)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hostile", module)
    model = ScriptedModel(asks(("busy", "{}")), says("for the other"), says("at last"))
    running = await serve(model, tools=("hostile",))
    one, other = device(running.url), device(running.url)
    await one.connect()
    await other.connect()
    run_id = (await one.send("go"))["run_id"]
    await one.durable("tool_call", status="running")
    assert (await other.done((await other.send("hello"))["run_id"]))["text"] == "for the other"
    assert not one.events("done")
    over.set()
    assert (await one.done(run_id))["text"] == "at last"
    assert asked.is_set()


async def test_a_tool_that_will_not_be_cancelled_does_not_hold_up_stop(
    serve: Serve, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = asyncio.Event()

    @tool
    async def stubborn() -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    module = ModuleType("hostile")
    module.stubborn = stubborn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hostile", module)
    running = await serve(ScriptedModel(asks(("stubborn", "{}"))), tools=("hostile",))
    one = device(running.url)
    await one.connect()
    run_id = (await one.send("go"))["run_id"]
    await one.durable("tool_call", status="running")
    stopped = await one.call("stop")
    assert (stopped["status"], stopped["upstream_closed"]) == ("cancelled", True)
    assert (await one.done(run_id))["status"] == "cancelled"
    release.set()


@pytest.mark.parametrize(
    ("source", "says_what"),
    [
        ("@tool\ndef a(x: 'Missing') -> None: ...", "Missing"),
        ("@tool\ndef a(x: object()) -> None: ...", "cannot be described"),
        ("import threading\n@tool\ndef a(x: threading.Lock) -> None: ...", "cannot be described"),
        ("@tool\ndef a(_x: int) -> None: ...", "cannot be described"),
        ("@tool\nasync def a():\n    yield 1", "async generator"),
        ("@tool\ndef a(): ...\nb = a\n@tool\ndef a(): ...", "two tools are called 'a'"),
        ("raise RuntimeError('no key')", "no key"),
    ],
)
async def test_a_module_that_cannot_be_used_stops_the_start(
    serve: Serve,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    says_what: str,
) -> None:
    name = f"hostile_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(f"from realtime.tools import tool\n{source}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=says_what) as caught:
        await serve(tools=(name,))
    assert "TOOLS=" in str(caught.value)


class Broken(pydantic.BaseModel):
    x: int

    @pydantic.field_validator("x")
    @classmethod
    def check(cls, value: int) -> int:
        raise KeyError(value)


async def test_a_validator_that_breaks_is_an_error_value() -> None:
    def takes(broken: Broken) -> None: ...

    with pytest.raises(ToolError) as caught:
        FunctionTool(takes).parse('{"broken": {"x": 1}}')
    assert caught.value.code == "bad_arguments"


class Fatal(BaseException):
    pass


RAISES = {
    "exits": SystemExit("a secret"),
    "interrupts": KeyboardInterrupt("a secret"),
    "cancels": asyncio.CancelledError("a secret"),
    "base": Fatal("a secret"),
}


@pytest.mark.parametrize("error", RAISES.values(), ids=RAISES)
async def test_a_validator_or_a_rule_that_wants_to_end_the_server_fails_its_call(
    serve: Serve, device: MakeDevice, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def breaks(a: int) -> Any:
        raise error

    def checked(a: int) -> int:
        return a

    def ruled(a: int) -> int:
        return a

    checked.__annotations__["a"] = Annotated[int, pydantic.AfterValidator(breaks)]
    module = ModuleType("hostile")
    module.checked = tool(checked)  # type: ignore[attr-defined]
    module.ruled = tool(approval=breaks)(ruled)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hostile", module)
    model = ScriptedModel(asks(("checked", '{"a": 1}'), ("ruled", '{"a": 1}')), says("noted"))
    running = await serve(model, tools=("hostile",))
    one = device(running.url)
    await one.connect()
    run_id = (await one.send("go"))["run_id"]
    (asked,) = await one.durable("tool_call", status="awaiting_approval")
    decision = {"tool_call_id": asked["tool_call_id"], "decision": "approve"}
    assert (await one.call("approve", decision))["ok"], "a rule that fails asks a person"
    assert (await one.done(run_id))["text"] == "noted"
    (failed,) = one.events("tool_call", status="failed")
    assert (failed["name"], failed["error"]["code"]) == ("checked", "bad_arguments")
    assert "secret" not in str(model.requests[1].context)
