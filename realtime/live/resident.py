"""A session in memory: who watches it, when it ends and is forgotten.

Everything here happens on the event loop. A method that changes something returns the ticket of
its commit.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ..core.approvals import let_on
from ..core.rows import Deleted, SessionRow, StorageError
from ..core.session import Session, new_id
from ..core.state import RunState
from ..core.user import User
from ..log.encode import Append
from ..log.log import Ticket
from ..protocol import (
    Done,
    Join,
    ProtocolError,
    SessionEnded,
    ToolCall,
)
from .ack import Ack, acked
from .clock import now_ms
from .driver import Driver
from .host import Host
from .ledger import Ledger
from .presence import Presence
from .steering import Steering
from .view import View


class Resident(View):
    """One session that this worker writes, as long as it is in memory."""

    def __init__(
        self,
        session: Session,
        host: Host,
        *,
        left_at: int | None = None,
        share_key: str | None = None,
        unread: bool = False,
        draining: bool = False,
        presence: Presence | None = None,
    ) -> None:
        here = presence or Presence()
        self._ledger = Ledger(
            session,
            host.services,
            watched=lambda: here.has(session.user_id),
            left_at=left_at,
            share_key=share_key,
            unread=unread,
        )
        super().__init__(session, host, self._ledger.tail, here)
        self._steering = Steering(session)
        self._listed: SessionRow | None = None  # as it was told
        self.driver = Driver(session, host.services, self._ledger, draining=draining)
        for tools in here.tools.values():
            with suppress(ProtocolError):  # told when they came
                self.driver.tools.declare(tools)

    def row(self) -> SessionRow:
        row = self.session.row()
        row.unread = self._ledger.unread
        return row

    @property
    def share_key(self) -> str | None:
        return self._ledger.share_key

    @property
    def lost(self) -> StorageError | None:
        return self._ledger.lost

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
        if row.active_at is not None and row != self._listed:
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

    def share(self) -> Ack:
        """The key of the session's shares, made with the first of them."""
        ledger = self._ledger
        if ledger.share_key is None:
            ledger.share_key = new_id()
        return acked(ledger.note(), key=ledger.share_key)

    def unshare(self) -> Ack:
        """From now on no share of before admits anybody, and nothing goes on that others than
        the owner asked for. The caller keeps the session pinned until the commit."""
        self._ledger.share_key = None
        self._cancel(lambda run: run.asker != self.owner)
        ticket = self._ledger.note()
        self.driver.advance()
        return acked(ticket)

    def _cancel(self, which: Callable[[RunState], bool]) -> None:
        """End these of the runs; those that wait first, so that none of them starts."""
        for run in [*self.session.queue, self.session.active]:
            if run and which(run):
                self.driver.end(run)

    # ------------------------------------------------------------ devices

    def entered(self, user: User, command: Join) -> None:
        self.driver.tools.declare(command.tools or ())
        if self._ledger.unread and user.user_id == self.owner:
            self._was_read()

    def read(self) -> Ack:
        """The owner has come."""
        return acked(self._was_read())

    def _was_read(self) -> Ticket:
        self._ledger.unread = False
        return self._ledger.note()

    def leave(self, sid: str) -> None:
        """A device has gone."""
        if sid not in self.presence.devices:
            return
        self.presence.leave(sid)
        self._tell()
        self._left()

    def elsewhere(self, worker: str, users: list[User]) -> None:
        alone = self.presence.alone
        super().elsewhere(worker, users)
        if not alone:
            self._left()

    def _left(self) -> None:
        """The last device may have gone. That starts the clocks; nothing is awaited here."""
        if self.presence.alone:
            self._ledger.left_at = now_ms()
            if not self.session.ended:
                self._ledger.note()
            self.settle()

    def settle(self) -> None:
        """With nobody watching: let the run go on for a while, then end, then be forgotten."""
        if not self.presence.alone or self.pins or self._ledger.lost or self.driver.draining:
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
        if not self.presence.alone or self.session.unfinished:
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
