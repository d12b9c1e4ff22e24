"""A provider's words as the operator may read them: one short line without keys and texts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

from ...redaction import GONE, without_keys

LIMIT = 300
_QUOTE = 12
"""So many characters in a row are a quotation, no coincidence."""

_HTML = re.compile(r"<(?:!doctype|html|head|body|h\d|title|center)\b", re.IGNORECASE)
_UNSEEN = re.compile(
    r"<(script|style|svg)\b.*?(?:</\1\s*>|\Z)|<!--.*?-->", re.IGNORECASE | re.DOTALL
)
_TAG = re.compile(r"<[^<>]{0,2000}>")

# What the user said: pydantic's and others' `input`, and whatever is quoted at length.
_INPUT = re.compile(
    r"""(["']?\b(?:input|input_value|received|got|(?<=,\ )value|content|prompt|text|messages)
        ["']?\s*[:=]\s*)
        (?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.|(?<=\w)'(?=\w))*'|[\[{(].*)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(
    r"""(?<!\w)(?:
          "(?=[^"]{60}|(?:[^"\s]+\s+){4})[^"]*"
        | “(?=[^”]{60}|(?:[^”\s]+\s+){4})[^”]*”
        | `(?=[^`]{60}|(?:[^`\s]+\s+){4})[^`]*`
        | '(?=[^']{60}|(?:(?:[^'\s]|(?<=\w)'(?=\w))+\s+){4})(?:[^']|(?<=\w)'(?=\w))*'
        )(?!\w)""",
    re.VERBOSE,
)


def plain(text: str) -> str:
    """The text of a page, if it is one."""
    if not _HTML.search(text[:2000]):
        return text
    return html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", text)))


def own(text: str) -> str:
    """One line, without the values of the request that it repeats by name."""
    return _INPUT.sub(rf"\1{GONE}", " ".join(text.split()))


def detail(texts: list[str]) -> str:
    """The texts as one line of at most `LIMIT` characters."""
    shown: list[str] = []
    for text in texts:
        line = redacted(text)
        if line and not any(line in other for other in shown):
            shown.append(line)
    line = "; ".join(shown)
    return line if len(line) <= LIMIT else line[: LIMIT - 1].rstrip() + GONE


def redacted(text: str) -> str:
    """One line, freed of what looks like a key, and of what was quoted from the request."""
    line = own("".join(c if c.isprintable() else " " for c in text))
    return without_keys(_QUOTED.sub(f"“{GONE}”", line))


def unquoted(detail: str, texts: Iterable[str], *secrets: str) -> str:
    """The detail without what it repeats of these texts, word for word, and without secrets."""
    for secret in filter(None, secrets):
        detail = detail.replace(secret, GONE)
    said = "\n".join(" ".join(text.split()) for text in texts)
    quoted = [False] * len(detail)
    for start in range(len(detail) - _QUOTE + 1):
        if detail[start : start + _QUOTE] in said:
            quoted[start : start + _QUOTE] = [True] * _QUOTE
    parts = groupby(zip(detail, quoted, strict=True), key=itemgetter(1))
    return "".join(GONE if gone else "".join(c for c, _ in part) for gone, part in parts)
