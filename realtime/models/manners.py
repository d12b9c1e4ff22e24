"""What one model of one server does not accept, learned from its refusals. No I/O.

Compatible servers differ in more ways than any list could hold. A request that is refused for
something it can do without is changed and sent again, once for each thing learned. Later
requests are made that way from the start.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from ..protocol import Kind, to_json
from . import (
    AssistantText,
    Item,
    ModelError,
    Request,
    Thought,
    ToolRequest,
    UserText,
)
from .fitting import NO_THOUGHT, fitted
from .notes import without_media
from .structured import in_words, is_object

_LEFT_OUT = frozenset(
    {
        *("include", "reasoning", "stream_options", "store"),
        *("service_tier", "prompt_cache_key", "safety_identifier"),
    }
)
"""What an answer can do without."""
_OTHER_NAME = {
    "max_tokens": "max_completion_tokens",
    "max_completion_tokens": "max_tokens",
}
_CHOSEN = frozenset(
    {*("temperature", "reasoning_effort", "reasoning.effort", "max_output_tokens"), *_OTHER_NAME}
)
"""The same, and sessions may choose it: what is refused is one's choice, not that of all."""
_MOST = 10_000
"""So much of a kind is remembered; then it is learned anew."""
_BESIDE = frozenset({"reasoning_content", "reasoning", "reasoning_details", "extra_content"})
"""Fields of a message or a call that hold what a model wants back."""
_IN_MESSAGES = frozenset(
    {
        *(f"messages.{field}" for field in _BESIDE),
        *(f"messages.{field}:missing" for field in ("reasoning_content", "thought_signature")),
        "messages.system",
    }
)
SCHEMA = "schema"
_SCHEMA_FIELD = re.compile(r"(?:text|response_format|schema)(?:\.|$)")
_OF_SCHEMA = re.compile(r"grammar|json[ _]schema", re.IGNORECASE)
"""Some servers make a grammar of the tools and of the schema, and do not say which was wrong."""
_TOOL = re.compile(r"tools(?:\[(\d+)\]|\.(.+))")
_FILES: dict[Kind, str] = {"image": "images", "pdf": "PDF"}
_SIGNATURE = {"google": {"thought_signature": "skip_thought_signature_validator"}}
"""What Google takes in place of the signature of a call that another model made."""


class Manners:
    """`shape` fits a request to this model, `trim` its body; `learn` reads a refusal."""

    def __init__(self, left_out: Iterable[str] = ()) -> None:
        self._left_out = set(left_out)
        self._refused: set[tuple[str, Any]] = set()  # choices, with their values
        self._tools: set[str] = set()  # that it refuses, by name
        self._taught: set[str] = set()
        self._unreadable: set[bytes] = set()  # digests of provider state
        self.blind: set[Kind] = set()  # kinds of files that it does not take

    def shape(
        self, request: Request, by: str, *, in_field: bool = True, words: bool = False
    ) -> Request:
        """The request for the model with the label `by`. A schema for the answer goes with it in
        its field, in words, or in both: many servers ignore the field."""
        calls = "tools" not in self._taught
        known = [self._readable(item) for item in request.context]
        tools = tuple(tool for tool in request.tools if calls and tool.name not in self._tools)
        context = fitted([item for item in known if item], by, calls=calls)
        instructions, schema = request.instructions, request.schema
        if schema and not (in_field and is_object(schema) and self._takes(schema)):
            schema = None
        if request.schema and (words or not schema):
            instructions += in_words(request.schema)
        if "messages.system" in self._taught and instructions.strip():
            context = [UserText(instructions), AssistantText("OK."), *context]
            instructions = ""
        return replace(
            request,
            instructions=instructions,
            context=tuple(context),
            tools=tools,
            schema=schema,
        )

    def _takes(self, schema: dict[str, Any]) -> bool:
        return (SCHEMA, _digest(schema)) not in self._refused

    def hosted(self, tools: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of the provider's own tools that this model does not refuse."""
        if "tools" in self._taught:
            return []
        return [tool for tool in tools if _name_of(tool) not in self._tools]

    def _readable(self, item: Item) -> Item | None:
        """The item without files and provider state that the model cannot read."""
        match item:
            case UserText() if self.blind:
                return without_media(item, self.blind)
            case Thought(data) if self._unreadable and _digest(data) in self._unreadable:
                return None
            case ToolRequest(extra=extra) if extra and _digest(extra) in self._unreadable:
                return replace(item, extra=None)
            case _:
                return item

    def trim(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body without what the model refuses, or with it under another name."""
        for name in _CHOSEN:
            choice = (name, _value(body, name))
            if choice in self._refused:
                without(body, [name])
                other = (_OTHER_NAME.get(name), choice[1])
                if other[0] and other not in self._refused:
                    body[other[0]] = choice[1]
        if "reasoning_effort:none" in self._taught and body.get("tools"):
            body["reasoning_effort"] = "none"
        for message in body.get("messages", ()):
            if message["role"] == "assistant":
                self._trim_message(message)
        return without(body, self._left_out)

    def _trim_message(self, message: dict[str, Any]) -> None:
        calls = message.get("tool_calls")
        if calls and "messages.reasoning_content:missing" in self._taught:
            message["reasoning_content"] = message.get("reasoning_content") or NO_THOUGHT
        for call in calls or ():
            if "messages.thought_signature:missing" in self._taught:
                call.setdefault("extra_content", _SIGNATURE)
        for field in _BESIDE:
            if f"messages.{field}" in self._taught:
                for part in (message, *(calls or ())):
                    part.pop(field, None)

    def learn(self, error: ModelError, request: Request, body: dict[str, Any]) -> str | None:
        """Learn from a refused request. Returns what changes from now on, for the log; None
        where nothing was learned, so that asking again would not help."""
        param = error.param or ""
        if param == "provider_state:unreadable":
            return self._forget(request)
        if param.startswith("files"):
            return self._learn_files(param, request)
        of_schema = _SCHEMA_FIELD.match(param) or (
            param == "tools" and _OF_SCHEMA.search(error.detail)
        )
        if of_schema and (learned := self._learn_schema(request, body)):
            return learned
        if param in self._taught:
            return None
        if tool := _TOOL.match(param):
            return self._learn_tool(tool, body)
        if param == "tools" and body.get("tools"):
            self._taught.add(param)
            return (
                "does not accept tools: asking it without them (TOOLS=none says so from the start)"
            )
        if param == "reasoning_effort:none" and body.get("tools"):
            self._taught.add(param)
            return "accepts tools only without reasoning: using reasoning_effort none with them"
        if param in _IN_MESSAGES and "messages" in body:
            self._taught.add(param)
            return f"needs messages in another form ({param.removeprefix('messages.')})"
        if param == "reasoning_effort" and "reasoning" in body:
            param = "reasoning.effort"
        if param in _CHOSEN:
            return self._learn_choice(param, _value(body, param))
        root = param.partition(".")[0]
        if root not in _LEFT_OUT or root not in body or param in self._left_out:
            return None
        self._left_out.add(param)
        return f"does not accept {param}: leaving it out"

    def _learn_choice(self, param: str, value: Any) -> str | None:
        if value is None:
            return None
        _remember(self._refused, [(param, value)])
        other = _OTHER_NAME.get(param)
        if other and (other, value) not in self._refused:
            return f"does not accept {param} {value}: using {other}"
        return f"does not accept {param} {value}: leaving it out"

    def _learn_schema(self, request: Request, body: dict[str, Any]) -> str | None:
        """One schema, since users choose them: a server that takes none says so of each."""
        if request.schema is None or not ("text" in body or "response_format" in body):
            return None
        _remember(self._refused, [(SCHEMA, _digest(request.schema))])
        return "does not accept a schema for its answer: asking for it in words"

    def _forget(self, request: Request) -> str | None:
        """Leave out the provider state so far: it was given to another key or account."""
        states = set()
        for item in request.context:
            match item:
                case Thought(data) | ToolRequest(extra=dict(data)):
                    states.add(_digest(data))
        if states <= self._unreadable:
            return None
        _remember(self._unreadable, states)
        return "cannot read its earlier reasoning: leaving that out"

    def _learn_files(self, param: str, request: Request) -> str | None:
        """One kind at a time, of those that were sent: images are taken more often than PDF."""
        sent = {m.kind for i in request.context if isinstance(i, UserText) for m in i.media}
        meant: tuple[Kind, ...] = ("pdf", "image")
        for kind in meant:
            if param in ("files", f"files.{kind}") and kind in sent - self.blind:
                self.blind.add(kind)
                return f"does not take {_FILES[kind]}: naming them in words (takes= says so)"
        return None

    def _learn_tool(self, named: re.Match[str], body: dict[str, Any]) -> str | None:
        names = [_name_of(tool) for tool in body.get("tools", ())]
        place, name = named.groups()
        if place is not None:
            name = names[int(place)] if int(place) < len(names) else None
        if name not in names:
            return None
        self._tools.add(name)
        return f"refuses the tool {name}: leaving it out"


def _name_of(tool: dict[str, Any]) -> str:
    """By which a tool of a request is refused; those of the provider have a type only."""
    function = tool.get("function", tool)
    return str(function.get("name") or tool.get("server_label") or tool.get("type"))


def _remember(known: set[Any], more: Iterable[Any]) -> None:
    if len(known) >= _MOST:
        known.clear()
    known.update(more)


def _value(body: dict[str, Any], name: str) -> Any:
    """Of a field, or with `outer.inner` of one of an object in it."""
    outer, _, inner = name.partition(".")
    value = body.get(outer)
    return value if not inner else value.get(inner) if isinstance(value, dict) else None


def _digest(data: dict[str, Any]) -> bytes:
    return hashlib.sha256(to_json(data)).digest()[:16]


def without(body: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """The body without these fields; `outer.inner` is one of an object in it."""
    for name in fields:
        outer, _, inner = name.partition(".")
        value = body.get(outer)
        rest = {k: v for k, v in value.items() if k != inner} if isinstance(value, dict) else {}
        if inner and rest:
            body[outer] = rest
        else:
            body.pop(outer, None)
    return body
