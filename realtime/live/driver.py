"""What runs in one session: one run at a time, each by a task of its own.

The session's actor starts and stops it here; what a run produces is recorded in the
session and committed before more is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Literal

import msgspec

from ..core.rows import StorageError
from ..core.session import Session, new_id
from ..core.state import RunState
from ..core.usage import Meter, Prices, estimate, priced
from ..core.user import User
from ..limits.budget import ANSWER_TOKENS, NOTHING, Budget, amount_of, payers
from ..log.encode import only_tokens
from ..log.log import Log, Ticket
from ..models import Item, Request, ToolResult, UserText
from ..models.fitting import CONTINUE
from ..protocol import (
    OPEN_TOOL,
    Done,
    Error,
    Options,
    Progress,
    ProtocolError,
    ToolCall,
    Usage,
    to_json,
)
from ..runs.calls import Hooks
from ..runs.chain import Chain
from ..runs.execute import Job, execute
from ..runs.outcome import Outcome
from ..tools import Full, Toolbox, ToolContext

Ending = Literal["cancelled", "interrupted"]
Commit = Callable[[RunState | None], Ticket]
logger = logging.getLogger(__name__)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class RunCount:
    """Runs that ended since the start: how, how long they took, what their models used."""

    def __init__(self) -> None:
        self.by_status: Counter[str] = Counter()
        self.seconds = 0.0
        self.tokens: Counter[str] = Counter()

    def add(self, done: Done) -> None:
        self.by_status[done.status] += 1
        self.seconds += done.duration_ms / 1000
        self.tokens["input"] += done.usage.input_tokens
        self.tokens["output"] += done.usage.output_tokens


class Means(msgspec.Struct, frozen=True):
    """What every run of this server works with. `options` hold where a session has none of
    its own."""

    log: Log
    chain: Chain
    tools: Toolbox
    instructions: str
    budget: Budget
    count: RunCount
    on_progress: Callable[[Progress], None]
    options: Options = Options()
    prices: Prices = {}
    show_reasoning: bool = True


class Driver:
    """The active run of a session and its task.

    `commit(ended)` hands the session's new events to the log; `ended` is the run that
    they end, if they do.
    """

    def __init__(
        self, session: Session, means: Means, commit: Commit, *, draining: bool = False
    ) -> None:
        self.draining = draining  # nothing new starts
        self._session = session
        self._means = means
        self._commit = commit
        self._task: asyncio.Task[None] | None = None
        self._meter: Meter | None = None  # of the active run
        self._closed = False
        self._news = asyncio.Event()  # somebody decided on a call

    @property
    def model(self) -> str:
        return self._means.chain.name_of(self._session.options.model)

    def start(self, run: RunState, calls: Sequence[ToolCall] = ()) -> None:
        """Carry out a run. `calls`: those of its last step, where it goes on after a crash."""
        job = self._job(run, calls)
        self._meter = job.meter
        request = Request(job.instructions, tuple(job.context), self._means.tools.specs)
        self._reserve(run, request, None)
        self._task = asyncio.create_task(self._drive(run, job), name=f"run {run.run_id}")

    def advance(self) -> None:
        """Start the next queued run, where there is one and none is active."""
        if self._closed or self.draining:
            return
        while run := self._session.start_next(self.model, now_ms()):
            try:
                self._means.budget.check_spending(self.payers(run))
            except ProtocolError as refusal:
                self._refuse(run, refusal)
            else:
                self._commit(None)
                self.start(run)
                return

    def payers(self, run: RunState) -> tuple[str, ...]:
        """Whom a run counts against."""
        return payers(run.asker, self._session.user_id)

    def _refuse(self, run: RunState, refusal: ProtocolError) -> None:
        """A run that waited, and now cannot be paid for."""
        self._session.finish(
            run.run_id,
            "quota_exceeded",
            "limit",
            now_ms(),
            usage=Usage(0, 0),
            error=refusal.error(),
        )
        logger.info("run refused: %s", refusal.message, extra=self._extra(run))
        self._commit(run)

    def _reserve(self, run: RunState, request: Request, usage: Usage | None) -> None:
        """Before each call of the model. Raises `rate_limited` before a further one that there
        is nothing left for."""
        budget, users = self._means.budget, self.payers(run)
        used = amount_of(usage) if usage else NOTHING
        if used.tokens:
            budget.check_spending(users, behind=run.run_id, used=used)
        call = Usage(len(to_json(request)) // 4, ANSWER_TOKENS)
        most = used + amount_of(priced(call, run.model, self._means.prices))
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
                    self._commit(None)
                self.start(run, calls)
            else:
                self._session.recover(now_ms(), self._estimate(run))
                self._commit(run)
        self.advance()

    def _may_go_on(self, call: ToolCall) -> bool:
        if call.status == "running":
            return self._means.tools.repeatable(call.name)
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
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_ms / 1000):
                        await self._news.wait()
        assert call
        await self._commit(None)
        return call

    def end(self, status: Ending) -> tuple[Ticket, asyncio.Task[None] | None]:
        """`done` for the active run now; its task is told to close the upstream request."""
        run = self._session.active
        assert run is not None
        usage = self._meter.usage() if self._meter else self._estimate(run)
        if status == "cancelled":
            self._session.finish(run.run_id, status, "cancelled", now_ms(), usage=usage)
        else:
            error = Error("interrupted", "the server is going away", retryable=True)
            self._session.finish(run.run_id, status, "error", now_ms(), usage=usage, error=error)
        task = self._task
        if task and task is not asyncio.current_task():
            task.cancel()
        return self._commit(run), task

    async def drain(self, deadline_s: float) -> None:
        """Let the active run finish; end it `interrupted`, text kept, if it takes longer.
        Nothing new starts; what is queued stays queued, and what waits for a person waits."""
        self.draining = True
        run = self._session.active
        if run and self._task and not self._session.waits_for_people():
            await asyncio.wait([self._task], timeout=deadline_s)
            if self._session.active is run and not self._session.waits_for_people():
                self.end("interrupted")
        if self._session.waits_for_people():
            self.close()

    def close(self) -> None:
        """Cut the run off: the session is forgotten."""
        self._closed = True
        if run := self._session.active:
            self._means.budget.release(self.payers(run), run.run_id)
        if self._task:
            self._task.cancel()

    async def _drive(self, run: RunState, job: Job) -> None:
        """Record what the run produces. It reads on when all but its last tokens are
        committed, so that a slow disk makes larger reads, not a longer queue; what is not
        a token, before anything follows from it."""
        attempts = self._means.chain.begin(self._session.options.model)
        outcome = Outcome("failed", "error", error=Error("internal", "the run failed"))
        before: Ticket | None = None
        try:
            async with aclosing(execute(job, attempts, self._means.tools)) as parts:
                async for part in parts:
                    if isinstance(part, Outcome):
                        outcome = part
                        break
                    if not self._session.record(run.run_id, part, now_ms()):
                        return
                    ticket = self._commit(None)
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
            logger.exception("run was cancelled from inside", extra=self._extra(run))
        except Exception:
            logger.exception("run failed", extra=self._extra(run))
        outcome.usage = outcome.usage or job.meter.usage()
        self._finish(run, outcome)

    def _job(self, run: RunState, calls: Sequence[ToolCall]) -> Job:
        session, means = self._session, self._means
        own = session.options
        instructions = means.instructions if own.instructions is None else own.instructions
        return Job(
            message_id=run.answer.message_id,
            instructions=instructions,
            context=self._context(run, last_step=not calls),
            lengths=run.answer.length,
            new_id=new_id,
            hooks=Hooks(
                asker=run.asker,
                context=lambda tool_call_id, reporter: ToolContext(
                    session_id=session.session_id,
                    run_id=run.run_id,
                    user=User(run.asker),
                    owner_id=session.user_id,
                    tool_call_id=tool_call_id,
                    store=means.log,
                    report=reporter.report,
                ),
                told=lambda *report: means.on_progress(Progress(session.session_id, *report)),
                decided=self._decision,
                keep=self._keep,
            ),
            before_call=partial(self._reserve, run),
            meter=Meter(means.prices, self._estimate(run) if calls else None),
            options=merged(means.options, own),
            summary=session.summary,
            show_reasoning=means.show_reasoning,
            calls=list(calls),
            states=run.answer.states,
            session_id=session.session_id,
            user_id=run.asker,
            steps=run.answer.steps,
            made=len(run.answer.calls),
            after_calls=bool(run.answer.last_step()),
        )

    def _context(self, run: RunState, *, last_step: bool) -> list[Item]:
        """What the model is asked: where it is to continue, that is asked of it at the end."""
        items = self._session.context(last_step=last_step)
        if run.user is None and items and not isinstance(items[-1], UserText | ToolResult):
            items.append(UserText(CONTINUE, ours=True))
        return items

    def _estimate(self, run: RunState) -> Usage:
        """What a run used whose model calls nobody here has seen."""
        return priced(estimate(run, self._session.started), run.model, self._means.prices)

    async def _keep(self, tool_call_id: str, output: Full) -> str | None:
        """A reference of the output, once it is stored; none where it cannot be."""
        session, output_ref = self._session, new_id()
        try:
            await self._means.log.keep(session.session_id, output_ref, output.kind, output.data)
        except StorageError as error:
            logger.warning("an output is not kept: %s", error, extra={"call": tool_call_id})
            return None
        return output_ref

    def _finish(self, run: RunState, outcome: Outcome) -> None:
        if self._closed or not self._session.finish(
            run.run_id,
            outcome.status,
            outcome.reason,
            now_ms(),
            usage=outcome.usage,
            error=outcome.error,
            state=outcome.state,
        ):
            return
        logger.info("run ended: %s", outcome.status, extra=self._extra(run))
        self._commit(run)
        self.advance()

    def _extra(self, run: RunState) -> dict[str, str]:
        return {"session_id": self._session.session_id, "run_id": run.run_id}


def merged(settings: Options, own: Options) -> Options:
    """A session's options, and beneath them the server's."""
    given = {
        name: value for name in own.__struct_fields__ if (value := getattr(own, name)) is not None
    }
    return msgspec.structs.replace(settings, **given)
