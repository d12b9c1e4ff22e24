"""Models that are said to take files, before servers that refuse them in words of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.dialects import gateways, hosted, local, parts
from tests.dialects.chat import ChatProvider
from tests.dialects.conftest import Meet, Talk
from tests.dialects.responses import OpenAIResponses
from tests.dialects.rules import Body, Fault
from tests.support.attach import PDF, png

IMAGES, FILES = ("image_url", "input_image"), ("file", "input_file")


def blind(make: Any, words: str, *refused: str, status: int = 400, **fields: Any) -> Any:
    """The provider, said to take everything, before a model that does not take these parts."""

    class Blind(make):  # type: ignore[misc]
        takes = ("image", "pdf")

        def check(self, body: Body) -> Fault | None:
            if any(part in refused for part in parts.sent(body)):
                return Fault(words, status, learned=True, fields=fields)
            fault: Fault | None = super().check(body)
            return fault

    return Blind()


NO_IMAGES: tuple[tuple[Any, str, int, dict[str, Any]], ...] = (
    (
        hosted.OpenAIChat,
        "Invalid content type. image_url is only supported by certain models.",
        400,
        {"param": "messages.[1].content.[1].type"},
    ),
    (hosted.OpenAIChat, "Invalid value: 'image_url'. Supported values are: 'text'.", 400, {}),
    (
        OpenAIResponses,
        "Invalid value: 'input_image'. Supported values are: 'input_text' and 'output_text'.",
        400,
        {"param": "input[0].content[1].type", "code": "invalid_value"},
    ),
    (OpenAIResponses, "Image input is not supported for this model.", 400, {"param": "input"}),
    (
        hosted.DeepSeek,
        "Failed to deserialize the JSON body into the target type: messages[1]: unknown variant "
        "`image_url`, expected `text` at line 1 column 62797",
        400,
        {},
    ),
    (hosted.Mistral, "Image input is not enabled for this model", 400, {}),
    (hosted.XAI, "Image inputs are not supported by this model.", 400, {}),
    (hosted.Anthropic, "This model does not support image inputs.", 400, {}),
    (gateways.OpenRouter, "No endpoints found that support image input", 404, {}),
    (
        gateways.Bedrock,
        "This model doesn't support the image content block that you provided.",
        400,
        {},
    ),
    (local.VLLM, "At most 0 image(s) may be provided in one prompt.", 400, {}),
    (
        local.LlamaCpp,
        "image input is not supported - hint: if this is unexpected, you may need to provide the "
        "mmproj",
        500,
        {},
    ),
    (local.Ollama, "this model does not support image input", 400, {}),
    (local.LMStudio, "Model does not support images. Please use a model that does.", 400, {}),
)


async def sees(talk: Talk, text: str = "What is this?") -> dict[str, Any]:
    files = [await talk.upload(png(), "one.png"), await talk.upload(PDF, "two.pdf")]
    return await talk.ask(text, files=files)


def about_files(talk: Talk, words: str) -> int:
    return [fault.words for fault in talk.upstreams[0].refused].count(words)


@pytest.mark.parametrize(
    ("make", "words", "status", "fields"),
    NO_IMAGES,
    ids=[f"{make.name}, {words[:32]}" for make, words, _, _ in NO_IMAGES],
)
async def test_images_that_are_refused_are_named_from_then_on(
    meet: Meet, make: Any, words: str, status: int, fields: dict[str, Any]
) -> None:
    talk = await meet(blind(make, words, *IMAGES, status=status, **fields))
    (upstream,) = talk.upstreams
    assert (await sees(talk))["status"] == "completed", upstream.refused
    assert (await talk.ask("And now?"))["status"] == "completed"
    assert about_files(talk, words) == 1
    assert [kind for kind in parts.sent(upstream.bodies[-1]) if kind in IMAGES] == []
    assert [kind for kind in parts.sent(upstream.bodies[-1]) if kind in FILES], "PDF goes on"
    assert "What is this?\\n\\n[image: one.png]" in json.dumps(upstream.bodies[-1])


NO_PDF = (
    (
        hosted.OpenAIChat,
        "Invalid value: file. Supported values are: 'text','image_url','video_url' and 'video'.",
    ),
    (OpenAIResponses, "This model does not support PDF input."),
    (hosted.Gemini, "Unsupported MIME type: application/pdf"),
    (local.VLLM, "Unknown part type: file"),
    (local.LlamaCpp, "unsupported content[].type"),  # which may mean an image, too
)


@pytest.mark.parametrize(("make", "words"), NO_PDF, ids=[words[:32] for _, words in NO_PDF])
async def test_pdf_that_is_refused_does_not_cost_the_images(
    meet: Meet, make: Any, words: str
) -> None:
    talk = await meet(blind(make, words, *FILES))
    (upstream,) = talk.upstreams
    assert (await sees(talk))["status"] == "completed", upstream.refused
    assert len(parts.sent(upstream.bodies[-1])) == about_files(talk, words) == 1
    assert "What is this?\\n\\n[PDF: two.pdf]" in json.dumps(upstream.bodies[-1])


NOTHING = (
    (local.VLLM, "google/gemma-3-27b-it is not a multimodal model"),
    (hosted.Groq, "messages[1].content must be a string"),
    (hosted.GLM, "Invalid type for 'messages[1].content': expected a string, got an array."),
)


@pytest.mark.parametrize(("make", "words"), NOTHING, ids=[words[:32] for _, words in NOTHING])
async def test_a_server_of_texts_is_sent_texts(meet: Meet, make: Any, words: str) -> None:
    talk = await meet(blind(make, words, *IMAGES, *FILES))
    (upstream,) = talk.upstreams
    assert (await sees(talk))["status"] == "completed", upstream.refused
    assert (await talk.ask("And now?"))["status"] == "completed"
    assert parts.sent(upstream.bodies[-1]) == []
    assert about_files(talk, words) == 2, "once for each kind"


async def test_what_was_refused_once_is_refused_in_send(meet: Meet) -> None:
    talk = await meet(blind(ChatProvider, "This model does not support image input", *IMAGES))
    await sees(talk)
    again = await talk.upload(png(), "three.png")
    with pytest.raises(AssertionError, match=r"cannot read three\.png .* it takes: PDF, text"):
        await talk.send("And this?", files=[again])


async def test_another_model_that_sees_is_shown_the_image(meet: Meet) -> None:
    first = blind(local.Ollama, "this model does not support image input", *IMAGES)
    talk = await meet(first, hosted.OpenAIChat())
    one, two = talk.upstreams
    await sees(talk)
    one.failing = Fault("Unauthorized", 401)
    assert (await talk.ask("And now?"))["model"] == two.provider.model
    assert parts.sent(two.bodies[-1]) == ["image_url", "file"]


ONE_IMAGE = (
    "You uploaded an unsupported image. Please make sure your image has of one the following "
    "formats: ['png', 'jpeg', 'gif', 'webp'].",
    "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes",
    "Could not process image",
    "Failed to load image: cannot identify image file",
    "Unsupported image format: image/png",
    "This model does not support images larger than 2048 pixels.",
    "Error while downloading the image_url.",
    "Invalid base64 image_url.",
    "At most 1 image(s) may be provided in one prompt.",
    "Image URLs are not supported, send base64.",
)


@pytest.mark.parametrize("words", ONE_IMAGE, ids=[words[:32] for words in ONE_IMAGE])
async def test_one_image_that_is_refused_says_nothing_of_the_others(meet: Meet, words: str) -> None:
    talk = await meet(hosted.OpenAIChat())
    (upstream,) = talk.upstreams
    upstream.failing = Fault(words)
    assert (await sees(talk))["status"] == "failed"
    upstream.failing = None
    assert (await sees(talk))["status"] == "completed"
    assert "image_url" in parts.sent(upstream.bodies[-1])
