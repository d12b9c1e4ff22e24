"""The body of a Chat Completions request."""

from __future__ import annotations

from typing import Any

import msgspec

from .. import (
    AssistantText,
    Request,
    Thought,
    ToolRequest,
    ToolResult,
    UserText,
)
from ..structured import response_format


def body(model: str, request: Request, *, openai: bool = False) -> dict[str, Any]:
    """The JSON body of `POST /chat/completions`; the context is `fitted`. `openai`: it goes to
    OpenAI or Azure, which have a name of their own for the limit of an answer, and more fields."""
    streaming = {"include_usage": True}
    result: dict[str, Any] = {
        "model": model,
        "messages": _messages(request),
        "stream": True,
        "stream_options": streaming,
    }
    options = request.options
    if options.temperature is not None:
        result["temperature"] = options.temperature
    if options.max_output_tokens:
        name = "max_completion_tokens" if openai else "max_tokens"
        result[name] = options.max_output_tokens
    if options.reasoning_effort:
        result["reasoning_effort"] = options.reasoning_effort
    if request.schema:
        result["response_format"] = response_format(request.schema)
    if openai:
        streaming["include_obfuscation"] = False
    if request.tools:
        result["tools"] = [
            {"type": "function", "function": msgspec.to_builtins(tool)} for tool in request.tools
        ]
    return result


def _messages(request: Request) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if request.instructions.strip():
        messages.append({"role": "system", "content": request.instructions})
    thoughts: dict[str, Any] = {}  # of the step under way
    for item in request.context:
        match item:
            case UserText():
                thoughts = {}
                messages.append({"role": "user", "content": _content(item)})
            case ToolResult(tool_call_id, output):
                thoughts = {}
                messages.append({"role": "tool", "tool_call_id": tool_call_id, "content": output})
            case Thought(data):
                thoughts |= data
            case AssistantText(text):
                message = _assistant(messages)
                between = "\n\n" if message["content"] and "tool_calls" in message else ""
                message["content"] = (message["content"] or "") + between + text
            case ToolRequest(tool_call_id, name, arguments, extra):
                # The calls of a step are one message, together with its text.
                message = _assistant(messages)
                message.setdefault("tool_calls", []).append(
                    {
                        "id": tool_call_id,
                        "type": "function",
                        "function": {"name": name, "arguments": arguments},
                        **(extra or {}),
                    }
                )
                message |= thoughts
    return messages


def _content(item: UserText) -> str | list[dict[str, Any]]:
    """A text, or parts where something comes with it; a `Media` stands for its data URL."""
    if not item.media:
        return item.text
    parts: list[dict[str, Any]] = []
    if item.text.strip():
        parts.append({"type": "text", "text": item.text})
    for media in item.media:
        if media.type.startswith("image/"):
            parts.append({"type": "image_url", "image_url": {"url": media}})
        else:
            file = {"filename": media.name, "file_data": media}
            parts.append({"type": "file", "file": file})
    return parts


def _assistant(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The message of the step under way, begun if it is new."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]
