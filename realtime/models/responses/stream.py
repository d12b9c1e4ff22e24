"""The stream that answers, as events."""

from __future__ import annotations

from typing import Any

import msgspec

from ...protocol import TextKind
from .. import (
    Finished,
    ModelError,
    ModelEvent,
    TextDelta,
    Thought,
    ToolCallReady,
    ToolCallStarted,
)
from ..counts import usage_of
from ..errors import broken, failure, from_payload, reason
from ..sse import decode_json
from ..tags import Tags
from . import hosted
from .items import parts_of, said_in, thought_of


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: Any = None
    item: Any = None
    item_id: Any = None
    output_index: Any = None
    summary_index: Any = None
    text: Any = None
    arguments: Any = None
    response: Any = None
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

    def __init__(self, key: str, name: str) -> None:
        self.key = key
        self.name = name
        self.id: str | None = None  # what its result has to name
        self.arguments: list[str] = []
        self.whole: str | None = None  # once it is ready


class ResponsesDecoder:
    """Turns the payloads of one answer into events.

    A call is ready as soon as the model closed it, before the answer's end. `Finished`
    comes with the event that carries the usage; where that event means no whole answer,
    `broken` is set instead.
    """

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}  # by whatever names them
        self._known: list[_Call] = []
        self._tags: Tags | None = Tags()
        self._messages = 0  # items that were begun
        self._said = -1  # the one that the newest text is of
        self._thought: tuple[Any, Any] | None = None  # the part of the newest reasoning
        self._readable = True  # its reasoning is given to be sent back
        self._annotations: list[Any] = []  # of the message under way
        self.thinking = False
        """The model reasons or writes a call just now, perhaps in silence."""
        self.finished = False
        self.broken: ModelError | None = None

    @property
    def answered(self) -> bool:
        """The model has said that it is done; here the last event says so."""
        return self.finished

    def feed(self, payload: bytes) -> list[ModelEvent]:
        """The events of one payload. Raises `ModelError`, also for one in the stream."""
        event = decode_json(_decoder, payload)
        if kind := _TEXT.get(event.type):
            return self._text(event, kind)
        if event.error is not None:
            raise from_payload(decode_json(_any, payload))
        item = event.item if isinstance(event.item, dict) else {}
        events: list[ModelEvent] = []
        match event.type:
            case "response.output_item.added":
                self._added(item, event, events)
            case "response.function_call_arguments.delta":
                call = self._find(event.item_id, event.output_index)
                if call and isinstance(event.delta, str):
                    call.arguments.append(event.delta)
            case "response.function_call_arguments.done":
                if call := self._find(event.item_id, event.output_index):
                    self._end(call, event.arguments, events)
            case "response.output_item.done":
                self._done(item, event.output_index, events)
            case "response.output_text.annotation.added":
                self._annotations.append(decode_json(_any, payload).get("annotation"))
            case "response.output_text.done":
                self._say(event.text, events)
            case "response.completed" | "response.incomplete":
                response = event.response if isinstance(event.response, dict) else {}
                self._complete(response, events, event.type == "response.incomplete")
            case "response.failed":
                response = event.response if isinstance(event.response, dict) else {}
                raise from_payload(response.get("error"))
            case "error":
                raise from_payload(decode_json(_any, payload))
        return events

    def finish(self) -> list[ModelEvent]:
        """What is left to say at the end of the stream."""
        events: list[ModelEvent] = list(self._tags.finish()) if self._tags else []
        self._tags = None
        return events

    def done(self) -> list[ModelEvent]:
        """At `[DONE]`, by which some proxies end an answer: a text, but never a call."""
        events = self.finish()
        if not self.finished and self._said >= 0 and not self._known:
            self.finished = True
            events.append(Finished("stop"))
        return events

    # ------------------------------------------------------------- the text

    def _text(self, event: _Event, kind: TextKind) -> list[ModelEvent]:
        text = event.delta
        if not isinstance(text, str) or not text:
            return []
        if kind == "text":
            if self._tags is None and self._said == self._messages:
                return [TextDelta(text)]
            apart, self._said = 0 <= self._said < self._messages, self._messages
        else:
            part = (event.output_index, event.summary_index)
            apart, self._thought = self._thought not in (None, part), part
        if apart:
            text = "\n\n" + text  # another item or part is another paragraph
        if kind == "text" and self._tags:
            events: list[ModelEvent] = list(self._tags.feed(text))
            if self._tags.settled:
                self._tags = None
            self.thinking = self._tags is not None
            return events
        return [TextDelta(text, kind)]

    def _say(self, text: Any, events: list[ModelEvent]) -> None:
        """A text that came without pieces."""
        if self._said != self._messages:
            events += self._text(_Event(delta=text), "text")

    def _added(self, item: dict[str, Any], event: _Event, events: list[ModelEvent]) -> None:
        self.thinking = item.get("type") in ("reasoning", "function_call", *hosted.NAMES)
        if item.get("type") in hosted.NAMES:
            events.append(hosted.begun(item, event.output_index))
        if item.get("type") == "message":
            self._messages += 1
            self._annotations = []
            if phase := item.get("phase"):
                events.append(Thought({"phase": phase}))
        self._begin(item, event.output_index, events)

    def _done(self, item: dict[str, Any], index: Any, events: list[ModelEvent]) -> None:
        match item.get("type"):
            case "reasoning":
                events += (thought := thought_of(item))
                self._readable = self._readable and bool(thought)
            case "message":
                self._say(said_in(item), events)
                events += hosted.cited(parts_of(item), self._annotations)
            case kind if kind in hosted.NAMES:
                events.append(hosted.ended(item, index))
                if self._readable:  # without its reasoning no provider takes it back
                    events += hosted.kept(item)
            case _:
                self._close(item, index, events)

    # ------------------------------------------------------------ the calls
    # llama.cpp's server names them by `item_id` only, others by the index, too; some give a
    # new id with each event.

    def _find(self, item_id: Any, index: Any) -> _Call | None:
        if item_id is None and index is None:
            return next((c for c in reversed(self._known) if c.whole is None), None)
        return self._calls.get(f"item {item_id}") or self._calls.get(f"index {index}")

    def _begin(
        self, item: dict[str, Any], index: Any, events: list[ModelEvent], *, ends: bool = False
    ) -> _Call | None:
        """The call of an item, begun if it is new. One that `ends` may be known by its index
        alone; one that begins under an index that was given before is another."""
        name = item.get("name")
        if item.get("type") != "function_call" or not isinstance(name, str) or not name:
            return None
        call_id, id = item.get("call_id"), item.get("id")
        call = self._calls.get(f"call {call_id}") or self._calls.get(f"item {id}")
        if call is None:
            known = self._calls.get(f"index {index}") if call_id or id or index else None
            if index is None and ends and not (call_id or id):
                known = self._find(None, None)
            if known and known.name == name and (known.whole is None if ends else not call_id):
                call = known
        if call is None:
            call = _Call(str(len(self._known)), name)
            self._known.append(call)
            events.append(ToolCallStarted(call.key, call.name))
        for kind, given in (("call", call_id), ("item", id), ("index", index)):
            if given is not None:
                self._calls[f"{kind} {given}"] = call
        if call.id is None and call_id is not None:
            call.id = str(call_id)
        return call

    def _close(self, item: dict[str, Any], index: Any, events: list[ModelEvent]) -> None:
        call = self._begin(item, index, events, ends=True)
        if call and item.get("status") != "incomplete":
            self._end(call, item.get("arguments"), events)

    def _end(self, call: _Call, arguments: Any, events: list[ModelEvent]) -> None:
        """The call is whole. What its pieces said counts before an end that says nothing."""
        if call.whole is None:
            given = _argument_text(arguments)
            call.whole = given if given.strip() else "".join(call.arguments)
            events.append(ToolCallReady(call.key, call.name, call.whole, call.id))

    def _listed(self, items: list[dict[str, Any]], events: list[ModelEvent]) -> None:
        """The calls that the end of the answer lists. Proxies give them other ids there, so one
        with the name and the arguments of a call that is known is that call."""
        left = list(self._known)
        others = []
        for item in items:
            call = self._calls.get(f"call {item.get('call_id')}")
            call = call or self._calls.get(f"item {item.get('id')}")
            if call in left:
                left.remove(call)
                self._close(item, None, events)
            elif call is None:
                others.append(item)
        for item in others:
            same = next((call for call in left if _same(call, item)), None)
            if same is None:
                self._close(item, None, events)
                continue
            left.remove(same)
            if item.get("status") != "incomplete":
                self._end(same, item.get("arguments"), events)

    def _complete(self, response: dict[str, Any], events: list[ModelEvent], cut: bool) -> None:
        output = response.get("output")
        items = [i for i in output if isinstance(i, dict)] if isinstance(output, list) else []
        if self._said < 0:
            for item in items:
                if item.get("type") == "message":
                    self._messages += 1
                    self._say(said_in(item), events)
                    events += hosted.cited(parts_of(item))
        self._listed([i for i in items if i.get("type") == "function_call"], events)
        events += self.finish()
        if usage := usage_of(response.get("usage")):
            events.append(usage)
        details = response.get("incomplete_details")
        why = details.get("reason") if isinstance(details, dict) else None
        if why or cut or response.get("status") == "incomplete":
            known = reason(str(why)) if why else "length"
            if known is None:
                self.broken = broken(str(why))
                return
            events.append(Finished("content_filter" if known == "content_filter" else "length"))
        elif all(self._whole(call, events) for call in self._known):
            events.append(Finished("tool_calls" if self._known else "stop"))
        else:
            self.broken = failure("cut", detail="Its end came before that of a call.")
            return
        self.finished = True

    def _whole(self, call: _Call, events: list[ModelEvent]) -> bool:
        """Whether a call is whole at the end of the answer, which some proxies do not tell."""
        if call.whole is None and _is_object("".join(call.arguments)):
            self._end(call, None, events)
        return call.whole is not None


def _same(call: _Call, item: dict[str, Any]) -> bool:
    """Whether an item is a call that came under another id."""
    if call.name != item.get("name"):
        return False
    if call.whole is None:
        return True
    given = _argument_text(item.get("arguments"))
    try:
        return bool(_any.decode(call.whole or "{}") == _any.decode(given or "{}"))
    except (msgspec.DecodeError, RecursionError):
        return call.whole == given


def _is_object(text: str) -> bool:
    try:
        return isinstance(_any.decode(text), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _argument_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()
