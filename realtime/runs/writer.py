"""The text of a message on its way out, as tokens."""

from __future__ import annotations

from ..models import TextDelta
from ..protocol import Event, TextKind, Token, clean_text

MAX_DELTA = 12_000  # characters: at six bytes each in JSON still below an event's bound


class Writer:
    """Turns text into tokens; the session gives them their offsets. A trailing high surrogate
    waits for its pair."""

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id
        self._held: dict[TextKind, str] = {}
        self._apart: set[TextKind] = set()  # what comes next begins a paragraph
        self.spoke = False

    @property
    def behind(self) -> int:
        """UTF-16 units of text that the log has and the model is to say again."""
        return 0

    def begin(self, apart: set[TextKind]) -> None:
        """A model is called. Of these kinds, what it says is a paragraph of its own."""
        self._held.clear()
        self._apart = apart

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

    def flush(self) -> list[Event]:
        """What was held back, at the end of a stream."""
        held, self._held = self._held, {}
        return [token for kind, text in held.items() for token in self._tokens(text, kind)]

    def _tokens(self, text: str, kind: TextKind) -> list[Event]:
        text = clean_text(text)
        pieces = [text[at : at + MAX_DELTA] for at in range(0, len(text), MAX_DELTA)]
        self.spoke = self.spoke or bool(pieces)
        return [
            Token(message_id=self._message_id, offset=0, delta=piece, kind=kind) for piece in pieces
        ]
