"""One assistant message as it grows: text, reasoning and tool calls, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

import msgspec

from realtime.models import AssistantText, Item, ToolRequest, ToolResult
from realtime.protocol import OPEN_TOOL, TextKind, Token, ToolCall, to_json, utf16_len


class TextPart:
    """A stretch of text of one kind, beginning at `offset` of that kind.

    It grows in one buffer: a list of pieces would be walked by each full garbage collection.
    """

    def __init__(self, kind: TextKind, offset: int) -> None:
        self.kind = kind
        self.offset = offset
        self.buffer = StringIO()

    def text(self) -> str:
        return self.buffer.getvalue()


class StepPart:
    """The tool calls that the model asked for in one step, at `offset` of the text."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.calls: list[str] = []


class Answer:
    """The fold of a message's `token` and `tool_call` events."""

    def __init__(self) -> None:
        self.message_id = ""
        self.length: dict[TextKind, int] = {"text": 0, "reasoning": 0}
        self.calls: dict[str, ToolCall] = {}
        self._parts: list[TextPart | StepPart] = []

    def add_text(self, token: Token) -> None:
        last = self._parts[-1] if self._parts else None
        if not isinstance(last, TextPart) or last.kind != token.kind:
            last = TextPart(token.kind, token.offset)
            self._parts.append(last)
        last.buffer.write(token.delta)
        self.length[token.kind] = token.offset + utf16_len(token.delta)

    def set_call(self, event: ToolCall) -> None:
        if event.tool_call_id not in self.calls:
            last = self._parts[-1] if self._parts else None
            # a step is over once one of its calls has closed: the next call begins another
            if not isinstance(last, StepPart) or any(
                self.calls[call].status not in OPEN_TOOL for call in last.calls
            ):
                last = StepPart(self.length["text"])
                self._parts.append(last)
            last.calls.append(event.tool_call_id)
        self.calls[event.tool_call_id] = event

    def reset(self, offset: int) -> None:
        """Cut the text back to `offset`; what came after it is void, and so is a call that
        has not closed: no model finished the step that asked for it."""
        kept: list[TextPart | StepPart] = []
        for part in self._parts:
            if isinstance(part, StepPart):
                open_calls = any(self.calls[call].status in OPEN_TOOL for call in part.calls)
                if part.offset > offset or open_calls:
                    continue
            elif part.kind == "text":
                if part.offset >= offset:
                    continue
                room = offset - part.offset
                encoded = part.text().encode("utf-16-le", "surrogatepass")[: 2 * room]
                part = TextPart("text", part.offset)
                part.buffer.write(encoded.decode("utf-16-le", "replace"))
            kept.append(part)
        self._parts = kept
        self.length["text"] = min(self.length["text"], offset)
        placed = {call for part in kept if isinstance(part, StepPart) for call in part.calls}
        self.calls = {key: call for key, call in self.calls.items() if key in placed}

    def open_calls(self) -> list[ToolCall]:
        return [call for call in self.calls.values() if call.status in OPEN_TOOL]

    def text(self) -> str:
        """The text of the answer, without reasoning."""
        return "".join(
            part.text()
            for part in self._parts
            if isinstance(part, TextPart) and part.kind == "text"
        )

    @property
    def steps(self) -> int:
        """Steps that asked for tools."""
        return sum(isinstance(part, StepPart) for part in self._parts)

    def last_step(self) -> list[ToolCall]:
        """The calls that the answer ends with, in their order; none where it ends with text."""
        last = self._parts[-1] if self._parts else None
        return [self.calls[key] for key in last.calls] if isinstance(last, StepPart) else []

    def size(self) -> int:
        """Characters of everything the model wrote, for an estimate of tokens."""
        calls = sum(len(call.name) + len(as_text(call.arguments)) for call in self.calls.values())
        return self.length["text"] + self.length["reasoning"] + calls

    def items(self, *, last_step: bool = True) -> Iterator[Item]:
        """The answer as a model's context, with or without the calls that it ends with; a
        call that never ran is left out."""
        parts = self._parts if last_step or not self.last_step() else self._parts[:-1]
        for part in parts:
            if isinstance(part, TextPart):
                if part.kind == "text":
                    yield AssistantText(part.text())
                continue
            calls = [self.calls[key] for key in part.calls]
            calls = [
                call
                for call in calls
                if call.status not in OPEN_TOOL and call.arguments is not None
            ]
            for call in calls:
                yield ToolRequest(call.tool_call_id, call.name, as_object(call.arguments))
            for call in calls:
                yield ToolResult(call.tool_call_id, result_text(call))


def as_text(value: object) -> str:
    """Arguments or output as the model reads them: a string as it is, the rest as JSON."""
    return value if isinstance(value, str) else to_json(value).decode()


def as_object(arguments: object) -> str:
    """Arguments as a provider takes them back: strict servers refuse what is no object."""
    return to_json(arguments).decode() if isinstance(arguments, dict) else "{}"


def result_text(call: ToolCall) -> str:
    """What a closed call tells the model."""
    if call.error is not None:
        return to_json({"error": msgspec.to_builtins(call.error)}).decode()
    if call.status == "completed":
        return as_text(call.output)
    return to_json(
        {"error": {"code": call.status, "message": f"the call was {call.status}"}}
    ).decode()
