"""What runs in one session: one run at a time, each by a task of its own.

The session's actor starts and stops it here; what a run produces is recorded in the
session and committed before more is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from ..core.about import ABOUT
from ..core.approvals import due
from ..core.continuing import in_a_row, may_go_on, successor, to_take_up
from ..core.rows import StorageError
from ..core.session import Session, new_id
from ..core.state import RunState
from ..core.usage import Meter, priced, tokens_in
from ..limits.budget import ANSWER_TOKENS, Amount, amount_of
from ..log.encode import only_tokens
from ..log.log import Ticket
from ..models import Request
from ..protocol import (
    OPEN_TOOL,
    WAITING_TOOL,
    Error,
    Options,
    ProtocolError,
    Run,
    ToolCall,
    Usage,
)
from ..runs.chain import Attempts, Wait
from ..runs.execute import Job, conversation, execute
from ..runs.outcome import Outcome, interrupted
from ..runs.trace import NOBODY, Trace
from ..tools import SessionTools
from .clock import now_ms
from .job import job_of, options_of, used_before
from .ledger import Ledger
from .run_log import run_ended
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
        self._first_token_ms: int | None = None  # from the start of the run on
        self._trace = NOBODY  # of the run
        self._parents: dict[str, str] = {}  # by run, the `traceparent` that it was asked with
        self._closed = False
        self._leaves = False  # the provider goes on with an answer that it keeps
        self._news = asyncio.Event()  # somebody decided on a call

    def model_for(self, own: Options | None) -> str:
        """The name of the model that answers a run with these options of its own."""
        choice = (own and own.model) or self._session.options.model
        return self._services.chain.name_of(choice)

    def follows(self, run: RunState, traceparent: str | None) -> None:
        """A run was asked for with a `traceparent`."""
        if traceparent and run.done is None:
            waiting = {waits.run_id for waits in self._session.queue}
            kept = {name: of for name, of in self._parents.items() if name in waiting}
            self._parents = {**kept, run.run_id: traceparent}

    def start(self, run: RunState, pause: Wait | None = None) -> None:
        """Carry out a run, from its beginning or from where a crash caught it; after a pause."""
        parent = self._parents.pop(run.run_id, None)
        self._trace = self._services.trace(self._session.session_id, run, parent)
        job = job_of(
            run,
            self._session,
            self._services,
            before_call=partial(self._confirm, run),
            take_in=partial(self._take_in, run),
            decided=self._decision,
            stays=lambda: self._leaves and not run.done and bool(to_take_up(run)),
            trace=self._trace,
        )
        self._run, self._meter, self._first_token_ms = run, job.meter, None
        context = tuple(conversation(run, self._session))
        request = Request(job.instructions, context, self.tools.specs)
        users, most = self._most(run, request, Usage(0, 0))
        self._services.budget.reserve(users, run.run_id, most)
        self._task = asyncio.create_task(self._drive(run, job, pause), name=f"run {run.run_id}")

    def _attempts(self, run: RunState, trace: Trace = NOBODY) -> Attempts:
        """The run's way along the chain, from its beginning."""
        return self._services.chain.begin(options_of(run, self._session).model, trace)

    def advance(self) -> None:
        """Start the next queued run, where there is one and none is active."""
        if self._closed or self.draining:
            return
        session, model = self._session, self.model_for(None)
        while run := self._ledger.change(lambda now: session.start_next(model, now))[0]:
            try:
                self._services.budget.check_spending(self._ledger.payers(run))
            except ProtocolError as refusal:
                self.end(run, Outcome("quota_exceeded", "limit", Usage(0, 0), refusal.error()))
                logger.info("run refused: %s", refusal.message, extra=self._extra(run))
            else:
                self.start(run)

    async def _confirm(self, run: RunState, request: Request, before: Usage) -> None:
        """Before each call of the model. Raises `rate_limited` where there is nothing left."""
        users, most = self._most(run, request, before)
        used = amount_of(before)
        session_id = self._session.session_id
        await self._services.budget.confirm(users, session_id, run.run_id, most, used=used)

    def _most(self, run: RunState, request: Request, before: Usage) -> tuple[Sequence[str], Amount]:
        """Who pays for a run, and what it may come to with this call of the model."""
        call = Usage(tokens_in(request), ANSWER_TOKENS)
        most = amount_of(before) + amount_of(priced(call, run.model, self._services.prices))
        return self._ledger.payers(run), most

    async def _take_in(self, run: RunState) -> None:
        """What waits to steer the answer joins it, before the model is asked again."""
        taken, ticket = self._ledger.change(lambda now: self._session.take_in(run.run_id, now))
        if taken:
            await ticket

    def recover(self) -> None:
        """After loading: go on with what waited, and with a run that a crash caught between
        two steps, or in an answer that its provider keeps. Another that was streaming, or
        whose tool may have had an effect that nobody saw, or of which nobody knows who asked,
        ends `interrupted`, its text kept, and may be continued by a new run. What waits for a
        person waits on."""
        session, run = self._session, self._session.active
        if run and (self._task is None or self._task.done()):
            calls, held = run.answer.last_step(), to_take_up(run)
            if run.asker and held and self._attempts(run).hand_to(held.by):
                self._ledger.change(lambda now: session.go_on(run, run.model, now))
                self.start(run)
            elif run.asker and calls and all(self._may_go_on(call) for call in calls):
                if not session.waits_for_people():
                    self._ledger.change(lambda now: session.go_on(run, run.model, now))
                self.start(run)
            else:
                self.end(run, interrupted("the server stopped"), ended_at=session.last_ts)
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
        ended. The task of an active one is told to close the upstream request. An answer that
        broke off may go on in another run, which the log has with the end of this one.

        `ended_at`: when it really ended, where that was before now."""
        session, carried_out = self._session, run is self._run
        usage = self._used(run) if outcome.usage is None else outcome.usage
        then = self._successor(run, outcome, usage)
        ended, ticket = self._ledger.change(
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
                then=then,
            )
        )
        if ended and run.done:
            first = self._first_token_ms if carried_out else None
            asker = self._services.people.find(run.asker)
            run_ended(session.session_id, run, run.done, first, asker)
            if carried_out:
                self._trace.ended(run.done, ticket)
        task = self._task if carried_out else None
        if task and task is not asyncio.current_task():
            task.cancel()
        if ended and then and outcome.again:
            logger.info("goes on by itself: %s", then.run_id, extra=self._extra(run))
            self.follows(session.runs[then.run_id or ""], self._trace.parent)
            if then.status == "started":
                self.start(session.runs[then.run_id or ""], self._pause(run, outcome.again))
        return Ending(ticket, task)

    def _used(self, run: RunState) -> Usage:
        """What a run has come to, its call of the model ended."""
        if run is self._run and self._meter:
            self._meter.end()
            return self._meter.usage()
        return used_before(run, self._session, self._services)

    def _successor(self, run: RunState, outcome: Outcome, usage: Usage) -> Run | None:
        """Begins the run that goes on with an answer that broke off; None where somebody has to
        ask for it."""
        session, services = self._session, self._services
        if not (outcome.again and services.continue_automatically and may_go_on(run, session)):
            return None
        if not self._attempts(run).ready:
            return None
        try:
            services.budget.check_spending(
                self._ledger.payers(run), behind=run.run_id, used=amount_of(usage)
            )
        except ProtocolError:
            return None
        return successor(run, new_id(), self.model_for(run.options), waits=self.draining)

    def _pause(self, run: RunState, again: Wait) -> Wait | None:
        """Longer for the second, and not for all sessions the same."""
        longer = 4 ** (in_a_row(run, self._session) - 1) * random.uniform(0.5, 1.5)  # noqa: S311
        return Wait(again.reason, again.seconds * longer) if again.seconds else None

    async def drain(self, deadline_s: float) -> None:
        """Let the active run finish; end it `interrupted`, text kept, if it takes longer, unless
        its provider keeps the answer: the next process takes that up, as after a crash. Nothing
        new starts; what is queued stays queued, and what waits for a person waits."""
        self.draining = True
        run = self._session.active
        if run and self._task and not self._session.waits_for_people():
            await asyncio.wait([self._task], timeout=deadline_s)
            if self._session.active is run and not self._session.waits_for_people():
                if to_take_up(run):
                    self.close()
                else:
                    self.end(run, interrupted("the server is stopping"))
        if self._session.waits_for_people():
            self.close()

    def close(self, *, deleted: bool = False) -> None:
        """Cut the run off: the session is forgotten. An answer that the provider keeps is left
        there for whoever takes the session up; of one that is `deleted` nobody does, and what the
        run came to counts without a `done`."""
        self._closed, self._leaves = True, not deleted
        if run := self._session.active:
            budget, users = self._services.budget, self._ledger.payers(run)
            if deleted:
                budget.settle_apart(users, run.run_id, self._used(run))
            else:
                budget.release(users, run.run_id)
        if self._task:
            self._task.cancel()
        self._trace.left()

    async def _drive(self, run: RunState, job: Job, pause: Wait | None) -> None:
        """Record what the run produces. It reads on when all but its last tokens are
        committed, so that a slow disk makes larger reads, not a longer queue; what is not
        a token, before anything follows from it."""
        ABOUT.set(self._extra(run))  # of this task, and of what it begins
        self._trace.enter()
        attempts = self._attempts(run, self._trace)
        outcome = Outcome(
            "failed",
            "error",
            error=Error("internal", "the run failed because of an internal error"),
        )
        before: Ticket | None = None
        try:
            job = await self._instructed(run, job)
            steps = execute(run, self._session, job, attempts, self.tools, pause)
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
                    if self._first_token_ms is None and only_tokens(part):
                        self._first_token_ms = run.duration_ms(now_ms())
                        self._services.chain.count.spoke(run.model, self._first_token_ms / 1000)
                    before = ticket
                    if self.draining and self._session.waits_for_people():
                        return
        except ProtocolError as refusal:
            outcome.error = refusal.error()
        except StorageError:
            return  # the hub has let go of this session
        except asyncio.CancelledError:
            if run.done or self._closed:
                raise
            logger.exception("the run cancelled itself", extra=self._extra(run))
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException:  # a panic in Rust is no Exception
            logger.exception("run failed", extra=self._extra(run))
        if self._closed or run.done:
            return
        self.end(run, outcome)
        self.advance()

    async def _instructed(self, run: RunState, job: Job) -> Job:
        """The job with what extensions add to its instructions. Raises `internal`."""
        extensions = self._services.extensions
        if more := await extensions.instructions(job.asker(), self._session.row()):
            return replace(job, instructions="\n\n".join([job.instructions, *more]))
        return job

    def _extra(self, run: RunState) -> dict[str, str]:
        return {
            "session_id": self._session.session_id,
            "run_id": run.run_id,
            "user_id": run.asker,
        }
