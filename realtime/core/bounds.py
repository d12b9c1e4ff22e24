"""What a session takes."""

from __future__ import annotations

import msgspec

from ..protocol import ProtocolError


class Bounds(msgspec.Struct, frozen=True):
    """UTF-8 bytes of one message, and messages that wait."""

    text_bytes: int = 16 * 1024
    queued: int = 5

    def check_text(self, text: str, *, empty: bool) -> None:
        """`empty`: whether it may be. Raises `bad_request`, `too_large`."""
        if not empty and not text.strip():
            raise ProtocolError("bad_request", "text is empty")
        if len(text.encode()) > self.text_bytes:
            raise ProtocolError(
                "too_large", f"text is longer than {self.text_bytes} bytes; send a shorter one"
            )


DEFAULT_BOUNDS = Bounds()
