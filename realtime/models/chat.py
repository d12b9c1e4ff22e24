"""Chat Completions: the request we send and the stream we get. No I/O.

Every compatible server speaks it, each a little differently, so the decoder asks for
as little as it can: any field may be absent or null.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

from realtime.models import (
    AssistantText,
    Finished,
    ModelEvent,
    Request,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    ToolRequest,
    ToolResult,
    UserText,
)
from realtime.models.errors import from_payload
from realtime.models.sse import decode_json
from realtime.protocol import TextKind, Usage

# ----------------------------------------------------------------- the request


def body(model: str, request: Request, *, openai: bool = False) -> dict[str, Any]:
    """The JSON body of `POST /chat/completions`. `openai`: it goes to OpenAI itself, which has
    another name for the longest answer than all who followed it."""
    result: dict[str, Any] = {
        "model": model,
        "messages": _messages(request),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    options = request.options
    if options.temperature is not None:
        result["temperature"] = options.temperature
    if options.max_output_tokens:
        name = "max_completion_tokens" if openai else "max_tokens"
        result[name] = options.max_output_tokens
    if options.reasoning_effort:
        result["reasoning_effort"] = options.reasoning_effort
    if request.tools:
        result["tools"] = [
            {"type": "function", "function": msgspec.to_builtins(tool)} for tool in request.tools
        ]
    return result


def _messages(request: Request) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if request.instructions:
        messages.append({"role": "system", "content": request.instructions})
    for item in request.context:
        match item:
            case UserText(text):
                messages.append({"role": "user", "content": text})
            case AssistantText(text):
                messages.append({"role": "assistant", "content": text})
            case ToolRequest(tool_call_id, name, arguments):
                # The calls of a step are one message, together with the text before them.
                if not messages or messages[-1]["role"] != "assistant":
                    messages.append({"role": "assistant", "content": None})
                messages[-1].setdefault("tool_calls", []).append(
                    {
                        "id": tool_call_id,
                        "type": "function",
                        "function": {"name": name, "arguments": arguments},
                    }
                )
            case ToolResult(tool_call_id, output):
                messages.append({"role": "tool", "tool_call_id": tool_call_id, "content": output})
    return messages


# ------------------------------------------------------------------ the answer


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    object: str | None = None
    type: str | None = None


_decoder = msgspec.json.Decoder(_Chunk)
_any = msgspec.json.Decoder()

Reason = Literal["stop", "tool_calls", "length", "content_filter"]
_REASONS: dict[str, Reason] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
}


class _Call:
    """A tool call under way."""

    def __init__(self, key: str, index: int, id: str | None) -> None:
        self.key = key
        self.index = index
        self.id = id
        self.name = ""
        self.arguments: list[str] = []


class ChatDecoder:
    """Turns the payloads of one answer into events.

    A call is ready when the answer's finish reason says that the model meant to stop:
    an answer that was cut short (`length`, `content_filter`) has no call that is
    surely whole. Usage follows the finish reason, so `Finished` comes from `finish`.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self.thinking = False
        self._reason: Reason | None = None
        self._usage: _Usage | None = None

    @property
    def answered(self) -> bool:
        """The model said that it is done; only usage may still come."""
        return self._reason is not None

    @property
    def finished(self) -> bool:
        """`Finished` was given out. Here that is only done at the end of the stream."""
        return False

    def feed(self, payload: bytes) -> list[ModelEvent]:
        """The events of one payload. Raises `ModelError`, also for one in the stream."""
        chunk = decode_json(_decoder, payload)
        if chunk.error is not None or chunk.object == "error" or chunk.type == "error":
            raise from_payload(decode_json(_any, payload))
        if chunk.usage is not None:
            self._usage = chunk.usage  # some servers count up with every chunk
        if not chunk.choices:
            return []
        choice = chunk.choices[0]
        events: list[ModelEvent] = []
        if delta := choice.delta:
            if thought := delta.reasoning_content or delta.reasoning:
                events.append(TextDelta(thought, "reasoning"))
            if isinstance(delta.content, list):
                events += _parts(delta.content)
            elif text := delta.content:
                events.append(TextDelta(text))
            if refusal := delta.refusal:
                events.append(TextDelta(refusal))
            if delta.tool_calls:
                for piece in delta.tool_calls:
                    self._take(piece, events)
            if delta.function_call:
                self._take(_ToolCall(0, None, delta.function_call), events)
        if choice.finish_reason and self._reason is None:
            events += self._end(choice.finish_reason)
        return events

    def finish(self) -> list[ModelEvent]:
        """What is left to say at `[DONE]` or the clean end of the stream."""
        events: list[ModelEvent] = []
        usage = self._usage
        if usage and (usage.prompt_tokens or usage.completion_tokens):
            prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
            events.append(
                Usage(
                    input_tokens=usage.prompt_tokens or 0,
                    output_tokens=usage.completion_tokens or 0,
                    reasoning_tokens=completion.reasoning_tokens if completion else None,
                    cached_tokens=prompt.cached_tokens if prompt else None,
                )
            )
        if self._reason:
            events.append(Finished(self._reason))
        return events

    def _end(self, finish_reason: str) -> list[ModelEvent]:
        reason = _REASONS.get(finish_reason, "stop")
        if reason == "stop" and self._calls:
            reason = "tool_calls"  # what some servers mean by `stop`
        self._reason = reason
        if reason != "tool_calls":
            return []
        return [
            ToolCallReady(call.key, call.name, "".join(call.arguments))
            for call in sorted(self._calls, key=lambda call: call.index)
            if call.name
        ]

    def _take(self, piece: _ToolCall, events: list[ModelEvent]) -> None:
        function = piece.function or _Function()
        call = self._find(piece, function.name)
        if call is None:
            index = len(self._calls) if piece.index is None else piece.index
            call = _Call(str(len(self._calls)), index, piece.id or None)
            self._calls.append(call)
        call.id = call.id or piece.id
        if function.name and not call.name:
            call.name = function.name
            events.append(ToolCallStarted(call.key, call.name))
        match function.arguments:
            case str(text):
                call.arguments.append(text)
            case dict(arguments):
                call.arguments.append(json.dumps(arguments, ensure_ascii=False))

    def _find(self, piece: _ToolCall, name: str | None) -> _Call | None:
        """The call that a piece belongs to: the newest with its index, or else its id.

        Some servers give every call the index 0, or none; then a new id, or without
        ids a name after whole arguments, begins the next call. A later piece that
        merely repeats the id or the name does not.
        """
        if piece.index is not None:
            known = [call for call in self._calls if call.index == piece.index]
        else:
            known = [call for call in self._calls if piece.id and call.id == piece.id]
            if not known and not piece.id:
                known = self._calls
        if piece.id and (same := [call for call in known if call.id == piece.id]):
            return same[-1]
        call = known[-1] if known else None
        if call is None or not name or not call.name:
            return call
        if piece.id and call.id:
            return None
        return None if _is_json("".join(call.arguments)) else call


def _parts(parts: list[Any], kind: TextKind = "text") -> list[ModelEvent]:
    """Content in parts, as Mistral's reasoning models give it: texts, and thoughts of texts."""
    events: list[ModelEvent] = []
    for part in parts:
        match part:
            case str(text) | {"type": "text", "text": str(text)} if text:
                events.append(TextDelta(text, kind))
            case {"type": "thinking", "thinking": list(inner)}:
                events += _parts(inner, "reasoning")
            case {"type": "thinking", "thinking": str(text)} if text:
                events.append(TextDelta(text, "reasoning"))
    return events


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
