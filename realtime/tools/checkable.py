"""The part of a tool's schema by which its arguments can be checked here. Pure."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from ..protocol import clean, is_short, to_json

Json = dict[str, Any]


class Unfit(ValueError):
    """The tool cannot be offered; the text says why."""


def checkable(schema: Any, *, patterns: bool = True) -> Json:
    """The schema as JSON Schema 2020-12, without what is not valid or cannot be checked here:
    references to nowhere, patterns that Python does not know. Never narrower than it was.
    Without `patterns` none is checked: one of a stranger's may take for ever. Raises `Unfit`
    where it describes no object, and RecursionError."""
    if not isinstance(schema, dict):
        schema = {}
    schema = clean(schema)
    found, _ = _sound(schema, schema, patterns)
    types = found.get("type", "object")
    if "object" not in types:
        raise Unfit(f"its schema describes {types!r} where an object is needed")
    return {**found, "type": "object"}


def sound(schema: Json) -> Json:
    """What of a stranger's schema can be checked here, as in `checkable`: no patterns, and a value
    of any kind."""
    found, _ = _sound(cleaned := clean(schema), cleaned, False)
    return found if isinstance(found, dict) else {}


def fault_of(schema: Any, root: Json, place: str = "schema") -> str | None:
    """The first part of it that is not valid. Raises RecursionError."""
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, dict):
        return f"{place} must be an object"
    for key, value in schema.items():
        at, parts = f"{place}.{key}", {}
        if key in ONE:
            parts = {at: value}
        elif key in SOME:
            if not isinstance(value, list) or not value:
                return f"{at} must be a list"
            parts = {f"{at}.{n}": part for n, part in enumerate(value)}
        elif key in MAPS:
            if not isinstance(value, dict):
                return f"{at} must be an object"
            parts = {f"{at}.{name}": part for name, part in value.items()}
        elif key == "type":
            names = value if isinstance(value, list) else [value]
            if not names or not all(isinstance(name, str) and name in TYPES for name in names):
                return f"{at} must be one of {', '.join(sorted(TYPES))}"
        elif (key in SHAPES or key == "$ref") and not _is_fine(key, value, root):
            return f"{at} cannot be {to_json(value).decode()[:100]}"
        for inner, part in parts.items():
            if found := fault_of(part, root, inner):
                return found
    return None


def _sound(schema: Any, root: Json, patterns: bool) -> tuple[Any, bool]:
    """The part, and whether nothing was left out of it."""
    if isinstance(schema, bool):
        return schema, True
    if not isinstance(schema, dict):
        return {}, False
    kept: Json = {}
    whole = True
    schema = _modern(schema)
    for key, value in schema.items():
        good = True
        if key in ONE:
            part, good = _sound(value, root, patterns)
            if good or key not in ("not", "if"):  # loosening these would narrow the whole
                kept[key] = part
        elif key in SOME and isinstance(value, list) and value:
            parts = [_sound(item, root, patterns) for item in value]
            good = all(fine for _, fine in parts)
            where = key if good or key != "oneOf" else "anyOf"
            kept.setdefault(where, [part for part, _ in parts])
        elif key in MAPS and isinstance(value, dict):
            named = {name: _sound(part, root, patterns) for name, part in value.items()}
            if key == "patternProperties":
                named = {n: part for n, part in named.items() if patterns and _is_pattern(n)}
            good = len(named) == len(value) and all(fine for _, fine in named.values())
            kept[key] = {name: part for name, (part, _) in named.items()}
        elif key == "type":
            types = _types(value)
            good = types is not None
            kept |= {"type": types} if types else {}
        elif _is_fine(key, value, root) and (patterns or key != "pattern"):
            kept[key] = value
        else:
            good = key not in KEYWORDS
        whole = whole and good
    if any(len(kept.get(key, ())) < _size(schema.get(key)) for key in PROPERTIES):
        kept.pop("additionalProperties", None)  # which would forbid what was left out
    if not whole:
        kept = {key: part for key, part in kept.items() if not key.startswith("unevaluated")}
    return kept, whole


def _is_fine(key: str, value: Any, root: Json) -> bool:
    if key == "$ref":
        return isinstance(value, str) and target(value, root) is not None
    return key in SHAPES and SHAPES[key](value)


def _size(named: Any) -> int:
    return len(named) if isinstance(named, dict) else int(named is not None)


def _modern(schema: Json) -> Json:
    """Tuples of older drafts as today's."""
    items = schema.get("items")
    if not isinstance(items, list):
        return schema
    rest = schema.get("additionalItems", True)
    return {**schema, "prefixItems": items, "items": rest}


def _types(value: Any) -> str | list[str] | None:
    names = value if isinstance(value, list) else [value]
    found = []
    for name in names:
        known = ALIASES.get(name.lower(), name.lower()) if isinstance(name, str) else ""
        if known not in TYPES:
            return None
        found += [known] if known not in found else []
    return found[0] if len(found) == 1 else found or None


def target(ref: str, root: Json) -> Any:
    """What a reference into the schema itself means; None where there is nothing."""
    if not ref.startswith("#"):
        return None
    found: Any = root
    for step in unquote(ref[1:]).split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        elif isinstance(found, dict) and step in found:
            found = found[step]
        else:
            return None
    is_pointer = ref == "#" or ref.startswith("#/")
    return found if is_pointer and isinstance(found, dict | bool) else None


def _is_pattern(value: Any) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(value)
    except (re.error, TypeError, OverflowError, RecursionError):
        return False
    return True


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and is_short(value)
    return isinstance(value, float) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _table(is_one: Callable[[Any], bool], keywords: str) -> dict[str, Callable[[Any], bool]]:
    return dict.fromkeys(keywords.split(), is_one)


TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}
ALIASES = {
    "str": "string",
    "text": "string",
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "dict": "object",
    "map": "object",
    "list": "array",
    "tuple": "array",
    "none": "null",
}
ONE = {
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
}
SOME = {"allOf", "anyOf", "oneOf", "prefixItems"}
MAPS = {"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
PROPERTIES = ("properties", "patternProperties")
SHAPES = {
    **_table(lambda value: isinstance(value, str), "title description format"),
    **_table(_is_count, "minLength maxLength minItems maxItems minProperties maxProperties"),
    **_table(_is_count, "minContains maxContains"),
    **_table(_is_number, "minimum maximum exclusiveMinimum exclusiveMaximum"),
    **_table(lambda value: _is_number(value) and value > 0, "multipleOf"),
    **_table(lambda value: isinstance(value, bool), "uniqueItems"),
    **_table(lambda value: isinstance(value, list) and bool(value), "enum"),
    **_table(lambda value: True, "default const"),
    **_table(_is_pattern, "pattern"),
    **_table(_is_names, "required"),
}
KEYWORDS = {*ONE, *SOME, *MAPS, *SHAPES, "$ref", "$dynamicRef", "dependencies", "dependentRequired"}
"""Those that say what is valid. Others are left out, too, which changes no check."""
