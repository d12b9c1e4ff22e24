"""How a model is asked for an answer by a JSON Schema: as each API has it, or in words. No I/O."""

from __future__ import annotations

from typing import Any

from ..protocol import to_json

NAME = "answer"
WORDS = (
    "\n\nAnswer with one JSON value and nothing else: no Markdown, no words around it. It must be "
    "valid by this JSON Schema:\n"
)
_STRICT = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items"),
        *("enum", "const", "anyOf", "$ref", "$defs", "description", "title"),
    }
)
"""What every provider that is strict about schemas knows."""


def in_words(schema: dict[str, Any]) -> str:
    """What is added to the instructions."""
    return WORDS + to_json(schema).decode()


def is_object(schema: dict[str, Any]) -> bool:
    """Whether its values are objects: providers take no other schema."""
    return schema.get("type") == "object"


def text_format(schema: dict[str, Any]) -> dict[str, Any]:
    """`text.format` of the Responses API."""
    strict = is_strict(schema)
    return {"type": "json_schema", "name": NAME, "schema": schema, "strict": strict}


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """`response_format` of Chat Completions."""
    about = {"name": NAME, "schema": schema, "strict": is_strict(schema)}
    return {"type": "json_schema", "json_schema": about}


def is_strict(schema: Any) -> bool:
    """Whether a provider may hold the model to it: each object has all its properties, and no
    others. A provider refuses to be strict about any other schema."""
    if not isinstance(schema, dict) or not _STRICT.issuperset(schema):
        return False
    properties = schema.get("properties", {})
    if "object" in schema.get("type", ()) or properties:
        if schema.get("additionalProperties") is not False:
            return False
        if sorted(schema.get("required", ())) != sorted(properties):
            return False
    named = (*properties.values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ()))
    return all(map(is_strict, named)) and ("items" not in schema or is_strict(schema["items"]))
