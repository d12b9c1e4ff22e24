"""Settings: read once from the environment and `.env`, checked, and then frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from . import consistency, environment
from .environment import ConfigError
from .limit_fields import LimitFields
from .models import ModelEntry, default_api


@dataclass(frozen=True, kw_only=True)
class Settings(LimitFields):
    """The settings, and what else the environment says."""

    model_keys: Mapping[str, str] = field(default_factory=dict, repr=False)  # of their entries
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)  # and the file's
    platform_disk: bool = False  # the platform wipes the disk at each restart
    spare_loopback: bool = False  # load from this machine is not counted by address
    worker: str = field(default="", compare=False)  # names this process among others
    given: frozenset[str] = frozenset()  # the variables that were set
    mistaken: Mapping[str, str] = field(default_factory=dict)  # by unknown name, the likely one

    @property
    def sign_in(self) -> dict[str, str] | None:
        """Where the page signs users in, and by which key; None: it cannot."""
        if self.auth != "supabase" or not self.supabase_publishable_key:
            return None
        return {"url": self.supabase_url, "key": self.supabase_publishable_key}

    @property
    def engine_url(self) -> str:
        return self.valkey_url or self.redis_url

    @property
    def file_bytes(self) -> int:
        """Of the largest file. 0: none is kept, since no disk is shared with the engine."""
        kept = self.supabase_bucket or not self.engine_url
        return self.file_mb * 2**20 if kept else 0

    @property
    def engine_prefix(self) -> str:
        """What the engine's keys begin with. The braces keep them on one node of a cluster."""
        return f"{{{self.cluster_name}1}}:"

    @classmethod
    def load(cls, environ: Mapping[str, str], env_file: str | None = ".env") -> Settings:
        """From the environment, and from the file what the environment lacks. Raises
        `ConfigError` with everything that is wrong."""
        values, problems = environment.read(fields(cls), environ, env_file)
        settings = cls(**values)
        problems += consistency.problems(settings)
        if problems:
            raise ConfigError(problems)
        return settings

    @classmethod
    def schema_of(cls, environ: Mapping[str, str], env_file: str | None = ".env") -> str:
        """`SUPABASE_SCHEMA` alone, whatever the others are. Raises `ConfigError`."""
        only = [item for item in fields(cls) if item.name == "supabase_schema"]
        values, problems = environment.read(only, environ, env_file)
        if problems:
            raise ConfigError(problems)
        return str(values.get("supabase_schema", cls.supabase_schema))

    @classmethod
    def documentation(cls) -> Iterator[tuple[str, str, str]]:
        """Of every variable its name, its default as one writes it, and its meaning."""
        for item in fields(cls):
            if "meaning" in item.metadata:
                yield item.name.upper(), _written(item.default), item.metadata["meaning"]

    def api_of(self, entry: ModelEntry) -> str:
        """The API by which a model is asked: `responses` or `chat`."""
        return entry.api or (default_api(entry.url) if entry.url else self.openai_api)

    def notes(self) -> list[str]:
        """Settings that have no effect, or hardly the one that was meant; a sentence each."""
        return list(consistency.notes(self))


def _written(value: Any) -> str:
    """A value as it stands in `.env`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
