"""The text of a message on its way out: tokens with their offsets."""

from __future__ import annotations

from collections.abc import Mapping

from ..models import TextDelta
from ..protocol import Event, TextKind, Token, clean_text, utf16_len

MAX_DELTA = 12_000  # characters: at six bytes each in JSON still below an event's bound


class Writer:
    """Turns text into tokens with offsets. A trailing high surrogate waits for its pair."""

    def __init__(self, message_id: str, lengths: Mapping[TextKind, int]) -> None:
        self._message_id = message_id
        self._lengths = dict(lengths)
        self._held: dict[TextKind, str] = {}
        self._apart: set[TextKind] = set()  # what comes next begins a paragraph
        self.spoke = False

    def begin(self, *, paragraph: bool) -> None:
        """A step begins; behind another one what it says is a paragraph of its own."""
        self._apart = {kind for kind, length in self._lengths.items() if paragraph and length}

    def text(self, delta: TextDelta) -> list[Event]:
        text = delta.text
        if self._apart and delta.kind in self._apart:
            text = text.lstrip("\n")
            if not text:
                return []
            self._apart.discard(delta.kind)
            text = "\n\n" + text
        if self._held:
            text = self._held.pop(delta.kind, "") + text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held[delta.kind] = text[-1]
            text = text[:-1]
        return self._tokens(text, delta.kind)

    @property
    def length(self) -> int:
        """UTF-16 units of text so far."""
        return self._lengths["text"]

    def cut(self, offset: int) -> None:
        """The text ends at `offset` again."""
        self._lengths["text"] = offset
        self._held.clear()

    def flush(self) -> list[Event]:
        """What was held back, at the end of a stream."""
        held, self._held = self._held, {}
        return [token for kind, text in held.items() for token in self._tokens(text, kind)]

    def _tokens(self, text: str, kind: TextKind) -> list[Event]:
        text = clean_text(text)
        tokens: list[Event] = []
        for start in range(0, len(text), MAX_DELTA):
            delta, offset = text[start : start + MAX_DELTA], self._lengths[kind]
            tokens.append(Token(message_id=self._message_id, offset=offset, delta=delta, kind=kind))
            self._lengths[kind] = offset + utf16_len(delta)
            self.spoke = True
        return tokens
