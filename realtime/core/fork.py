"""The events of some runs, as a copy of them in another session has them. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from ..protocol import Done, Event, File, Run, Sources, Token, ToolCall, Usage, UserMessage
from .fold import merge
from .provider_state import keep_provider_state, provider_state

E = TypeVar("E", ToolCall, Done)


def copied(events: Iterable[Event], runs: set[str], files: dict[str, str]) -> Iterator[Event]:
    """Each as it was, at the time when it was. What was used for it is counted where it was asked,
    and a file has the id of its copy: `files`, by the id that it had."""

    def mapped(given: tuple[File, ...]) -> tuple[File, ...]:
        return tuple(replace(one, id=files[one.id]) for one in given if one.id in files)

    for event in merge(event for event in events if event.run_id in runs):
        match event:
            case UserMessage():
                yield replace(event, replaces=None, files=mapped(event.files))
            case ToolCall():
                new = replace(event, output_ref=None, files=mapped(event.files))
                yield _with_state(event, new)
            case Done():
                yield _with_state(event, replace(event, usage=Usage(0, 0)))
            case Token():
                yield replace(event, first_seq=None)
            case Run() | Sources():
                yield replace(event)


def files_in(events: Iterable[Event], runs: set[str]) -> dict[str, File]:
    """The files that these runs list, by id."""
    return {
        file.id: file
        for event in events
        if isinstance(event, UserMessage | ToolCall) and event.run_id in runs
        for file in event.files
    }


def _with_state(event: E, new: E) -> E:
    """A copy with what the provider wants back."""
    keep_provider_state(new, provider_state(event))
    return new
