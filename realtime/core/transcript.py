"""A conversation as Markdown, for people who take it elsewhere. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from ..protocol import UserMessage
from .answer import Answer

Exchanges = Iterable[tuple[UserMessage, Answer]]


def markdown(exchanges: Exchanges, title: str | None = None) -> str:
    """Questions under the names of who asked them, answers under "Assistant", each with its tool
    calls, and with the files that came along."""
    blocks = [block for question, answer in exchanges for block in _blocks(question, answer)]
    return "\n\n".join([f"# {title}", *blocks] if title else blocks)


def _blocks(question: UserMessage, answer: Answer) -> Iterator[str]:
    asked = datetime.fromtimestamp(question.ts / 1000, UTC)
    name = " ".join((question.name or "User").split())
    yield f"## {name}, {asked:%Y-%m-%d %H:%M} UTC"
    if question.text:
        yield question.text
    yield from (f"*File: {file.name}*" for file in question.files)
    yield "## Assistant"
    for call in answer.calls.values():
        yield f"*Tool {call.name}: {call.status}*"
    if text := answer.text().strip():
        yield text
