"""Answers by a JSON Schema that a user gave: whether it is one, and what an answer comes to."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ..protocol import from_json, to_json
from .checkable import Json, fault_of, sound
from .validation import Schema, Uncheckable

MAX_SCHEMA = 16 * 1024
MAX_STEPS = 50_000  # keywords that are applied to an answer
_FENCED = re.compile(r"\A```\w*\s*\n(.*)\n```\Z", re.DOTALL)


class Value(msgspec.Struct, frozen=True):
    """What an answer comes to, or why it comes to nothing."""

    value: Any = None
    problem: str = ""


def schema_problem(schema: Json) -> str | None:
    """Why this is no schema that an answer can be held to, as the end of a sentence."""
    try:
        if len(to_json(schema)) > MAX_SCHEMA:
            return f"is longer than {MAX_SCHEMA} bytes as JSON"
        if not schema:
            return "is empty: it must say what the answer is"
        fault = fault_of(schema, schema)
    except RecursionError:
        return "is nested too deeply"
    return f"is no JSON Schema: {fault}" if fault else None


def value_of(text: str, schema: Json) -> Value:
    """The value that an answer is. Takes its time: call it in a thread."""
    text = text.strip()
    if fenced := _FENCED.match(text):
        text = fenced[1]
    try:
        value = from_json(text)
    except ValueError as error:
        return Value(problem=f"it is not JSON that can be used: {error}")
    try:
        found = Schema(sound(schema), max_steps=MAX_STEPS).problems(value, "the answer")
    except Uncheckable as error:
        return Value(problem=f"it {error}")
    return Value(problem="; ".join(found)) if found else Value(value)
