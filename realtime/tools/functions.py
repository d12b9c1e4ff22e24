"""Python functions as tools: `@tool`, and loading them from modules."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar, get_type_hints, overload

import pydantic

from ..models import ToolSpec
from .context import ToolContext, ToolError
from .threads import in_thread
from .tool import APPROVAL_S, DEADLINE_S, Approval, Tool, Toolbox

F = TypeVar("F", bound=Callable[..., Any])


class FunctionTool(Tool):
    """A function, its schema, and how it is called."""

    def __init__(self, function: Callable[..., Any], **limits: Any) -> None:
        """Raises TypeError where the signature cannot be described to a model."""
        name = getattr(function, "__name__", "tool")
        if inspect.isasyncgenfunction(function):
            raise TypeError(f"tool {name}: an async generator returns nothing; return a list")
        self.function = function
        self._context: str | None = None
        try:
            self._arguments = self._describe(name)
            schema = self._arguments.model_json_schema()
        except Exception as error:
            raise TypeError(f"tool {name} cannot be described to a model: {error}") from error
        schema.pop("title", None)
        super().__init__(ToolSpec(name, inspect.getdoc(function) or name, schema), **limits)

    def _describe(self, name: str) -> type[pydantic.BaseModel]:
        hints = get_type_hints(self.function, include_extras=True)
        fields: dict[str, Any] = {}
        for parameter in inspect.signature(self.function).parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError("*args and **kwargs have no names")
            if parameter.name.startswith("_"):
                raise TypeError(f"{parameter.name} begins with an underscore")
            hint = hints.get(parameter.name, Any)
            if hint is ToolContext:
                self._context = parameter.name
                continue
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hint, default)
        model: type[pydantic.BaseModel] = pydantic.create_model(
            name, __config__=pydantic.ConfigDict(extra="forbid"), **fields
        )
        return model

    def validate(self, arguments: Any) -> dict[str, Any]:
        try:
            model = self._arguments.model_validate(arguments)
        except pydantic.ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}"
                for item in error.errors()
            )
            raise ToolError(problems, "bad_arguments") from None
        return {name: getattr(model, name) for name in self._arguments.model_fields}

    async def invoke(self, keywords: dict[str, Any], context: ToolContext) -> Any:
        if self._context:
            keywords = {**keywords, self._context: context}
        if inspect.iscoroutinefunction(self.function):
            return await self.function(**keywords)
        result = await in_thread(partial(self.function, **keywords))
        return await result if inspect.isawaitable(result) else result


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    deadline_s: float = DEADLINE_S,
    repeatable: bool = False,
    approval: Approval = False,
    editable: bool = True,
    client: bool = False,
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    /,
    *,
    deadline_s: float = DEADLINE_S,
    repeatable: bool = False,
    approval: Approval = False,
    editable: bool = True,
    client: bool = False,
) -> F | Callable[[F], F]:
    """Mark a function as a tool. It stays the function that it was.

    `deadline_s`: seconds it may take. `repeatable`: a call whose outcome a crash hid is
    made again, with the same `tool_call_id`; without it such a call is reported as
    `unknown_outcome`. `approval`: whether a person must agree to each call, or a plain
    function that says so of the arguments, which it gets as keywords. `editable`: whether
    that person may change the arguments. `client`: the function is a stub, and never called:
    a front end answers. Raises TypeError where the signature cannot be described to a model.
    """

    def mark(function: F) -> F:
        function.__tool__ = FunctionTool(  # type: ignore[attr-defined]
            function,
            deadline_s=deadline_s,
            repeatable=repeatable,
            approval=approval,
            editable=editable,
            client=client,
        )
        return function

    return mark if function is None else mark(function)


def collect(functions: Iterable[Callable[..., Any]], *, approval_s: float = APPROVAL_S) -> Toolbox:
    """These functions as tools. Raises ValueError where one is not marked with `@tool`, or a name
    is taken twice."""
    tools: dict[str, FunctionTool] = {}
    for function in functions:
        item = getattr(function, "__tool__", None)
        if not isinstance(item, FunctionTool):
            raise ValueError(f"{function!r} is not marked with @tool")
        if tools.setdefault(item.name, item) is not item:
            raise ValueError(f"two tools are called {item.name!r}")
    return Toolbox(tools.values(), approval_s=approval_s)


def load(modules: Iterable[str], *, approval_s: float = APPROVAL_S) -> Toolbox:
    """The functions marked with `@tool` in these modules. Raises ImportError, and
    ValueError where a module has none or a name is taken twice."""
    functions: list[Callable[..., Any]] = []
    for module_name in modules:
        module = importlib.import_module(module_name)
        found = [
            member
            for member in vars(module).values()
            if isinstance(getattr(member, "__tool__", None), FunctionTool)
        ]
        if not found:
            raise ValueError(f"{module_name} has no function marked with @tool")
        functions += found
    return collect(functions, approval_s=approval_s)
