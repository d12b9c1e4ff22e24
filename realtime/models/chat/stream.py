"""The stream that answers, as events."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from ...protocol import TextKind, Usage
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
from ..errors import Reason, broken, from_payload, reason
from ..sse import decode_json
from ..tags import Tags
from .citations import Citations


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    annotations: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    message: Any = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None
    type: Any = None
    message: Any = None
    citations: Any = None
    search_results: Any = None


_decoder = msgspec.json.Decoder(_Chunk)
_any = msgspec.json.Decoder()


class _Call:
    """A tool call under way."""

    def __init__(self, key: str, index: object, id: str | None) -> None:
        self.key = key
        self.announced = ""  # under this name
        self.index = index
        self.id = id
        self.first_id = id
        self.name = ""
        self.arguments: list[str] = []
        self.extra: dict[str, Any] = {}

    @property
    def whole(self) -> str:
        return _once("".join(self.arguments))


class ChatDecoder:
    """Turns the payloads of one answer into events.

    A call is ready once a finish reason says that the answer is whole. After any other reason,
    or none, no call can be trusted to be whole. Usage follows the finish reason, and with some
    servers more of the answer: so the calls and `Finished` come from `finish`. `broken` is set by
    a reason that means no whole answer.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._tags: Tags | None = Tags()
        self._thoughts: dict[str, list[str]] = {}  # by the field that they came in
        self._details: list[dict[str, Any]] = []
        self._reason: Reason | None = None
        self._goes_on = False
        self._citations = Citations()
        self._usage: Usage | None = None
        self._spoke = False
        self.broken: ModelError | None = None
        self.thinking = False
        """The model reasons or writes a call just now, perhaps in silence."""

    @property
    def answered(self) -> bool:
        """The model has said that it is done; only usage may still come. A server that went on
        behind a reason gives one with each piece: its end is that of the stream."""
        return self._reason is not None and not self._goes_on

    @property
    def finished(self) -> bool:
        """Whether nothing can follow; here only `[DONE]` says that."""
        return False

    def feed(self, payload: bytes) -> list[ModelEvent]:
        """The events of one payload. Raises `ModelError`, also for one in the stream."""
        chunk = decode_json(_decoder, payload)
        if usage := usage_of(chunk.usage):
            self._usage = usage
        if not chunk.choices:
            self._citations.listed(chunk.citations, chunk.search_results)
            if chunk.error or "error" in (chunk.object, chunk.type) or chunk.message:
                raise from_payload(decode_json(_any, payload))
            return []
        if chunk.error:
            raise from_payload(decode_json(_any, payload))
        choice = chunk.choices[0]
        events: list[ModelEvent] = []
        if delta := choice.delta or self._in_one_piece(choice.message):
            content = delta.content
            if content.__class__ is str and content and self._tags is None:
                self.thinking = bool(self._calls)
                events.append(TextDelta(content))
            else:
                self._think(delta, events)
                self._say(content, events)
                self._citations.annotated(delta.annotations)
            if delta.refusal and isinstance(delta.refusal, str):
                events.append(TextDelta(delta.refusal))
            if delta.tool_calls or delta.function_call:
                self._call(delta, events)
            if self._reason and (events or delta.tool_calls):
                self._goes_on = True
        if choice.finish_reason and choice.finish_reason != "null":
            self._citations.listed(chunk.citations, chunk.search_results)
            self._end(str(choice.finish_reason))
        return events

    def finish(self) -> list[ModelEvent]:
        """What is left to say at `[DONE]` or the clean end of the stream. `[DONE]` without a
        reason ends a text; it never releases a call."""
        events: list[ModelEvent] = list(self._tags.finish()) if self._tags else []
        self._tags = None
        known, calls = self._reason, sorted(self._calls, key=_place)
        if known in ("stop", "tool_calls"):
            calls = [call for call in calls if call.name or call.arguments]
            if calls:
                known = "tool_calls"  # what some servers mean by `stop`
            if known == "tool_calls" and not (calls and all(call.name for call in calls)):
                known = None  # what was asked for did not come
        if known == "tool_calls":
            events += self._ready(calls)
        events += self._citations.finish()
        if self._usage:
            events.append(self._usage)
        if known:
            events.append(Finished(known))
        return events

    def done(self) -> list[ModelEvent]:
        """At `[DONE]`, which says that the answer is over where no reason did."""
        events = self.finish()
        if self._reason is None and (self._spoke or events) and not self._calls:
            self._reason = "stop"
            events.append(Finished("stop"))
        return events

    # ------------------------------------------------------------- the text

    def _in_one_piece(self, message: Any) -> _Delta | None:
        """A message in place of its pieces; behind them it only repeats what they said."""
        if not isinstance(message, dict) or self._spoke or self._calls or self._thoughts:
            return None
        return msgspec.convert(message, _Delta)

    def _say(self, content: Any, events: list[ModelEvent]) -> None:
        if not content:
            return
        said = _parts(content) if isinstance(content, list) else [TextDelta(str(content))]
        for piece in said:
            if piece.kind == "text" and self._tags:
                events += self._tags.feed(piece.text)
                if self._tags.settled:
                    self._tags = None
            else:
                events.append(piece)
        self._spoke = True
        self.thinking = bool(self._calls) or self._tags is not None

    def _think(self, delta: _Delta, events: list[ModelEvent]) -> None:
        for field in ("reasoning_content", "reasoning"):
            thought = getattr(delta, field)
            if isinstance(thought, str) and thought:
                self._thoughts.setdefault(field, []).append(thought)
                if not (field == "reasoning" and delta.reasoning_content):
                    events.append(TextDelta(thought, "reasoning"))
                self.thinking = True
        if isinstance(delta.reasoning_details, list):
            for piece in delta.reasoning_details:
                if isinstance(piece, dict):
                    _add_detail(self._details, piece)

    # ------------------------------------------------------------ the calls

    def _end(self, finish_reason: str) -> None:
        """The first reason counts, but where the answer went on behind it."""
        if self._reason is None or self._goes_on:
            self._reason = reason(finish_reason)
            if self._reason is None:
                self.broken = broken(finish_reason)

    def _ready(self, calls: list[_Call]) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        thoughts: dict[str, Any] = {key: "".join(said) for key, said in self._thoughts.items()}
        if self._details:
            thoughts["reasoning_details"] = self._details
        if thoughts:
            events.append(Thought(thoughts))
        for call in calls:
            given = call.extra or None
            events.append(ToolCallReady(call.key, call.name, call.whole, call.first_id, given))
        return events

    def _call(self, delta: _Delta, events: list[ModelEvent]) -> None:
        pieces = delta.tool_calls if isinstance(delta.tool_calls, list) else []
        if isinstance(delta.function_call, dict):
            pieces = [*pieces, {"index": 0, "function": delta.function_call}]
        for piece in pieces:
            if isinstance(piece, dict):
                self._take(piece, events)
        self.thinking = bool(self._calls)

    def _take(self, piece: dict[str, Any], events: list[ModelEvent]) -> None:
        function = piece.get("function")
        if not isinstance(function, dict):
            function = {}
        given = piece.get("id")
        id = None if given in (None, "") else str(given)
        name = function.get("name")
        name = name.strip() if isinstance(name, str) else ""
        arguments = function.get("arguments")
        call = self._find(piece.get("index"), id, name, bare=arguments == "")
        if call is None:
            call = _Call(str(len(self._calls)), piece.get("index"), id)
            self._calls.append(call)
        call.id = id or call.id
        call.first_id = call.first_id or id
        if name and name != call.name and not call.arguments:
            # in fragments, or all of it so far
            call.name = name if name.startswith(call.name) else call.name + name
        if isinstance(arguments, str):
            if arguments:
                call.arguments.append(arguments)
        elif arguments is not None:
            call.arguments.append(json.dumps(arguments, ensure_ascii=False))
        call.extra |= {
            key: value
            for key, value in piece.items()
            if key not in ("index", "id", "type", "function") and value is not None
        }
        self._announce(call, events)

    def _announce(self, call: _Call, events: list[ModelEvent]) -> None:
        """Tell the name, and tell it again as it grows: it may come in fragments."""
        if call.name != call.announced:
            call.announced = call.name
            events.append(ToolCallStarted(call.key, call.name))

    def _find(self, index: object, id: str | None, name: str, *, bare: bool) -> _Call | None:
        """The call that a piece belongs to: the newest with its index, or else its id.

        Some servers give every call the index 0, or none; then a new id, or without
        ids a name after whole arguments, begins the next call. A later piece that
        merely repeats the id or the name does not.
        """
        if index is not None:
            known = [call for call in self._calls if call.index == index]
        else:
            known = [call for call in self._calls if id and call.id == id]
            if not known and not id:
                known = self._calls
        if id and (same := [call for call in known if call.id == id]):
            return same[-1]
        call = known[-1] if known else None
        if call is None or not name or not call.name:
            return call
        if id and call.id:
            repeated = name == call.name and call.arguments and not _is_json(call.whole)
            return call if repeated else None
        if not call.arguments and (index is None or (bare and name == call.name)):
            return None  # the name comes whole once more: the last call took no arguments
        return None if _is_json(call.whole) else call


def _place(call: _Call) -> tuple[bool, int]:
    index = call.index
    return (False, index) if isinstance(index, int) else (True, 0)


def _add_detail(details: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """Pieces of one detail, by index and type, become one: its texts joined."""
    last = details[-1] if details else None
    same = last and all(last.get(key) == piece.get(key) for key in ("index", "type"))
    if not last or not same or "index" not in piece:
        details.append(dict(piece))
        return
    for key, value in piece.items():
        joined = key in ("text", "summary", "data") and isinstance(value, str)
        before = last.get(key)
        last[key] = before + value if joined and isinstance(before, str) else value


def _parts(parts: list[Any], kind: TextKind = "text") -> list[TextDelta]:
    """Content in parts, as Mistral's reasoning models give it: texts, and thoughts of texts."""
    events: list[TextDelta] = []
    for part in parts:
        match part:
            case str(text) | {"type": "text", "text": str(text)} if text:
                events.append(TextDelta(text, kind))
            case {"type": "thinking", "thinking": list(inner)}:
                events += _parts(inner, "reasoning")
            case {"type": "thinking", "thinking": str(text)} if text:
                events.append(TextDelta(text, "reasoning"))
    return events


def _once(arguments: str) -> str:
    """The arguments without what some servers send beside them: `{}` before the first piece, or
    all of them again behind the last."""
    text = arguments.strip()
    try:
        first, end = _json.raw_decode(text)
        rest = text[end:].lstrip()
        again = rest and isinstance(first, dict) and (not first or json.loads(rest) == first)
    except (ValueError, RecursionError):
        return arguments
    return rest if again else arguments


_json = json.JSONDecoder()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
