"""Fits what models are offered of a tool to every provider. Pure.

A provider judges all tools of a request together, so one that it refuses costs every message.
OpenAI is the strictest about names, lengths and the top of a schema, others about references,
recursion and depth. What is offered may say less than the tool's own schema, never more: the
arguments are checked against that one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Any

from ..models import ToolSpec
from ..protocol import clean_text, to_json
from .checkable import Json, Unfit, checkable, target

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
MAX_DESCRIPTION = 1024
MAX_SCHEMA = 32 * 1024
MAX_VALUES = 500  # of one enum
LEVELS = 10
MAX_PARTS = 2000
OFFERED = {
    "title",
    "description",
    "format",
    "enum",
    "default",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "uniqueItems",
}


def fit(spec: ToolSpec) -> tuple[ToolSpec, tuple[str, ...]]:
    """The spec as every provider takes it, and what had to change. Raises `Unfit`."""
    name, description = fitting_name(spec.name), clean_text(spec.description).strip() or spec.name
    changes: set[str] = set()
    if name != spec.name:
        changes.add(f"it is offered as {name}")
    if len(description) > MAX_DESCRIPTION:
        changes.add(f"its description is cut after {MAX_DESCRIPTION} characters")
    try:
        parameters = _fitting(checkable(spec.parameters), changes)
    except RecursionError:
        raise Unfit("its schema is nested too deeply") from None
    return ToolSpec(name, _short(description), parameters), tuple(sorted(changes))


def _is_huge(value: Any) -> bool:
    """Whether it is a number beyond what every provider reads."""
    return isinstance(value, int | float) and abs(value) > 2**53


def _short(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION else text[: MAX_DESCRIPTION - 1].rstrip() + "…"


def fitting_name(name: str) -> str:
    """The name, or one made of it that every provider takes and that no other name becomes."""
    if NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", plain)
    plain = plain if NAME.match(plain) else f"_{plain}"
    return f"{plain[:55]}_{digest}"


class _TooLarge(Exception):
    """More than a provider should be sent."""


def _fitting(schema: Json, changes: set[str]) -> Json:
    for levels in range(LEVELS, 1, -1):
        offer = _Offer(schema, levels)
        try:
            found = offer.top()
            size = len(to_json(found))
        except _TooLarge:
            continue
        except OverflowError as error:  # a number that no JSON reader takes
            raise Unfit(f"its schema cannot be written as JSON: {error}") from None
        if size <= MAX_SCHEMA:
            changes |= offer.changes
            return found
    raise Unfit(f"its schema is over {MAX_SCHEMA} bytes")


class _Offer:
    """A schema of `root` with no reference in it, and no more than `levels` deep.

    `seen` are the references that led to a part: a schema may refer to itself.
    """

    def __init__(self, root: Json, levels: int) -> None:
        self._root = root
        self._levels = levels
        self._parts = MAX_PARTS
        self.changes: set[str] = set()

    def top(self) -> Json:
        schema, seen = self._single(self._root, frozenset())
        schema = {key: value for key, value in schema.items() if key not in ("enum", "const")}
        return {"properties": {}, **self._part({**schema, "type": "object"}, 1, seen)}

    def _single(self, schema: Json, seen: frozenset[str]) -> tuple[Json, frozenset[str]]:
        """The schema of an object with its alternatives as one: it may have what any of them
        has, and must have what all of them must."""
        schema, seen = self._joined(schema, seen)
        alternatives = schema.get("anyOf") or schema.get("oneOf")
        if not alternatives:
            return schema, seen
        self.changes.add("the alternatives at the top of its schema are offered as one")
        found = []
        for item in alternatives:
            one, more = self._single(item, seen) if isinstance(item, dict) else ({}, seen)
            if "object" in one.get("type", "object"):
                found.append(one)
                seen |= more
        if not found:
            raise Unfit("its schema describes no object")
        needs = [one.get("required", []) for one in found]
        common = [name for name in needs[0] if all(name in others for others in needs)]
        base = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        merged = _merged([base, *found], "anyOf")
        merged["required"] = [*schema.get("required", []), *common]
        sets = dict.fromkeys(", ".join(n for n in names if n not in common) for names in needs)
        if len(sets) > 1:
            note = "Give one of: " + "; ".join(names or "none of these" for names in sets) + "."
            merged["description"] = f"{merged.get('description', '')} {note}".strip()
        return merged, seen

    def _joined(self, schema: Json, seen: frozenset[str]) -> tuple[Json, frozenset[str]]:
        """The schema with what it refers to, and its `allOf`, in it."""
        self._parts -= 1
        if self._parts < 0:
            raise _TooLarge
        if "$ref" in schema:
            ref = schema["$ref"]
            found = target(ref, self._root)
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            if not isinstance(found, dict):
                return self._joined(rest, seen)
            if ref in seen:
                self.changes.add("its schema refers to itself, and is offered once")
                short = {key: found[key] for key in ("type", "description") if key in found}
                return {**short, **rest}, seen
            return self._joined({**found, **rest}, seen | {ref})
        if "allOf" not in schema:
            return schema, seen
        parts = [{key: value for key, value in schema.items() if key != "allOf"}]
        for item in schema["allOf"]:
            if isinstance(item, dict):
                part, more = self._joined(item, seen)
                parts.append(part)
                seen |= more
        return _merged(parts, "allOf"), seen

    def _part(self, schema: Any, level: int, seen: frozenset[str]) -> Json:
        if not isinstance(schema, dict):
            return {}
        schema, seen = self._joined(schema, seen)
        found = {
            key: value
            for key, value in schema.items()
            if key in OFFERED and (key == "default" or not _is_huge(value))
        }
        found |= {key: _short(found[key]) for key in ("title", "description") if key in found}
        if "default" in found and len(to_json(found["default"])) > MAX_DESCRIPTION:
            del found["default"]
        if "enum" in found:
            found["enum"] = list({to_json(value): value for value in found["enum"]}.values())
        if len(found.get("enum", ())) > MAX_VALUES:
            del found["enum"]
            self.changes.add(f"a choice of more than {MAX_VALUES} values is left open")
        if "const" in schema:
            found["enum"] = [schema["const"]]
        if "pattern" in schema:
            if re.search(r"\(\?<?[=!]", schema["pattern"]):
                self.changes.add("a pattern with lookaround is left out")
            else:
                found["pattern"] = schema["pattern"]
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            found["anyOf"] = [self._part(choice, level, seen) for choice in choices]
        kind = schema.get("type") or _implied(schema)
        if kind:
            found["type"] = kind
        if "object" in kind:
            found |= self._object(schema, level, seen)
        if "array" in kind:
            found |= self._array(schema, level, seen)
        return found

    def _object(self, schema: Json, level: int, seen: frozenset[str]) -> Json:
        if self._ends(level, schema.get("properties")):
            return {}
        found: Json = {}
        if "properties" in schema:
            found["properties"] = {
                name: self._part(part, level + 1, seen)
                for name, part in schema["properties"].items()
                if part is not False
            }
        required = dict.fromkeys(schema.get("required", ()))
        if named := [name for name in required if name in found.get("properties", ())]:
            found["required"] = named
        others = schema.get("additionalProperties")
        if isinstance(others, dict):
            others = self._ends(level, others) or self._part(others, level + 1, seen)
        return found if others is None else {**found, "additionalProperties": others}

    def _array(self, schema: Json, level: int, seen: frozenset[str]) -> Json:
        items, first = schema.get("items"), schema.get("prefixItems", [])
        if self._ends(level, items or first):
            return {"items": {}}
        found: Json = {}
        if first:
            found["prefixItems"] = [self._part(part, level + 1, seen) for part in first]
            if items is False:
                found["maxItems"] = schema.get("maxItems", len(first))
        if not isinstance(items, dict) and first:
            kinds: list[Json] = []
            for part in found["prefixItems"]:
                kinds += [part] if part not in kinds else []
            return {**found, "items": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}
        return {**found, "items": self._part(items, level + 1, seen)}

    def _ends(self, level: int, inner: Any) -> bool:
        """Whether what is inside a part of this level is too deep."""
        if level < self._levels or not inner:
            return False
        self.changes.add(f"its schema is offered {self._levels} levels deep")
        return True


def _merged(parts: list[Json], how: str) -> Json:
    """One schema of many: "allOf" of them hold, or "anyOf" them."""
    merged: Json = {}
    for part in parts:
        for key, value in part.items():
            if key == "properties":
                known = merged["properties"] = dict(merged.get("properties", {}))
                for name, item in value.items():
                    same = known.get(name, item) == item
                    known[name] = item if same else _either(known[name], item, how)
            elif key == "required":
                merged[key] = [*merged.get(key, ()), *value]
            else:
                merged.setdefault(key, value)
    objects = [part for part in parts if "properties" in part]
    if any(part.get("additionalProperties") is not False for part in objects):
        merged.pop("additionalProperties", None)
    return merged


def _either(one: Any, other: Any, how: str) -> Json:
    """The two as one, and no nest of ones where there are many."""
    known = one[how] if isinstance(one, dict) and set(one) == {how} else [one]
    return {how: known if other in known else [*known, other]}


def _implied(schema: Json) -> str:
    """The type that goes without saying."""
    if "properties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    kinds = {JSON_TYPES.get(type(value), "") for value in values}
    return kinds.pop() if len(kinds) == 1 else ""


JSON_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
    type(None): "null",
}
