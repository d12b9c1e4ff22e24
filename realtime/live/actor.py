"""The owner of one live session: who watches it, what runs, when it ends.

Everything here happens on the event loop, one call at a time, so the order of
commands is the order of arrival. The rules are the session's; this adds time, tasks
and the log. A method that changes something returns the ticket of its commit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ..core.approvals import let_on
from ..core.rows import SessionRow, StorageError
from ..core.session import Session, new_id
from ..core.state import RunState
from ..limits.budget import payers
from ..log.encode import Append
from ..log.log import Ticket
from ..protocol import (
    Approve,
    ClientResult,
    Error,
    Join,
    Options,
    Send,
    SessionEnded,
    SessionPayload,
    Stop,
    ToolCall,
)
from .client_result import answer_of
from .clock import now_ms
from .driver import Driver, Ending
from .errors import storage_unavailable
from .host import Host
from .join import page_for, payload
from .ledger import Ledger
from .presence import Presence
from .schema import check_schema
from .tail import Page


class Actor:
    """One session in memory. Only the hub makes and forgets it."""

    def __init__(
        self,
        session: Session,
        host: Host,
        *,
        left_at: int | None = None,
        share_key: str | None = None,
        draining: bool = False,
    ) -> None:
        self.session = session
        self.presence = Presence()
        self.pins = 0  # callers that hold it in memory just now
        self._host = host
        self._ledger = Ledger(session, host.services, left_at=left_at, share_key=share_key)
        self._tail = self._ledger.tail
        self.driver = Driver(session, host.services, self._ledger, draining=draining)

    @property
    def session_id(self) -> str:
        return self.session.session_id

    @property
    def owner(self) -> str:
        return self.session.user_id

    def row(self) -> SessionRow:
        return self.session.row()

    # ------------------------------------------------------------ the log

    def published(self, append: Append) -> None:
        """The log has committed these events."""
        events = append.events
        self._tail.extend(events)
        if append.only_tokens:
            return
        if any(isinstance(event, ToolCall) and let_on(event) for event in events):
            self.driver.decided()
            self.presence.excuse()  # a wait for people is nobody's absence
        if self.session.ended and any(isinstance(event, SessionEnded) for event in events):
            self._host.on_ended(self.session_id)
        self.settle()

    def close(self) -> None:
        """Forget the session: what is not committed is gone, a run is cut off."""
        self.presence.cancel()
        self.driver.close()
        self._ledger.close()

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

    async def join(self, sid: str, command: Join, enter: Callable[[], None]) -> SessionPayload:
        """As in `Seat`: the caller must send the answer before it awaits anything, so that
        nothing falls between page and live stream. Raises `storage_unavailable`."""
        session, tail = self.session, self._tail
        self.driver.tools.declare(command.tools or ())
        try:
            page, mode = await page_for(command, session.epoch, tail)
        except StorageError:
            raise storage_unavailable() from None
        if self._ledger.closed:  # while the page was read; the log may have less than we had
            raise storage_unavailable()
        if page.seq >= tail.committed:
            enter()
            self.presence.enter(sid)
            asyncio.get_running_loop().call_soon(self._tell)  # behind the answer to the join
        return payload(session, tail.committed, page, mode, self.driver.model)

    async def history(self, before_seq: int | None, limit: int) -> Page:
        """Older events, folded. Raises `storage_unavailable`."""
        try:
            return await self._tail.history(before_seq, limit)
        except StorageError:
            raise storage_unavailable() from None

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

    def _tell(self) -> None:
        self._host.on_presence(self.session.session_id, len(self.presence.devices))

    def settle(self) -> None:
        """With nobody watching: let the run go on for a while, then end, then be forgotten."""
        if self.presence.devices or self.pins or self._ledger.closed or self.driver.draining:
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

    # ----------------------------------------------------------- commands

    def begin(self, user_id: str, options: Options | None = None) -> Ticket:
        return self._ledger.change(lambda now: self.session.begin(user_id, now, options))[1]

    def send(self, command: Send, user_id: str) -> Awaitable[dict[str, Any]]:
        """Take a message. Raises `ProtocolError` at once; the ack comes with the commit."""
        session, model = self.session, self.driver.model
        if not session.is_duplicate(command.client_msg_id, user_id):
            session.check_send(command)
            check_schema(command.schema)
            self._admit(user_id, waits=command.if_busy == "queue")
            if command.if_busy == "interrupt" and session.active:
                self.driver.end(session.active)
        (status, run), ticket = self._ledger.change(
            lambda now: session.send(command, user_id, model, now)
        )
        if status == "started":
            self.driver.start(run)
        user = run.user
        return self._acked(
            ticket,
            status=status,
            message_id=user.message_id if user else "",
            run_id=run.run_id,
            seq=user.seq if user else 0,
        )

    def resume(self, run_id: str, user_id: str) -> Awaitable[dict[str, Any]]:
        """Go on with an answer that broke off, as a run of this user."""
        self._admit(user_id)
        session, model = self.session, self.driver.model
        (status, run), ticket = self._ledger.change(
            lambda now: session.resume(run_id, user_id, model, now)
        )
        self.driver.start(run)
        return self._acked(
            ticket,
            status=status,
            message_id=run.answer.message_id,
            run_id=run.run_id,
            seq=run.first_seq,
        )

    def _admit(self, user_id: str, *, waits: bool = False) -> None:
        """Raises `rate_limited` where this user, or the session's owner, may not have one more
        run."""
        budget, session = self._host.services.budget, self.session
        users = payers(user_id, session.user_id)
        budget.check_runs(users, session.session_id)
        behind = session.active.run_id if session.active and waits else None
        budget.check_spending(users, behind=behind)

    def stop(self, command: Stop) -> Awaitable[dict[str, Any]]:
        """Cancel the active run or the one named; it is over before this returns."""
        session = self.session
        run = session.runs.get(command.run_id) if command.run_id else session.active
        if run is None or run.done:
            status = "already_done" if run else "not_found"
            run_id = run.run_id if run else command.run_id
            return self._acked(None, status=status, run_id=run_id, upstream_closed=True, ms=0)
        ending = self.driver.end(run)
        self.driver.advance()
        return self._stopped(ending, run.run_id)

    def approve(self, command: Approve, user_id: str) -> Awaitable[dict[str, Any]]:
        """Decide on a call that waits. Raises `ProtocolError` at once."""
        session, check = self.session, self.driver.tools.check_edit
        _, ticket = self._ledger.change(lambda now: session.approve(command, user_id, now, check))
        return self._acked(ticket, status="resolved")

    def take_result(self, command: ClientResult, user_id: str) -> Awaitable[dict[str, Any]]:
        """Take a device's answer to a call. Raises `ProtocolError` at once."""
        session, answer = self.session, answer_of(command)
        _, ticket = self._ledger.change(
            lambda now: session.take_result(command.tool_call_id, *answer, user_id, now)
        )
        return self._acked(ticket, status="resolved")

    def end(self) -> Awaitable[dict[str, Any]]:
        """End the session now, with everything that runs or waits."""
        self._cancel(lambda run: True)
        return self._acked(self._ledger.change(lambda now: self.session.end(now, now))[1])

    def summarised(
        self, ended_seq: int, *, text: str | None = None, error: Error | None = None
    ) -> Ticket | None:
        """Store a summary or the failure of one. None where it came too late."""
        stored, ticket = self._ledger.change(
            lambda now: self.session.summarised(ended_seq, now, text=text, error=error)
        )
        return ticket if stored else None

    # ------------------------------------------------------- start and end

    def recover(self) -> None:
        """After loading: mend what a crash left behind."""
        self.driver.recover()
        self._ledger.occupy()

    async def drain(self, deadline_s: float) -> None:
        """Let the active run finish within the deadline; start nothing more."""
        self.presence.cancel()
        await self.driver.drain(deadline_s)

    async def _acked(self, ticket: Ticket | None, **fields: Any) -> dict[str, Any]:
        """The ack of a command, once its events are committed. Raises `storage_unavailable`
        where they were not, or the session was deleted meanwhile."""
        if ticket is not None:
            try:
                await ticket
            except StorageError:
                raise storage_unavailable() from None
        return {"ok": True, **fields}

    async def _stopped(self, ending: Ending, run_id: str) -> dict[str, Any]:
        begun, task = time.monotonic(), ending.task
        if task:
            await asyncio.wait([task], timeout=5)
        return await self._acked(
            ending.ticket,
            status="cancelled",
            run_id=run_id,
            upstream_closed=task is None or task.done(),
            ms=round((time.monotonic() - begun) * 1000),
        )
