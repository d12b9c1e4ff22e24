"""Streams that servers are known to send, odd but whole ones and broken ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

Api = Literal["chat", "responses"]
BOM = b"\xef\xbb\xbf"
DONE = b"data: [DONE]\n\n"
DELETE = "delete_files"
LOGS = '{"folder": "logs"}'
NO_MONEY = {"error": {"message": "You have none.", "code": "insufficient_quota"}}
NOT_WHOLE = ("interrupted", "incomplete", "failed")


@dataclass(frozen=True)
class Odd:
    """What comes, and what is made of it. `calls` are the folders that the tool was called
    with; after a call the model says "Done.". `stays`: the connection is left open."""

    name: str
    api: Api
    parts: tuple[bytes, ...]
    text: str = "Hello."
    calls: tuple[str, ...] = ()
    status: tuple[str, ...] = ("completed",)
    reason: str | None = None
    reasoning: str = ""
    stays: bool = False
    content_type: str = "text/event-stream"


def sse(payload: Any, event: str = "") -> bytes:
    head = f"event: {event}\n" if event else ""
    text = json.dumps(payload, ensure_ascii=False)
    for half in ("d83d", "de00"):  # of a character, as JSON writes it
        text = text.replace(f"<{half}>", rf"\u{half}")
    return f"{head}data: {text}\n\n".encode()


def fails(name: str, api: Api, error: bytes, *status: str) -> Odd:
    """An error in place of an answer."""
    return Odd(name, api, (error,), "", status=status)
