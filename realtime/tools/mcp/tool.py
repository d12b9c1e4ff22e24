"""One tool of an MCP server, under the rules that every tool has."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mcp import MCPError

from ...models import ToolSpec
from ...protocol import MAX_FILES
from ..checkable import checkable
from ..context import ToolContext, ToolError
from ..tool import Tool
from ..validation import Schema, Uncheckable
from .results import contents, files
from .wire import asked

if TYPE_CHECKING:
    from .servers import ServerConnection

logger = logging.getLogger(__name__)


class McpTool(Tool):
    """One tool of a server."""

    def __init__(self, server: ServerConnection, name: str, described: dict[str, Any]) -> None:
        """Raises `Unfit` where no model can be offered it."""
        config = server.config
        schema = described.get("inputSchema") or {}
        texts = [described.get(key) for key in ("description", "title")]
        description = next((text for text in texts if isinstance(text, str) and text), name)
        super().__init__(
            ToolSpec(f"{server.name}__{name}", description, schema),
            deadline_s=config.deadline_s,
            repeatable=_named(config.repeatable, name),
            approval=_named(config.approval, name),
        )
        self._schema = Schema(checkable(schema))
        self._server = server
        self._listed_as = name

    def validate(self, arguments: Any) -> dict[str, Any]:
        if not isinstance(arguments, dict):
            raise ToolError("the arguments are not a JSON object", "bad_arguments")
        try:
            problems = self._schema.problems(arguments)
        except Uncheckable as error:  # the server checks, too
            logger.debug("what %s is given %s", self.name, error)
            return arguments
        if problems:
            raise ToolError("; ".join(problems), "bad_arguments")
        return arguments

    async def invoke(self, keywords: dict[str, Any], context: ToolContext) -> Any:
        async def told(progress: float, total: float | None, message: str | None) -> None:
            context.progress(progress / total if total else None, message)

        server = self._server
        for last in (False, True):
            session = await server.session()
            try:
                with server.calling():
                    result = await asked(session, self._listed_as, keywords, told)
                returned = contents(result)
                for file in files(result)[:MAX_FILES]:
                    context.add_file(*file)
                return returned
            except MCPError as error:
                if last or not await server.not_made(error, session):
                    raise server.told(error) from None
        raise AssertionError("a second try returns or raises")


def _named(which: bool | Iterable[str], name: str) -> bool:
    return which if isinstance(which, bool) else name in which
