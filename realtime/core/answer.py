"""One assistant message as it grows: text, reasoning and tool calls, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import pairwise
from typing import Any

import msgspec

from ..models import AssistantText, Item, Thought, ToolRequest, ToolResult, UserText
from ..protocol import (
    OPEN_TOOL,
    CitedSource,
    Done,
    TextKind,
    Token,
    ToolCall,
    UserMessage,
    to_json,
    utf16_len,
)
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


class CallPart:
    """A tool call, asked for at `offset` of the text."""

    def __init__(self, tool_call_id: str, offset: int, *, hosted: bool) -> None:
        self.id = tool_call_id
        self.offset = offset
        self.hosted = hosted


class StepFold:
    """What one model call, or several that went on with its text, wrote, in the order in which it
    was written. `thoughts`: of runs that ended in it, each with its place in the text. `said`: the
    messages that the answer took in before it."""

    def __init__(self) -> None:
        self.said: list[UserMessage] = []
        self.parts: list[TextPart | CallPart] = []
        self.thoughts: list[tuple[int, Thought]] = []

    @property
    def calls(self) -> list[str]:
        """Those that are made here; one that the provider makes is a part of what it says."""
        return [part.id for part in self.parts if isinstance(part, CallPart) and not part.hosted]


class Answer:
    """The fold of a message's `token` and `tool_call` events."""

    def __init__(self) -> None:
        self.message_id = ""
        self.schema: dict[str, Any] | None = None  # that it is held to
        self.length: dict[TextKind, int] = {"text": 0, "reasoning": 0}
        self.calls: dict[str, ToolCall] = {}
        self.sources: set[CitedSource] = set()
        self._states: dict[str, ProviderState] = {}  # of calls
        self._steps: list[StepFold] = []
        self._growing: TextPart | None = None  # the newest part, where it is text

    def add_text(self, token: Token) -> None:
        part = self._growing
        if part is None or part.kind != token.kind:
            part = self._growing = self._text_part(token)
        part.buffer.write(token.delta)
        self.length[token.kind] = token.offset + utf16_len(token.delta)

    def _text_part(self, token: Token) -> TextPart:
        """The part that the token's text belongs to."""
        parts = self._step().parts
        last = parts[-1] if parts else None
        if not isinstance(last, TextPart) or last.kind != token.kind:
            last = TextPart(token.kind, token.offset)
            parts.append(last)
        return last

    def _step(self) -> StepFold:
        """The step under way. One is over once one of its calls has closed."""
        newest = self._steps[-1] if self._steps else None
        if newest is None or any(self.calls[call].status not in OPEN_TOOL for call in newest.calls):
            newest = StepFold()
            self._steps.append(newest)
        return newest

    def set_call(self, event: ToolCall) -> None:
        if event.tool_call_id not in self.calls:
            part = CallPart(event.tool_call_id, self.length["text"], hosted=event.hosted)
            self._step().parts.append(part)
        self._growing = None
        self.calls[event.tool_call_id] = event
        if state := kept(event):
            self._states[event.tool_call_id] = state

    def take_in(self, message: UserMessage) -> None:
        """A user's message becomes a part of the answer, behind the step that is over."""
        self._step().said.append(message)
        self._growing = None

    def close(self, event: Done) -> None:
        """The run that wrote it has ended."""
        if state := kept(event):
            self._step().thoughts += [
                (offset, Thought(data, state.by)) for offset, data in state.thoughts
            ]

    def reset(self, offset: int) -> None:
        """Cut the text back to `offset`; what came after it is void, and so is a call that
        has not closed: no model finished the step that asked for it."""
        for step in self._steps:
            left: list[TextPart | CallPart] = []
            unfinished = any(self.calls[call].status in OPEN_TOOL for call in step.calls)
            for part in step.parts:
                if isinstance(part, CallPart):
                    is_open = self.calls[part.id].status in OPEN_TOOL
                    if part.offset > offset or (is_open if part.hosted else unfinished):
                        del self.calls[part.id]
                        continue
                elif part.kind == "text":
                    if part.offset >= offset:
                        continue
                    part, _ = part.cut(offset)
                left.append(part)
            step.parts = left
        self._growing = None
        self.length["text"] = min(self.length["text"], offset)
        self.sources = {source for source in self.sources if (source.end or 0) <= offset}

    def open_calls(self) -> list[ToolCall]:
        return [call for call in self.calls.values() if call.status in OPEN_TOOL]

    def text(self) -> str:
        """The text of the answer, without reasoning."""
        return _text(self._steps)

    def text_from(self, offset: int) -> str:
        """The text behind an offset, without the line feeds that set it apart."""
        encoded = self.text().encode("utf-16-le", "surrogatepass")
        return encoded[2 * offset :].decode("utf-16-le", "replace").lstrip("\n")

    @property
    def asked(self) -> int:
        """Calls that the model asked for; those of its provider are not counted."""
        return sum(not call.hosted for call in self.calls.values())

    def newest_text(self) -> str:
        """The text since the last calls."""
        return _text(self._steps[-1:])

    @property
    def steered(self) -> list[UserMessage]:
        """The messages that it took in, in their order."""
        return [message for step in self._steps for message in step.said]

    def stretches(self) -> Iterator[tuple[list[UserMessage], list[ToolCall | str]]]:
        """The answer, cut where it took messages in: those, and the calls and the text up to the
        next ones, as they were written. The first stretch has no messages."""
        later = (place for place, step in enumerate(self._steps) if step.said)
        for begin, end in pairwise([0, *later, len(self._steps)]):
            steps = self._steps[begin:end]
            yield steps[0].said if steps else [], list(self._written(steps))

    def _written(self, steps: Iterable[StepFold]) -> Iterator[ToolCall | str]:
        """Calls, and the texts between them, without reasoning."""
        text = ""
        for step in steps:
            for part in step.parts:
                if isinstance(part, TextPart):
                    text += part.text() if part.kind == "text" else ""
                    continue
                if text:
                    yield text
                yield self.calls[part.id]
                text = ""
        if text:
            yield text

    @property
    def steps(self) -> int:
        """Steps that asked for tools."""
        return sum(bool(step.calls) for step in self._steps)

    def last_step(self) -> list[ToolCall]:
        """The calls of the newest step, in their order; none where it asked for none."""
        written = [step for step in self._steps if step.parts]
        return [self.calls[key] for key in written[-1].calls] if written else []

    def size(self) -> int:
        """Characters of everything the model wrote, for an estimate of tokens."""
        calls = sum(len(call.name) + len(as_text(call.arguments)) for call in self.calls.values())
        return self.length["text"] + self.length["reasoning"] + calls

    def items(self) -> Iterator[Item]:
        """The answer as a model's context: each step as it was written, then the results of its
        calls; a call that never ran is left out. Messages stand before the step that heard them."""
        for step in self._steps:
            for message in step.said:
                yield UserText(message.text, files=message.files, steers=True)
            results: list[Item] = []
            texts: list[TextPart] = []  # since the call before
            thoughts = step.thoughts
            for part in step.parts:
                if isinstance(part, TextPart):
                    texts += [part] if part.kind == "text" else []
                    continue
                if part.hosted:
                    continue
                call, state = self.calls[part.id], self._states.get(part.id)
                if call.status in OPEN_TOOL or call.arguments is None:
                    continue
                yield from _placed(texts, [*thoughts, *_thoughts(state)])
                yield requested(call, state)
                results.append(ToolResult(call.tool_call_id, result_text(call)))
                texts, thoughts = [], []
            yield from _placed(texts, thoughts)
            yield from results


def _text(steps: Iterable[StepFold]) -> str:
    return "".join(
        part.text()
        for step in steps
        for part in step.parts
        if isinstance(part, TextPart) and part.kind == "text"
    )


def _thoughts(state: ProviderState | None) -> list[tuple[int, Thought]]:
    """What led to a call."""
    return [(at, Thought(data, state.by)) for at, data in state.thoughts] if state else []


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
