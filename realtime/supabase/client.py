"""The Supabase project, as this server uses it: ship a batch, read sessions back, check.

Requests are built by the `supabase` library with the secret key, and nothing of its
`auth` is ever called: an auth event would change the key under which all others run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..core.rows import Batch, EventRow, Head, HeldElsewhere, Listing, SessionRow, Taken
from .answers import from_response
from .bucket import StorageBucket
from .codec import decode_event, decode_head, encode_event, encode_head
from .errors import (
    PUBLIC,
    SupabaseError,
    check_key,
    checked_url,
    clock_skew,
    not_json,
    not_ours,
    rls_off,
    schema_behind,
    schema_old,
    unreachable,
)
from .shipped import Shipped

if TYPE_CHECKING:
    import httpx
    import supabase

SCHEMA_VERSION = 5
"""What `realtime_schema_version()` of schema.sql is."""

OLDEST_SCHEMA = 2
"""With this one everything works, but provider state is not stored; with the one after it each
text is stored several times; and with the next one there are no titles, pages and search."""

NO_SUCH_COLUMN = "42703"
PAGE_ROWS = 1000
MAX_SKEW_S = 5
CHECK_PAUSES_S = (0.5, 1.0)
"""Between the tries of a check, for trouble that passes within seconds."""

UNREADABLE = (msgspec.ValidationError, AttributeError, KeyError, TypeError, ValueError)
"""What an answer raises that is not of the shape it should have."""

T = TypeVar("T")


class ProjectHealth(msgspec.Struct):
    """What `realtime_health` says: the clock, and tables without row level security."""

    version: int
    now: int
    open_tables: list[str]


class Supabase:
    """One project, under its secret key. Every method raises `SupabaseError`, nothing else."""

    def __init__(
        self, url: str, key: str, schema: str, client: supabase.AsyncClient, http: httpx.AsyncClient
    ) -> None:
        self.url = url
        self.schema = schema
        self.bucket: StorageBucket | None = None
        self._key = key
        self._client = client
        self._http = http

    @classmethod
    async def connect(
        cls,
        url: str,
        key: str,
        *,
        schema: str = PUBLIC,
        bucket: str = "",
        timeout_s: float = 10,
    ) -> Supabase:
        """Make the client; nothing is sent yet. `schema`: where the tables are. `bucket`: where
        files are kept. Raises `SupabaseError("url_wrong")`, and ("key_wrong") for a key that no
        header can carry."""
        import httpx
        import supabase

        url, key = checked_url(url), key.strip()
        if not key or not key.isascii() or not key.isprintable():
            check_key(key)
        http = httpx.AsyncClient(
            timeout=timeout_s,
            event_hooks={"response": [partial(_only_json, schema)]},
            follow_redirects=False,
        )
        options = supabase.AsyncClientOptions(
            schema=schema,
            headers={"Authorization": f"Bearer {key}"},
            auto_refresh_token=False,
            persist_session=False,
            postgrest_client_retry=False,
            httpx_client=http,
        )
        made = cls(url, key, schema, await supabase.acreate_client(url, key, options), http)
        made.bucket = StorageBucket(url, key, bucket) if bucket else None
        return made

    async def close(self) -> None:
        if self.bucket:
            await self.bucket.close()
        await self._http.aclose()

    async def ship(
        self, batch: Batch, worker: str, lease_s: float, released: Sequence[str] = ()
    ) -> Shipped:
        """Store a batch in one request and one transaction. Sent again, it changes nothing.

        It says that the worker is alive, and lets go of the sessions `released`. All rows are
        stored but those that the answer names. When it raises, none is, or all are and the
        answer was lost.
        """
        answer = await self._rpc(
            "ship_batch",
            {
                "sessions": [encode_head(head) for head in batch.sessions],
                "events": [encode_event(row) for row in batch.events],
                "worker": worker,
                "lease_s": lease_s,
                "released": list(released),
            },
        )
        return _converted(answer, Shipped, "ship_batch")

    async def take(
        self, session_id: str, worker: str, lease_s: float, epoch: int | None = None
    ) -> Taken | None:
        """Make a worker the one that writes a session; `epoch` is of its own copy.

        None: there is nothing but that copy. Also raises `HeldElsewhere`.
        """
        answer = await self._rpc(
            "take_session",
            {
                "wanted": session_id,
                "worker": worker,
                "lease_s": lease_s,
                "known_epoch": epoch,
                "max_events": PAGE_ROWS,
            },
        )
        try:
            match answer and answer["state"]:
                case None | "yours":
                    return None
                case "held":
                    raise HeldElsewhere(int(answer["retry_after_ms"]))
                case "deleted":
                    return Taken(None, [])
        except UNREADABLE as error:
            raise _strange("take_session", error) from error
        return Taken(*await self._whole(session_id, answer))

    async def fetch(self, session_id: str) -> tuple[SessionRow, list[EventRow]] | None:
        """A session and its whole log, oldest first; None where there is none.

        `payload` is equal to what was shipped as JSON, not byte by byte; `id` is 0.
        """
        page = await self._page(session_id, 0)
        if page is None:
            return None
        head, events = await self._whole(session_id, page)
        return head.row, events

    async def _whole(self, session_id: str, page: Any) -> tuple[Head, list[EventRow]]:
        """A session from its first page on."""
        head: Head | None = None
        events: list[EventRow] = []
        while page is not None:
            try:
                head = head or decode_head(page["session"])
                rows = [decode_event(row) for row in page["events"]]
            except UNREADABLE as error:
                raise _strange("read_session", error) from error
            events += rows
            if len(rows) < PAGE_ROWS:
                return head, events
            page = await self._page(session_id, events[-1].seq)
        raise SupabaseError("unavailable", "The session was deleted meanwhile.", "")

    async def _page(self, session_id: str, after_seq: int) -> Any:
        return await self._rpc(
            "read_session",
            {"wanted": session_id, "after_seq": after_seq, "max_events": PAGE_ROWS},
        )

    async def abandoned(self, worker: str, lease_s: float, limit: int) -> list[str]:
        """Sessions that a worker left unfinished which is no longer alive."""
        answer = await self._rpc(
            "abandoned_sessions", {"worker": worker, "lease_s": lease_s, "max_sessions": limit}
        )
        return _converted(answer, list[str], "abandoned_sessions")

    async def alive_until(self, worker: str) -> str:
        """When a worker is no longer thought alive, "" where it has never been heard of."""
        found = self._client.table("realtime_workers").select("until").eq("worker", worker)
        answer = _converted(await self._ask(found), list[dict[str, str]], "realtime_workers")
        return answer[0]["until"] if answer else ""

    async def leave(self, worker: str) -> None:
        """The worker ends and lets go of everything."""
        await self._rpc("leave_worker", {"worker": worker})

    async def list_sessions(self, user_id: str | None, limit: int) -> list[SessionRow]:
        """As `log.store.Store`."""
        answer = await self._rpc("list_sessions", {"of_user": user_id, "max_sessions": limit})
        return _converted(answer, list[SessionRow], "list_sessions")

    async def find_sessions(self, wanted: Listing) -> list[SessionRow]:
        """As `log.store.Store`. With an older schema the newest sessions, and nothing else."""
        try:
            answer = await self._rpc(
                "find_sessions",
                {
                    "of_user": wanted.user_id,
                    "max_sessions": wanted.limit,
                    "behind": msgspec.to_builtins(wanted.before),
                    "in_archive": wanted.archived,
                    "wanted": wanted.wanted,
                },
            )
        except SupabaseError as error:
            if error.kind not in ("schema_missing", "schema_unknown"):
                raise
            if wanted.before or wanted.archived or wanted.wanted:
                return []
            newest = {"of_user": wanted.user_id, "max_sessions": wanted.limit, "said": True}
            answer = await self._rpc("list_sessions", newest)
        return _converted(answer, list[SessionRow], "find_sessions")

    async def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        """As `log.store.Store`."""
        answer = await self._rpc("session_figures", {"of_user": user_id, "since": since})
        return _converted(answer, dict[str, float], "session_figures")

    async def delete(self, session_ids: list[str]) -> None:
        """Remove sessions for good, all but their files; no late batch brings one back."""
        await self._rpc("delete_sessions", {"wanted": session_ids})

    async def check(self) -> list[SupabaseError]:
        """See that address, key and schema are right. Raises `SupabaseError` that says which of
        them is not, and what to do; returns what is wrong but no reason not to start."""
        check_key(self._key)
        for pause in CHECK_PAUSES_S:
            try:
                return await self._check()
            except SupabaseError as error:
                if error.kind not in ("clock", "schema_unknown"):
                    raise
            await asyncio.sleep(pause)
        return await self._check()

    async def _check(self) -> list[SupabaseError]:
        asked = time.time()
        try:
            version = await self._rpc("realtime_schema_version", {})
            if not isinstance(version, int) or version < OLDEST_SCHEMA:
                found = version if isinstance(version, int) else None
                raise schema_old(self.schema, found, SCHEMA_VERSION)
            asked = time.time()
            health = _converted(
                await self._rpc("realtime_health", {}), ProjectHealth, "realtime_health"
            )
        except SupabaseError as error:
            if error.kind not in ("schema_missing", "schema_unknown"):
                raise
            raise await self._without_functions(error) from None
        answered = time.time()
        wrong = [rls_off(self.schema, health.open_tables)] if health.open_tables else []
        if version < SCHEMA_VERSION:
            wrong.append(schema_behind(self.schema, version))
        skew = health.now / 1000 - (asked + answered) / 2
        if abs(skew) > MAX_SKEW_S + (answered - asked) / 2:
            wrong.append(clock_skew(skew))
        return wrong

    async def _without_functions(self, error: SupabaseError) -> SupabaseError:
        """The error where the functions are not found, which depends on the tables."""
        try:
            await self._ask(self._client.table("sessions").select("session_id").limit(1))
        except SupabaseError as other:
            if other.kind in ("schema_missing", "schema_unknown"):
                other.permanent = True  # at a start it has been asked often enough
                return other
            if other.kind != "schema_old":
                raise
            if NO_SUCH_COLUMN in other.message:
                return not_ours(self.schema)
        return schema_old(self.schema, None, SCHEMA_VERSION, cached=error.kind == "schema_unknown")

    async def _rpc(self, name: str, arguments: dict[str, Any]) -> Any:
        return await self._ask(self._client.rpc(name, arguments))

    async def _ask(self, query: Any) -> Any:
        """Execute; every failure becomes a `SupabaseError` here."""
        import httpx
        from postgrest import APIError

        try:
            return (await query.execute()).data
        except SupabaseError as error:
            if error.kind == "clock":
                check_key(self._key)  # one that has expired since the start
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
                "internal", f"The request could not be sent: {error}.", ""
            ) from error


async def _only_json(schema: str, response: httpx.Response) -> None:
    """The one place that sees every answer: only JSON with status 2xx gets past it."""
    if not response.is_success:
        await response.aread()
        raise from_response(response, schema)
    if "json" not in response.headers.get("content-type", ""):
        raise not_json(response.status_code)


def _converted(answer: Any, kind: type[T], what: str) -> T:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise _strange(what, error) from error


def _strange(what: str, error: Exception) -> SupabaseError:
    return SupabaseError(
        "internal", f"Supabase's answer to {what} was not understood: {error}.", ""
    )
