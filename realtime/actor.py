"""The owner of one live session: who watches it, what runs, when it ends.

Everything here happens on the event loop, one call at a time, so the order of
commands is the order of arrival. The rules are the session's; this adds time, tasks
and the log. A method that changes something returns the ticket of its commit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal

import msgspec

from realtime.log.journal import Head
from realtime.log.log import Log
from realtime.log.rows import StorageError
from realtime.log.tail import Page, Tail
from realtime.models import Model
from realtime.protocol import (
    OPEN_TOOL,
    Error,
    Event,
    Join,
    ProtocolError,
    Send,
    SessionEnded,
    SessionPayload,
    Stop,
    Token,
    ToolCall,
    entry,
)
from realtime.runs import Job, Outcome, execute
from realtime.session import Session, new_id
from realtime.state import RunState
from realtime.tools import Toolbox, ToolContext

Ticket = asyncio.Future[None]
logger = logging.getLogger(__name__)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Shared(msgspec.Struct, frozen=True):
    """What all actors of a hub work with. The callbacks are called on the loop."""

    log: Log
    model: Model
    tools: Toolbox
    instructions: str
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
        self._tail = Tail(shared.log, session.session_id, session.head)
        self._left_at = max(left_at or 0, session.last_ts)
        self._alone_since = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._draining = draining

    # ------------------------------------------------------------ the log

    def _commit(self, fold_run: RunState | None = None) -> Ticket:
        """Hand the session's new events to the log."""
        session = self.session
        if self._closed:
            lost: Ticket = asyncio.get_running_loop().create_future()
            lost.set_exception(StorageError("the session is no longer in memory"))
            lost.exception()  # nobody may be waiting
            return lost
        events = session.take()
        head = None
        if not events or not all(isinstance(event, Token) for event in events):
            head = Head(session.row(), session.unfinished, self._left_at, self.share_key)
        span = (fold_run.run_id, fold_run.first_seq, session.head) if fold_run else None
        return self._shared.log.append(
            session.session_id, session.epoch, events, head=head, fold=span
        )

    def published(self, events: Sequence[Event]) -> None:
        """The log has committed these events."""
        self._tail.extend(events)
        if self.session.ended and any(isinstance(event, SessionEnded) for event in events):
            self._shared.on_ended(self.session.session_id)
        self.settle()

    def close(self) -> None:
        """Forget the session: what is not committed is gone, a run is cut off."""
        self._closed = True
        self._cancel_timer()
        if self._task:
            self._task.cancel()

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
        """From now on no share of before admits anybody. The caller keeps the session pinned
        until the commit."""
        self.share_key = None
        return self._commit()

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
            pending_approvals=[],
            ended=session.ended is not None,
            model=self._shared.model.name,
        )

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
        if self.devices or self.pins or self._closed or self._draining:
            return
        session = self.session
        if session.unfinished:
            if self._timer is None and session.active:
                wish = session.abandon_after()
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
            self._end_active("cancelled")
            self._advance()

    def expire(self) -> None:
        """The grace period is over."""
        self._cancel_timer()
        if self.devices or self.session.unfinished:
            return
        if self.session.end(self._left_at, now_ms()):
            self._commit()

    # ----------------------------------------------------------- commands

    def begin(self, user_id: str) -> Ticket:
        self.session.begin(user_id, now_ms())
        return self._commit()

    def send(self, command: Send, user_id: str) -> Awaitable[dict[str, Any]]:
        """Take a message. Raises `ProtocolError` at once; the ack comes with the commit."""
        session = self.session
        interrupts = (
            command.if_busy == "interrupt"
            and session.active is not None
            and not session.is_duplicate(command.client_msg_id)
        )
        if interrupts:
            session.check_send(command)
            self._end_active("cancelled")
        model = self._shared.model.name
        status, run = session.send(command, user_id, model, now_ms())
        ticket = self._commit()
        self._cancel_timer()
        if status == "started":
            self._start(run)
        user = run.user
        return self._acked(
            ticket,
            status=status,
            message_id=user.message_id if user else "",
            run_id=run.run_id,
            seq=user.seq if user else 0,
        )

    def resume(self, run_id: str) -> Awaitable[dict[str, Any]]:
        """Go on with an answer that broke off."""
        status, run = self.session.resume(run_id, self._shared.model.name, now_ms())
        ticket = self._commit()
        self._cancel_timer()
        self._start(run)
        return self._acked(
            ticket,
            status=status,
            message_id=run.answer.message_id,
            run_id=run.run_id,
            seq=run.first_seq,
        )

    def stop(self, command: Stop) -> Awaitable[dict[str, Any]]:
        """Cancel the active run or the one named; it is over before this returns."""
        session = self.session
        run = session.runs.get(command.run_id) if command.run_id else session.active
        if run is None or run.done:
            status = "already_done" if run else "not_found"
            run_id = run.run_id if run else command.run_id
            return self._acked(None, status=status, run_id=run_id, upstream_closed=True, ms=0)
        if run is session.active:
            ticket, task = self._end_active("cancelled")
            self._advance()
        else:
            session.finish(run.run_id, "cancelled", "cancelled", now_ms())
            ticket, task = self._commit(), None
        return self._stopped(ticket, task, run.run_id)

    def end(self) -> Awaitable[dict[str, Any]]:
        """End the session now, with everything that runs or waits."""
        session = self.session
        for run in list(session.queue):
            session.finish(run.run_id, "cancelled", "cancelled", now_ms())
        if session.active:
            self._end_active("cancelled")
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

    # ---------------------------------------------------------------- runs

    def recover(self) -> None:
        """After loading: go on with what waited, and with a run that a crash caught between
        two steps. A run that was streaming, or whose tool may have had an effect that
        nobody saw, ends `interrupted`, its text kept."""
        run = self.session.active
        if run and (self._task is None or self._task.done()):
            calls = run.answer.last_step()
            if calls and all(self._may_go_on(call) for call in calls):
                self.session.go_on(run, self._shared.model.name, now_ms())
                self._commit()
                self._start(run, calls)
            else:
                self.session.recover(now_ms())
                self._commit(run)
        self._advance()

    def _may_go_on(self, call: ToolCall) -> bool:
        if call.status == "running":
            return self._shared.tools.repeatable(call.name)
        return call.status not in OPEN_TOOL

    def _advance(self) -> None:
        """Start the next queued run, where there is one and none is active."""
        if self._closed or self._draining:
            return
        if run := self.session.start_next(self._shared.model.name, now_ms()):
            self._commit()
            self._start(run)

    def _start(self, run: RunState, calls: Sequence[ToolCall] = ()) -> None:
        self._task = asyncio.create_task(self._drive(run, calls), name=f"run {run.run_id}")

    async def _drive(self, run: RunState, calls: Sequence[ToolCall]) -> None:
        """Record what the run produces. It reads on when the last events are committed, so
        that a slow disk makes larger reads, not a longer queue."""
        outcome = Outcome("failed", "error", error=Error("internal", "the run failed"))
        try:
            async with aclosing(
                execute(self._job(run, calls), self._shared.model, self._shared.tools)
            ) as parts:
                async for part in parts:
                    if isinstance(part, Outcome):
                        outcome = part
                        break
                    if not self.session.record(run.run_id, part, now_ms()):
                        return
                    await self._commit()
        except StorageError:
            return  # the hub has let go of this session
        except asyncio.CancelledError:
            if run.done or self._closed:
                raise
            logger.exception("run was cancelled from inside", extra=self._extra(run))
        except Exception:
            logger.exception("run failed", extra=self._extra(run))
        self._finish(run, outcome)

    def _job(self, run: RunState, calls: Sequence[ToolCall]) -> Job:
        session = self.session
        instructions = self._shared.instructions
        if run.user is None:
            instructions += (
                "\n\nYour last answer broke off. Continue it exactly where it stopped, "
                "without repeating anything of it."
            )
        return Job(
            message_id=run.answer.message_id,
            instructions=instructions,
            context=session.context(last_step=not calls),
            lengths=run.answer.length,
            new_id=new_id,
            tool_context=lambda tool_call_id: ToolContext(
                session_id=session.session_id,
                run_id=run.run_id,
                user_id=session.user_id,
                tool_call_id=tool_call_id,
                store=self._shared.log,
            ),
            calls=list(calls),
            steps=run.answer.steps,
        )

    def _finish(self, run: RunState, outcome: Outcome) -> None:
        if self._closed or not self.session.finish(
            run.run_id,
            outcome.status,
            outcome.reason,
            now_ms(),
            usage=outcome.usage,
            error=outcome.error,
        ):
            return
        logger.info("run ended: %s", outcome.status, extra=self._extra(run))
        self._cancel_timer()
        self._commit(run)
        self._advance()

    def _end_active(
        self, status: Literal["cancelled", "interrupted"]
    ) -> tuple[Ticket, asyncio.Task[None] | None]:
        """`done` for the active run now; its task is told to close the upstream request."""
        run = self.session.active
        assert run is not None
        if status == "cancelled":
            self.session.finish(run.run_id, status, "cancelled", now_ms())
        else:
            error = Error("interrupted", "the server is going away", retryable=True)
            self.session.finish(run.run_id, status, "error", now_ms(), error=error)
        task = self._task
        if task and task is not asyncio.current_task():
            task.cancel()
        self._cancel_timer()
        return self._commit(run), task

    async def drain(self, deadline_s: float) -> None:
        """Let the active run finish; end it `interrupted`, text kept, if it takes longer.
        Nothing new starts; what is queued stays queued."""
        self._draining = True
        self._cancel_timer()
        run = self.session.active
        if run and self._task:
            await asyncio.wait([self._task], timeout=deadline_s)
            if self.session.active is run:
                self._end_active("interrupted")

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
