"""What a list shows of a session beside its runs: a fold over its events. No I/O."""

from __future__ import annotations

from ..protocol import Feedback, SessionUpdated

SHOWN = 200
"""Characters of the newest text."""


class Labels:
    """`named`: whether a person gave the title. `active_at`: when something was last said (ms since
    the Unix epoch); `last_text`: the beginning of it. `feedback`: by message and user."""

    def __init__(self) -> None:
        self.title: str | None = None
        self.named = False
        self.pinned = False
        self.archived = False
        self.active_at: int | None = None
        self.last_text: str | None = None
        self.feedback: dict[tuple[str, str], Feedback] = {}

    def apply(self, event: SessionUpdated | Feedback) -> None:
        if isinstance(event, Feedback):
            self.feedback[event.message_id, event.user_id] = event
            return
        if event.title is not None:
            self.title, self.named = event.title, event.user_id is not None
        if event.pinned is not None:
            self.pinned = event.pinned
        if event.archived is not None:
            self.archived = event.archived

    def said(self, text: str, at: int) -> None:
        """Something was said, perhaps without words."""
        self.active_at = at
        self.last_text = text[:SHOWN] or self.last_text
