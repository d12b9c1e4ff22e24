"""Answers that are held to a JSON Schema: what is taken, and what comes of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from realtime.models import Finished, TextDelta
from realtime.tools import schema_problem, tool, value_of
from tests.support.device import Device
from tests.support.scripted import Script, ScriptedModel, asks, says
from tests.support.serving import Running, Serve

MakeDevice = Callable[..., Device]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
BERLIN = {"city": "Berlin 😀", "degrees": 7}
TEXT = json.dumps(BERLIN, ensure_ascii=False)
CUT: Script = [[TextDelta(TEXT[:12]), Finished("length")]]


async def opened(
    serve: Serve, device: MakeDevice, *scripts: Script, **settings: Any
) -> tuple[Running, ScriptedModel, Device]:
    model = ScriptedModel(*scripts)
    running = await serve(model, **settings)
    one = device(running.url)
    await one.connect()
    return running, model, one


@pytest.mark.parametrize(
    ("words", "schema", "value"),
    [
        ([TEXT], CITY, BERLIN),
        (["```json\n", TEXT, "\n```"], CITY, BERLIN),
        (["null"], {"type": "null"}, None),
        (["[1, ", "2]"], {"type": "array", "items": {"type": "integer"}}, [1, 2]),
        (['"yes"'], {"enum": ["yes", "no"]}, "yes"),
    ],
)
async def test_an_answer_has_its_value(
    serve: Serve, device: MakeDevice, words: list[str], schema: Any, value: Any
) -> None:
    _, model, one = await opened(serve, device, says(*words), says("Hello."))
    done = await one.done((await one.send("the weather?", schema=schema))["run_id"])
    assert (done["status"], done["value"]) == ("completed", value)
    assert done["text"] == "".join(words)
    assert model.requests[0].schema == schema
    assert one.events("user_message")[0]["schema"] == schema
    done = await one.done((await one.send("thanks"))["run_id"])
    assert "value" not in done, "a schema holds for one answer"
    assert model.requests[1].schema is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It is 7 degrees.", "not JSON"),
        ('{"city": "Berlin"}', "degrees"),
        ('{"city": "Berlin", "degrees": "7"}', "degrees"),
        ('{"city": "Berlin", "degrees": 7, "more": 1}', "more"),
        ('{"city": "Berlin", "degrees": NaN}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"city": "Berlin", "degrees": 1e999}', "not finite"),
        (f'{{"city": "Berlin", "degrees": {10**100}}}', "100 digits"),
        (f'{{"city": "Berlin", "degrees": {"9" * 5000}}}', "100 digits"),
        (f'{{"city": {"[" * 128 + "]" * 128}, "degrees": 7}}', "128 deep"),
    ],
)
async def test_one_that_does_not_fit_says_so(
    serve: Serve, device: MakeDevice, text: str, words: str
) -> None:
    _, _, one = await opened(serve, device, says(text))
    run_id = (await one.send("the weather?", schema=CITY))["run_id"]
    done = await one.done(run_id)
    assert (done["status"], done["finish_reason"]) == ("incomplete", "stop")
    assert done["error"]["code"] == "invalid_value"
    assert words in done["error"]["message"]
    assert "value" not in done
    again = await one.call("continue", {"run_id": run_id})
    assert again["error"]["code"] == "conflict", "nothing more would make it fit"


async def test_one_that_was_cut_has_its_value_once_it_is_whole(
    serve: Serve, device: MakeDevice
) -> None:
    _, model, one = await opened(serve, device, CUT, says(TEXT[12:]))
    run_id = (await one.send("the weather?", schema=CITY))["run_id"]
    done = await one.done(run_id)
    assert (done["status"], done["finish_reason"]) == ("incomplete", "length")
    assert "error" not in done
    ack = await one.call("continue", {"run_id": run_id})
    done = await one.done(ack["run_id"])
    assert (done["status"], done["value"]) == ("completed", BERLIN)
    assert model.requests[1].schema == CITY


async def test_one_that_does_not_fit_does_not_go_on_by_itself(
    serve: Serve, device: MakeDevice
) -> None:
    scripts = CUT, says("no"), says(TEXT)
    _, model, one = await opened(serve, device, *scripts, continue_automatically=True)
    run_id = (await one.send("the weather?", schema=CITY))["run_id"]
    await one.done(run_id)
    second = (await one.call("continue", {"run_id": run_id}))["run_id"]
    done = await one.done(second)
    assert (done["status"], done["finish_reason"]) == ("incomplete", "stop")
    assert "continued_by" not in done
    again = await one.call("continue", {"run_id": second})
    assert again["error"]["code"] == "conflict", "the continued one is whole too"
    assert len(model.requests) == 2


async def test_each_answer_to_a_question_is_held_to_its_schema(
    serve: Serve, device: MakeDevice
) -> None:
    scripts = says("It is 7 degrees."), says("Hello."), says(TEXT), CUT, says(TEXT[12:])
    _, model, one = await opened(serve, device, *scripts)
    run_id = (await one.send("the weather?", schema=CITY))["run_id"]
    await one.done(run_id)
    await one.done((await one.send("thanks"))["run_id"])
    again = await one.call("regenerate", {"run_id": run_id})
    done = await one.done(again["run_id"])
    assert (done["status"], done["value"]) == ("completed", BERLIN)
    once_more = await one.call("regenerate", {"run_id": again["run_id"]})
    await one.done(once_more["run_id"])
    rest = await one.call("continue", {"run_id": once_more["run_id"]})
    assert (await one.done(rest["run_id"]))["value"] == BERLIN
    assert [request.schema for request in model.requests] == [CITY, None, CITY, CITY, CITY]


async def test_what_was_said_before_a_tool_is_no_part_of_it(
    serve: Serve, device: MakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    @tool
    def thermometer() -> int:
        """The temperature."""
        return 7

    module = ModuleType("weather")
    module.thermometer = thermometer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "weather", module)
    call = [[TextDelta("One moment.")], *asks(("thermometer", "{}"))]
    _, model, one = await opened(serve, device, call, says(TEXT), tools=("weather",))
    done = await one.done((await one.send("the weather?", schema=CITY))["run_id"])
    assert (done["status"], done["value"]) == ("completed", BERLIN)
    assert done["text"] == f"One moment.\n\n{TEXT}"
    assert [request.schema for request in model.requests] == [CITY, CITY]


async def test_a_queued_message_keeps_its_schema_over_a_restart(
    serve: Serve, device: MakeDevice
) -> None:
    waits: Script = [[TextDelta("Hm.")], asyncio.Event()]
    running, _, one = await opened(serve, device, waits, drain_seconds=0)
    await one.send("think")
    await one.durable("token")
    ack = await one.send("the weather?", schema=CITY)
    assert ack["status"] == "queued"
    await one.drop()
    await running.stop()
    model = ScriptedModel(says(TEXT))
    again = await serve(model)
    one.url = again.url
    await one.connect()
    assert (await one.done(ack["run_id"]))["value"] == BERLIN
    assert model.requests[-1].schema == CITY


async def test_a_long_value_leaves_the_text_out_and_never_breaks_the_event(
    serve: Serve, device: MakeDevice
) -> None:
    for size, kept in ((30_000, ("text", "value")), (50_000, ("value",)), (70_000, ())):
        text = json.dumps(["x" * size])
        running, _, one = await opened(serve, device, says(text))
        schema = {"type": "array"}
        done = await one.done((await one.send("long", schema=schema))["run_id"])
        assert done["status"] == "completed"
        assert tuple(name for name in ("text", "value") if name in done) == kept
        assert one.text(done["run_id"]) == text
        await one.drop()
        await running.stop()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, "schema.type"),
        ({"properties": {"a": {"minimum": "3"}}}, "schema.properties.a.minimum"),
        ({"properties": []}, "schema.properties"),
        ({"anyOf": []}, "schema.anyOf"),
        ({"items": 3}, "schema.items"),
        ({"$ref": "#/$defs/nowhere"}, "schema.$ref"),
        ({"$ref": "https://example.com/schema"}, "schema.$ref"),
        ({}, "empty"),
        ({"description": "x" * 17_000}, "16384"),
        ({"properties": {"a": {"const": 10**100}}}, "100 digits"),
        ([1], "object"),
    ],
)
async def test_what_is_no_schema_is_refused(
    serve: Serve, device: MakeDevice, schema: Any, words: str
) -> None:
    _, model, one = await opened(serve, device, says("Hello."))
    refused = (await one.send("the weather?", schema=schema))["error"]
    assert refused["code"] == "bad_request"
    assert words in refused["message"]
    assert not model.requests
    assert not one.events("user_message")


@pytest.mark.parametrize("bound", [2**63 - 1, 2**64 - 1, 10**99, 1e300])
async def test_a_bound_may_be_any_number(serve: Serve, device: MakeDevice, bound: float) -> None:
    _, _, one = await opened(serve, device, says("7"))
    schema = {"type": "integer", "minimum": -bound / 10, "maximum": bound, "maxLength": bound}
    done = await one.done((await one.send("how many?", schema=schema))["run_id"])
    assert done["value"] == 7


TREE = {
    "type": "object",
    "properties": {"in": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "text", "words"),
    [
        ({"type": "object", "allOf": [{"$ref": "#"}]}, "{}", "too deeply"),
        ({"not": {"$ref": "#"}}, "{}", "too deeply"),
        ({"oneOf": [{"$ref": "#"}, {"type": "object"}]}, "{}", "too deeply"),
        ({"if": True, "then": {"$ref": "#"}}, "{}", "too deeply"),
        ({"unevaluatedProperties": False, "$ref": "#"}, '{"a": 1}', "cannot be checked"),
        (TREE, '{"in":' * 127 + "{}" + "}" * 127, "too deeply"),
        ({"multipleOf": 0.1}, "9" * 400, "100 digits"),
        ({"multipleOf": 0.1}, "1e999", "not finite"),
    ],
)
async def test_a_check_that_cannot_be_carried_out_ends_the_run(
    serve: Serve, device: MakeDevice, schema: Any, text: str, words: str
) -> None:
    _, _, one = await opened(serve, device, says(text), says("Hello."))
    done = await one.done((await one.send("go", schema=schema))["run_id"])
    assert (done["status"], done["error"]["code"]) == ("incomplete", "invalid_value")
    assert words in done["error"]["message"]
    assert (await one.ask("and now?"))["text"] == "Hello."


def test_a_value_of_many_levels_is_checked() -> None:
    text = '{"in":' * 40 + "{}" + "}" * 40
    assert value_of(text, TREE).value == json.loads(text)
    assert "x" in value_of(text.replace("{}", '{"x": 1}'), TREE).problem


def test_no_check_writes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    """As a panic of a library in Rust does, by pages."""
    text = '{"in":' * 126 + "{}" + "}" * 126

    def checked(frames: int) -> str:
        return checked(frames - 1) if frames else value_of(text, TREE).problem

    for frames in range(20):  # our bound notices, wherever the stack ends
        assert checked(frames) == "it is nested too deeply to check"
    assert not capfd.readouterr().err


def test_no_schema_of_a_stranger_takes_long() -> None:
    doubled = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
        for n in range(60)
    }
    many = {"$defs": {**doubled, "d60": {"type": "string"}}, "$ref": "#/$defs/d0"}
    assert schema_problem(many) is None
    assert value_of('"a"', many).problem == "it takes too long to check"
    unseen = {
        f"d{n}": {"dependentSchemas": {key: {"$ref": f"#/$defs/d{n + 1}"} for key in "ab"}}
        for n in range(60)
    }
    many = {"$defs": {**unseen, "d60": {}}, "unevaluatedProperties": False, "$ref": "#/$defs/d0"}
    assert value_of('{"a": 1, "b": 2}', many).problem == "it takes too long to check"
    slow = {"type": "string", "pattern": "(a+)+$"}
    assert value_of(json.dumps("a" * 60 + "!"), slow).value == "a" * 60 + "!"
    names = {"patternProperties": {"(a+)+$": {}}, "additionalProperties": False}
    assert value_of(json.dumps({"a" * 60 + "!": 1}), names).problem == ""
