"""What runs in one session: one run at a time, each by a task of its own.

The session's actor starts and stops it here; what a run produces is recorded in the
session and committed before more is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial

from ..core.rows import StorageError
from ..core.session import Session
from ..core.state import RunState
from ..core.usage import Meter, file_tokens, priced
from ..limits.budget import ANSWER_TOKENS, NOTHING, amount_of
from ..log.encode import only_tokens
from ..log.log import Ticket
from ..models import Request
from ..protocol import OPEN_TOOL, Error, ProtocolError, ToolCall, Usage, to_json
from ..runs.execute import Job, execute
from ..runs.outcome import Outcome
from .clock import now_ms
from .job import job_of, used_before
from .ledger import Ledger
from .services import Services

Closing = asyncio.Task[None] | None
logger = logging.getLogger(__name__)


class Driver:
    """The active run of a session and its task."""

    def __init__(
        self, session: Session, services: Services, ledger: Ledger, *, draining: bool = False
    ) -> None:
        self.draining = draining  # nothing new starts
        self._session = session
        self._services = services
        self._ledger = ledger
        self._task: asyncio.Task[None] | None = None
        self._meter: Meter | None = None  # of the active run
        self._closed = False
        self._news = asyncio.Event()  # somebody decided on a call

    @property
    def model(self) -> str:
        return self._services.chain.name_of(self._session.options.model)

    def start(self, run: RunState, calls: Sequence[ToolCall] = ()) -> None:
        """Carry out a run. `calls`: those of its last step, where it goes on after a crash."""
        job = job_of(
            run,
            calls,
            self._session,
            self._services,
            before_call=partial(self._reserve, run),
            decided=self._decision,
        )
        self._meter = job.meter
        request = Request(job.instructions, tuple(job.context), self._services.tools.specs)
        self._reserve(run, request, None)
        self._task = asyncio.create_task(self._drive(run, job), name=f"run {run.run_id}")

    def advance(self) -> None:
        """Start the next queued run, where there is one and none is active."""
        if self._closed or self.draining:
            return
        while run := self._session.start_next(self.model, now_ms()):
            try:
                self._services.budget.check_spending(self._ledger.payers(run))
            except ProtocolError as refusal:
                refused = Outcome("quota_exceeded", "limit", Usage(0, 0), refusal.error())
                self._finish(run, refused)
                logger.info("run refused: %s", refusal.message, extra=self._extra(run))
            else:
                self._ledger.commit()
                self.start(run)
                return

    def _reserve(self, run: RunState, request: Request, usage: Usage | None) -> None:
        """Before each call of the model. Raises `rate_limited` before a further one that there
        is nothing left for."""
        budget, users = self._services.budget, self._ledger.payers(run)
        used = amount_of(usage) if usage else NOTHING
        if used.tokens:
            budget.check_spending(users, behind=run.run_id, used=used)
        sent = [f for item in request.context for f in getattr(item, "files", ())]
        read = len(to_json(request)) // 4 + sum(map(file_tokens, sent))
        call = Usage(read, ANSWER_TOKENS)
        most = used + amount_of(priced(call, run.model, self._services.prices))
        budget.reserve(users, run.run_id, most)

    def recover(self) -> None:
        """After loading: go on with what waited, and with a run that a crash caught between
        two steps. A run that was streaming, or whose tool may have had an effect that
        nobody saw, or of which nobody knows who asked, ends `interrupted`, its text kept.
        What waits for a person waits on."""
        run = self._session.active
        if run and (self._task is None or self._task.done()):
            calls = run.answer.last_step()
            if run.asker and calls and all(self._may_go_on(call) for call in calls):
                if not self._session.pending():
                    self._session.go_on(run, self.model, now_ms())
                    self._ledger.commit()
                self.start(run, calls)
            else:
                error = Error("interrupted", "the server stopped", retryable=True)
                outcome = Outcome("interrupted", "error", error=error)
                self._finish(run, outcome, ended_at=self._session.last_ts)
        self.advance()

    def _may_go_on(self, call: ToolCall) -> bool:
        if call.status == "running":
            return self._services.tools.repeatable(call.name)
        return call.status == "awaiting_approval" or call.status not in OPEN_TOOL

    def decided(self) -> None:
        """Somebody decided on a call: let it go on, once that is committed."""
        self._news.set()
        self._news.clear()

    async def _decision(self, tool_call_id: str) -> ToolCall:
        """The call when it waits no more, because of a person or of the time."""
        while (call := self._session.call(tool_call_id)) and call.status == "awaiting_approval":
            assert call.approval
            left_ms = call.approval.expires_at - now_ms()
            if left_ms <= 0:
                self._session.expire_approval(tool_call_id, now_ms())
                self._ledger.commit()
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_ms / 1000):
                        await self._news.wait()
        assert call
        await self._ledger.committed(call.seq)
        return call

    def cancel(self, run: RunState) -> tuple[Ticket, Closing]:
        """`done` for a run, active or waiting. The task of an active one is told to close the
        upstream request."""
        return self._cut_off(run, Outcome("cancelled", "cancelled"))

    def _cut_off(self, run: RunState, outcome: Outcome) -> tuple[Ticket, Closing]:
        task = self._task if run is self._session.active else None
        ticket = self._finish(run, outcome)
        assert ticket, "it had ended"
        if task and task is not asyncio.current_task():
            task.cancel()
        return ticket, task

    def _finish(
        self, run: RunState, outcome: Outcome, *, ended_at: int | None = None
    ) -> Ticket | None:
        """The one way in which a run ends; None where it had ended."""
        usage = outcome.usage
        if usage is None:
            meter = self._meter if run is self._session.active else None
            usage = meter.usage() if meter else used_before(run, self._session, self._services)
        if not self._session.finish(
            run.run_id,
            outcome.status,
            outcome.reason,
            now_ms(),
            usage=usage,
            error=outcome.error,
            ended_at=ended_at,
            state=outcome.state,
        ):
            return None
        return self._ledger.commit()

    async def drain(self, deadline_s: float) -> None:
        """Let the active run finish; end it `interrupted`, text kept, if it takes longer.
        Nothing new starts; what is queued stays queued, and what waits for a person waits."""
        self.draining = True
        run = self._session.active
        if run and self._task and not self._session.waits_for_people():
            await asyncio.wait([self._task], timeout=deadline_s)
            if self._session.active is run and not self._session.waits_for_people():
                error = Error("interrupted", "the server is stopping", retryable=True)
                self._cut_off(run, Outcome("interrupted", "error", error=error))
        if self._session.waits_for_people():
            self.close()

    def close(self) -> None:
        """Cut the run off: the session is forgotten."""
        self._closed = True
        if run := self._session.active:
            self._services.budget.release(self._ledger.payers(run), run.run_id)
        if self._task:
            self._task.cancel()

    async def _drive(self, run: RunState, job: Job) -> None:
        """Record what the run produces. It reads on when all but its last tokens are
        committed, so that a slow disk makes larger reads, not a longer queue; what is not
        a token, before anything follows from it."""
        attempts = self._services.chain.begin(self._session.options.model)
        outcome = Outcome(
            "failed",
            "error",
            error=Error("internal", "the run failed because of an internal error"),
        )
        before: Ticket | None = None
        try:
            async with aclosing(execute(job, attempts, self._services.tools)) as parts:
                async for part in parts:
                    if isinstance(part, Outcome):
                        outcome = part
                        break
                    if not self._session.record(run.run_id, part, now_ms()):
                        return
                    ticket = self._ledger.commit()
                    if not only_tokens(part):
                        await ticket
                    elif before:
                        await before
                    before = ticket
                    if self.draining and self._session.waits_for_people():
                        return
        except StorageError:
            return  # the hub has let go of this session
        except asyncio.CancelledError:
            if run.done or self._closed:
                raise
            logger.exception("the run cancelled itself", extra=self._extra(run))
        except Exception:
            logger.exception("run failed", extra=self._extra(run))
        if self._closed or self._finish(run, outcome) is None:
            return
        logger.info("run ended: %s", outcome.status, extra=self._extra(run))
        self.advance()

    def _extra(self, run: RunState) -> dict[str, str]:
        return {"session_id": self._session.session_id, "run_id": run.run_id}
