"""One assistant message as it grows: text, reasoning and tool calls, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO

import msgspec

from ..models import AssistantText, Item, Thought, ToolRequest, ToolResult
from ..protocol import OPEN_TOOL, Done, TextKind, Token, ToolCall, to_json, utf16_len
from .provider_state import ProviderState, kept


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

    @property
    def length(self) -> int:
        return utf16_len(self.text())

    def cut(self, offset: int) -> tuple[TextPart, TextPart]:
        """What comes before an offset inside of it, and the rest."""
        encoded = self.text().encode("utf-16-le", "surrogatepass")
        parts = TextPart(self.kind, self.offset), TextPart(self.kind, offset)
        place = 2 * (offset - self.offset)
        for part, piece in zip(parts, (encoded[:place], encoded[place:]), strict=True):
            part.buffer.write(piece.decode("utf-16-le", "replace"))
        return parts


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
        self.states: dict[str, ProviderState] = {}  # of calls
        self._thoughts: list[tuple[int, int, Thought]] = []  # steps before, offset
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
        if state := kept(event):
            self.states[event.tool_call_id] = state

    def close(self, event: Done) -> None:
        """The run that wrote it has ended."""
        if state := kept(event):
            self._thoughts += [
                (self.steps, offset, Thought(data, state.by)) for offset, data in state.thoughts
            ]

    def reset(self, offset: int) -> None:
        """Cut the text back to `offset`; what came after it is void, and so is a call that
        has not closed: no model finished the step that asked for it."""
        left: list[TextPart | StepPart] = []
        for part in self._parts:
            if isinstance(part, StepPart):
                open_calls = any(self.calls[call].status in OPEN_TOOL for call in part.calls)
                if part.offset > offset or open_calls:
                    continue
            elif part.kind == "text":
                if part.offset >= offset:
                    continue
                part, _ = part.cut(offset)
            left.append(part)
        self._parts = left
        self.length["text"] = min(self.length["text"], offset)
        placed = {call for part in left if isinstance(part, StepPart) for call in part.calls}
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
        texts: list[TextPart] = []  # of the step under way
        steps = 0
        for part in parts:
            if isinstance(part, TextPart):
                texts += [part] if part.kind == "text" else []
                continue
            calls = [self.calls[key] for key in part.calls]
            calls = [
                call
                for call in calls
                if call.status not in OPEN_TOOL and call.arguments is not None
            ]
            states = [self.states.get(call.tool_call_id) for call in calls]
            yield from _placed(texts, [*self._before(steps), *_thoughts(states[:1])])
            texts, steps = [], steps + 1
            for place, (call, state) in enumerate(zip(calls, states, strict=True)):
                yield from (thought for _, thought in (_thoughts([state]) if place else ()))
                yield requested(call, state)
            for call in calls:
                yield ToolResult(call.tool_call_id, result_text(call))
        going_on = [] if last_step else self.last_step()[:1]
        states = [self.states.get(call.tool_call_id) for call in going_on]
        yield from _placed(texts, [*self._before(steps), *_thoughts(states)])

    def _before(self, steps: int) -> list[tuple[int, Thought]]:
        """The thoughts of ended runs behind so many steps."""
        return [(offset, thought) for step, offset, thought in self._thoughts if step == steps]


def _thoughts(states: Sequence[ProviderState | None]) -> list[tuple[int, Thought]]:
    return [
        (offset, Thought(data, state.by))
        for state in states
        if state
        for offset, data in state.thoughts
    ]


def _placed(texts: list[TextPart], thoughts: list[tuple[int, Thought]]) -> Iterator[Item]:
    """Texts of one step, and where they stand between them its thoughts."""
    waiting = sorted(thoughts, key=lambda thought: thought[0])
    for text in texts:
        while waiting and waiting[0][0] < text.offset + text.length:
            offset, thought = waiting.pop(0)
            if offset > text.offset:
                before, text = text.cut(offset)
                yield AssistantText(before.text())
            yield thought
        yield AssistantText(text.text())
    yield from (thought for _, thought in waiting)


def requested(call: ToolCall, state: ProviderState | None) -> ToolRequest:
    """A call as the model that asked for it wants it back."""
    arguments = as_object(call.arguments)
    if state is None or not state.extra:
        return ToolRequest(call.tool_call_id, call.name, arguments)
    return ToolRequest(call.tool_call_id, call.name, arguments, state.extra, state.by)


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
