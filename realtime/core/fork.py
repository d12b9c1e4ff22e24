"""A part of a conversation, as a copy of it in another session has it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from ..protocol import Done, Event, File, Run, Sources, Token, ToolCall, Usage, UserMessage
from .fold import merge
from .provider_state import keep_provider_state, provider_state

E = TypeVar("E", ToolCall, Done)


class Part(NamedTuple):
    """What is copied: the messages of a branch, the runs that answered on it, and the title.

    `answered_by`: the run on it that answers a question, where the question's own is on another.
    """

    messages: set[str]
    runs: set[str]
    answered_by: dict[str, str]
    title: str | None

    def has(self, event: Event) -> bool:
        if isinstance(event, UserMessage) and event.message_id in self.messages:
            return True
        return event.run_id in self.runs


def copied(events: Iterable[Event], part: Part, files: dict[str, str]) -> Iterator[Event]:
    """Each as it was, at the time when it was. What was used for it is counted where it was asked,
    and a file has the id of its copy: `files`, by the id that it had."""

    def mapped(given: tuple[File, ...]) -> tuple[File, ...]:
        return tuple(replace(one, id=files[one.id]) for one in given)

    for event in merge(filter(part.has, events)):
        match event:
            case UserMessage():
                run_id = part.answered_by.get(event.message_id, event.run_id)
                yield replace(event, run_id=run_id, replaces=None, files=mapped(event.files))
            case ToolCall():
                new = replace(event, output_ref=None, files=mapped(event.files))
                yield _with_state(event, new)
            case Done():
                yield _with_state(event, replace(event, usage=Usage(0, 0)))
            case Token():
                yield replace(event, first_seq=None)
            case Run() | Sources():
                yield replace(event)


def files_in(events: Iterable[Event], part: Part) -> list[File]:
    """The files that a part lists, each once."""
    listed = {
        file.id: file
        for event in filter(part.has, events)
        if isinstance(event, UserMessage | ToolCall)
        for file in event.files
    }
    return list(listed.values())


def _with_state(event: E, new: E) -> E:
    """A copy with what the provider wants back."""
    keep_provider_state(new, provider_state(event))
    return new
