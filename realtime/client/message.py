"""One assistant message: text at its offsets, and between stretches of it tool calls and the
messages that it took in. Offsets count UTF-16 units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..protocol import OPEN_TOOL, utf16_len

Json = dict[str, Any]


@dataclass
class Stretch:
    """Text between two offsets."""

    start: int = 0
    text: str = ""
    end: int = 0

    def grow(self, offset: int, delta: str) -> str:
        """Put text where its offset says. What was not there yet of it."""
        if not self.text and offset > self.start:
            self.start = self.end = offset
        fresh = split(delta, self.end - offset)[1]
        self.text += fresh
        self.end += utf16_len(fresh)
        return fresh

    def cut(self, offset: int) -> None:
        if offset < self.end:
            self.text = split(self.text, offset - self.start)[0]
            self.start = min(self.start, offset)
            self.end = self.start + utf16_len(self.text)


@dataclass
class CallAt:
    """A tool call where it first appeared. `call` has the fields of a `tool_call` event."""

    offset: int
    call: Json


@dataclass
class MessageAt:
    """What a user said meanwhile, where the answer took it in. `user`: the `user_message`; None
    where it lies on an older page."""

    offset: int
    run_id: str
    user: Json | None


@dataclass
class Message:
    """`sources`: what it cites."""

    message_id: str = ""
    said: Stretch = field(default_factory=Stretch)
    thought: Stretch = field(default_factory=Stretch)
    parts: list[Stretch | CallAt | MessageAt] = field(default_factory=list)
    sources: list[Json] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.said.text

    @property
    def reasoning(self) -> str:
        return self.thought.text

    @property
    def text_from(self) -> int:
        """How much of the beginning is not known, because it lies on an older page."""
        return self.said.start

    @property
    def calls(self) -> list[Json]:
        """Its tool calls in their last state, in the order of their first appearance."""
        return [part.call for part in self.parts if isinstance(part, CallAt)]

    @property
    def taken(self) -> list[MessageAt]:
        """The messages that it took in."""
        return [part for part in self.parts if isinstance(part, MessageAt)]

    def name(self, event: Json) -> None:
        """Take the id that an event gives it, if any."""
        self.message_id = event.get("message_id") or self.message_id

    def grow(self, kind: str, offset: int, delta: str) -> None:
        if kind != "text":
            self.thought.grow(offset, delta)
        elif fresh := self.said.grow(offset, delta):
            if not (self.parts and isinstance(self.parts[-1], Stretch)):
                start = self.said.end - utf16_len(fresh)
                self.parts.append(Stretch(start, "", start))
            part = self.parts[-1]
            assert isinstance(part, Stretch)
            part.grow(part.end, fresh)

    def place(self, call: Json) -> None:
        """Put the newest state of a tool call in the place where it first appeared."""
        for part in self.parts:
            if isinstance(part, CallAt) and part.call["tool_call_id"] == call["tool_call_id"]:
                part.call = call
                return
        self.parts.append(CallAt(self.said.end, call))

    def take_in(self, run_id: str, user: Json | None) -> None:
        """Put a user's message behind what there is; one that is there gets its words."""
        for part in self.taken:
            if part.run_id == run_id:
                part.user = part.user or user
                return
        self.parts.append(MessageAt(self.said.end, run_id, user))

    def took_in(self, run_id: str) -> bool:
        return any(part.run_id == run_id for part in self.taken)

    def cut(self, offset: int) -> None:
        """Cut the text back; calls behind it are void, and those that have not closed."""
        self.said.cut(offset)
        self.parts = list(self._before(offset))
        self.sources = [one for one in self.sources if (one.get("end") or 0) <= offset]

    def _before(self, offset: int) -> Iterator[Stretch | CallAt | MessageAt]:
        for part in self.parts:
            is_open = isinstance(part, CallAt) and part.call["status"] in OPEN_TOOL
            if isinstance(part, Stretch):
                if part.start < offset:
                    part.cut(offset)
                    yield part
            elif part.offset <= offset and not is_open:
                yield part

    def join(self, newer: Message) -> None:
        """Put what a newer page has of it behind what this one has."""
        start = max(newer.text_from, self.text_from)
        overlap = split(self.text, start - self.text_from)[1]
        if newer.text and not split(newer.text, start - newer.text_from)[1].startswith(overlap):
            self.cut(newer.text_from)  # the model began anew there
        for part in newer.parts:
            match part:
                case Stretch():
                    self.grow("text", part.start, part.text)
                case CallAt():
                    self.place(part.call)
                case MessageAt():
                    self.take_in(part.run_id, part.user)
        self.thought.grow(newer.thought.start, newer.reasoning)
        self.sources += newer.sources
        self.message_id = newer.message_id or self.message_id


def split(text: str, units: int) -> tuple[str, str]:
    """The text before an offset, and from there on."""
    if units <= 0:
        return "", text
    if text.isascii():
        return text[:units], text[units:]
    encoded = text.encode("utf-16-le", "surrogatepass")
    before, behind = encoded[: 2 * units], encoded[2 * units :]
    return before.decode("utf-16-le", "surrogatepass"), behind.decode("utf-16-le", "surrogatepass")
