"""Answers by a schema before providers: strict ones, those that refuse it, those that ignore it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.dialects import hosted, rules
from tests.dialects.chat import ChatProvider
from tests.dialects.conftest import Meet
from tests.dialects.outcomes import agreed, completes
from tests.dialects.responses import FIELDS, OpenAIResponses, ProxiedResponses
from tests.dialects.rules import Body, Fault
from tests.dialects.upstream import Act, Event

VALUE = {"city": "Berlin"}
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
LOOSE = {"type": "object", "properties": {"city": {"type": "string", "minLength": 2}}}
FIELD = {"responses": "text", "chat": "response_format"}
WORDS = "valid by this JSON Schema"
LIST = {"type": "array", "items": CITY}


def strictly(form: Body) -> Fault | None:
    """What OpenAI demands of a schema."""
    if form.keys() != {"name", "schema", "strict"}:
        return Fault(f"Unknown parameter in {sorted(form)}.")
    schema = form["schema"]
    if schema.get("type") != "object":
        return Fault("Invalid schema for response_format 'answer': schema must be an object.")
    if form["strict"] and schema != CITY:
        return Fault(
            "Invalid schema for response_format 'answer': In context=(), "
            "'additionalProperties' is required to be supplied and to be false."
        )
    return None


class Responses(OpenAIResponses):
    name = "OpenAI, Responses"

    def faults(self, body: Body) -> Iterator[Fault]:
        if form := body.get("text"):
            kind = form["format"].pop("type")
            if form.keys() != {"format"} or kind != "json_schema":
                yield Fault("Invalid 'text'.")
            if fault := strictly(form["format"]):
                yield fault
        yield from super().faults(body)


class RefusingResponses(ProxiedResponses):
    name = "a proxy without schemas, Responses"
    known = (FIELDS & ProxiedResponses.known) - {"text"}


class Chat(hosted.OpenAIChat):
    name = "OpenAI, Chat"

    def check(self, body: Body) -> Fault | None:
        if form := body.get("response_format"):
            if form.keys() != {"type", "json_schema"} or form["type"] != "json_schema":
                return Fault("Invalid 'response_format'.")
            if fault := strictly(form["json_schema"]):
                return fault
        return super().check(body)


class DeepSeek(hosted.DeepSeek):
    name = "DeepSeek"
    own = (
        *hosted.DeepSeek.own,
        rules.without("response_format", "This response_format type is unavailable now"),
    )


class Groq(hosted.Groq):
    name = "Groq"
    own = (
        *hosted.Groq.own,
        rules.without(
            "response_format", "This model does not support response format `json_schema`."
        ),
    )


def answers(provider: Any) -> Any:
    """The provider whose model obeys a schema that it is told in the field or in words."""

    class Obedient(provider):  # type: ignore[misc]
        def play(self, act: Act, body: Body) -> Sequence[Event]:
            asked = json.dumps([body.get(name) for name in FIELD.values()])
            if WORDS in json.dumps(body):
                asked = json.dumps(body).split(WORDS)[1].partition('"input"')[0]
                asked = asked.partition('"role"')[0]
            if act != "say" or "city" not in asked:
                return super().play(act, body)  # type: ignore[no-any-return]
            text = json.dumps([VALUE] if "array" in asked else VALUE)
            if isinstance(self, ChatProvider):
                return [*self.open(), self.delta(content=text), *self.end("stop")]
            said = super().play(act, body)
            return [event.replace(b"All is well.", _escaped(text)) for event in _whole(said)]

    return Obedient


def _escaped(text: str) -> bytes:
    return json.dumps(text)[1:-1].encode()


def _whole(events: Sequence[Any]) -> list[bytes]:
    """Without the deltas: the text comes with its end."""
    return [event for event in events if b"output_text.delta" not in event]


@pytest.mark.parametrize(
    ("make", "takes"),
    [
        (Responses, True),
        (RefusingResponses, False),
        (Chat, True),
        (DeepSeek, False),
        (Groq, False),
        (hosted.Mistral, True),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_each_provider_is_asked_as_it_takes_it(meet: Meet, make: Any, takes: bool) -> None:
    talk = await meet(answers(make)())
    (upstream,) = talk.upstreams
    field = FIELD[upstream.provider.api]
    for schema in (CITY, LOOSE, LIST, CITY):
        run_id = await talk.send("Where?", "say", "say", schema=schema)
        done = await talk.done(run_id)
        reasons = [fault.words for fault in upstream.refused]
        assert done["status"] == "completed", (done.get("error"), reasons)
        assert done["value"] == ([VALUE] if schema is LIST else VALUE)
        body = upstream.bodies[-1]
        assert (field in body) == (takes and schema is not LIST)
        in_words = WORDS in json.dumps(body)
        assert in_words or (field in body and getattr(upstream.provider, "extras", False))
    about = [fault for fault in upstream.refused if "reasoning" not in fault.words]
    assert len(about) == (0 if takes else 2), "once for each schema"
    upstream.refused.clear()
    await completes(talk, "Thanks.", "All is well.", "say")
    assert WORDS not in json.dumps(upstream.bodies[-1])
    agreed(talk)
