"""What an answer of Supabase means that is no success.

The code decides, if PostgREST gave one, else the status. What is permanent is about the key, the
address or the schema, and waits for a person. Restrictions, clocks, firewalls and outages end
without a change here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import (
    SupabaseError,
    blocked,
    clock,
    key_wrong,
    not_exposed,
    not_json,
    publishable_key,
    run_schema,
    schema_missing,
    schema_unknown,
)

if TYPE_CHECKING:
    import httpx

# PostgREST answers with its own codes or with Postgres's SQLSTATE, which has a digit; whatever
# stands before it has other codes, numbers, or none.
_POSTGREST = re.compile(r"PGRST\w{0,3}|(?=.*\d)[0-9A-Z]{5}")
_NOT_THERE = ("42P01", "42883", "3F000")
_NOT_IN_CACHE = ("PGRST200", "PGRST202", "PGRST205")
_NO_WRITES = ("25006", "53100")
_PASSING_CLASSES = ("08", "25", "40", "53", "55", "57", "58")
_CLOCK = re.compile(
    r"issued\s*(at|in)\s*(the\s*)?future|not\s*(yet\s*valid|valid\s*yet)|used before issued"
    r"|claim timestamp check|(jwt|token)\s*(is\s*|has\s*)?expired",
    re.I,
)
# At the beginning, since a firewall may quote what a user wrote.
_RESTRICTED = re.compile(r"(the )?service\b.{0,40}\brestricted", re.I)
_ABOUT_KEY = re.compile(
    r"(invalid|missing|no|unknown|unregistered)\b.{0,20}(api.?key|jwt|credentials)"
    r"|you cannot consume this service",
    re.I,
)


def from_response(response: httpx.Response, schema: str) -> SupabaseError:
    """What an answer other than 2xx means. Its body must have been read. `schema`: where the
    tables are."""
    status = response.status_code
    body = _json_object(response.content)
    code = body.get("code")
    if not isinstance(code, str) or not _POSTGREST.fullmatch(code):
        code = ""
    message = str(body.get("message") or body.get("msg") or body.get("error") or "")
    # A message about data may quote it; one about the schema or the key names tables and roles.
    about_us = (
        code.startswith(("42", "25", "53", "PGRST"))
        or status in (401, 402, 540)
        or bool(_ABOUT_KEY.match(message))
    )
    said = ((about_us and message) or response.reason_phrase)[:300]
    detail = f"{status} {code}".rstrip() + (f": {said}" if said else "")

    if code:
        found = _from_postgrest(schema, status, code, message, detail)
    else:
        found = _from_gateway(response, message, detail)
    if found:
        return found
    if status == 413:
        return SupabaseError(
            "too_large", f"Supabase refuses a request of this size ({detail}).", "", True
        )
    if status == 429:
        return SupabaseError("rate_limited", f"Supabase asks for a pause ({detail}).", "")
    if status == 540:
        return SupabaseError(
            "unavailable", f"The project is paused ({detail}).", "Restore it in the dashboard."
        )
    if status >= 500 or status in (408, 425) or code.startswith(_PASSING_CLASSES):
        return SupabaseError(
            "unavailable",
            f"Supabase is not available ({detail}).",
            "If it lasts, look at the project's state in the dashboard.",
        )
    return SupabaseError("refused", f"Supabase refuses the data ({detail}).", "", True)


def _from_postgrest(
    schema: str, status: int, code: str, message: str, detail: str
) -> SupabaseError | None:
    if status == 401 and code == "42501":
        return publishable_key()
    if code == "42501" or code in ("42703", "PGRST204", "PGRST203"):
        return SupabaseError(
            "schema_old",
            f"The tables do not fit this server ({detail}).",
            run_schema(schema),
            True,
        )
    if code in _NOT_THERE:
        return schema_missing(schema)
    if code in _NOT_IN_CACHE:
        return schema_unknown(schema, detail)
    if code == "PGRST106":
        return not_exposed(schema, detail)
    if code in _NO_WRITES:
        return SupabaseError(
            "restricted",
            f"The project's database refuses writes ({detail}).",
            "Its disk may be full: look at Database in the dashboard. Writes are retried until "
            "it accepts them.",
        )
    if status in (401, 403) and not code.startswith("PT"):
        if _CLOCK.search(message) or (code == "PGRST303" and not message):
            return clock(detail)
        return key_wrong(detail)
    return None


def _from_gateway(response: httpx.Response, message: str, detail: str) -> SupabaseError | None:
    """From Supabase's gateway, or from a firewall or proxy before it."""
    status = response.status_code
    if status == 402 or (status < 500 and _RESTRICTED.match(message)):
        return SupabaseError(
            "restricted",
            f"Supabase restricts the project ({detail}).",
            "Look at the organization's usage and billing in the dashboard. Requests are retried "
            "until the restriction is lifted.",
        )
    if status == 401 or (status == 403 and _ABOUT_KEY.match(message)):
        return clock(detail) if _CLOCK.search(message) else key_wrong(detail)
    if status in (404, 405) or status < 400:
        return not_json(status)
    if status < 500 and status not in (408, 413, 425, 429):
        return blocked(response)
    return None


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return body if isinstance(body, dict) else {}
