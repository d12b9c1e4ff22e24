"""Files of a session, as events list them, and what their types mean to models and browsers."""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_FILES = 10
"""Files of one message, or of one tool call."""

Kind = Literal["image", "pdf", "text", "other"]

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What models take as an image, and what a browser may show where it stands: none of them can
hold a script."""

_TEXTS = frozenset(
    {
        *("application/json", "application/xml", "application/yaml", "application/toml"),
        *("application/javascript", "application/sql", "application/x-sh"),
    }
)


class File(msgspec.Struct, frozen=True):
    """One file. `type` is its media type, as the content says; `size` in bytes."""

    id: str
    name: str
    type: str
    size: int

    @property
    def kind(self) -> Kind:
        return kind_of(self.type)


def kind_of(media_type: str) -> Kind:
    """What a file of this type can be to a model."""
    if media_type in IMAGES:
        return "image"
    if media_type == "application/pdf":
        return "pdf"
    textual = media_type.startswith("text/") or media_type.endswith(("+json", "+xml"))
    return "text" if textual or media_type in _TEXTS else "other"
