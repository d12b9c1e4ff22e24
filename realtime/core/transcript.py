"""A conversation as Markdown, for people who take it elsewhere. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from ..protocol import ToolCall, UserMessage
from .answer import Answer

Exchanges = Iterable[tuple[UserMessage, Answer]]


def markdown(exchanges: Exchanges, title: str | None = None) -> str:
    """Questions under the names of who asked them with the files that came along, answers under
    "Assistant" with their tool calls. Text, calls and what an answer took in stand in their order.
    """
    blocks = [block for question, answer in exchanges for block in _blocks(question, answer)]
    return "\n\n".join([f"# {title}", *blocks] if title else blocks)


def _blocks(question: UserMessage, answer: Answer) -> Iterator[str]:
    yield from _said(question)
    for steering, written in answer.stretches():
        for message in steering:
            yield from _said(message)
        yield "## Assistant"
        for part in written:
            if isinstance(part, ToolCall):
                yield f"*Tool {part.name}: {part.status}*"
            elif text := part.strip():
                yield text


def _said(message: UserMessage) -> Iterator[str]:
    at = datetime.fromtimestamp(message.ts / 1000, UTC)
    name = " ".join((message.name or "User").split())
    yield f"## {name}, {at:%Y-%m-%d %H:%M} UTC"
    if message.text:
        yield message.text
    yield from (f"*File: {file.name}*" for file in message.files)
