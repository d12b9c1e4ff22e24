"""A conversation as Markdown, for people who take it elsewhere. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from ..protocol import UserMessage
from .answer import Answer

Exchanges = Iterable[tuple[UserMessage, Answer]]


def markdown(exchanges: Exchanges, title: str | None = None) -> str:
    """Questions under the names of who asked them, answers under "Assistant", each with its tool
    calls, and with the files that came along. What an answer took in stands at its place."""
    blocks = [block for question, answer in exchanges for block in _blocks(question, answer)]
    return "\n\n".join([f"# {title}", *blocks] if title else blocks)


def _blocks(question: UserMessage, answer: Answer) -> Iterator[str]:
    yield from _said(question)
    for steering, calls, text in answer.stretches():
        for message in steering:
            yield from _said(message)
        yield "## Assistant"
        yield from (f"*Tool {call.name}: {call.status}*" for call in calls)
        if text := text.strip():
            yield text


def _said(message: UserMessage) -> Iterator[str]:
    at = datetime.fromtimestamp(message.ts / 1000, UTC)
    name = " ".join((message.name or "User").split())
    yield f"## {name}, {at:%Y-%m-%d %H:%M} UTC"
    if message.text:
        yield message.text
    yield from (f"*File: {file.name}*" for file in message.files)
