"""Text and JSON that every store takes, and lengths as a browser counts them."""

from __future__ import annotations

import unicodedata
from typing import Any

MAX_NAME = 64
"""Characters of a user's name."""

MAX_TITLE = 120
"""Characters of a session's title."""

_UNSEEN = ("Cc", "Cf", "Cs")
_JOINERS = "\u200c\u200d"  # some scripts need them, and emoji do


def clean_text(text: str) -> str:
    """Lone surrogates and U+0000 become U+FFFD: neither JSON nor Postgres takes them."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\ufffd")


def clean(value: Any) -> Any:
    """A JSON value with every text in it cleaned."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return value


def clean_name(name: object) -> str | None:
    """A user's name as everybody may see it: one line of at most 64 characters. None where nothing
    is left."""
    return _one_line(name, MAX_NAME) if isinstance(name, str) else None


def clean_title(title: str) -> str | None:
    """A session's title: one line of at most 120 characters. None where nothing is left."""
    return _one_line(title, MAX_TITLE)


def _one_line(text: str, most: int) -> str | None:
    """Without control characters, and without what changes the direction of text."""
    spaced = " ".join(text[: 16 * most].split())
    kept = "".join(c for c in spaced if c in _JOINERS or unicodedata.category(c) not in _UNSEEN)
    return " ".join(kept[:most].split()).strip(_JOINERS) or None


def utf16_len(text: str) -> int:
    """What `string.length` gives a browser."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
