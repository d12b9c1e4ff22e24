"""What the parts of a message must be, for each API, as its documentation says. No I/O."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

IMAGES = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
DATA = re.compile(r"data:([\w./+-]+);base64,([A-Za-z0-9+/]+=*)")
MOST = 10


@dataclass(frozen=True)
class Fault:
    """A refusal. `learned`: nobody can know before it was said, so it may come once."""

    words: str
    status: int = 400
    learned: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


def in_chat(content: list[Any], at: str) -> Fault | None:
    """Of a user's message in Chat Completions."""
    return next(_chat(content, at), None)


def _chat(content: list[Any], at: str) -> Iterator[Fault]:
    if not 0 < len(content) <= MOST + 1:
        yield Fault(f"Invalid '{at}.content': empty array, or too many parts.")
    for part in content:
        match part:
            case {"type": "text", "text": str(text), **rest} if text.strip() and not rest:
                pass
            case {"type": "image_url", "image_url": {"url": str(url), **more}, **rest}:
                yield from _image(url, at)
                if rest or more.keys() - {"detail"}:
                    yield Fault(f"Unknown parameter in '{at}.content'.")
            case {"type": "file", "file": {"filename": str(), "file_data": str(url)}, **rest}:
                yield from _pdf(url, at)
                if rest or len(part["file"]) != 2:
                    yield Fault(f"Unknown parameter in '{at}.content'.")
            case _:
                yield Fault(f"Invalid value in '{at}.content': {part.get('type')}.")


def in_responses(content: list[Any], at: str) -> Iterator[Fault]:
    """Of a user's message in the Responses API."""
    if not 0 < len(content) <= MOST + 1:
        yield Fault(f"Invalid '{at}.content': empty array, or too many parts.")
    for part in content:
        match part:
            case {"type": "input_text", "text": str(text), **rest} if text.strip() and not rest:
                pass
            case {"type": "input_image", "image_url": str(url), **rest}:
                yield from _image(url, at)
                if rest.keys() - {"detail"}:
                    yield Fault(f"Unknown parameter: '{at}.content'.")
            case {"type": "input_file", "filename": str(), "file_data": str(url), **rest}:
                yield from _pdf(url, at)
                if rest:
                    yield Fault(f"Unknown parameter: '{at}.content'.")
            case _:
                yield Fault(f"Invalid value: '{part.get('type')}' in '{at}.content'.")


def _image(url: str, at: str) -> Iterator[Fault]:
    kind, data = _decoded(url)
    if kind not in IMAGES or not data.startswith(IMAGES[kind]):
        yield Fault(f"You uploaded an unsupported image in '{at}': {kind}.")


def _pdf(url: str, at: str) -> Iterator[Fault]:
    kind, data = _decoded(url)
    if kind != "application/pdf" or not data.startswith(b"%PDF-"):
        yield Fault(f"Invalid file data in '{at}': expected a PDF as a data URL, got {kind}.")


def _decoded(url: str) -> tuple[str, bytes]:
    found = DATA.fullmatch(url)
    if not found:
        return "no data URL", b""
    try:
        return found[1], base64.b64decode(found[2], validate=True)
    except binascii.Error:
        return "no Base64", b""


def sent(body: dict[str, Any]) -> list[str]:
    """The kinds of all parts of a request that are no text, in their order."""
    messages = body["messages"] if "messages" in body else body["input"]
    parts = [
        part
        for message in messages
        if isinstance(message.get("content"), list) and message.get("role") == "user"
        for part in message["content"]
    ]
    return [part["type"] for part in parts if part["type"] not in ("text", "input_text")]
