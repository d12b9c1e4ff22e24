"""The Supabase project, as this server uses it: ship a batch, read sessions back, check.

Requests are built by the `supabase` library with the secret key, and nothing of its
`auth` is ever called: an auth event would change the key under which all others run.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from realtime.log.rows import Batch, EventRow, SessionRow, builtins
from realtime.protocol import clean_text
from realtime.supabase.errors import (
    Refused,
    SupabaseError,
    check_key,
    checked_url,
    from_response,
    not_json,
    schema_missing,
    schema_old,
    unreachable,
)

if TYPE_CHECKING:
    import httpx
    import supabase

SCHEMA_VERSION = 1
"""What `realtime_schema_version()` of schema.sql must at least be."""

PAGE_ROWS = 1000
_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_SESSION_COLUMNS = ",".join(SessionRow.__struct_fields__)


class Supabase:
    """One project, under its secret key. Every method raises `SupabaseError`, nothing else."""

    def __init__(self, url: str, key: str, client: supabase.AsyncClient, http: httpx.AsyncClient):
        self.url = url
        self._key = key
        self._client = client
        self._http = http

    @classmethod
    async def connect(cls, url: str, key: str, *, timeout_s: float = 10) -> Supabase:
        """Make the client; nothing is sent yet. Raises `SupabaseError("url_wrong")`, and
        ("key_wrong") for a key that no header can carry."""
        import httpx
        import supabase

        url, key = checked_url(url), key.strip()
        if not key or not key.isascii() or not key.isprintable():
            check_key(key)
        http = httpx.AsyncClient(
            timeout=timeout_s, event_hooks={"response": [_only_json]}, follow_redirects=False
        )
        options = supabase.AsyncClientOptions(
            headers={"Authorization": f"Bearer {key}"},
            auto_refresh_token=False,
            persist_session=False,
            postgrest_client_retry=False,
            httpx_client=http,
        )
        return cls(url, key, await supabase.acreate_client(url, key, options), http)

    async def close(self) -> None:
        await self._http.aclose()

    async def ship(self, batch: Batch) -> list[Refused]:
        """Store a batch in one request and one transaction. Sent again, it changes nothing.

        Returns the rows that the database does not take; all others are stored. When it
        raises, none is, or all are and the answer was lost.
        """
        heads = [builtins(row) | {"revision": batch.cursor} for row in batch.sessions]
        for head in heads:
            head["user_id"] = clean_text(head["user_id"])
            if head["summary"] is not None:
                head["summary"] = clean_text(head["summary"])
        answer = await self._rpc(
            "ship_batch", {"sessions": heads, "events": [_event(row) for row in batch.events]}
        )
        try:
            return msgspec.convert(answer["refused"], list[Refused])
        except (msgspec.ValidationError, KeyError, TypeError) as error:
            raise _strange("ship_batch", error) from error

    async def fetch(self, session_id: str) -> tuple[SessionRow, list[EventRow]] | None:
        """A session and its whole log, oldest first; None where there is none.

        `payload` is equal to what was shipped as JSON, not byte by byte; `id` is 0.
        """
        head: SessionRow | None = None
        events: list[EventRow] = []
        while True:
            page = await self._rpc(
                "read_session",
                {
                    "wanted": session_id,
                    "after_seq": events[-1].seq if events else 0,
                    "max_events": PAGE_ROWS,
                },
            )
            if page is None:
                return None
            try:
                head = head or _session_row(page["session"])
                rows = [_event_row(row) for row in page["events"]]
            except (msgspec.ValidationError, KeyError, TypeError) as error:
                raise _strange("read_session", error) from error
            events += rows
            if len(rows) < PAGE_ROWS:
                return head, events

    async def list_sessions(self, user_id: str, limit: int) -> list[SessionRow]:
        """A user's sessions, the newest first, at most `limit`."""
        query = (
            self._client.table("sessions")
            .select(_SESSION_COLUMNS)
            .eq("user_id", user_id)
            .order("start_time", desc=True)
            .limit(limit)
        )
        answer = await self._ask(query)
        try:
            return [_session_row(row) for row in answer]
        except (msgspec.ValidationError, KeyError, TypeError, ValueError) as error:
            raise _strange("sessions", error) from error

    async def delete(self, session_ids: list[str]) -> None:
        """Remove sessions for good, events and all."""
        await self._ask(self._client.table("sessions").delete().in_("session_id", session_ids))

    async def check(self) -> None:
        """See that address, key and schema are right. Raises `SupabaseError` that says
        which of them is not, and what to do."""
        check_key(self._key)
        try:
            version = await self._rpc("realtime_schema_version", {})
        except SupabaseError as error:
            if error.kind != "schema_missing":
                raise
            if await self._has_table():
                raise schema_old(None, SCHEMA_VERSION) from None
            raise schema_missing() from None
        if not isinstance(version, int) or version < SCHEMA_VERSION:
            raise schema_old(version if isinstance(version, int) else None, SCHEMA_VERSION)

    async def _has_table(self) -> bool:
        try:
            await self._ask(self._client.table("sessions").select("session_id").limit(1))
        except SupabaseError as error:
            if error.kind == "schema_missing":
                return False
            if error.kind != "schema_old":
                raise
        return True

    async def _rpc(self, name: str, arguments: dict[str, Any]) -> Any:
        return await self._ask(self._client.rpc(name, arguments))

    async def _ask(self, query: Any) -> Any:
        """Execute; every failure becomes a `SupabaseError` here."""
        import httpx
        from postgrest import APIError

        try:
            return (await query.execute()).data
        except SupabaseError:
            raise
        except httpx.TimeoutException as error:
            raise SupabaseError(
                "unavailable",
                f"Supabase did not answer in time ({type(error).__name__}).",
                "If it lasts, look at the project's state in the dashboard.",
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise unreachable(error) from error
        except APIError as error:
            raise _strange("the answer", error) from error
        except (ValueError, RuntimeError) as error:
            raise SupabaseError(
                "internal", f"The request could not be made: {error}.", ""
            ) from error


async def _only_json(response: httpx.Response) -> None:
    """The one place that sees every answer: only JSON with status 2xx gets past it."""
    if not response.is_success:
        await response.aread()
        raise from_response(response)
    if "json" not in response.headers.get("content-type", ""):
        raise not_json(response.status_code)


def _event(row: EventRow) -> dict[str, Any]:
    """The row as `ship_batch` takes it. The payload travels as its text, so that nothing
    on the way rounds its numbers; Postgres holds no U+0000."""
    data = builtins(row)
    del data["id"]
    payload = row.payload
    if b"\\u0000" in payload:
        payload = _ESCAPED_NUL.sub(rb"\1\\ufffd", payload)
    data["payload"] = payload.decode("utf-8", "replace")
    data["content"] = clean_text(row.content)
    return data


def _event_row(data: dict[str, Any]) -> EventRow:
    return msgspec.convert(
        data | {"payload": data["payload"].encode(), "content": data["content"] or ""}, EventRow
    )


def _session_row(data: dict[str, Any]) -> SessionRow:
    """From `read_session` (times in ms) or from the table (times as text)."""
    known = data | {
        "user_id": data["user_id"] or "",
        "start_time": _ms(data["start_time"]) or 0,
        "end_time": _ms(data["end_time"]),
    }
    return msgspec.convert(known, SessionRow)


def _ms(value: str | int | None) -> int | None:
    """Ms since the Unix epoch. PostgREST writes `2026-01-01T…`, others a space for the T."""
    if value is None or isinstance(value, int):
        return value
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _strange(what: str, error: Exception) -> SupabaseError:
    return SupabaseError(
        "internal", f"Supabase's answer to {what} was not understood: {error}.", ""
    )
