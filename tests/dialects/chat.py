"""What servers of Chat Completions have in common."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.dialects import rules
from tests.dialects.rules import EVERYBODY, Body, Fault, Rule
from tests.dialects.upstream import Act, Event, data

TOOL = "fetch_internal_user_analytics"
TODAY, TOKENS = (TOOL, '{"query": "messages today"}'), (TOOL, '{"query": "tokens"}')
CALLS: dict[str, list[tuple[str, str]]] = {
    "call": [TODAY],
    "calls": [TODAY, TOKENS],
    "odd calls": [("functions.fetch<|channel|>commentary", "{}"), (TOOL, '{"query": "mess')],
    "call that lasts": [TODAY, ("ponder", "{}")],
    "letter": [("send_letter", '{"to": "Ada"}')],
}


class ChatProvider:
    """What all of them do. `own` are the rules of one."""

    name = ""
    model = "some-model"
    api = "chat"
    own: tuple[Rule, ...] = ()
    tools = True
    filtered = ""
    takes: tuple[str, ...] = ()
    """The kinds of files that it takes."""
    thinks: str | None = None
    """The field of a delta that its thoughts come in."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.number = itertools.count(1)

    # ------------------------------------------------------------ the request

    def check(self, body: Body) -> Fault | None:
        blind = () if self.takes else (rules.blind,)
        return rules.first_fault((*EVERYBODY, *blind, *self.own), body)

    def error(self, fault: Fault) -> Any:
        about = {"message": fault.words, "type": "invalid_request_error", "param": None}
        return {"error": {**about, "code": None, **fault.fields}}

    def lost(self, body: Body) -> list[str]:
        sent = json.dumps(body)
        return [mark for mark in self.given if mark not in sent]

    # ------------------------------------------------------------- the answer

    def play(self, act: Act, body: Body) -> list[Event]:
        if act == "wait":
            return self.open()
        if act == "blank":
            return [*self.open(), self.delta(content="\n\n"), *self.end("stop")]
        if act == "length":
            return [*self.open(), self.delta(content="Once upon "), *self.end("length")]
        if act == "half a call":
            half = self.delta(tool_calls=[self.call(0, TOOL, '{"query": "mess')])
            return [*self.open(), *self.think("Let me see."), half, *self.end("length")]
        if act == "say":
            words = [self.delta(content=word) for word in ("All ", "is ", "well.")]
            return [*self.open(), *self.think("Let me see. "), *words, *self.end("stop")]
        asked = CALLS[act]
        thought = f"I need figures, {next(self.number)}."
        self.remember(thought)
        return [*self.open(), *self.think(thought), *self.calls(asked), *self.end("tool_calls")]

    def remember(self, thought: str) -> None:
        """A step with calls begins with this thought."""

    def open(self) -> list[Event]:
        return [self.delta(role="assistant", content="")]

    def think(self, thought: str) -> list[Event]:
        return [self.delta(**{self.thinks: thought})] if self.thinks else []

    def calls(self, asked: list[tuple[str, str]]) -> list[Event]:
        """Each begins with its id and name; the arguments come in pieces."""
        events: list[Event] = []
        for index, (name, arguments) in enumerate(asked):
            begun = self.call(index, name, "")
            half = len(arguments) // 2
            events.append(self.delta(tool_calls=[begun]))
            for piece in (arguments[:half], arguments[half:]):
                rest = {"index": index, "function": {"arguments": piece}}
                events.append(self.delta(tool_calls=[rest]))
        return events

    def call(self, index: int, name: str, arguments: str) -> dict[str, Any]:
        function = {"name": name, "arguments": arguments}
        return {"index": index, "id": self.new_id(), "type": "function", "function": function}

    def new_id(self) -> Any:
        return f"call_{next(self.number):024x}"

    def end(self, reason: str) -> list[Event]:
        usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
        counted = {**self.delta(), "choices": [], "usage": usage}
        return [self.delta(reason), counted, data("[DONE]")]

    def delta(self, finish: str | None = None, **fields: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": fields, "finish_reason": finish}
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": self.model}
        return {**head, "choices": [choice]}


class Whole(ChatProvider):
    """Its calls come in one piece each."""

    def calls(self, asked: list[tuple[str, str]]) -> list[Event]:
        pieces = [self.call(index, *named) for index, named in enumerate(asked)]
        return [self.delta(tool_calls=[piece]) for piece in pieces]
