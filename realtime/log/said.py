"""What of a session people search for: the texts that stand in its events. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..protocol import Done, Event, Run, SessionUpdated, Token, UserMessage


def standing(events: Iterable[Event]) -> Iterator[str]:
    """The messages, answers and the title of a whole session; not what was replaced, or dropped
    while it waited."""
    asked: dict[str | None, str] = {}
    answers: dict[str | None, str] = {}
    begun: set[str | None] = set()
    title = ""
    for event in events:
        match event:
            case UserMessage():
                asked[event.run_id] = event.text
            case Run(status="started"):
                begun.add(event.run_id)
            case Token(kind="text"):
                answers[event.run_id] = answers.get(event.run_id, "") + event.delta
            case Done(status="cancelled", text_len=0) if event.run_id not in begun:
                asked.pop(event.run_id, None)
            case Done(text=str(text)):
                answers[event.run_id] = text
            case SessionUpdated(title=str(named)) if named:
                title = named
    yield from asked.values()
    yield from answers.values()
    yield title
