"""The words of a text, as the search knows them: without case and accents, and of scripts that put
no spaces between words each two neighbouring characters, and the last one by itself.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from unicodedata import normalize

LONGEST = 32  # characters of a word
MOST = 16  # words of a question
OWNER = "\u00b6"  # begins the word of an owner; in no text does a word have it

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, kana, Han, and Hangul, whose words end in particles."""

_MARKS = "\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0dff"
"""Of Hebrew, Arabic and the scripts of India: parts of words that are no letters."""

_ASCII = re.compile("[a-z0-9]+")
_SINGLE = re.compile(f"[{_UNSPACED}]")
_RUNS = re.compile(f"([{_UNSPACED}]+)|((?:[^\\W_{_UNSPACED}]|[{_MARKS}])+)")
_ACCENTS = re.compile("[\u0300-\u036f]")


def words(text: str) -> set[str]:
    return set(_in_order(text, ends=True))


def asked(wanted: str) -> list[tuple[str, bool]]:
    """The words that all must stand in a text, and of which a beginning is enough: of the last one,
    and of single characters of unspaced scripts."""
    found = _in_order(wanted, ends=False)
    return [
        (word, bool(_SINGLE.fullmatch(word)) or (word == found[-1] and len(word) > 2))
        for word in list(dict.fromkeys(found))[:MOST]
    ]


def question(wanted: str, owner: str) -> str:
    """Asks FTS5 for the sessions of an owner in which these words stand. Empty where there are
    none."""
    terms = [f'"{word}"' + " *" * begins for word, begins in asked(wanted)]
    return " AND ".join([f'"{of_owner(owner)}"', *terms]) if terms else ""


def of_owner(user_id: str) -> str:
    """A word that stands in each session of a user, and in no text."""
    return OWNER + blake2b(user_id.encode("utf-8", "replace"), digest_size=10).hexdigest()


def _in_order(text: str, *, ends: bool) -> list[str]:
    """`ends`: whether the last character of an unspaced run is a word as well."""
    if text.isascii():
        return [word[:LONGEST] for word in _ASCII.findall(text.lower())]
    plain = normalize("NFC", _ACCENTS.sub("", normalize("NFKD", text))).casefold()
    found: list[str] = []
    for run, word in _RUNS.findall(plain):
        if word:
            found.append(word[:LONGEST])
        else:
            found += [run[at : at + 2] for at in range(max(1, len(run) - (not ends)))]
    return found
