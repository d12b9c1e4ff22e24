"""A provider's words as the operator may read them: one short line without keys and texts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

LIMIT = 300
_QUOTE = 12
"""So many characters in a row are a quotation, no coincidence."""
_GONE = "…"

_HTML = re.compile(r"<(?:!doctype|html|head|body|h\d|title|center)\b", re.IGNORECASE)
_UNSEEN = re.compile(
    r"<(script|style|svg)\b.*?(?:</\1\s*>|\Z)|<!--.*?-->", re.IGNORECASE | re.DOTALL
)
_TAG = re.compile(r"<[^<>]{0,2000}>")

_KEYS = re.compile(
    r"""
      eyJ[\w-]+(?:\.[\w-]*)*                        # JWTs
    | \b(?:Bearer|Basic)\s+[^\s"',;]{8,}
    | \b(?:sk|gsk|csk|xai|hf|nvapi|pplx|sb|gh[pos]|glpat)[-_][\w*.-]{4,}
    | \b(?:pk|rk|ak|r8|tgp|fw|key|tok)[-_](?=[\w.-]*\d)[\w*.-]{4,}
    | \b\w{1,8}[-_]?\*{2,}[\w*.-]*                 # masked already
    | \b(?:AIza|AKIA|ASIA|ya29\.|github_pat_)[\w*.-]+
    | \b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b
    """,
    re.VERBOSE,
)
_RUN = re.compile(r"[A-Za-z0-9+/=_.-]{16,}")
_RANDOM = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z\d]{16,}|[a-z]{30,}")
_NAMED = re.compile(
    r"""(\b(?:api[-_ ]?key|x-api-key|access[-_ ]token|token|secret|password|authorization)s?
        (?:\ provided|\ is)?["'`]?\s*[:=]\s*["'`]?)(?!\d+\b)[^\s"'`,;)}\]]+""",
    re.IGNORECASE | re.VERBOSE,
)
_QUERY = re.compile(r"(\bhttps?://[^\s?#\"'<>]*)[?#][^\s\"'<>)]*", re.IGNORECASE)
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@\"']+@", re.IGNORECASE)

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
    return _INPUT.sub(rf"\1{_GONE}", " ".join(text.split()))


def detail(texts: list[str]) -> str:
    """The texts as one line of at most `LIMIT` characters."""
    shown: list[str] = []
    for text in texts:
        line = redacted(text)
        if line and not any(line in other for other in shown):
            shown.append(line)
    line = "; ".join(shown)
    return line if len(line) <= LIMIT else line[: LIMIT - 1].rstrip() + _GONE


def redacted(text: str) -> str:
    """One line, freed of what looks like a key, and of what was quoted from the request."""
    line = own("".join(c if c.isprintable() else " " for c in text))
    line = _QUOTED.sub(f"“{_GONE}”", line)
    line = _USERINFO.sub(r"\1", line)
    line = _QUERY.sub(r"\1", line)
    line = _NAMED.sub(rf"\1{_GONE}", line)
    line = _KEYS.sub(_GONE, line)
    return _RUN.sub(lambda run: _GONE if _RANDOM.search(run[0]) else run[0], line)


def unquoted(detail: str, texts: Iterable[str], *secrets: str) -> str:
    """The detail without what it repeats of these texts, word for word, and without secrets."""
    for secret in filter(None, secrets):
        detail = detail.replace(secret, _GONE)
    said = "\n".join(" ".join(text.split()) for text in texts)
    quoted = [False] * len(detail)
    for start in range(len(detail) - _QUOTE + 1):
        if detail[start : start + _QUOTE] in said:
            quoted[start : start + _QUOTE] = [True] * _QUOTE
    parts = groupby(zip(detail, quoted, strict=True), key=itemgetter(1))
    return "".join(_GONE if gone else "".join(c for c, _ in part) for gone, part in parts)
