"""Settings that contradict each other, and settings that have no effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from .models import ModelEntry, default_api, is_path

if TYPE_CHECKING:
    from . import Settings

LIKE = 0.82
"""How alike, from 0 to 1, a name in `.env` must be to a setting to be taken for a mistake."""

LIKE_IN_ENVIRONMENT = 0.9
"""The environment holds everybody's names."""

SECRET_LENGTH = 32
"""Characters; tokens that are signed with a shorter secret can be forged."""

OTHER_NAMES = {
    "OPENAI_API_BASE": "OPENAI_BASE_URL",
    "SUPABASE_ANON_KEY": "SUPABASE_PUBLISHABLE_KEY",
    "SUPABASE_SERVICE_ROLE_KEY": "SUPABASE_KEY",
    "SUPABASE_SERVICE_KEY": "SUPABASE_KEY",
}
"""What settings of ours are called elsewhere."""


def problems(settings: Settings) -> Iterator[str]:
    """What cannot go together."""
    yield from _models(settings)
    own = {"OPENAI_API_KEY": settings.openai_api_key, "SUPABASE_KEY": settings.supabase_key}
    for name, key in (own | dict(settings.model_keys)).items():
        if not key.isascii() or not key.isprintable() or " " in key:
            yield (
                f"{name} contains a character that keys cannot have, such as a space or a "
                "typographic quote: paste it again"
            )
    if settings.supabase_url and not settings.supabase_key:
        yield (
            "SUPABASE_KEY is missing: set it to the secret key (Project Settings, API Keys), "
            "or unset SUPABASE_URL to keep conversations in SQLite only"
        )
    if settings.supabase_key and not settings.supabase_url:
        yield (
            "SUPABASE_URL is missing: set it to https://<project>.supabase.co, or unset "
            "SUPABASE_KEY to keep conversations in SQLite only"
        )
    if settings.supabase_bucket and not settings.supabase_url:
        yield "SUPABASE_URL is missing: SUPABASE_BUCKET names a bucket of your project"
    if settings.valkey_url and settings.redis_url not in ("", settings.valkey_url):
        yield "VALKEY_URL and REDIS_URL differ: unset the one that is not meant"
    if settings.workers > 1 and not settings.engine_url:
        yield (
            f"VALKEY_URL is missing: WORKERS={settings.workers} share their conversations in a "
            "Valkey or Redis; set its URL, or unset WORKERS"
        )
    if settings.workers > 1 and "polling" in settings.transports:
        yield (
            f"TRANSPORTS names polling, which cannot work with WORKERS={settings.workers}: each "
            "request of a client may reach another process; unset it, and have clients use "
            'transports: ["websocket"]'
        )
    if settings.engine_url and not settings.auth_secret:
        yield (
            "AUTH_SECRET is missing: servers that share an engine must know each other's guests; "
            "set all of them to the same long random text (openssl rand -hex 32)"
        )
    if settings.webhook_url and not settings.webhook_secret:
        yield (
            "WEBHOOK_SECRET is missing: set it to whsec_ and a random text in Base64 "
            '(echo "whsec_$(openssl rand -base64 32)"), and give it to the receiver'
        )
    if settings.auth == "supabase" and not settings.supabase_url:
        yield "SUPABASE_URL is missing: AUTH=supabase needs it to know your project's users"
    if settings.supabase_jwt_secret and len(settings.supabase_jwt_secret) < SECRET_LENGTH:
        yield f"SUPABASE_JWT_SECRET must have {SECRET_LENGTH} characters or more"
    for name in ("auth_secret", "auth_secret_previous"):
        if 0 < len(getattr(settings, name)) < SECRET_LENGTH:
            yield (
                f"{name.upper()} is short: with fewer than {SECRET_LENGTH} characters its tokens "
                "can be forged; set it to a long random text (openssl rand -hex 32)"
            )
    if settings.platform_disk and not (settings.auth_secret or settings.engine_url):
        yield (
            "AUTH_SECRET is missing: this platform wipes the disk at each restart, and "
            "guests would lose their sessions; set it to a long random text"
        )


def _models(settings: Settings) -> Iterator[str]:
    server = settings.openai_api_key or settings.openai_base_url
    if settings.model == "openai" and not server:
        yield (
            "OPENAI_API_KEY is missing: set it, or OPENAI_BASE_URL of a server that needs "
            "none, or MODEL=demo to run without a key"
        )
    if settings.model == "openai" and settings.openai_base_url and not settings.openai_api_key:
        if default_api(settings.openai_base_url) == "responses":
            yield f"OPENAI_API_KEY is missing: {settings.openai_base_url} needs one"
        elif "OPENAI_MODEL" not in settings.given:
            yield (
                f"OPENAI_MODEL is missing: set it to a model of {settings.openai_base_url}; the "
                f"default, {settings.openai_model}, is OpenAI's"
            )
    for name, entries in (
        ("FALLBACKS", settings.fallbacks),
        ("MODELS", settings.models),
        ("SUMMARY_MODEL", settings.summary_model),
    ):
        for entry in entries:
            if entry.key and entry.key not in settings.model_keys:
                yield f"{entry.key} is missing: {name} uses it as the key of {entry.name}"
            if ours(entry) and not server:
                yield (
                    f"{name} has {entry.name} without a URL, but neither OPENAI_API_KEY nor "
                    f"OPENAI_BASE_URL is set: write {entry.name}@https://…"
                )
    default = settings.openai_model if settings.model == "openai" else settings.model
    named = Counter([default, *(entry.name for entry in settings.models if entry.url)])
    for name, count in named.items():
        if count > 1:
            yield f"MODELS offers {name} twice: a session chooses a model by its name alone"
    unpriced = {name for name in models_used(settings) if not is_path(name)}
    unpriced -= set(settings.prices or {})
    if unpriced and (settings.budget_user_dollars or settings.budget_server_dollars):
        yield (
            f"PRICES lacks {', '.join(sorted(unpriced))}: a budget in dollars needs the "
            "price of every model; use 0 for free models"
        )


def ours(entry: ModelEntry) -> bool:
    """Whether it is a model of the server that OPENAI_BASE_URL names, OpenAI without it."""
    return not entry.url and entry.name not in ("local", "demo") and not is_path(entry.name)


def models_used(settings: Settings) -> set[str]:
    default = settings.openai_model if settings.model == "openai" else settings.model
    return {default, *(entry.name for entry in entries_of(settings))}


def entries_of(settings: Settings) -> tuple[ModelEntry, ...]:
    """The models beside MODEL."""
    return (*settings.fallbacks, *settings.models, *settings.summary_model)


# ----------------------------------------------------------------- without effect


def notes(settings: Settings) -> Iterator[str]:
    """Settings that were given and change nothing, or not what they seem to."""
    given = settings.given
    entries = entries_of(settings)
    here = settings.model == "openai" or any(map(ours, entries))
    idle = set() if here else {"OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API"}
    if settings.model != "openai" and not is_path(settings.model):
        idle.add("OPENAI_MODEL")
        do = "set MODEL=openai" if here or settings.openai_api_key else "set OPENAI_API_KEY too"
        yield from _idle(given & idle, f"MODEL={settings.model}", f"; {do} to use it")
    if models_used(settings) == {"demo"}:
        options = {"TEMPERATURE", "MAX_OUTPUT_TOKENS", "REASONING_EFFORT", "SERVICE_TIER"}
        yield from _idle(given & options, "MODEL=demo", ", whose answers are scripted")
    if settings.openai_background and "responses" not in set(apis(settings)):
        yield (
            "OPENAI_BACKGROUND has no effect: only the Responses API can resume an answer, "
            "and no model uses it"
        )
    if settings.hosted_tools and "responses" not in set(apis(settings)):
        yield (
            "HOSTED_TOOLS has no effect: only the Responses API has tools that the provider runs, "
            "and no model uses it"
        )
    elsewhere = settings.model == "openai" and default_api(settings.openai_base_url) == "chat"
    if elsewhere and "OPENAI_MODEL" not in given:
        yield (
            f"OPENAI_MODEL is not set: {settings.openai_base_url} is asked for OpenAI's "
            f"{settings.openai_model}"
        )
    if not settings.supabase_url:
        yield from _idle(given & {"SUPABASE_SCHEMA"}, "no SUPABASE_URL", "")
    if settings.auth != "supabase":
        only = given & {"SUPABASE_PUBLISHABLE_KEY", "SUPABASE_JWT_SECRET"}
        yield from _idle(only, f"AUTH={settings.auth}", "; AUTH=supabase lets your users sign in")
    if settings.first_byte_seconds > settings.answer_seconds and "FIRST_BYTE_SECONDS" in given:
        yield (
            f"FIRST_BYTE_SECONDS={settings.first_byte_seconds:g} has no effect: "
            f"ANSWER_SECONDS={settings.answer_seconds:g} ends the call first"
        )
    if settings.engine_url and settings.durability == "fsync":
        yield (
            "DURABILITY=fsync is as sync where VALKEY_URL is set: set appendfsync to always in the "
            "engine"
        )
    if not settings.engine_url:
        yield from _idle(given & {"VALKEY_TLS", "CLUSTER_NAME"}, "no VALKEY_URL", "")
    elif "VALKEY_TLS" in given and not settings.engine_url.startswith("rediss:"):
        yield from _idle({"VALKEY_TLS"}, "redis://", "; rediss:// is TLS")
    if not settings.webhook_url:
        yield from _idle(given & {"WEBHOOK_SECRET", "WEBHOOK_EVENTS"}, "no WEBHOOK_URL", "")
    if settings.engine_url and Path(settings.database_path).is_file():
        yield (
            f"the journal at {settings.database_path} is not read: with VALKEY_URL conversations "
            "are in the engine"
        )
    if settings.engine_url and not settings.supabase_url:
        yield (
            "conversations live in the engine alone, and what it loses is gone: see that it stores "
            "and copies its data, or set SUPABASE_URL and SUPABASE_KEY"
        )
    if not settings.file_bytes:
        yield (
            "files are refused: servers that share an engine keep them in Supabase Storage; set "
            "SUPABASE_BUCKET to take them"
        )
    if {"SUPABASE_KEY", "SUPABASE_SECRET_KEY"} <= given:
        yield "SUPABASE_SECRET_KEY has no effect next to SUPABASE_KEY: unset one of them"
    own = any(map(is_path, models_used(settings)))  # whose names are not known yet
    unknown = set(settings.prices or {}) - models_used(settings)
    if unknown and not own:
        yield (
            f"PRICES has {', '.join(sorted(unknown))}, which no setting names; the "
            f"models are {', '.join(sorted(models_used(settings)))}"
        )
    for name, meant in settings.mistaken.items():
        yield f"{name} is not a setting of this server and is ignored: did you mean {meant}?"


def _idle(names: Iterable[str], beside: str, more: str) -> Iterator[str]:
    if found := ", ".join(sorted(names)):
        verb = "have" if "," in found else "has"
        yield f"{found} {verb} no effect with {beside}{more}"


def apis(settings: Settings) -> Iterator[str]:
    """The API by which each model is asked."""
    if settings.model == "openai":
        yield settings.openai_api
    for entry in entries_of(settings):
        if entry.url or ours(entry):
            yield settings.api_of(entry)


def mistaken(
    file: Iterable[str], environ: Iterable[str], names: set[str], keys: set[str]
) -> Mapping[str, str]:
    """Names that are no setting, with the setting that each looks like. `keys`: variables that
    the settings themselves name."""
    in_file = set(file)
    found = {}
    for name in sorted({*in_file, *environ} - names - keys):
        like = LIKE if name in in_file else LIKE_IN_ENVIRONMENT
        close = get_close_matches(name.upper(), names, n=1, cutoff=like)
        meant = OTHER_NAMES.get(name) or (close[0] if close else "")
        if meant and meant not in in_file and meant not in environ:
            found[name] = meant
    return found
