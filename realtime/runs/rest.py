"""The rest of an answer that the provider keeps and gives from its beginning again."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.held import Held
from ..core.state import RunState
from ..protocol import Event, TextKind, ToolCall, clean_text, utf16_len
from .writer import Writer


class RestWriter(Writer):
    """Leaves out what the log has. `known`: UTF-16 units of each kind."""

    def __init__(self, message_id: str, known: Mapping[TextKind, int]) -> None:
        super().__init__(message_id)
        self._known = dict(known)
        self.spoke = any(known.values())

    @property
    def behind(self) -> int:
        return self._known["text"]

    def _tokens(self, text: str, kind: TextKind) -> list[Event]:
        text = clean_text(text)
        known = min(self._known[kind], utf16_len(text))
        if known:
            self._known[kind] -= known
            text = text.encode("utf-16-le")[2 * known :].decode("utf-16-le")
        return super()._tokens(text, kind)


def rest_writer(run: RunState, held: Held) -> RestWriter:
    length = run.answer.length
    known: dict[TextKind, int] = {
        "text": length["text"] - held.text,
        "reasoning": length["reasoning"] - held.reasoning,
    }
    return RestWriter(run.answer.message_id, known)


def known_calls(run: RunState, held: Held) -> list[ToolCall]:
    """The calls of the answer that the log has, in their order."""
    return list(run.answer.calls.values())[held.calls :]
