"""One batch to Supabase, and the search for a row that spoils it.

Postgres names the rows that it does not take. Whatever stands before it, a firewall or a limit
on the size of a request, refuses the whole batch for one row: then the batch is shipped in
halves until that row is alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ..core.rows import Batch, Head
from .batches import NOTHING, as_refused, halves, nothing_taken, table_at_fault
from .client import Supabase
from .errors import SupabaseError
from .leases import Leases
from .shipped import Shipped

ABOUT_ROWS = ("too_large", "refused", "blocked", "url_wrong", "internal")
"""What one row may cause. The last two are what a firewall puts in the answer's place: a page with
the status 200, 302, 404 or 405, or JSON of its own."""

ABOUT_ROWS_IF_IT_LASTS = ("unreachable", "unavailable")
"""At the sight of one row a firewall may also close the connection, or answer 503."""


class Delivery:
    """Ships as one worker. Every method raises `SupabaseError`, nothing else."""

    def __init__(self, supabase: Supabase, leases: Leases) -> None:
        self._supabase = supabase
        self._leases = leases
        self._lasts = False
        self._withheld: dict[str, int] = {}
        """The revision of a head whose texts cannot be sent, by session."""

    async def ship(self, batch: Batch, released: Sequence[str], *, lasts: bool = False) -> Shipped:
        """All of a batch, but for the rows that the answer names. `lasts`: shipping has failed
        for a while, and nothing else explains it."""
        self._lasts = lasts
        try:
            return await self._send(batch, released)
        except SupabaseError as error:
            if not batch or not self._about_rows(error):
                raise
            # Where nothing at all is refused as well, no row is at fault.
            await self._send(NOTHING)
            answer = await self._search(batch, error)
            if nothing_taken(batch, answer.refused):
                raise
        if released:
            await self._send(NOTHING, released)
        return answer

    def _about_rows(self, error: SupabaseError) -> bool:
        return error.kind in ABOUT_ROWS or (self._lasts and error.kind in ABOUT_ROWS_IF_IT_LASTS)

    async def _search(self, batch: Batch, error: SupabaseError) -> Shipped:
        parts = halves(batch)
        if not parts:
            return await self._alone(batch, error)
        found = Shipped([])
        for part in parts:
            found.add(await self._try(part))
        return found

    async def _try(self, batch: Batch) -> Shipped:
        try:
            return await self._send(batch)
        except SupabaseError as error:
            if not self._about_rows(error):
                raise
            return await self._search(batch, error)

    async def _alone(self, batch: Batch, error: SupabaseError) -> Shipped:
        """A single row. It is sent again after something else was taken, so that a refusal that
        passes costs no row."""
        if batch.events:
            found = await self._try(replace(batch, events=[]))  # its head may be at fault
        else:
            found = await self._send(NOTHING)
        try:
            found.add(await self._send(batch))
        except SupabaseError as again:
            if not self._about_rows(again):
                raise
            found.refused.append(as_refused(batch, error))
            if not batch.events:
                await self._without_texts(batch)
        return found

    async def _without_texts(self, batch: Batch) -> None:
        """The rest of a head goes, so that the events of the session can follow."""
        (head,) = batch.sessions
        self._withheld[head.row.session_id] = head.revision
        try:
            await self._send(batch)
        except SupabaseError as error:
            if not self._about_rows(error):
                raise

    async def _send(self, batch: Batch, released: Sequence[str] = ()) -> Shipped:
        """One request."""
        sent = replace(batch, sessions=[self._sent(head) for head in batch.sessions])
        answer = await self._supabase.ship(
            sent, self._leases.worker, self._leases.lease_s, released
        )
        if wrong := table_at_fault(batch, answer.refused):
            raise wrong
        return answer

    def _sent(self, head: Head) -> Head:
        if self._withheld.get(head.row.session_id) != head.revision:
            return head
        return replace(head, row=replace(head.row, summary=None, title=None, last_text=None))
