"""The Responses API: the request we send and the stream we get. No I/O.

Nothing is stored with the provider (`store: false`) unless its answers are to outlive our
connection: the session's log is the only memory, and each request brings its whole context.
"""

from __future__ import annotations

from typing import Any

import msgspec

from realtime.models import (
    AssistantText,
    Finished,
    Item,
    ModelEvent,
    Request,
    TextDelta,
    Thought,
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


def body(
    model: str, request: Request, *, background: bool = False, extras: bool = False
) -> dict[str, Any]:
    """The JSON body of `POST /responses`. `background`: the answer goes on at the provider
    when its connection breaks, which needs it stored there. `extras`: ask for what a
    reasoning model wants back with its tools' results, and for summaries of its thoughts."""
    result: dict[str, Any] = {
        "model": model,
        "input": [_input(item) for item in request.context],
        "store": background,
        "stream": True,
    }
    if background:
        result["background"] = True
    reasoning = {"summary": "auto"} if extras else {}
    if request.options.reasoning_effort:
        reasoning["effort"] = request.options.reasoning_effort
    if reasoning:
        result["reasoning"] = reasoning
    if extras and request.tools:
        result["include"] = [ENCRYPTED]
    if request.options.temperature is not None:
        result["temperature"] = request.options.temperature
    if request.options.max_output_tokens:
        result["max_output_tokens"] = request.options.max_output_tokens
    if request.instructions:
        result["instructions"] = request.instructions
    if request.tools:
        # Strict schemas forbid optional arguments, which tools here may have.
        result["tools"] = [
            {"type": "function", **msgspec.to_builtins(tool), "strict": False}
            for tool in request.tools
        ]
    return result


ENCRYPTED = "reasoning.encrypted_content"


def _input(item: Item) -> dict[str, Any]:
    match item:
        case Thought(data):
            return data
        case UserText(text):
            return {"role": "user", "content": text}
        case AssistantText(text):
            return {"role": "assistant", "content": text}
        case ToolRequest(tool_call_id, name, arguments):
            return {
                "type": "function_call",
                "call_id": tool_call_id,
                "name": name,
                "arguments": arguments,
            }
        case ToolResult(tool_call_id, output):
            return {
                "type": "function_call_output",
                "call_id": tool_call_id,
                "output": output,
            }


# ------------------------------------------------------------------ the answer


class _Item(msgspec.Struct):
    type: str | None = None
    id: str | None = None
    name: str | None = None
    arguments: str | None = None
    status: str | None = None


class _InputDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    output: list[_Item] | None = None
    usage: _Usage | None = None
    incomplete_details: _Incomplete | None = None
    error: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: Any = None
    item: _Item | None = None
    item_id: str | None = None
    output_index: int | None = None
    arguments: str | None = None
    response: _Response | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Event)
_any = msgspec.json.Decoder()

_TEXT: dict[str, TextKind] = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
}


class _Call:
    """A tool call under way."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.name = ""
        self.arguments: list[str] = []
        self.ready = False


class ResponsesDecoder:
    """Turns the payloads of one answer into events.

    A call is ready as soon as the model closed it, before the answer's end. `Finished`
    comes with the event that carries the usage.
    """

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}
        self.thinking = False
        """The model reasons just now, perhaps in silence."""
        self.finished = False

    @property
    def answered(self) -> bool:
        """The model said that it is done; here it says so with the last event."""
        return self.finished

    def feed(self, payload: bytes) -> list[ModelEvent]:
        """The events of one payload. Raises `ModelError`, also for one in the stream."""
        event = decode_json(_decoder, payload)
        if kind := _TEXT.get(event.type):
            return [TextDelta(event.delta, kind)] if isinstance(event.delta, str) else []
        if event.error is not None:
            raise from_payload(decode_json(_any, payload))
        events: list[ModelEvent] = []
        match event.type:
            case "response.output_item.added":
                if event.item:
                    self.thinking = event.item.type == "reasoning"
                    self._begin(event.item, event.output_index, events)
            case "response.function_call_arguments.delta":
                call = self._find(event.item_id, event.output_index)
                if call and isinstance(event.delta, str):
                    call.arguments.append(event.delta)
            case "response.function_call_arguments.done":
                if call := self._find(event.item_id, event.output_index):
                    self._end(call, event.arguments, events)
            case "response.output_item.done":
                if event.item and event.item.type == "reasoning":
                    events += _thought(payload)
                elif event.item:
                    self._close(event.item, event.output_index, events)
            case "response.completed" | "response.incomplete":
                self._complete(event.type, event.response or _Response(), events)
            case "response.failed":
                raise from_payload(event.response.error if event.response else None)
            case "error":
                raise from_payload(decode_json(_any, payload))
        return events

    def finish(self) -> list[ModelEvent]:
        """What is left to say at the end of the stream: nothing, the events said it."""
        return []

    # The calls. llama.cpp's server names them by `item_id` only, others by the index, too.

    def _find(self, item_id: str | None, index: int | None) -> _Call | None:
        return self._calls.get(f"item {item_id}") or self._calls.get(f"index {index}")

    def _begin(self, item: _Item, index: int | None, events: list[ModelEvent]) -> _Call | None:
        """The call of an item, begun if it is new."""
        if item.type != "function_call" or not item.name:
            return None
        call = self._find(item.id, index)
        if call is None:
            call = _Call(str(len({call.key for call in self._calls.values()})))
            call.name = item.name
            if item.id is not None:
                self._calls[f"item {item.id}"] = call
            if index is not None:
                self._calls[f"index {index}"] = call
            events.append(ToolCallStarted(call.key, call.name))
        return call

    def _close(self, item: _Item, index: int | None, events: list[ModelEvent]) -> None:
        call = self._begin(item, index, events)
        if call and item.status != "incomplete":
            self._end(call, item.arguments, events)

    def _end(self, call: _Call, arguments: str | None, events: list[ModelEvent]) -> None:
        if not call.ready:
            call.ready = True
            whole = "".join(call.arguments) if arguments is None else arguments
            events.append(ToolCallReady(call.key, call.name, whole))

    def _complete(self, type: str, response: _Response, events: list[ModelEvent]) -> None:
        for index, item in enumerate(response.output or ()):
            self._close(item, index, events)  # calls that no event announced
        usage = response.usage
        if usage and (usage.input_tokens or usage.output_tokens):
            read, written = usage.input_tokens_details, usage.output_tokens_details
            events.append(
                Usage(
                    input_tokens=usage.input_tokens or 0,
                    output_tokens=usage.output_tokens or 0,
                    reasoning_tokens=written.reasoning_tokens if written else None,
                    cached_tokens=read.cached_tokens if read else None,
                )
            )
        details = response.incomplete_details
        if details and details.reason == "content_filter":
            events.append(Finished("content_filter"))
        elif (details and details.reason) or type == "response.incomplete":
            events.append(Finished("length"))
        else:
            ready = any(call.ready for call in self._calls.values())
            events.append(Finished("tool_calls" if ready else "stop"))
        self.finished = True


def _thought(payload: bytes) -> list[ModelEvent]:
    """A reasoning item in the form in which the next request brings it back; none where the
    provider keeps it to itself."""
    item = decode_json(_any, payload)["item"]
    if not item.get("encrypted_content"):
        return []
    names = ("type", "id", "summary", "encrypted_content")
    return [Thought({name: item[name] for name in names if name in item})]
