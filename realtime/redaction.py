"""What others wrote, freed of what must not be in a log line: keys, tokens and passwords."""

from __future__ import annotations

import re
from collections.abc import Iterable

GONE = "…"

_KEYS = re.compile(
    r"""
      eyJ[\w-]+(?:\.[\w-]*)*                        # JWTs
    | \b(?i:Bearer|Basic)\s+[^\s"',;]{6,}
    | \b(?:sk|gsk|csk|xai|hf|nvapi|pplx|sb|gh[oprsu]|glpat|xox[a-z])[-_][\w*.-]{4,}
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
    r"""((?:(?:\b|_)(?:api[-_ ]?key|access[-_ ]token|token|secret|password|passwd|pwd|authorization)
          |_key)s?
        (?:\ provided|\ is)?["'`]?\s*[:=]\s*["'`]?)(?!\d+\b)[^\s"'`,;)}\]]+""",
    re.IGNORECASE | re.VERBOSE,
)
_QUERY = re.compile(r"(\bhttps?://[^\s?#\"'<>]*)[?#][^\s\"'<>)]*", re.IGNORECASE)
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@\"']+@", re.IGNORECASE)


def without_keys(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without what looks like a key, and without these secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 6:
            text = text.replace(secret, GONE)
    text = _USERINFO.sub(r"\1", text)
    text = _QUERY.sub(r"\1", text)
    text = _KEYS.sub(GONE, text)
    text = _NAMED.sub(rf"\1{GONE}", text)
    return _RUN.sub(lambda run: GONE if _RANDOM.search(run[0]) else run[0], text)
