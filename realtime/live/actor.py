"""The owner of one live session: who watches it, what runs, when it ends.

Everything here happens on the event loop, one call at a time, so the order of
commands is the order of arrival. The rules are the session's; this adds time, tasks
and the log. A method that changes something returns the ticket of its commit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from ..core.rows import Head, StorageError
from ..core.session import Session, new_id
from ..core.state import RunState
from ..limits.budget import payers
from ..log.encode import Append, only_tokens
from ..log.log import Ticket, settle
from ..protocol import (
    Approve,
    Error,
    Join,
    Options,
    ProtocolError,
    Send,
    SessionEnded,
    SessionPayload,
    Stop,
    ToolCall,
    entry,
    to_json,
)
from .driver import Driver, Means, now_ms
from .tail import Page, Tail

MAX_PENDING_ARGUMENTS = 8 * 1024
DECIDED = ("running", "denied", "expired")


class Shared(msgspec.Struct, frozen=True):
    """What all actors of a hub work with. The callbacks are called on the loop."""

    means: Means
    grace_s: float
    abandon_s: float
    on_ended: Callable[[str], None]
    on_idle: Callable[[str], None]
    on_presence: Callable[[str, int], None]


class Actor:
    """One session in memory. Only the hub makes and forgets it."""

    def __init__(
        self,
        session: Session,
        shared: Shared,
        *,
        left_at: int | None = None,
        share_key: str | None = None,
        draining: bool = False,
    ) -> None:
        self.session = session
        self.share_key = share_key
        self.devices: set[str] = set()
        self.pins = 0  # callers that hold it in memory just now
        self._shared = shared
        self._tail = Tail(shared.means.log, session.session_id, session.head)
        self.driver = Driver(session, shared.means, self._commit, draining=draining)
        self._left_at = max(left_at or 0, session.last_ts)
        self._alone_since = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    # ------------------------------------------------------------ the log

    def _commit(self, ended: RunState | None = None) -> Ticket:
        """Hand the session's new events to the log; `ended`: the run that they end."""
        session = self.session
        if self._closed:
            lost: Ticket = asyncio.get_running_loop().create_future()
            settle(lost, StorageError("the session is no longer in memory"))
            return lost
        events = session.take()
        head = None
        if not events or not only_tokens(events):
            head = Head(session.row(), session.unfinished, self._left_at, self.share_key)
            self._occupy()
        span = None
        if ended:
            self._cancel_timer()  # it was about that run
            if ended.done:
                budget = self._shared.means.budget
                budget.settle(self.driver.payers(ended), ended.run_id, ended.done.usage)
                self._shared.means.count.add(ended.done)
            span = (ended.run_id, ended.first_seq, session.head)
        return self._shared.means.log.append(
            session.session_id, session.epoch, events, head=head, fold=span
        )

    def _occupy(self) -> None:
        """Tell the budget who has something to run here."""
        runs = (self.session.active, *self.session.queue)
        users = {user_id for run in runs if run for user_id in self.driver.payers(run)}
        self._shared.means.budget.occupy(self.session.session_id, users)

    def published(self, append: Append) -> None:
        """The log has committed these events."""
        events = append.events
        self._tail.extend(events)
        if append.only_tokens:
            return
        if any(isinstance(e, ToolCall) and e.approval and e.status in DECIDED for e in events):
            self._alone_since = time.monotonic()  # a wait for approval is nobody's absence
        if self.session.ended and any(isinstance(event, SessionEnded) for event in events):
            self._shared.on_ended(self.session.session_id)
        self.settle()

    def close(self) -> None:
        """Forget the session: what is not committed is gone, a run is cut off."""
        self._closed = True
        self._cancel_timer()
        self.driver.close()
        self._shared.means.budget.occupy(self.session.session_id, ())

    # ------------------------------------------------------------ sharing

    def admits(self, user_id: str, share_key: str | None) -> bool:
        """Whether this user may be here: the owner, or one whose share is not revoked."""
        owns = self.session.user_id == user_id
        return owns or (share_key is not None and share_key == self.share_key)

    def share(self) -> tuple[str, Ticket]:
        """The key of the session's shares, made with the first of them, and its commit."""
        if self.share_key is None:
            self.share_key = new_id()
        return self.share_key, self._commit()

    def unshare(self) -> Ticket:
        """Void every share given so far, and cancel what anybody but the owner asked for. The
        caller keeps the session pinned until the commit."""
        self.share_key = None
        session, owner = self.session, self.session.user_id
        for run in [run for run in session.queue if run.asker != owner]:
            session.finish(run.run_id, "cancelled", "cancelled", now_ms())
        if session.active and session.active.asker != owner:
            self.driver.end("cancelled")
        ticket = self._commit()
        self.driver.advance()
        return ticket

    # ------------------------------------------------------------ devices

    async def join(self, sid: str, command: Join, enter: Callable[[], None]) -> SessionPayload:
        """What a device that knows `after_seq` of `epoch` has missed.

        `enter` puts the socket in the room. It is called without a pause before the
        return of the page that reaches the log's end, so the caller must send the
        answer before it awaits anything: then nothing falls between page and live
        stream. Raises `storage_unavailable`.
        """
        session, tail, after = self.session, self._tail, command.after_seq
        mode: Literal["live", "replay", "snapshot"] = "snapshot"
        # a cursor without an epoch is of the only one there can have been
        epoch = 1 if command.epoch is None else command.epoch
        known = epoch == session.epoch and (after or 0) <= tail.committed
        try:
            if after is not None and known:
                page = await tail.missed(after)
                mode = "replay" if page.events else "live"
            else:
                page = await tail.snapshot()
        except StorageError:
            raise storage_unavailable() from None
        if self._closed:  # while the page was read; the log may have less than we had
            raise storage_unavailable()
        if page.seq >= tail.committed:
            enter()
            self._entered(sid)
        return SessionPayload(
            session_id=session.session_id,
            user_id=session.user_id,
            epoch=session.epoch,
            seq=page.seq,
            head=tail.committed,
            mode=mode,
            recovered=mode != "snapshot",
            events=[entry(event) for event in page.events],
            next_before_seq=page.next_before_seq,
            active_run=session.active_view(),
            queue=session.queue_view(),
            pending_approvals=self._pending(),
            ended=session.ended is not None,
            model=self.driver.model,
        )

    def _pending(self) -> list[dict[str, Any]]:
        """The calls that wait for a person, as committed; where their arguments are long
        together, those are in the events only."""
        waiting = [call for call in self.session.pending() if call.seq <= self._tail.committed]
        entries, room = [entry(call) for call in waiting], MAX_PENDING_ARGUMENTS
        for item in entries:
            room -= len(to_json(item["arguments"]))
            if room < 0:
                del item["arguments"]
        return entries

    async def history(self, before_seq: int | None, limit: int) -> Page:
        """Older events, folded. Raises `storage_unavailable`."""
        try:
            return await self._tail.history(before_seq, limit)
        except StorageError:
            raise storage_unavailable() from None

    def _entered(self, sid: str) -> None:
        self.devices.add(sid)
        self._cancel_timer()
        asyncio.get_running_loop().call_soon(self._presence)  # behind the answer to the join

    def leave(self, sid: str) -> None:
        """A device has gone. The last one starts the clocks; nothing is awaited here."""
        if sid not in self.devices:
            return
        self.devices.discard(sid)
        self._presence()
        if not self.devices:
            self._left_at = now_ms()
            self._alone_since = time.monotonic()
            if not self.session.ended:
                self._commit()
            self.settle()

    def _presence(self) -> None:
        self._shared.on_presence(self.session.session_id, len(self.devices))

    def settle(self) -> None:
        """With nobody watching: let the run go on for a while, then end, then be forgotten."""
        if self.devices or self.pins or self._closed or self.driver.draining:
            return
        session = self.session
        if session.unfinished:
            wish = session.abandon_after()
            if wish is None and session.waits_for_people():
                self._cancel_timer()  # that ends by itself
            elif self._timer is None and session.active:
                limit = self._shared.abandon_s if wish is None else wish
                alone = time.monotonic() - self._alone_since
                self._after(max(0.0, limit - alone), self._abandon)
        elif not session.ended:
            if self._timer is None:
                self._after(self._shared.grace_s, self.expire)
        elif self._tail.committed == session.head:
            self._shared.on_idle(session.session_id)

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, action)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _abandon(self) -> None:
        self._timer = None
        if self.session.active:
            self.driver.end("cancelled")
            self.driver.advance()

    def expire(self) -> None:
        """The grace period is over."""
        self._cancel_timer()
        if self.devices or self.session.unfinished:
            return
        if self.session.end(self._left_at, now_ms()):
            self._commit()

    # ----------------------------------------------------------- commands

    def begin(self, user_id: str, options: Options | None = None) -> Ticket:
        self.session.begin(user_id, now_ms(), options)
        return self._commit()

    def send(self, command: Send, user_id: str) -> Awaitable[dict[str, Any]]:
        """Take a message. Raises `ProtocolError` at once; the ack comes with the commit."""
        session = self.session
        if not session.is_duplicate(command.client_msg_id, user_id):
            session.check_send(command)
            self._admit(user_id, waits=command.if_busy == "queue")
            if command.if_busy == "interrupt" and session.active:
                self.driver.end("cancelled")
        model = self.driver.model
        status, run = session.send(command, user_id, model, now_ms())
        ticket = self._commit()
        self._cancel_timer()
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
        status, run = self.session.resume(run_id, user_id, self.driver.model, now_ms())
        ticket = self._commit()
        self._cancel_timer()
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
        budget, session = self._shared.means.budget, self.session
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
        if run is session.active:
            ticket, task = self.driver.end("cancelled")
            self.driver.advance()
        else:
            session.finish(run.run_id, "cancelled", "cancelled", now_ms())
            ticket, task = self._commit(), None
        return self._stopped(ticket, task, run.run_id)

    def approve(self, command: Approve, user_id: str) -> Awaitable[dict[str, Any]]:
        """Decide on a call that waits. Raises `ProtocolError` at once."""
        self.session.approve(command, user_id, now_ms())
        ticket = self._commit()
        self.driver.decided()
        return self._acked(ticket, status="resolved")

    def end(self) -> Awaitable[dict[str, Any]]:
        """End the session now, with everything that runs or waits."""
        session = self.session
        for run in list(session.queue):
            session.finish(run.run_id, "cancelled", "cancelled", now_ms())
        if session.active:
            self.driver.end("cancelled")
        session.end(now_ms(), now_ms())
        self._cancel_timer()
        return self._acked(self._commit())

    def summarised(
        self, ended_seq: int, *, text: str | None = None, error: Error | None = None
    ) -> Ticket | None:
        """Store a summary or the failure of one. None where it came too late."""
        if self.session.summarised(ended_seq, now_ms(), text=text, error=error):
            return self._commit()
        return None

    # ------------------------------------------------------- start and end

    def recover(self) -> None:
        """After loading: mend what a crash left behind."""
        self.driver.recover()
        self._occupy()

    async def drain(self, deadline_s: float) -> None:
        """Let the active run finish within the deadline; start nothing more."""
        self._cancel_timer()
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

    async def _stopped(
        self, ticket: Ticket, task: asyncio.Task[None] | None, run_id: str
    ) -> dict[str, Any]:
        begun = time.monotonic()
        if task:
            await asyncio.wait([task], timeout=5)
        return await self._acked(
            ticket,
            status="cancelled",
            run_id=run_id,
            upstream_closed=task is None or task.done(),
            ms=round((time.monotonic() - begun) * 1000),
        )

    def _extra(self, run: RunState) -> dict[str, str]:
        return {"session_id": self.session.session_id, "run_id": run.run_id}


def storage_unavailable() -> ProtocolError:
    return ProtocolError(
        "storage_unavailable",
        "nothing can be stored right now; try again",
        retryable=True,
        retry_after_ms=2000,
    )
