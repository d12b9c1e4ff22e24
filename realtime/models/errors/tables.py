"""How the tables of words and sentences are written."""

from __future__ import annotations

import re


def named(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def any_of(*patterns: str) -> re.Pattern[str]:
    """One pattern for all of these, whatever the case."""
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
