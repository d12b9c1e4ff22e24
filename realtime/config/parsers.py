"""Parsers of one value: text in, the setting's value out.

Each raises `ValueError` with the end of a sentence that begins with the variable's name.
"""

from __future__ import annotations

import base64
import codecs
import contextlib
import json
import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from .origin import origin_of

_TAKEN_SCHEMAS = {
    *("auth", "cron", "extensions", "graphql", "graphql_public", "information_schema", "net"),
    *("pgbouncer", "pgmq", "pgmq_public", "pgsodium", "realtime", "_realtime", "storage"),
    *("supabase_functions", "supabase_migrations", "vault"),
}
_HOST_NAME = re.compile(r"(?!(.*\.)?\d+$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", re.I)


def is_whole(raw: str) -> bool:
    """Whether it is a whole number that `int` takes, of a length that anybody means."""
    return raw.isdecimal() and len(raw) <= 20


def parse_text(raw: str) -> str:
    return raw


def one_of(*allowed: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw.lower() not in allowed:
            raise ValueError(f"must be one of: {', '.join(allowed)}")
        return raw.lower()

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        try:
            value = float(raw)
        except ValueError:
            raise ValueError("must be a number") from None
        if not low <= value <= high:
            raise ValueError(f"must be from {low:g} to {high:g}")
        return value

    return parse


def count(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not is_whole(raw) or not low <= int(raw) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(raw)

    return parse


def parse_host(raw: str) -> str:
    host = raw.removeprefix("[").removesuffix("]")
    with contextlib.suppress(ValueError):
        return str(ip_address(host))
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(
            "must be one address or host name, without a scheme and a port (0.0.0.0: all of IPv4, "
            ":: of IPv6 too)"
        )
    return host


def parse_port(raw: str) -> int:
    if not is_whole(raw) or int(raw) > 65535:
        raise ValueError("must be a port from 0 to 65535 (0: any free one)")
    return int(raw)


def parse_address(raw: str) -> str:
    """A URL as it is written."""
    if not is_url(raw):
        raise ValueError("must be a URL that begins with http:// or https://")
    return raw


def parse_url(raw: str) -> str:
    return parse_address(raw).rstrip("/")


def is_url(raw: str) -> bool:
    try:
        parts = urlsplit(raw)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an IPv6 address, or a port that is no number
        return False


def parse_base_url(raw: str) -> str:
    url = parse_url(raw)
    for end in ("/chat/completions", "/completions", "/responses"):
        if url.endswith(end):
            raise ValueError(f"must be the base URL, without {end}: {url.removesuffix(end)}")
    return url


def parse_project_url(raw: str) -> str:
    """The dashboard shows the address of the Data API too."""
    return parse_url(raw).removesuffix("/rest/v1")


def parse_engine_url(raw: str) -> str:
    try:
        parts = urlsplit(raw)
        good = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
        good = good and bool(re.fullmatch(r"/?|/\d{1,9}", parts.path, re.A))
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            "must be redis://[USER:PASSWORD@]HOST[:PORT][/DB], or the same with rediss:// for TLS; "
            "percent-encode signs such as / and @ in the password"
        )
    return raw


def parse_cluster_name(raw: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,32}", raw):
        raise ValueError("must be 1 to 32 small letters, digits and dashes")
    return raw


def parse_bucket(raw: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,98}", raw):
        raise ValueError("must be a bucket's name: small letters, digits, dots and dashes")
    return raw


def parse_schema(raw: str) -> str:
    """The name of a schema of the user's own. It may stand in SQL as it is, in quotation marks."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", raw) or raw.startswith("pg_"):
        raise ValueError(
            "must be a schema's name: small letters, digits and underscores, 63 at most, not "
            "beginning with a digit or pg_"
        )
    if raw in _TAKEN_SCHEMAS:
        raise ValueError(f"is a schema of Supabase's own: take another name, such as chat_{raw}")
    return raw


def parse_publishable_key(raw: str) -> str:
    """A key that the page may show to everybody; the legacy `anon` key is one too."""
    role = ""
    with contextlib.suppress(ValueError, IndexError, AttributeError):
        body = raw.split(".")[1]
        role = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))).get("role", "")
    if raw.startswith("sb_secret_") or role == "service_role":
        raise ValueError(
            "is a secret key, and the page would show it to everybody: set the publishable key "
            "(sb_publishable_…), and revoke this one if the page was ever served with it"
        )
    return raw


def parse_auth(raw: str) -> str:
    if raw.lower() in ("guest", "supabase"):
        return raw.lower()
    parts = raw.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise ValueError("must be one of: guest, supabase, or the dotted path of a function")
    return raw


def parse_list(raw: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in raw.split(",") if item.strip())


def parse_extensions(raw: str) -> tuple[str, ...]:
    paths = parse_list(raw)
    for path in paths:
        module, _, name = path.partition(":")
        if not all(part.isidentifier() for part in [*module.split("."), name or "_"]):
            raise ValueError(f"has {path}, which is neither a module nor module:object")
    return paths


def parse_suggestions(raw: str) -> tuple[str, ...]:
    items = tuple(item.strip() for item in raw.split(";") if item.strip())
    if len(items) > 4:
        raise ValueError("takes four suggestions at most, separated by semicolons")
    return items


def parse_origins(raw: str) -> tuple[str, ...]:
    origins = parse_list(raw)
    for origin in origins:
        if "*" in origin:
            raise ValueError("must name the origins; * would let every site act for your users")
        if origin == "null":
            raise ValueError(
                "contains null, which is the origin of every sandboxed frame of any site: serve "
                "the page from a host, or give the app a scheme of its own"
            )
    try:
        return tuple(map(origin_of, origins))
    except ValueError as error:
        raise ValueError(f"has an entry that is not an origin: {error}") from None


def parse_transports(raw: str) -> tuple[str, ...]:
    names = parse_list(raw.lower())
    if not names or set(names) - {"websocket", "polling"} or "websocket" not in names:
        raise ValueError("must be websocket,polling or websocket")
    return names


def parse_instructions(raw: str) -> str:
    if not raw.startswith("@"):
        return raw
    try:
        return read_text(Path(raw[1:]))
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {error}") from None
    except ValueError as error:
        raise ValueError(f"names a file that {error}") from None


def read_text(path: Path) -> str:
    """A text file. Raises `OSError`, or `ValueError` where it is not UTF-8."""
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise ValueError(
            "is UTF-16, as Windows PowerShell writes it: save it as UTF-8 "
            "(in PowerShell: Set-Content -Encoding utf8)"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"is not UTF-8, in line {line}: save it as UTF-8") from None


def parse_path(raw: str) -> str:
    """A file that exists, or whose folder does."""
    path = Path(raw)
    if ":memory:" in raw:
        raise ValueError("must be a file: a restart resumes from the journal")
    if "://" in raw:
        raise ValueError("must be the path of a file, not a URL")
    try:
        is_folder, has_folder = path.is_dir(), path.parent.is_dir()
    except OSError as error:
        raise ValueError(f"cannot be used: {error.strerror}") from None
    if is_folder:
        raise ValueError(f"is a folder: name a file in it, such as {path / 'realtime.db'}")
    if not has_folder:
        raise ValueError(f"needs the folder {path.parent}, which does not exist: create it first")
    return raw


def parse_flag(raw: str) -> bool:
    if raw.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return raw.lower() == "true"
