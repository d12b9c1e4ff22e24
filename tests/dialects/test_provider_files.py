"""Files before providers that look at every part: as image, PDF or text, or as a note."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.dialects import hosted, parts
from tests.dialects.conftest import Meet
from tests.dialects.outcomes import agreed
from tests.dialects.responses import OpenAIResponses, ProxiedResponses
from tests.dialects.rules import Fault
from tests.support.attach import JPEG, PDF, png

SIGHTED: tuple[Any, ...] = (hosted.OpenAIChat, OpenAIResponses)
BLIND: tuple[Any, ...] = (hosted.Mistral, hosted.DeepSeek, ProxiedResponses)
KINDS = {"chat": ["image_url", "file"], "responses": ["input_image", "input_file"]}


def texts(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False)


@pytest.mark.parametrize("provider", SIGHTED, ids=lambda provider: provider.name)
async def test_files_go_as_parts_and_stay_in_the_conversation(meet: Meet, provider: Any) -> None:
    talk = await meet(provider())
    upstream = talk.upstreams[0]
    image, pdf = KINDS[provider.api]
    files = [
        await talk.upload(png(), "one.png"),
        await talk.upload(PDF, "two.pdf"),
        await talk.upload(b"city,people\nUlm,126000\n", "three.csv", "text/csv"),
    ]
    await talk.ask("What is this?", "call", "say", files=files)
    first, step = upstream.bodies[-2:]
    assert parts.sent(first) == parts.sent(step) == [image, pdf]
    for body in (first, step):
        assert "[file: three.csv]\\n```csv\\ncity,people\\nUlm,126000\\n```" in texts(body)
        assert '"two.pdf"' in texts(body)

    await talk.ask("", "say", files=[await talk.upload(JPEG, "four.jpg")])  # without a word
    assert parts.sent(upstream.bodies[-1]) == [image, pdf, image]
    await talk.close()
    await talk.open()
    await talk.ask("And before?", "say")
    assert parts.sent(upstream.bodies[-1]) == [image, pdf, image]
    assert [fault for fault in upstream.refused if not fault.learned] == []
    assert "base64" not in await talk.told()
    await talk.end()
    assert parts.sent(upstream.bodies[-1]) == []
    assert "[image: four.jpg]" in texts(upstream.bodies[-1])


@pytest.mark.parametrize("provider", SIGHTED, ids=lambda provider: provider.name)
async def test_old_files_become_notes_where_the_conversation_is_long(
    meet: Meet, provider: Any
) -> None:
    talk = await meet(provider(), history_tokens=2500)
    for name in ("one.png", "two.png", "three.png"):
        await talk.ask(f"Look at {name}.", "say", files=[await talk.upload(png(), name)])
    body = talk.upstreams[0].bodies[-1]
    assert len(parts.sent(body)) == 2
    assert "Look at one.png.\\n\\n[image: one.png]" in texts(body)
    assert "[image: two.png]" not in texts(body)
    agreed(talk)


@pytest.mark.parametrize("blind", BLIND, ids=lambda provider: provider.name)
@pytest.mark.parametrize("sighted", SIGHTED, ids=lambda provider: provider.name)
async def test_a_fallback_that_sees_nothing_is_told_the_names(
    meet: Meet, sighted: Any, blind: Any
) -> None:
    talk = await meet(sighted(), blind())
    first, second = talk.upstreams
    first.failing = Fault("Unauthorized", 401)
    files = [await talk.upload(png(), "one.png"), await talk.upload(PDF, "two.pdf")]
    ended = await talk.ask("What is this?", files=files)
    assert (ended["status"], ended["model"]) == ("completed", blind.model)
    assert second.refused == []
    assert parts.sent(second.bodies[-1]) == []
    assert "What is this?\\n\\n[image: one.png]\\n\\n[PDF: two.pdf]" in texts(second.bodies[-1])

    await talk.close()
    first.failing = None
    await talk.open()  # it can be asked again, and sees what it was not shown
    await talk.ask("And now?", "say")
    assert parts.sent(first.bodies[-1]) == KINDS[sighted.api]
    agreed(talk)


@pytest.mark.parametrize("provider", SIGHTED, ids=lambda provider: provider.name)
async def test_a_large_image_arrives_as_it_is(meet: Meet, provider: Any) -> None:
    """It goes out in pieces, between a text that would not survive being cut or escaped wrongly."""
    talk = await meet(provider())
    image = png() + bytes(range(256)) * 4000
    await talk.ask(
        '"ü\\u0000 data:image/png;base64, "', "say", files=[await talk.upload(image, "a.png")]
    )
    body = talk.upstreams[0].bodies[-1]
    assert base64.b64encode(image).decode() in texts(body)
    assert len(texts(body).split("base64,")) == 3
    agreed(talk)
