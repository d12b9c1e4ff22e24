"""Text and JSON that every store takes, and lengths as a browser counts them."""

from __future__ import annotations

import unicodedata
from typing import Any

MAX_NAME = 64
"""Characters of a user's name."""

MAX_TITLE = 120
"""Characters of a session's title."""

_UNSEEN = ("Cc", "Cf", "Cs")
_BLANK = frozenset("\u115f\u1160\u2065\u2800\u3164\uffa0\U0001d159").union(
    map(chr, range(0xFFF0, 0xFFF9)), map(chr, range(0xE0000, 0xE1000))
)
"""Characters that show nothing, though their category does not say so: fillers, blanks, and those
that Unicode has programs ignore before it assigns them."""

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


def shows(text: str) -> bool:
    """Whether there is anything to see in it."""
    return _first_seen(text) < len(text)


def _one_line(text: str, most: int) -> str | None:
    """From the first character that shows on, without control characters, and without what changes
    the direction of text."""
    kept = "".join(
        c
        for c in text[_first_seen(text) :][: 16 * most]
        if c in _JOINERS or c.isspace() or unicodedata.category(c) not in _UNSEEN
    )
    return " ".join(kept.split())[:most].rstrip(" " + _JOINERS) or None


def _first_seen(text: str) -> int:
    """Where the first character is that shows by itself: a mark needs one before it."""
    for at, c in enumerate(text):
        kind = unicodedata.category(c)
        if kind not in _UNSEEN and kind[0] not in "MZ" and c not in _BLANK:
            return at
    return len(text)


def utf16_len(text: str) -> int:
    """What `string.length` gives a browser."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
