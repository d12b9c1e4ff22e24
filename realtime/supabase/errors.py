"""What can go wrong with Supabase, in words that name the setting and the remedy."""

from __future__ import annotations

import base64
import binascii
import time
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import msgspec

from ..core.rows import StorageError
from ..package import NAME

if TYPE_CHECKING:
    import httpx

ErrorKind = Literal[
    "url_wrong",
    "unreachable",
    "key_wrong",
    "publishable_key",
    "clock",
    "restricted",
    "blocked",
    "schema_missing",
    "schema_unknown",
    "schema_old",
    "rls_off",
    "clock_skew",
    "refused",
    "too_large",
    "rate_limited",
    "unavailable",
    "internal",
]

PUBLIC = "public"
_USE_PRIVILEGED = (
    "Set SUPABASE_KEY to a secret key (sb_secret_…, or the legacy service_role key) "
    "from Project Settings → API Keys."
)
_USE_URL = "Set SUPABASE_URL to the project's URL, as https://<project>.supabase.co."


class SupabaseError(StorageError):
    """Supabase did not do what it was asked.

    `message` says what is wrong and `remedy` what to do, both for the operator and free
    of secrets. `permanent`: it stays so until somebody changes something; the others pass.
    """

    def __init__(self, kind: ErrorKind, message: str, remedy: str, permanent: bool = False) -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.kind = kind
        self.message = message
        self.remedy = remedy
        self.permanent = permanent


def checked_url(url: str) -> str:
    """The project's URL without a path. Raises `SupabaseError("url_wrong")`."""
    url = url.strip().rstrip("/").removesuffix("/rest/v1")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.path == ""
        _ = parts.port
    except ValueError:
        usable = False
    if not usable:
        raise SupabaseError("url_wrong", "SUPABASE_URL is not a project's URL.", _USE_URL, True)
    return url


def check_key(key: str) -> None:
    """What can be told from the key itself. Raises `SupabaseError`."""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SupabaseError(
            "key_wrong", "SUPABASE_KEY is empty or not a key.", _USE_PRIVILEGED, True
        )
    claims = _claims(key)
    if key.startswith("sb_publishable_") or claims.get("role") == "anon":
        raise publishable_key()
    if "role" in claims and claims["role"] != "service_role":
        raise SupabaseError(
            "key_wrong",
            f"SUPABASE_KEY is a token of the role {str(claims['role'])[:40]!r}.",
            _USE_PRIVILEGED,
            True,
        )
    expiry = claims.get("exp")
    if isinstance(expiry, int | float) and expiry < time.time():
        raise SupabaseError("key_wrong", "SUPABASE_KEY has expired.", _USE_PRIVILEGED, True)


def publishable_key() -> SupabaseError:
    return SupabaseError(
        "publishable_key",
        "SUPABASE_KEY is the publishable (anon) key, which cannot write.",
        _USE_PRIVILEGED,
        True,
    )


def what_to_run(schema: str) -> str:
    """The SQL that makes the tables in a schema."""
    if schema == PUBLIC:
        return "schema.sql"
    return f"what `python -m {NAME} schema --schema {schema}` prints"


def run_schema(schema: str) -> str:
    return (
        f"Run {what_to_run(schema)} in the project's SQL editor (it may be run again at any time)."
    )


def _reload(schema: str) -> str:
    ran = "schema.sql has been run in this project"
    if schema != PUBLIC:
        ran = f"the tables have been made in the schema {schema} of this project"
    return (
        f"If {ran}, run NOTIFY pgrst, 'reload schema'; in its SQL editor. If not, run "
        f"{what_to_run(schema)} there."
    )


def _project(schema: str) -> str:
    place = "" if schema == PUBLIC else f"the schema {schema} of "
    return f"{place}the project that SUPABASE_URL names"


def schema_missing(schema: str) -> SupabaseError:
    return SupabaseError(
        "schema_missing", f"The tables are not in {_project(schema)}.", run_schema(schema), True
    )


def not_ours(schema: str) -> SupabaseError:
    return SupabaseError(
        "schema_missing",
        f"The table sessions in {_project(schema)} was not made by this server.",
        "Give the server a schema of its own: set SUPABASE_SCHEMA=chat, and run "
        f"{what_to_run('chat')} in the SQL editor.",
        True,
    )


def not_exposed(schema: str, detail: str) -> SupabaseError:
    return SupabaseError(
        "schema_missing",
        f"The project's Data API does not expose the schema {schema} ({detail}).",
        "In the dashboard, add it to Exposed schemas (Integrations → Data API → Settings; in older "
        "ones Project Settings → Data API). On a server of your own add it to PGRST_DB_SCHEMAS, "
        "with the Supabase CLI to [api] schemas in config.toml. Make its tables first.",
        True,
    )


def schema_unknown(schema: str, detail: str) -> SupabaseError:
    """The schema cache does not know something. Only a person can tell whether it is stale or
    schema.sql was never run: PostgREST answers the same to both."""
    return SupabaseError(
        "schema_unknown",
        f"The Data API's schema cache does not know the tables and functions ({detail}): it is "
        f"stale, or they are not in {_project(schema)}.",
        _reload(schema),
    )


def schema_old(
    schema: str, found: int | None, needed: int, *, cached: bool = False
) -> SupabaseError:
    """`cached`: it was the schema cache that did not know the newer parts."""
    state = "of an older server" if found is None else f"at version {found}"
    return SupabaseError(
        "schema_old",
        f"The tables in {_project(schema)} are {state}; this server needs version {needed}."
        + (" Or the Data API's schema cache is stale." if cached else ""),
        _reload(schema) if cached else run_schema(schema),
        True,
    )


def schema_behind(schema: str, found: int) -> SupabaseError:
    lacking = "each text is stored several times."
    if found < 3:
        lacking = (
            "what a model's provider wants back later stays on this server, so another one that "
            "goes on with a conversation is without it; and " + lacking
        )
    return SupabaseError(
        "schema_old",
        f"The tables in {_project(schema)} are at version {found}: {lacking}",
        run_schema(schema),
        True,
    )


def rls_off(schema: str, tables: list[str]) -> SupabaseError:
    return SupabaseError(
        "rls_off",
        f"Row level security is off for {', '.join(tables)}: users may see other users' data.",
        run_schema(schema),
        True,
    )


def clock_skew(seconds: float) -> SupabaseError:
    return SupabaseError(
        "clock_skew",
        f"This machine's clock is {abs(seconds):.0f} s "
        f"{'behind' if seconds > 0 else 'ahead of'} the project's.",
        "Set it by NTP: times in the tables and the expiry of tokens follow this clock.",
        True,
    )


def _claims(key: str) -> dict[str, Any]:
    """The claims of a legacy key, unverified; {} for keys of another kind."""
    parts = key.split(".")
    if len(parts) != 3 or not key.startswith("eyJ"):
        return {}
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = msgspec.json.decode(base64.urlsafe_b64decode(padded))
    except (binascii.Error, msgspec.DecodeError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def not_json(status: int) -> SupabaseError:
    return SupabaseError(
        "url_wrong",
        f"What answers at SUPABASE_URL (status {status}) is not a Supabase project.",
        _USE_URL,
        True,
    )


def unreachable(reason: object) -> SupabaseError:
    return SupabaseError(
        "unreachable",
        f"SUPABASE_URL cannot be reached: {str(reason) or type(reason).__name__}.",
        "Check the address and the network; a paused project is restored in the dashboard.",
    )


def key_wrong(detail: str) -> SupabaseError:
    return SupabaseError(
        "key_wrong", f"Supabase refuses SUPABASE_KEY ({detail}).", _USE_PRIVILEGED, True
    )


def clock(detail: str) -> SupabaseError:
    """The gateway makes a token of a secret key, and PostgREST judges it by a clock of its own."""
    return SupabaseError(
        "clock",
        f"Supabase's clocks disagree about a token ({detail}).",
        "SUPABASE_KEY is not at fault, and this passes by itself. If it lasts, restart the "
        "project; on a server of your own set the clock and update PostgREST.",
    )


def blocked(response: httpx.Response) -> SupabaseError:
    """Without the body: a firewall may quote what it did not like."""
    marks = {"server": response.headers.get("server"), "ray": response.headers.get("cf-ray")}
    told = "".join(f", {name} {mark[:40]!r}" for name, mark in marks.items() if mark)
    return SupabaseError(
        "blocked",
        f"A firewall or proxy before Supabase refuses the request "
        f"({response.status_code}: {response.reason_phrase}{told}).",
        "Check SUPABASE_URL, and let this server's requests to /rest/v1/ pass there without "
        "inspection.",
    )
