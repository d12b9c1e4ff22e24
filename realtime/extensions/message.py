"""What a user is about to say, and how it is refused."""

from __future__ import annotations

import msgspec

from ..protocol import File


class NewMessage(msgspec.Struct, frozen=True):
    """A message before it is stored or shown. `files`: what comes with it. `replaces`: the id of
    the message that it takes the place of, where it is an edit of one that was answered."""

    text: str
    files: tuple[File, ...] = ()
    replaces: str | None = None


class MessageRefused(Exception):
    """Raise it in `before_message`. The message says why, and is told to the user."""
