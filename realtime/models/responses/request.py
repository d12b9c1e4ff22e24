"""The body of a Responses request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from .. import (
    AssistantText,
    Item,
    Request,
    Thought,
    ToolRequest,
    ToolResult,
    UserText,
)
from ..structured import text_format
from .hosted import NAMES


def body(
    model: str,
    request: Request,
    *,
    background: bool = False,
    extras: bool = False,
    hosted: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The JSON body of `POST /responses`. `background`: the answer goes on at the provider
    when its connection breaks, which needs it stored there. `extras`: ask for what a
    reasoning model wants back with its tools' results, and for summaries of its thoughts.
    `hosted`: tools that the provider runs."""
    result: dict[str, Any] = {
        "model": model,
        "input": _input(request.context, extras),
        "store": background,
        "stream": True,
    }
    if background:
        result["background"] = True
    reasoning = {"summary": "auto"} if extras else {}
    if request.options.reasoning_effort:
        reasoning["effort"] = request.options.reasoning_effort
    if reasoning:
        result["reasoning"] = reasoning
    if extras:
        result["include"] = [ENCRYPTED]
        result["stream_options"] = {"include_obfuscation": False}
    if request.options.temperature is not None:
        result["temperature"] = request.options.temperature
    if request.options.max_output_tokens:
        result["max_output_tokens"] = request.options.max_output_tokens
    if request.schema:
        result["text"] = {"format": text_format(request.schema)}
    if request.instructions.strip():
        result["instructions"] = request.instructions
    if request.tools or hosted:
        # Strict schemas forbid optional arguments, which tools here may have.
        result["tools"] = [
            {"type": "function", **msgspec.to_builtins(tool), "strict": False}
            for tool in request.tools
        ] + list(hosted)
    return result


ENCRYPTED = "reasoning.encrypted_content"


def _input(context: Iterable[Item], extras: bool) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    phase: dict[str, Any] = {}  # of the next message
    for item in context:
        match item:
            case Thought(data) if "type" not in data:
                phase = data
            case Thought(data) if extras or data["type"] not in NAMES:
                items.append(data)
            case UserText():
                items.append({"role": "user", "content": _content(item)})
            case AssistantText(text):
                items.append({"role": "assistant", "content": text, **phase})
                phase = {}
            case ToolRequest(tool_call_id, name, arguments):
                items.append(
                    {
                        "type": "function_call",
                        "call_id": tool_call_id,
                        "name": name,
                        "arguments": arguments,
                    }
                )
            case ToolResult(tool_call_id, output):
                items.append(
                    {"type": "function_call_output", "call_id": tool_call_id, "output": output}
                )
    return items


def _content(item: UserText) -> str | list[dict[str, Any]]:
    """A text, or parts where something comes with it; a `Media` stands for its data URL."""
    if not item.media:
        return item.text
    parts: list[dict[str, Any]] = []
    if item.text.strip():
        parts.append({"type": "input_text", "text": item.text})
    for media in item.media:
        if media.type.startswith("image/"):
            parts.append({"type": "input_image", "image_url": media})
        else:
            part = {"type": "input_file", "filename": media.name, "file_data": media}
            parts.append(part)
    return parts
