"""Parsers of the settings that are about models: their names, prices and options."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .parsers import is_url, is_whole

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
OPTIONS = ("instructions", "temperature", "max_output_tokens", "reasoning_effort")


_PATH = re.compile(r"(?:[a-z_]\w*\.)+[a-z_]\w*:[a-z_]\w*|[a-z_]\w*:(?-i:[A-Z])\w*", re.I)
"""With a dot in the module, or a capital letter behind the colon: `qwen3:latest` is a name."""


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model by name: of OPENAI_BASE_URL's server where `url` is empty, or of another one,
    whose key is in the environment variable `key`; or the path of one of the operator's own."""

    name: str
    url: str = ""
    key: str = ""
    api: str = ""
    history: int = 0
    takes: tuple[str, ...] | None = None
    """The kinds of files, beside text, that it takes; None: what is usual of its server."""


def is_path(name: str) -> bool:
    """Whether it is the `module:object` of a model, and no model's name."""
    return _PATH.fullmatch(name) is not None


def parse_model(raw: str) -> str:
    if is_path(raw):
        return raw
    if raw.lower() not in ("openai", "local", "demo"):
        raise ValueError(
            "must be one of: openai, local, demo; or the path of a class of your own, such as "
            "my_pkg.models:Claude"
        )
    return raw.lower()


def parse_models(raw: str) -> tuple[ModelEntry, ...]:
    """Entries, comma separated: `NAME`, `local`, `demo`, `module:Class` or `NAME@URL`, then perhaps
    `key=VARIABLE`, `api=responses|chat`, `history=TOKENS` and `takes=image+pdf`."""
    return tuple(_entry(item.split()) for item in raw.split(",") if item.strip())


def parse_model_entry(raw: str) -> tuple[ModelEntry, ...]:
    """One entry, or none."""
    entries = parse_models(raw)
    if len(entries) > 1:
        raise ValueError("must be one model")
    return entries


def _entry(words: list[str]) -> ModelEntry:
    place, *rest = words
    at = place.rfind("@http")
    name, url = (place[:at], place[at + 1 :].rstrip("/")) if at >= 0 else (place, "")
    if not name:
        raise ValueError(f"has an entry without a model: {place}; write NAME@{url}")
    if url and not is_url(url):
        raise ValueError(f"has an entry whose URL cannot be read: {place}")
    given: dict[str, Any] = {}
    for word in rest:
        option, equals, value = word.partition("=")
        if not equals or not value or option not in ("key", "api", "history", "takes"):
            raise ValueError(
                f"has {word!r} after {place}; it may be followed by key=VARIABLE, "
                "api=responses, api=chat, history=TOKENS and takes=image+pdf, then by a comma and "
                "the next model"
            )
        given[option] = value
    if given.get("api", "chat") not in ("responses", "chat"):
        raise ValueError(f"has api={given['api']} after {place}; it is responses or chat")
    if "history" in given:
        if not is_whole(given["history"]) or int(given["history"]) < 100:
            raise ValueError(f"has history={given['history']} after {place}; at least 100 tokens")
        given["history"] = int(given["history"])
    if "takes" in given:
        given["takes"] = _kinds(given["takes"], place)
    if "key" in given and not url:
        raise ValueError(f"has a key for {place}; only NAME@URL has one of its own")
    return ModelEntry(name=name, url=url, **given)


def _kinds(raw: str, place: str) -> tuple[str, ...]:
    kinds = () if raw == "text" else tuple(raw.split("+"))
    if set(kinds) - {"image", "pdf"}:
        raise ValueError(f"has takes={raw} after {place}; it is image, pdf, image+pdf or text")
    return kinds


def default_api(url: str) -> str:
    """The API for the server at a base URL; an empty URL is OpenAI's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or host == "api.openai.com" or host.endswith(".api.openai.com"):
        return "responses"
    # Two older surfaces of Azure, by deployment and by catalogue, have Chat Completions only.
    older = "/deployments/" in parts.path or parts.path.endswith("/models")
    return "responses" if host.endswith(AZURE) and not older else "chat"


def parse_prices(raw: str) -> dict[str, dict[str, float]]:
    """`{"model": {"input": …, "output": …, "cached": …}}`, in dollars for a million tokens;
    `cached` and `cache_write` may be left out."""
    try:
        table = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("must be JSON") from None
    shape = 'must be like {"MODEL": {"input": 0.25, "output": 2, "cached": 0.025}}'
    if not isinstance(table, dict) or not all(isinstance(row, dict) for row in table.values()):
        raise ValueError(shape)
    for model, row in table.items():
        if not {"input", "output"} <= set(row) <= {"input", "output", "cached", "cache_write"}:
            raise ValueError(f"{shape}; {model} has {', '.join(sorted(row)) or 'nothing'}")
        for name, value in row.items():
            good = isinstance(value, int | float) and not isinstance(value, bool)
            if not good or not 0 <= value <= 100_000:
                raise ValueError(f"{shape}; {name} of {model} is not a price")
    return table


def parse_temperature(raw: str) -> float | None:
    try:
        value = float(raw)
    except ValueError:
        raise ValueError("must be a number") from None
    if not 0 <= value <= 2:
        raise ValueError("must be from 0 to 2")
    return value


def parse_count(raw: str) -> int:
    if not is_whole(raw) or not 16 <= int(raw) <= 1_000_000:
        raise ValueError("must be a number of tokens from 16 to 1000000")
    return int(raw)


def parse_effort(raw: str) -> str:
    if raw.lower() not in EFFORTS:
        raise ValueError(f"must be one of: {', '.join(EFFORTS)}")
    return raw.lower()


def parse_options(raw: str) -> tuple[str, ...]:
    names = tuple(item.strip() for item in raw.split(",") if item.strip())
    if set(names) - set(OPTIONS):
        raise ValueError(f"may have: {', '.join(OPTIONS)}")
    return names
