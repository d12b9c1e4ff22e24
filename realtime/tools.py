"""Tools: Python functions that the model may call.

    from realtime.tools import tool, ToolContext

    @tool
    async def order_status(order_id: str, context: ToolContext) -> dict:
        "Where an order is now."

The schema comes from the signature and the docstring. A plain function runs in a
thread. Whatever a tool does wrong becomes an error value for the model; it never
reaches the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import importlib
import inspect
import json
import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, TypeVar, get_type_hints, overload

import msgspec
import pydantic
import pydantic_core

from realtime.models import ToolSpec
from realtime.protocol import Error, clean, clean_text, to_json

MAX_OUTPUT = 64 * 1024
DEADLINE_S = 30.0
APPROVAL_S = 900.0

Approval = bool | Callable[..., bool]
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
logger = logging.getLogger(__name__)


class Figures(Protocol):
    """What the server's store can tell a tool."""

    async def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        """Counts over the sessions begun at or after `since` (ms); of one user, or of all."""
        ...


class ToolContext(msgspec.Struct, frozen=True):
    """Who asks. A tool gets it by a parameter annotated with this class.

    `tool_call_id` is the same when a call is made again: use it as idempotency key.
    """

    session_id: str
    run_id: str
    user_id: str
    tool_call_id: str
    store: Figures


class ToolError(Exception):
    """Raise it in a tool to tell the model, and the user, what is wrong."""

    def __init__(self, message: str, code: str = "tool_error") -> None:
        super().__init__(message)
        self.code = code


class Tool:
    """A function, its schema, and how it is called."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        deadline_s: float = DEADLINE_S,
        repeatable: bool = False,
        approval: Approval = False,
    ) -> None:
        self.function = function
        self.deadline_s = deadline_s
        self.repeatable = repeatable
        if inspect.iscoroutinefunction(approval):
            raise TypeError("an approval rule must be a plain function")
        self._approval = approval
        hints = get_type_hints(function, include_extras=True)
        fields: dict[str, Any] = {}
        self._context: str | None = None
        name = getattr(function, "__name__", "tool")
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(f"tool {name}: *args and **kwargs cannot be described to a model")
            hint = hints.get(parameter.name, Any)
            if hint is ToolContext:
                self._context = parameter.name
                continue
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hint, default)
        self._arguments: type[pydantic.BaseModel] = pydantic.create_model(
            name, __config__=pydantic.ConfigDict(extra="forbid"), **fields
        )
        schema = self._arguments.model_json_schema()
        schema.pop("title", None)
        self.spec = ToolSpec(name, inspect.getdoc(function) or name, schema)

    def parse(self, text: str) -> dict[str, Any]:
        """The model's arguments as keywords for the call.

        Raises `ToolError("bad_arguments")` that tells the model what to mend.
        """
        try:
            model = self._arguments.model_validate(
                json.loads(text or "{}", parse_constant=_no_constant)
            )
        except pydantic.ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}"
                for item in error.errors()
            )
            raise ToolError(problems, "bad_arguments") from None
        except (ValueError, RecursionError):
            raise ToolError("the arguments are not a JSON object", "bad_arguments") from None
        return {name: getattr(model, name) for name in self._arguments.model_fields}

    async def needs_approval(self, keywords: dict[str, Any]) -> bool:
        """Whether a person must agree to a call. A rule that fails says that one must."""
        if isinstance(self._approval, bool):
            return self._approval
        try:
            async with asyncio.timeout(self.deadline_s):
                return bool(await in_thread(partial(self._approval, **keywords)))
        except (Exception, SystemExit):
            logger.warning("the approval rule of %s failed", self.spec.name, exc_info=True)
            return True

    async def call(self, keywords: dict[str, Any], context: ToolContext) -> Any:
        """Run it within its deadline. Raises `ToolError`; returns what JSON can hold."""
        if self._context:
            keywords = {**keywords, self._context: context}
        try:
            async with asyncio.timeout(self.deadline_s):
                if inspect.iscoroutinefunction(self.function):
                    result = await self.function(**keywords)
                else:
                    result = await in_thread(partial(self.function, **keywords))
            return await in_thread(partial(jsonable, result))
        except ToolError:
            raise
        except TimeoutError:
            raise ToolError(f"no result within {self.deadline_s:g} s", "timeout") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            raise ToolError("the tool was cancelled from inside", "internal") from None
        except (Exception, SystemExit) as error:
            logger.warning("tool %s raised %s", self.spec.name, type(error).__name__, exc_info=True)
            raise ToolError(f"the tool failed: {type(error).__name__}", "internal") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def jsonable(result: Any) -> Any:
    """The result as JSON can hold it, cut to `MAX_OUTPUT` bytes. Raises `ToolError`."""
    try:
        data = pydantic_core.to_jsonable_python(result, serialize_unknown=True)
        text = clean_text(json.dumps(data, ensure_ascii=False))
    except (ValueError, TypeError, RecursionError) as error:
        raise ToolError(f"the result cannot be written as JSON: {type(error).__name__}") from None
    size = len(text.encode())
    if size <= MAX_OUTPUT:
        return clean(json.loads(text, parse_constant=lambda name: None))
    room = MAX_OUTPUT // 2
    while True:
        cut = f"{text[:room]}… [cut: {size} bytes in all]"
        if len(to_json(cut)) <= MAX_OUTPUT:
            return cut
        room //= 2


def error_value(error: ToolError) -> Error:
    return Error(clean_text(error.code)[:64], clean_text(str(error))[:2000])


async def in_thread(work: Callable[[], T]) -> T:
    """Run it in a thread of its own, which nobody waits for when the process ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = context.run(work)
        except StopIteration as error:  # which no future takes
            failure = RuntimeError(f"the tool raised {error!r}")
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has gone
            loop.call_soon_threadsafe(settle, result, failure)

    context = contextvars.copy_context()
    threading.Thread(target=run, name="tool", daemon=True).start()
    return await future


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *, deadline_s: float = DEADLINE_S, repeatable: bool = False, approval: Approval = False
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    /,
    *,
    deadline_s: float = DEADLINE_S,
    repeatable: bool = False,
    approval: Approval = False,
) -> F | Callable[[F], F]:
    """Mark a function as a tool. It stays the function that it was.

    `deadline_s`: seconds it may take. `repeatable`: a call whose outcome a crash hid is
    made again, with the same `tool_call_id`; without it such a call is reported as
    `unknown_outcome`. `approval`: whether a person must agree to each call, or a plain
    function that says so of the arguments, which it gets as keywords. Raises TypeError
    where the signature cannot be described to a model.
    """

    def mark(function: F) -> F:
        function.__tool__ = Tool(  # type: ignore[attr-defined]
            function, deadline_s=deadline_s, repeatable=repeatable, approval=approval
        )
        return function

    return mark if function is None else mark(function)


class Toolbox:
    """The tools of this server, by name. A call that needs approval waits `approval_s` for it."""

    def __init__(self, tools: Iterable[Tool] = (), *, approval_s: float = APPROVAL_S) -> None:
        self.approval_s = approval_s
        self._tools = {tool.spec.name: tool for tool in tools}
        self.specs = tuple(tool.spec for tool in self._tools.values())

    def repeatable(self, name: str) -> bool:
        return name in self._tools and self._tools[name].repeatable

    def find(self, name: str) -> Tool:
        """Raises `ToolError("unknown_tool")` that names the tools there are."""
        try:
            return self._tools[name]
        except KeyError:
            known = ", ".join(self._tools) or "none"
            raise ToolError(
                f"there is no tool {name!r}; there are: {known}", "unknown_tool"
            ) from None


def load(modules: Iterable[str], *, approval_s: float = APPROVAL_S) -> Toolbox:
    """The functions marked with `@tool` in these modules. Raises ImportError, and
    ValueError where a module has none or a name is taken twice."""
    tools: dict[str, Tool] = {}
    for module_name in modules:
        module = importlib.import_module(module_name)
        found = {
            id(member.__tool__): member.__tool__
            for member in vars(module).values()
            if isinstance(getattr(member, "__tool__", None), Tool)
        }
        if not found:
            raise ValueError(f"{module_name} has no function marked with @tool")
        for item in found.values():
            if item.spec.name in tools and tools[item.spec.name] is not item:
                raise ValueError(f"two tools are called {item.spec.name!r}")
            tools[item.spec.name] = item
    return Toolbox(tools.values(), approval_s=approval_s)
