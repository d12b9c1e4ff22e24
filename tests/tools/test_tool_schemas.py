"""What models are offered of a tool: what every provider takes, whatever the tool says."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry

from realtime.models import ToolSpec
from realtime.protocol import to_json
from realtime.tools import FunctionTool, Toolbox, ToolError, load, tool
from realtime.tools.checkable import KEYWORDS, Unfit, checkable
from realtime.tools.schema import LEVELS, MAX_SCHEMA, fit, fitting_name
from tests.tools.test_mcp import context

Json = dict[str, Any]


def offered(schema: Any) -> Json:
    parameters = fit(ToolSpec("t", "d", schema))[0].parameters
    assert refusals(parameters) == []
    return parameters


def parts(schema: Any, path: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(schema, dict):
        yield path, schema
        for key in ("items", "additionalProperties"):
            yield from parts(schema.get(key), f"{path}.{key}")
        for key in ("anyOf", "prefixItems"):
            for place, part in enumerate(schema.get(key, ())):
                yield from parts(part, f"{path}.{key}[{place}]")
        for name, part in schema.get("properties", {}).items():
            yield from parts(part, f"{path}.{name}")


def refusals(parameters: Json) -> list[str]:
    """What strict providers find wrong with a function's parameters."""
    found = []
    if parameters.get("type") != "object" or not isinstance(parameters.get("properties"), dict):
        found.append("the top is no object")
    found += [
        f"{key} at the top"
        for key in ("oneOf", "anyOf", "allOf", "enum", "not")
        if key in parameters
    ]
    for path, part in parts(parameters):
        if "array" in part.get("type", "") and not isinstance(part.get("items"), dict):
            found.append(f"{path}: an array without items")
        if path.count(".") >= LEVELS:
            found.append(f"{path}: too deep")
        for key in ("enum", "required"):
            values = [json.dumps(value) for value in part.get(key, ())]
            if len(values) != len(set(values)):
                found.append(f"{path}: {key} says a thing twice")
        if set(part.get("required", ())) - set(part.get("properties", {})):
            found.append(f"{path}: required is not there")
        if "$ref" in part or "oneOf" in part or "allOf" in part:
            found.append(f"{path}: has to be looked up")
        if "(?=" in part.get("pattern", "") or "\\p" in part.get("pattern", ""):
            found.append(f"{path}: a pattern")
    return found


@pytest.mark.parametrize(
    "schema",
    [
        {},
        None,
        True,
        [],
        {"type": "object"},
        {"type": ["object", "null"]},
        {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
        {"type": "object", "properties": []},
        {"type": "object", "properties": {"a": "string", "type": "object"}},
        {"type": "object", "properties": {"a": {"type": "file"}, "b": {"type": 5}}},
        {"properties": {"a": {"type": "string"}}, "required": True},
        {"properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
        {"properties": {"a": {"type": "array"}}},
        {"properties": {"a": {"type": ["array", "null"]}}},
        {"properties": {"a": {"type": "array", "items": True}}},
        {"properties": {"a": {"type": "array", "items": []}}},
        {"properties": {"a": {"items": [{"type": "string"}, {"type": "integer"}]}}},
        {"properties": {"a": {"type": "array", "prefixItems": [{"type": "number"}] * 2}}},
        {"properties": {"a": {"anyOf": [{"type": "array"}, {"type": "null"}]}}},
        {"properties": {"a": {"type": "object", "additionalProperties": {"type": "array"}}}},
        {"properties": {"a": {"$ref": "#/$defs/nothing"}, "b": {"$ref": "other.json"}}},
        {"properties": {"a": {"$ref": 5}, "b": {"$ref": "#nowhere"}}},
        {"properties": {"a": {"allOf": [{"type": "array"}, {"minItems": 1}]}}},
        {"properties": {"a": {"type": "string", "pattern": "^\\p{L}+$"}}},
        {"properties": {"a": {"type": "string", "pattern": "^(?!null$)"}}},
        {"properties": {"a": {"type": "string", "pattern": "(?=x)x", "enum": []}}},
        {"not": {"required": ["a"]}, "properties": {"a": {}}},
        {"enum": [{"a": 1}], "type": "object"},
        {"$ref": "#/definitions/A", "definitions": {"A": {"type": "object"}}},
        {"properties": {"a": {"enum": ["x", "x", 1, True]}}, "required": ["a", "a"]},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"type": "object"}, {"$ref": "#"}]},
        {"properties": {"a": {"minimum": 2**80, "maxLength": -1, "title": 5}}},
    ],
)
def test_whatever_a_schema_says_providers_take_what_is_offered(schema: Any) -> None:
    json.loads(to_json(offered(schema)))


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**70),
    st.floats(allow_nan=True),
    st.sampled_from(["string", "object", "array", "null", "a", "#", "#/$defs/a", "#/properties/a"]),
    st.sampled_from(["^\\p{L}", "(?!x)", "[", "\ud800", "STRING"]),
)
KEYS = st.sampled_from(["a", "b", *sorted(KEYWORDS), "$schema", "x-note", "type", "$ref", "enum"])
SCHEMAS = st.recursive(
    ANYTHING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=40,
)


@given(SCHEMAS)
def test_no_schema_breaks_what_is_offered(schema: Any) -> None:
    with contextlib.suppress(Unfit):
        json.loads(to_json(offered(schema)))


@given(SCHEMAS, st.dictionaries(KEYS, SCHEMAS, max_size=3))
def test_what_the_schema_allows_the_check_allows(schema: Any, arguments: Json) -> None:
    assume(isinstance(schema, dict))
    with contextlib.suppress(Unfit):
        check = Draft202012Validator(checkable(schema), registry=Registry())
        try:
            Draft202012Validator.check_schema(schema)
            allowed = Draft202012Validator(schema, registry=Registry()).is_valid(arguments)
        except Exception:
            return  # not to be checked by any schema
        if allowed:
            with contextlib.suppress(RecursionError):
                assert check.is_valid(arguments)


def test_alternatives_at_the_top_become_one_object() -> None:
    by_id = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    by_name = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    both: Json = {"properties": {"all": {"type": "boolean"}}, "required": ["all"]}
    for key in ("oneOf", "anyOf"):
        found = offered({**both, key: [by_id, by_name, {"type": "null"}]})
        assert set(found["properties"]) == {"all", "id", "name"}
        assert found["required"] == ["all"]
        assert "id; name" in found["description"]
    found = offered({**both, "allOf": [by_id, {"$ref": "#/$defs/n"}], "$defs": {"n": by_name}})
    assert found["required"] == ["all", "id", "name"]


def test_alternatives_that_share_a_property_offer_both_kinds_of_it() -> None:
    kinds = [{"properties": {"kind": {"const": kind}}} for kind in ("a", "b", "c")]
    found = offered({"oneOf": [{**kind, "required": ["kind"]} for kind in kinds]})
    values = [part["enum"] for part in found["properties"]["kind"]["anyOf"]]
    assert (values, found["required"]) == ([["a"], ["b"], ["c"]], ["kind"])


def test_references_are_followed_and_a_circle_is_cut() -> None:
    node = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        },
    }
    found = offered({"properties": {"root": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}})
    root = found["properties"]["root"]
    assert root["properties"]["name"] == {"type": "string"}
    assert root["properties"]["children"]["items"] == {"type": "object"}


def test_a_deep_schema_is_cut_and_a_large_one_gets_shallower() -> None:
    deep: Json = {"type": "string"}
    for _ in range(40):
        deep = {"type": "object", "properties": {"in": deep}, "required": ["in"]}
    assert len(list(parts(offered(deep)))) == LEVELS
    wide = {f"f{n}": {"type": "string", "description": "x" * 60} for n in range(100)}
    many = {f"g{n}": {"type": "object", "properties": wide} for n in range(40)}
    found = offered({"properties": many})
    assert set(found["properties"]) == set(many)
    assert len(to_json(found)) <= MAX_SCHEMA
    heavy = {"description": "x" * 50_000, "default": "y" * 50_000, "enum": [*range(9999)]}
    found = offered({"properties": {"a": {"type": "integer", **heavy}}})
    assert found["properties"]["a"]["type"] == "integer"
    doubling: Json = {"n20": {"type": "string"}}
    for n in range(20):
        inner = {"$ref": f"#/$defs/n{n + 1}"}
        doubling[f"n{n}"] = {"type": "object", "properties": dict.fromkeys("abcde", inner)}
    offered({"$ref": "#/$defs/n0", "$defs": doubling})


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string"}, "string"),
        ({"type": "array", "items": {}}, "array"),
        ({"oneOf": [{"type": "string"}, {"type": "array"}]}, "no object"),
        ({"properties": {f"p{n}": {"title": "x" * 99} for n in range(999)}}, "bytes"),
    ],
)
def test_what_cannot_be_mended_is_refused_with_a_reason(schema: Json, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        fit(ToolSpec("t", "d", schema))
    endless: Json = {}
    for _ in range(10_000):
        endless = {"not": endless}
    with pytest.raises(Unfit, match="deep"):
        fit(ToolSpec("t", "d", endless))


def test_bounds_that_not_every_provider_reads_are_checked_here_alone() -> None:
    wide = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1, "default": 2**60}
    schema = {"type": "object", "properties": {"n": wide}}
    assert checkable(schema)["properties"]["n"] == wide
    assert offered(schema)["properties"]["n"] == {"type": "integer", "minimum": 1, "default": 2**60}


def test_a_check_is_never_narrower_than_the_schema() -> None:
    unknown = {"pattern": "^\\p{L}$"}
    found = checkable(
        {
            "properties": {"a": {"not": unknown}, "b": {"oneOf": [unknown, {"type": "string"}]}},
            "patternProperties": {"^\\p{L}": {"type": "string"}},
            "additionalProperties": False,
            "if": unknown,
            "then": {"required": ["z"]},
        }
    )
    assert found["properties"]["a"] == {}
    assert found["properties"]["b"] == {"anyOf": [{}, {"type": "string"}]}
    assert "additionalProperties" not in found
    assert "if" not in found
    kept = {"type": "object", "properties": {"a": {"not": {"const": 1}}}, "if": {}, "then": {}}
    assert checkable(kept) == kept
    choice = {"oneOf": [{"type": "string", "x-order": 1, "nullable": True}, {"type": "null"}]}
    assert "oneOf" in checkable({"properties": {"a": choice}})["properties"]["a"]


def test_names_are_what_every_provider_takes() -> None:
    assert fitting_name("time__get_current_time") == "time__get_current_time"
    odd = ("a.b", "a b", "ä/b", "x" * 80, "x" * 81, "", "größe", "天気", "1st", "-x", "\ud800")
    found = {fitting_name(name) for name in odd}
    assert len(found) == len(odd)
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", name) for name in found)


def größe(kind: str, point: tuple[float, str] = (0, "m"), pairs: list[tuple[int, int]] = []) -> str:  # noqa: B006
    return f"{kind} {point} {pairs}"


größe.__doc__ = "How large it is. " * 200


async def test_a_function_with_a_name_tuples_and_words_of_its_own_is_offered_and_called() -> None:
    box = Toolbox([FunctionTool(größe)])
    (spec,) = box.specs
    assert refusals(spec.parameters) == []
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", spec.name)
    assert 900 < len(spec.description) <= 1024
    assert spec.parameters["properties"]["point"]["prefixItems"]
    for name in (spec.name, "größe"):  # as models call it, and as older logs do
        found = box.find(name)
        keywords = found.parse('{"kind": "a", "point": [1, "km"], "pairs": [[1, 2]]}')
        assert (await found.call(keywords, context())).value == "a (1.0, 'km') [(1, 2)]"
    with pytest.raises(ToolError, match="point"):
        found.parse('{"kind": "a", "point": [1]}')


def test_of_more_tools_than_a_model_takes_the_log_names_the_rest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = ModuleType("many_tools")
    for n in range(130):

        def counted() -> int:
            return 1

        counted.__name__ = f"tool_{n}"
        setattr(module, counted.__name__, tool(counted))
    monkeypatch.setitem(sys.modules, "many_tools", module)
    box = load(["many_tools"])
    assert len(box.specs) == 128
    box.offer("other", [FunctionTool(größe)])
    box.offer("other", [FunctionTool(größe)])
    lines = [record.getMessage() for record in caplog.records]
    assert sum("tool_128, tool_129" in line for line in lines) == 2  # alone, and with the third
    assert sum("größe" in line for line in lines) == 1


def test_of_two_tools_of_one_name_the_log_says_which_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    first, second = FunctionTool(größe), FunctionTool(größe)
    box = Toolbox([first])
    box.offer("other", [second])
    assert box.find("größe") is first
    assert sum("other" in record.getMessage() for record in caplog.records) == 1
