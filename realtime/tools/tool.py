"""A tool as the server sees it: a spec, limits, and a call that always comes to an end."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ..models import ToolSpec
from ..protocol import from_json, readable, to_json
from .checkable import Unfit
from .context import ToolContext, ToolError
from .output import Output, written
from .schema import fit
from .threads import bounded, in_thread

DEADLINE_S = 30.0
APPROVAL_S = 900.0
MAX_DEFAULTS = 4096  # bytes of them as JSON
MAX_TOOLS = 128  # as many as OpenAI takes in one request

Approval = bool | Callable[..., bool]
logger = logging.getLogger(__name__)


class Tool:
    """What the model may call. Subclasses say how: `validate` and `invoke`.

    `name` is the tool's own. `spec` is what models are offered; `changes` says how it differs.
    A tool of a `client` runs in a front end: it is never invoked here.
    """

    def __init__(
        self,
        spec: ToolSpec,
        *,
        deadline_s: float = DEADLINE_S,
        repeatable: bool = False,
        approval: Approval = False,
        editable: bool = True,
        client: bool = False,
    ) -> None:
        """Raises `Unfit` where no model can be offered the tool."""
        if inspect.iscoroutinefunction(approval):
            raise TypeError(f"tool {spec.name}: an approval rule must be a plain function")
        self.name = spec.name
        try:
            self.spec, self.changes = fit(spec)
        except Unfit as error:
            raise Unfit(f"tool {spec.name} cannot be offered to a model: {error}") from None
        self.deadline_s = deadline_s
        self.repeatable = repeatable
        self.editable = editable
        self.client = client
        self._approval = approval

    def validate(self, arguments: Any) -> dict[str, Any]:
        """The arguments as keywords. Raises `ToolError("bad_arguments")`."""
        raise NotImplementedError

    async def invoke(self, keywords: dict[str, Any], context: ToolContext) -> Any:
        """Do it. It may raise anything, hang, or refuse to be cancelled."""
        raise NotImplementedError

    def parse(self, text: str) -> dict[str, Any]:
        """The model's arguments as keywords for the call.

        Raises `ToolError("bad_arguments")` that tells the model what to mend.
        """
        try:
            arguments = from_json(text or "{}")
        except ValueError as error:
            raise ToolError(
                f"the arguments are not JSON that can be used: {error}", "bad_arguments"
            ) from None
        try:
            return self.validate(arguments)
        except ToolError:
            raise
        except BaseException as error:  # a validator of the tool's own may call sys.exit
            logger.warning("tool %s failed to check its arguments", self.name, exc_info=True)
            raise ToolError(
                f"the tool could not check them: {type(error).__name__}", "bad_arguments"
            ) from None

    def defaults(self, arguments: Any) -> dict[str, Any]:
        """What the schema says of arguments that were left out; nothing where that is long, or
        cannot be shown."""
        given = arguments if isinstance(arguments, dict) else {}
        left_out = {
            name: schema["default"]
            for name, schema in self.spec.parameters.get("properties", {}).items()
            if name not in given and isinstance(schema, dict) and "default" in schema
        }
        try:
            return left_out if len(to_json(readable(left_out))) <= MAX_DEFAULTS else {}
        except ValueError:
            return {}

    async def needs_approval(self, keywords: dict[str, Any]) -> bool:
        """Whether a person must agree to a call. A rule that fails says that one must."""
        if isinstance(self._approval, bool):
            return self._approval
        try:
            async with asyncio.timeout(self.deadline_s):
                return await in_thread(partial(self._asks, self._approval, keywords))
        except (TimeoutError, RuntimeError):  # there may be no thread for it
            logger.warning("the approval rule of %s was not heard", self.name, exc_info=True)
            return True

    def _asks(self, rule: Callable[..., bool], keywords: dict[str, Any]) -> bool:
        try:
            return bool(rule(**keywords))
        except BaseException:  # sys.exit, or a cancellation that is nobody else's
            logger.warning("the approval rule of %s failed", self.name, exc_info=True)
            return True

    async def call(self, keywords: dict[str, Any], context: ToolContext) -> Output:
        """Call it, within its deadline. Raises `ToolError`, and nothing else."""
        work = await bounded(
            self._guarded(keywords, context), self.deadline_s, name=f"tool {self.name}"
        )
        if not work.done():
            raise ToolError(f"no result within {self.deadline_s:g} s", "timeout")
        if work.cancelled():
            raise ToolError("the tool cancelled itself", "internal")
        return work.result()

    async def _guarded(self, keywords: dict[str, Any], context: ToolContext) -> Output:
        """In a task of its own, so that cancelling that hurts nobody else."""
        try:
            result = await self.invoke(keywords, context)
            return await in_thread(partial(written, result))
        except (ToolError, asyncio.CancelledError):
            raise
        except BaseException as error:  # SystemExit, too, would go through the loop
            logger.warning("tool %s raised %s", self.name, type(error).__name__, exc_info=True)
            raise ToolError(f"the tool failed: {type(error).__name__}", "internal") from None


def some(names: list[str]) -> str:
    """The first names, and how many more there are, for a log line."""
    more = f" and {len(names) - 50} more" if len(names) > 50 else ""
    return ", ".join(names[:50]) + more


class Toolbox:
    """The tools of this server, by name. A call that needs approval waits `approval_s` for it."""

    def __init__(self, tools: Iterable[Tool] = (), *, approval_s: float = APPROVAL_S) -> None:
        self.approval_s = approval_s
        self._tools: dict[str, Tool] = {}
        self._own_names: dict[str, Tool] = {}
        self._offers: dict[str, list[Tool]] = {}
        self._said: set[str] = set()
        self.offer("", tools)

    def offer(self, source: str, tools: Iterable[Tool]) -> None:
        """What a source of tools has now. Of two tools of one name the first source's counts;
        what is over the limit is left out. Both are in the log, once."""
        self._offers[source] = list(tools)
        self._tools, left_out = {}, []
        for source, offer in self._offers.items():
            for tool in offer:
                name = tool.spec.name
                if name in self._tools:
                    where = f" of {source}" if source else ""
                    self._say(logging.WARNING, f"tool {name}{where} is hidden by an earlier one")
                elif len(self._tools) == MAX_TOOLS:
                    left_out.append(tool.name)
                else:
                    self._tools[name] = tool
                    if tool.changes:
                        changes = "; ".join(tool.changes)
                        self._say(logging.INFO, f"tool {tool.name} is adapted: {changes}")
        self._own_names = {tool.name: tool for tool in self._tools.values()}
        if left_out:
            self._say(
                logging.WARNING,
                f"a model can be offered {MAX_TOOLS} tools; these are left out: {some(left_out)}",
            )

    def _say(self, level: int, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            logger.log(level, "%s", line)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(tool.spec for tool in self._tools.values())

    def _get(self, name: str) -> Tool | None:
        return self._tools.get(name) or self._own_names.get(name)

    def has(self, name: str) -> bool:
        return self._get(name) is not None

    def name_of(self, name: str) -> str | None:
        """The name by which models are offered the tool."""
        tool = self._get(name)
        return tool.spec.name if tool else None

    def repeatable(self, name: str) -> bool:
        tool = self._get(name)
        return tool is not None and tool.repeatable

    def find(self, name: str) -> Tool:
        """By the name that is offered, or the tool's own. Raises `ToolError("unknown_tool")`
        that names the tools there are."""
        if tool := self._get(name):
            return tool
        known = ", ".join(self._tools) or "none"
        raise ToolError(f"unknown tool {name!r}; available: {known}", "unknown_tool")
