"""The environment and the `.env` file, read as the values of settings."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any
from uuid import uuid4

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from .consistency import mistaken
from .models import default_api
from .parsers import read_text


class ConfigError(Exception):
    """The configuration cannot be used; one sentence a problem, each naming its variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read(
    fields: Iterable[Field[Any]], environ: Mapping[str, str], env_file: str | None
) -> tuple[dict[str, Any], list[str]]:
    """The values by the name of their field, and what is wrong with them. The environment takes
    precedence over the file, and its ENV_FILE names another one than `env_file`, which must be
    there. `env_file=None`: none is read. Raises `ConfigError` where the file cannot be read."""
    named = environ.get("ENV_FILE", "").strip() if env_file else ""
    try:
        file = _env_file(named or env_file, must_exist=bool(named)) if env_file else {}
    except ValueError as error:
        raise ConfigError(
            [f"ENV_FILE={named} {error}" if named else f"{env_file} {error}"]
        ) from None
    given = {**file, **{name: value for name, value in environ.items() if value.strip()}}
    known = {item.name: item.metadata for item in fields if "parse" in item.metadata}
    problems: list[str] = []
    if "ENV_FILE" in file:
        problems.append("ENV_FILE says which file is read: set it in the environment, not in one")
    values: dict[str, Any] = {}
    for name, setting in known.items():
        raw = given.get(name.upper())
        if raw is None:
            continue
        try:
            values[name] = setting["parse"](raw.strip())
            raw.encode()
        except UnicodeEncodeError:
            problems.append(f"{name.upper()} is not UTF-8")
        except ValueError as error:
            shown = "" if setting["secret"] else f"={raw}"
            problems.append(f"{name.upper()}{shown} {error}")
    if values.get("tools") == ("none",):
        values["tools"] = ()
    _derive(values, given)
    listed = ("fallbacks", "models", "summary_model")
    entries = [entry for name in listed for entry in values.get(name, ())]
    names = {name.upper() for name in known} | {"SUPABASE_SECRET_KEY", "ENV_FILE"}
    values["model_keys"] = {e.key: given[e.key].strip() for e in entries if given.get(e.key)}
    values["given"] = frozenset(names & given.keys())
    values["mistaken"] = mistaken(file, environ, names, {entry.key for entry in entries})
    values["environ"] = given
    return values, problems


def _derive(values: dict[str, Any], given: Mapping[str, str]) -> None:
    """The defaults that follow from what else is given."""
    values.setdefault("supabase_key", given.get("SUPABASE_SECRET_KEY", "").strip())
    values["platform_disk"] = "DYNO" in given
    values["worker"] = uuid4().hex[:8]
    if values["platform_disk"]:
        values.setdefault("trusted_proxies", 1)
    values["spare_loopback"] = "connects_per_minute" not in values
    if "port" in values:
        values.setdefault("host", "0.0.0.0")  # noqa: S104
    if values.get("valkey_url") or values.get("redis_url"):
        values.setdefault("transports", ("websocket",))
    if values.get("openai_api_key") or values.get("openai_base_url"):
        values.setdefault("model", "openai")
    values.setdefault("openai_api", default_api(values.get("openai_base_url", "")))


def _env_file(name: str, *, must_exist: bool) -> dict[str, str]:
    """The variables of a file that has a value for them. Raises `ValueError`."""
    path = Path(name)
    try:
        if not path.is_file():
            if must_exist:
                raise ValueError(f"is no file: there is none at {path.absolute()}")
            return {}
        text = read_text(path)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    for line in parse_stream(io.StringIO(text)):
        if line.error:  # not shown: it may be a key
            number = line.original.line
            raise ValueError(f"cannot be read in line {number}: write NAME=value, quotes closed")
    values = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in values.items() if value and value.strip()}
