"""What runs in one session: one run at a time, each by a task of its own.

The session's actor starts and stops it here; what a run produces is recorded in the
session and committed before more is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from ..core.approvals import due
from ..core.rows import StorageError
from ..core.session import Session
from ..core.state import RunState
from ..core.usage import Meter, priced, tokens_in
from ..limits.budget import ANSWER_TOKENS, amount_of
from ..log.encode import only_tokens
from ..log.log import Ticket
from ..models import Request
from ..protocol import OPEN_TOOL, WAITING_TOOL, Error, ProtocolError, ToolCall, Usage
from ..runs.execute import Job, conversation, execute
from ..runs.outcome import Outcome
from ..tools import SessionTools
from .clock import now_ms
from .job import job_of, used_before
from .ledger import Ledger
from .services import Services

CANCELLED = Outcome("cancelled", "cancelled")
logger = logging.getLogger(__name__)


class Ending(NamedTuple):
    """The commit of a run's end, and the task that still closes its upstream request."""

    ticket: Ticket
    task: asyncio.Task[None] | None


class Driver:
    """The active run of a session and its task."""

    def __init__(
        self, session: Session, services: Services, ledger: Ledger, *, draining: bool = False
    ) -> None:
        self.draining = draining  # nothing new starts
        self.tools = SessionTools(services.tools, open=services.client_tools)
        self._session = session
        self._services = services
        self._ledger = ledger
        self._run: RunState | None = None  # that the task carries out
        self._task: asyncio.Task[None] | None = None
        self._meter: Meter | None = None
        self._closed = False
        self._news = asyncio.Event()  # somebody decided on a call

    @property
    def model(self) -> str:
        return self._services.chain.name_of(self._session.options.model)

    def start(self, run: RunState) -> None:
        """Carry out a run, from its beginning or from where a crash caught it."""
        job = job_of(
            run,
            self._session,
            self._services,
            before_call=partial(self._reserve, run),
            decided=self._decision,
        )
        self._run, self._meter = run, job.meter
        context = tuple(conversation(run, self._session))
        request = Request(job.instructions, context, self.tools.specs)
        self._reserve(run, request, Usage(0, 0))
        self._task = asyncio.create_task(self._drive(run, job), name=f"run {run.run_id}")

    def advance(self) -> None:
        """Start the next queued run, where there is one and none is active."""
        if self._closed or self.draining:
            return
        session = self._session
        while run := self._ledger.change(lambda now: session.start_next(self.model, now))[0]:
            try:
                self._services.budget.check_spending(self._ledger.payers(run))
            except ProtocolError as refusal:
                self.end(run, Outcome("quota_exceeded", "limit", Usage(0, 0), refusal.error()))
                logger.info("run refused: %s", refusal.message, extra=self._extra(run))
            else:
                self.start(run)

    def _reserve(self, run: RunState, request: Request, before: Usage) -> None:
        """Before each call of the model. Raises `rate_limited` before a further one that there
        is nothing left for."""
        budget, users = self._services.budget, self._ledger.payers(run)
        used = amount_of(before)
        if used.tokens:
            budget.check_spending(users, behind=run.run_id, used=used)
        call = Usage(tokens_in(request), ANSWER_TOKENS)
        most = used + amount_of(priced(call, run.model, self._services.prices))
        budget.reserve(users, run.run_id, most)

    def recover(self) -> None:
        """After loading: go on with what waited, and with a run that a crash caught between
        two steps. A run that was streaming, or whose tool may have had an effect that
        nobody saw, or of which nobody knows who asked, ends `interrupted`, its text kept.
        What waits for a person waits on."""
        session, run = self._session, self._session.active
        if run and (self._task is None or self._task.done()):
            calls = run.answer.last_step()
            if run.asker and calls and all(self._may_go_on(call) for call in calls):
                if not session.waits_for_people():
                    self._ledger.change(lambda now: session.go_on(run, self.model, now))
                self.start(run)
            else:
                error = Error("interrupted", "the server stopped", retryable=True)
                outcome = Outcome("interrupted", "error", error=error)
                self.end(run, outcome, ended_at=session.last_ts)
        self.advance()

    def _may_go_on(self, call: ToolCall) -> bool:
        if call.status == "running":
            return self.tools.repeatable(call.name)
        return call.status in WAITING_TOOL or call.status not in OPEN_TOOL

    def decided(self) -> None:
        """A decision on a call, or its answer, was committed: let the run go on."""
        self._news.set()
        self._news.clear()

    async def _decision(self, tool_call_id: str) -> ToolCall:
        """The call when it waits no more, because of a person, a device or the time."""
        session = self._session
        while (call := session.call(tool_call_id)) and call.status in WAITING_TOOL:
            left_ms = due(call) - now_ms()
            if left_ms <= 0:
                self._ledger.change(lambda now: session.expire_call(tool_call_id, now))
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_ms / 1000):
                        await self._news.wait()
        assert call
        await self._ledger.committed(call.seq)
        return call

    def end(
        self, run: RunState, outcome: Outcome = CANCELLED, *, ended_at: int | None = None
    ) -> Ending:
        """The one way in which a run ends, active or waiting; nothing happens where it had
        ended. The task of an active one is told to close the upstream request.

        `ended_at`: when it really ended, where that was before now."""
        session, carried_out = self._session, run is self._run
        usage = outcome.usage
        if usage is None:
            meter = self._meter if carried_out else None
            usage = meter.usage() if meter else used_before(run, session, self._services)
        _, ticket = self._ledger.change(
            lambda now: session.finish(
                run.run_id,
                outcome.status,
                outcome.reason,
                now,
                usage=usage,
                error=outcome.error,
                ended_at=ended_at,
                state=outcome.state,
                value=outcome.value,
            )
        )
        task = self._task if carried_out else None
        if task and task is not asyncio.current_task():
            task.cancel()
        return Ending(ticket, task)

    async def drain(self, deadline_s: float) -> None:
        """Let the active run finish; end it `interrupted`, text kept, if it takes longer.
        Nothing new starts; what is queued stays queued, and what waits for a person waits."""
        self.draining = True
        run = self._session.active
        if run and self._task and not self._session.waits_for_people():
            await asyncio.wait([self._task], timeout=deadline_s)
            if self._session.active is run and not self._session.waits_for_people():
                error = Error("interrupted", "the server is stopping", retryable=True)
                self.end(run, Outcome("interrupted", "error", error=error))
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
            steps = execute(run, self._session, job, attempts, self.tools)
            async with aclosing(steps) as parts:
                async for part in parts:
                    if isinstance(part, Outcome):
                        outcome = part
                        break
                    record = partial(self._session.record, run.run_id, part)
                    recorded, ticket = self._ledger.change(record)
                    if not recorded:
                        return
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
        if self._closed or run.done:
            return
        self.end(run, outcome)
        logger.info("run ended: %s", outcome.status, extra=self._extra(run))
        self.advance()

    def _extra(self, run: RunState) -> dict[str, str]:
        return {"session_id": self._session.session_id, "run_id": run.run_id}
