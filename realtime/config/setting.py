"""One setting of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any

from .parsers import parse_text


def setting(
    default: Any, meaning: str, parse: Callable[[str], Any] = parse_text, *, secret: bool = False
) -> Any:
    return field(default=default, metadata={"meaning": meaning, "parse": parse, "secret": secret})
