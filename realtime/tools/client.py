"""Tools that run in a front end, and the tools of a session: the server's and those."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from ..models import ToolSpec
from ..protocol import ProtocolError, ToolDeclaration, to_json
from .checkable import Unfit, checkable
from .context import ToolContext, ToolError, error_value
from .tool import MAX_TOOLS, Tool, Toolbox
from .validation import Schema, Uncheckable

MAX_DECLARED = 16
MAX_DECLARED_BYTES = 8 * 1024


class DeclaredTool(Tool):
    """A tool that a client declared."""

    def __init__(self, given: ToolDeclaration) -> None:
        """Raises `Unfit` where no model can be offered it."""
        spec = ToolSpec(given.name, given.description, given.parameters)
        super().__init__(spec, deadline_s=given.deadline_s, client=True)
        self._schema = Schema(checkable(given.parameters, patterns=False))

    def validate(self, arguments: Any) -> dict[str, Any]:
        if not isinstance(arguments, dict):
            raise ToolError("the arguments are not a JSON object", "bad_arguments")
        try:
            problems = self._schema.problems(arguments)
        except Uncheckable as error:
            raise ToolError(f"arguments: {error}", "bad_arguments") from None
        if problems:
            raise ToolError("; ".join(problems), "bad_arguments")
        return arguments

    async def invoke(self, keywords: dict[str, Any], context: ToolContext) -> Any:
        raise AssertionError("it runs in the client")


class Tools(Protocol):
    """What a run may call."""

    @property
    def approval_s(self) -> float: ...
    @property
    def specs(self) -> tuple[ToolSpec, ...]: ...
    def find(self, name: str) -> Tool:
        """Raises `ToolError("unknown_tool")`."""
        ...


class SessionTools:
    """The tools of one session. Those that its clients declare are kept as long as the session
    is in memory: a device that is away for a moment still has its tools."""

    def __init__(self, box: Toolbox, *, open: bool) -> None:
        self._box = box
        self._open = open
        self._declared: dict[str, Tool] = {}

    @property
    def approval_s(self) -> float:
        return self._box.approval_s

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        own = self._box.specs
        if not self._declared:
            return own
        names = {spec.name for spec in own}
        more = [tool.spec for tool in self._declared.values() if tool.spec.name not in names]
        return (*own, *more)[:MAX_TOOLS]

    def find(self, name: str) -> Tool:
        tool = self._declared.get(name)
        return tool if tool and not self._box.has(name) else self._box.find(name)

    def repeatable(self, name: str) -> bool:
        return self._box.repeatable(name)

    def check_edit(self, name: str, arguments: dict[str, Any]) -> None:
        """Whether a call may be made with these arguments of a person's. Raises `bad_request`."""
        try:
            tool = self.find(name)
            if not tool.editable:
                raise ToolError(f"{name} does not let its arguments be changed")
            tool.parse(to_json(arguments).decode())
        except ToolError as error:
            raise ProtocolError("bad_request", f"arguments: {error_value(error).message}") from None

    def declare(self, given: Iterable[ToolDeclaration]) -> None:
        """Offer these too. The newest of a name counts; beyond the limit the oldest give way.
        Raises `bad_request`."""
        for tool in self.read(given):
            self._declared.pop(tool.spec.name, None)
            self._declared[tool.spec.name] = tool
        while len(self._declared) > MAX_DECLARED:
            del self._declared[next(iter(self._declared))]

    def read(self, given: Iterable[ToolDeclaration]) -> list[Tool]:
        """The tools that a client declares. Raises `bad_request`."""
        tools: dict[str, Tool] = {}
        for item in given:
            if not self._open:
                raise refused("this server takes no tools of clients; CLIENT_TOOLS=true allows it")
            if self._box.has(item.name):
                raise refused(f"{item.name} is the name of one of the server's own")
            if item.name in tools:
                raise refused(f"two are called {item.name}")
            if len(to_json(item)) > MAX_DECLARED_BYTES:
                raise refused(f"{item.name} is longer than {MAX_DECLARED_BYTES} bytes as JSON")
            try:
                tool = DeclaredTool(item)
            except Unfit as error:
                raise refused(str(error)) from None
            if tool.spec.name != item.name:
                raise refused(f"{item.name!r} must be 1 to 64 of a-z A-Z 0-9 _ -, no digit first")
            tools[item.name] = tool
        return list(tools.values())


def refused(why: str) -> ProtocolError:
    return ProtocolError("bad_request", f"tools: {why}")
