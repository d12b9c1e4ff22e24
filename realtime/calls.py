"""A step's tool calls: asked for by the model, made side by side, an event for each change.

Like a run it writes nothing: whoever drives it records the events before it asks for more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import msgspec

from realtime.answer import as_object, as_text, result_text
from realtime.models import (
    AssistantText,
    Finished,
    Item,
    ToolCallReady,
    ToolCallStarted,
    ToolRequest,
    ToolResult,
)
from realtime.protocol import OPEN_TOOL, Event, ToolCall, clean, clean_text, to_json
from realtime.tools import Tool, Toolbox, ToolContext, ToolError, error_value

MAX_ARGUMENTS = 24 * 1024  # as JSON; with the longest output still below an event's bound


class Step:
    """One model call: its text, and the tool calls it asked for, in order."""

    def __init__(self, message_id: str, new_id: Callable[[], str]) -> None:
        self._message_id = message_id
        self._new_id = new_id
        self._ids: dict[str, str] = {}
        self.text = ""
        self.finished: Finished | None = None
        self.calls: dict[str, ToolCall] = {}

    def _event(self, key: str, name: str) -> ToolCall:
        call_id = self._ids.setdefault(key, self._new_id())
        return ToolCall(
            tool_call_id=call_id,
            name=clean_text(name)[:128],
            status="streaming",
            message_id=self._message_id,
        )

    def started(self, item: ToolCallStarted) -> ToolCall:
        return self._event(item.key, item.name)

    def ready(self, item: ToolCallReady) -> ToolCall:
        event = self._event(item.key, item.name)
        event.status = "ready"
        event.arguments = _recorded(item.arguments)
        self.calls[event.tool_call_id] = event
        return event

    def items(self) -> list[Item]:
        """The step as the context of the next one; the results keep the calls' order."""
        items: list[Item] = [AssistantText(clean_text(self.text))] if self.text else []
        calls = self.calls.values()
        items += [ToolRequest(c.tool_call_id, c.name, as_object(c.arguments)) for c in calls]
        items += [ToolResult(c.tool_call_id, result_text(c)) for c in calls]
        return items


def _recorded(arguments: str) -> object:
    """The arguments for the record: the JSON object, or the raw text where it is none."""
    text = clean_text(arguments)
    if len(to_json(text)) > MAX_ARGUMENTS:
        return text[: MAX_ARGUMENTS // 8] + "…"
    try:
        return clean(msgspec.json.decode(text or "{}"))
    except (msgspec.DecodeError, RecursionError):
        return text


async def call_all(
    step: Step, tools: Toolbox, context: Callable[[str], ToolContext]
) -> AsyncGenerator[list[Event], None]:
    """Make a step's open calls side by side; an event for each change, in the order it
    happens. No call begins before `running` was taken: a crash cannot hide its effect."""
    begun: list[Event] = []
    ready: list[tuple[ToolCall, Tool, dict[str, object]]] = []
    for call in list(step.calls.values()):
        if call.status not in OPEN_TOOL:
            continue
        try:
            found = tools.find(call.name)
            keywords = found.parse(as_text(call.arguments))
        except ToolError as error:
            step.calls[call.tool_call_id] = refused = _closed(call, error=error)
            begun.append(refused)
        else:
            begun.append(msgspec.structs.replace(call, status="running"))
            ready.append((call, found, keywords))
    if begun:
        yield begun
    tasks = {
        asyncio.create_task(
            _call(call, found, keywords, context(call.tool_call_id))
        ): call.tool_call_id
        for call, found, keywords in ready
    }
    try:
        while tasks:
            finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            closed: list[Event] = []
            for task in finished:
                step.calls[tasks.pop(task)] = event = task.result()
                closed.append(event)
            yield closed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _call(
    call: ToolCall, found: Tool, keywords: dict[str, object], context: ToolContext
) -> ToolCall:
    try:
        output = await found.call(keywords, context)
    except ToolError as error:
        return _closed(call, error=error)
    return _closed(call, output=output)


def _closed(call: ToolCall, *, output: object = None, error: ToolError | None = None) -> ToolCall:
    return msgspec.structs.replace(
        call,
        status="failed" if error else "completed",
        output=output,
        error=error_value(error) if error else None,
    )
