"""Text and JSON that every store takes, and lengths as a browser counts them."""

from __future__ import annotations

from typing import Any


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


def utf16_len(text: str) -> int:
    """What `string.length` gives a browser."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
