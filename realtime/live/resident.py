"""A session in memory: who watches it, when it ends and is forgotten.

Everything here happens on the event loop. A method that changes something returns the ticket of
its commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from ..core.answer import Answer
from ..core.approvals import let_on
from ..core.fork import Part
from ..core.rows import Deleted, SessionRow, StorageError
from ..core.session import Session, new_id
from ..core.state import RunState
from ..core.user import User
from ..log.encode import Append
from ..log.log import Ticket
from ..protocol import (
    Done,
    File,
    History,
    Join,
    Options,
    Present,
    SessionEnded,
    SessionPayload,
    ToolCall,
    UserMessage,
)
from .clock import now_ms
from .driver import Driver
from .errors import refused
from .host import Host
from .join import history, leaf_of, page_for, payload
from .ledger import Ledger
from .presence import Presence
from .steering import Steering
from .tail import Page


class Resident:
    """One session, as long as it is in memory."""

    def __init__(
        self,
        session: Session,
        host: Host,
        *,
        left_at: int | None = None,
        share_key: str | None = None,
        unread: bool = False,
        draining: bool = False,
    ) -> None:
        self.session = session
        self.presence = Presence()
        self.pins = 0  # callers that hold it in memory just now
        self._host = host
        self._ledger = Ledger(
            session,
            host.services,
            watched=lambda: self.presence.has(session.user_id),
            left_at=left_at,
            share_key=share_key,
            unread=unread,
        )
        self._tail = self._ledger.tail
        self._steering = Steering(session)
        self._listed: SessionRow | None = None  # as it was told
        self.quiet = False  # nothing is told
        self.driver = Driver(session, host.services, self._ledger, draining=draining)

    @property
    def session_id(self) -> str:
        return self.session.session_id

    @property
    def owner(self) -> str:
        return self.session.user_id

    @property
    def options(self) -> Options:
        return self.session.options

    def row(self) -> SessionRow:
        row = self.session.row()
        row.unread = self._ledger.unread
        return row

    def exchanges(self, leaf: str | None) -> list[tuple[UserMessage, Answer]]:
        return self.session.exchanges(leaf_of(self.session, leaf))

    def part_up_to(self, message_id: str) -> Part:
        return self.session.part_up_to(message_id)

    def file(self, file_id: str) -> File | None:
        return self.session.files.get(file_id)

    # ------------------------------------------------------------ the log

    def published(self, append: Append) -> None:
        """The log has committed these events."""
        events = append.events
        self._tail.extend(events)
        if append.only_tokens:
            return
        if append.head:
            self._list(append.head.row)
        self._steering.look(self._tail.committed)
        if any(isinstance(event, ToolCall) and let_on(event) for event in events):
            self.driver.decided()
            self.presence.excuse()  # a wait for people is nobody's absence
        if self.session.labels.title is None and any(isinstance(event, Done) for event in events):
            self._host.on_answered(self.session_id)
        if self.session.ended and any(isinstance(event, SessionEnded) for event in events):
            self._host.on_ended(self.session_id)
        self.settle()

    def _list(self, row: SessionRow) -> None:
        """Tell of a row, unless it is as it was told."""
        if row.active_at is not None and row != self._listed and not self.quiet:
            self._listed = row
            self._host.on_listed(row)

    def close(self, *, deleted: bool = False) -> None:
        """Forget the session: what is not committed is gone, a run is cut off."""
        self.presence.cancel()
        self.driver.close(deleted=deleted)
        why = Deleted() if deleted else StorageError("the session is no longer in memory")
        self._ledger.close(why)
        self._steering.close(why)

    # ------------------------------------------------------------ sharing

    def admits(self, user_id: str, share_key: str | None) -> bool:
        invited = share_key is not None and share_key == self._ledger.share_key
        return invited or user_id == self.owner

    def share(self) -> tuple[str, Ticket]:
        """The key of the session's shares, made with the first of them, and its commit."""
        ledger = self._ledger
        if ledger.share_key is None:
            ledger.share_key = new_id()
        return ledger.share_key, ledger.note()

    def unshare(self) -> Ticket:
        """From now on no share of before admits anybody, and nothing goes on that others than
        the owner asked for. The caller keeps the session pinned until the commit."""
        self._ledger.share_key = None
        self._cancel(lambda run: run.asker != self.owner)
        ticket = self._ledger.note()
        self.driver.advance()
        return ticket

    def _cancel(self, which: Callable[[RunState], bool]) -> None:
        """End these of the runs; those that wait first, so that none of them starts."""
        for run in [*self.session.queue, self.session.active]:
            if run and which(run):
                self.driver.end(run)

    # ------------------------------------------------------------ devices

    async def join(
        self, sid: str, user: User, command: Join, enter: Callable[[], None]
    ) -> SessionPayload:
        """As in `Seat`: the caller must send the answer before it awaits anything, so that
        nothing falls between page and live stream. Raises `not_found`, `storage_unavailable`."""
        session, tail = self.session, self._tail
        self.driver.tools.declare(command.tools or ())
        try:
            page, mode = await page_for(command, session, tail)
            self._check_here()  # else the log may have less than we had
        except StorageError as error:
            raise refused(error) from None
        if page.seq >= tail.committed:
            enter()
            self.presence.enter(sid, user)
            if self._ledger.unread and user.user_id == self.owner:
                self._ledger.unread = False
                self._ledger.note()
            asyncio.get_running_loop().call_soon(self._tell)  # behind the answer to the join
        told = payload(session, tail.committed, page, mode, self.driver.model_for(None))
        told.people = self.presence.people()
        return told

    async def history(self, command: History) -> Page:
        """Older events, folded. Raises `not_found`, `storage_unavailable`."""
        try:
            page = await history(command, self.session, self._tail)
            self._check_here()
        except StorageError as error:
            raise refused(error) from None
        return page

    def _check_here(self) -> None:
        """Raises `StorageError` where the session was forgotten, while a page was read."""
        if self._ledger.lost:
            raise self._ledger.lost

    def leave(self, sid: str) -> None:
        """A device has gone. The last one starts the clocks; nothing is awaited here."""
        if sid not in self.presence.devices:
            return
        self.presence.leave(sid)
        self._tell()
        if not self.presence.devices:
            self._ledger.left_at = now_ms()
            if not self.session.ended:
                self._ledger.note()
            self.settle()

    def renamed(self, sid: str, user: User) -> None:
        """A device's user has another name."""
        if sid in self.presence.devices:
            self.presence.enter(sid, user)
            self._tell()

    def _tell(self) -> None:
        here = self.presence
        self._host.on_presence(Present(self.session_id, len(here.devices), here.people()))

    def settle(self) -> None:
        """With nobody watching: let the run go on for a while, then end, then be forgotten."""
        if self.presence.devices or self.pins or self._ledger.lost or self.driver.draining:
            return
        session, presence = self.session, self.presence
        if session.unfinished:
            wish = session.abandon_after()
            if wish is None and session.waits_for_people():
                presence.cancel()  # that ends by itself
            elif run := session.active:
                limit = self._host.abandon_s if wish is None else wish
                presence.after(limit - presence.alone_s, run.run_id, partial(self._abandon, run))
        elif not session.ended:
            presence.after(self._host.grace_s, "end", self.expire)
        elif self._tail.committed == session.head:
            presence.cancel()
            self._host.on_idle(session.session_id)

    def _abandon(self, run: RunState) -> None:
        if run is self.session.active:
            self.driver.end(run)
            self.driver.advance()

    def expire(self) -> None:
        """The grace period is over."""
        self.presence.cancel()
        if self.presence.devices or self.session.unfinished:
            return
        left_at = self._ledger.left_at
        self._ledger.change(lambda now: self.session.end(left_at, now))

    # ------------------------------------------------------- start and end

    def recover(self) -> None:
        """After loading: mend what a crash left behind."""
        self.driver.recover()
        self._ledger.occupy()

    async def drain(self, deadline_s: float) -> None:
        """Let the active run finish within the deadline; start nothing more. No ack waits on."""
        self.presence.cancel()
        await self.driver.drain(deadline_s)
        self._steering.release()
