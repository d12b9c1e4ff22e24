"""One run: model calls and tools until its outcome, as a stream of protocol events.

`execute` yields lists of events, one list for each read from the model, and last an
`Outcome`. It writes nothing: whoever drives it records the events in the session before it
asks for more, and stops it by closing it, which closes the upstream request. What has been
said and called so far is read from the session, after a crash as at any other step.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from functools import partial

import msgspec
from msgspec.structs import replace

from ..core.answer import Answer
from ..core.context import ContextWindow
from ..core.continuing import to_take_up
from ..core.held import Held, hold
from ..core.state import RunState, State
from ..core.usage import Meter
from ..core.user import User
from ..models import (
    AnswerKept,
    Cited,
    Finished,
    HostedCall,
    Item,
    Model,
    ModelError,
    ModelEvent,
    Request,
    TextDelta,
    Thought,
    ToolCallReady,
    ToolCallStarted,
    ToolResult,
    UserText,
)
from ..models.errors import failure
from ..models.fitting import CONTINUE
from ..protocol import (
    Error,
    Event,
    Options,
    ProtocolError,
    Run,
    RunStatus,
    TextKind,
    Usage,
)
from ..tools import Tools
from .attached import Attached, Read
from .calls import Hooks, Step, call_all
from .chain import Attempts, Switch, Wait
from .outcome import Outcome, ending, failed
from .rest import known_calls, rest_writer
from .sources import sources_of
from .structured import held_to
from .writer import Writer

logger = logging.getLogger(__name__)

WHOLE = ("stop", "tool_calls")
"""The reasons after which the calls of an answer may be made."""
REFUSED = ("bad_request", "content_filter", "context_overflow")
"""Failures that may be due to something said long ago."""
PLACED = (Thought, Cited)
"""What belongs to a place in the text: what came before is recorded first."""
MAX_STEPS = 8
MAX_CALLS = 16


class Job(msgspec.Struct, frozen=True):
    """What a run is carried out with. `asker`: the user who asked. `before_call` is told what the
    model is asked and what the calls before came to; it raises `ProtocolError` where the call must
    not be made. `take_in` is awaited before each further step: what users said meanwhile is then in
    the answer. `read` gives the bytes of a file that the context lists. `stays` is as in
    `Request`."""

    asker: Callable[[], User]
    instructions: str
    new_id: Callable[[], str]
    before_call: Callable[[Request, Usage], Awaitable[None]]
    take_in: Callable[[], Awaitable[None]]
    hooks: Hooks
    meter: Meter
    read: Read
    options: Options = Options()
    show_reasoning: bool = True
    stays: Callable[[], bool] = lambda: False


async def execute(
    run: RunState,
    session: State,
    job: Job,
    attempts: Attempts,
    tools: Tools,
    pause: Wait | None = None,
) -> AsyncGenerator[list[Event] | Outcome, None]:
    """Carry one run to its outcome, after a pause. Raises nothing that a model or a tool caused."""
    answer, meter = run.answer, job.meter
    held = to_take_up(run)
    if held and not attempts.hand_to(held.by):
        held = None
    known = known_calls(run, held) if held else []
    writer = rest_writer(run, held) if held else Writer(answer.message_id)
    window = ContextWindow(session.summary)
    attached = Attached(job.read)
    try:
        if pause:
            yield [_state(run, run.model, "waiting", pause.reason, pause.seconds)]
            await asyncio.sleep(pause.seconds)
            yield [_state(run, run.model, "resumed")]
        between = [] if held else answer.last_step()
        async with aclosing(call_all(between, tools, job.hooks)) as parts:
            async for changes in parts:  # where a crash came between two steps
                yield changes
        for _ in range(answer.steps - any(not call.hosted for call in known), MAX_STEPS):
            after_calls = bool(answer.last_step())
            if after_calls and not held:
                await job.take_in()
            said = conversation(run, session)
            begun = answer.length["text"]
            apart = {kind for kind, length in answer.length.items() if length and after_calls}
            told: Run | None = None  # of a fallback; with text to lose, once its model speaks
            if held:
                begun, apart = held.text, set(held.apart)
            elif switch := attempts.step():
                yield [_fell_back(run, switch, begun)]
            while True:
                writer.begin(set(apart))
                step = Step(answer.message_id, job.new_id, attempts.model.label, known)
                step.spoke = bool(held and (writer.spoke or known))
                context, summary = window.fit(said, attempts.link.history_tokens)
                request = Request(
                    instructions=job.instructions + summary,
                    context=context,
                    tools=tools.specs,
                    options=job.options,
                    session_id=session.session_id,
                    run_id=run.run_id,
                    user_id=run.asker,
                    attributes=job.asker().attributes,
                    hosted=True,
                    schema=answer.schema,
                    kept=held.id if held else "",
                    stays=job.stays,
                )
                used = meter.usage()
                if not held:  # else it is paid for
                    await job.before_call(request, used)
                if told is None:  # else nothing of the text is this model's yet
                    step.mark = _mark(run, attempts.model, apart, used)
                meter.begin(attempts.model.name, request)
                whole = await attached.given(request, attempts.link.given)
                try:
                    async with attempts.asked(whole) as stream:
                        async for batch in stream:
                            if not step.spoke and any(_shown(item, job) for item in batch):
                                step.spoke = True
                                attempts.answered()
                                if told:
                                    yield [told]
                                    told = None
                            for events in _recorded(batch, step, writer, job, answer, begun):
                                yield events
                            if step.made:
                                yield await step.stored(job.hooks)
                        if step.finished is None:
                            raise failure("cut")
                        attempts.trace.finished(step.finished.reason)
                    break
                except ModelError as error:
                    if held:  # it is not there any more
                        spoke, writer = writer.spoke, Writer(answer.message_id)
                        writer.spoke, held, known = spoke, None, []
                    wrote = step.spoke or meter.written > 0
                    meter.end(billed=wrote or error.kind in ("timeout", "cut"))
                    if error.kind == "context_overflow" and window.shorten(said):
                        continue
                    model = told.from_model if told and told.from_model else attempts.model.name
                    match attempts.failed(error, spoke=step.spoke):
                        case Wait(reason, seconds):
                            yield [_state(run, model, "waiting", reason, seconds)]
                            await asyncio.sleep(seconds)
                            yield [_state(run, model, "resumed")]
                        case Switch() as switch:
                            told = _fell_back(run, switch, begun)
                            told.from_model = model
                            if answer.length["text"] == begun and not step.spoke:
                                yield [told]
                                told = None
                        case None:
                            forgets = error.kind in REFUSED and not step.spoke
                            if not forgets or not window.keep_newest(said):
                                raise
                            logger.warning(
                                "%s: retrying with the newest message alone", attempts.model.name
                            )
            held, known = None, []
            meter.end()
            all_said = step.finished.reason in WHOLE
            if rest := [*writer.flush(), *step.close_hosted(whole=all_said)]:
                yield rest
            calls = answer.last_step()
            ready = any(call.status == "ready" for call in calls)
            if not ready or not all_said:
                outcome = ending(step.finished, meter.usage())
                outcome.state = step.state
                yield await held_to(answer.schema, answer.newest_text(), outcome)
                return
            if answer.asked > MAX_CALLS:
                yield _limit(f"stopped: more than {MAX_CALLS} tool calls", job)
                return
            async with aclosing(call_all(calls, tools, job.hooks)) as parts:
                async for changes in parts:
                    yield changes
        yield _limit(f"stopped after {MAX_STEPS} steps with tools", job)
    except ProtocolError as refusal:
        yield Outcome("quota_exceeded", "limit", meter.usage(), refusal.error())
    except ModelError as error:
        if rest := writer.flush():
            yield rest
        yield failed(error, meter.usage(), spoke=writer.spoke)


def conversation(run: RunState, session: State) -> list[Item]:
    """What the model is asked. Where it is to continue, that is asked of it at the end."""
    items = session.context()
    if run.user is None and items and not isinstance(items[-1], UserText | ToolResult):
        items.append(UserText(CONTINUE, ours=True))
    return items


def _shown(item: ModelEvent, job: Job) -> bool:
    """Whether devices see it: behind that the step is not begun again."""
    if isinstance(item, TextDelta):
        return item.kind == "text" or job.show_reasoning
    return isinstance(item, ToolCallStarted | ToolCallReady | HostedCall | Finished)


def _recorded(
    batch: list[ModelEvent], step: Step, writer: Writer, job: Job, answer: Answer, begun: int
) -> Iterator[list[Event]]:
    """The events that one read from the model becomes, to be recorded one list after the other:
    what has its place in the text is placed behind what came before it. `begun`: where the step
    begins."""
    events: list[Event] = []
    for item in batch:
        if not isinstance(item, PLACED):
            events += _taken(item, step, writer, job)
            continue
        if events:
            yield events
            events = []
        at = answer.length["text"] - writer.behind
        if isinstance(item, Thought):
            step.thought(item, at)
        elif not writer.behind:  # else the log has it
            events += sources_of(item, answer, at, partial(answer.text_from, begun))
    if events:
        yield events


def _taken(item: ModelEvent, step: Step, writer: Writer, job: Job) -> Sequence[Event]:
    """The events that a part of the model's answer becomes."""
    match item:
        case TextDelta():
            job.meter.written += len(item.text)
            if item.kind == "text" or job.show_reasoning:
                return writer.text(item)
        case ToolCallStarted():
            return step.started(item)
        case ToolCallReady():
            job.meter.written += len(item.name) + len(item.arguments)
            return step.ready(item)
        case HostedCall():
            return step.hosted(item)
        case Usage():
            job.meter.counted(item)
        case AnswerKept() if step.mark:
            event, held = step.mark
            hold(event, replace(held, id=item.id))
            return [event]
        case Finished():
            step.finished = item
    return ()


def _state(
    run: RunState,
    model: str,
    status: RunStatus,
    reason: str | None = None,
    seconds: float | None = None,
) -> Run:
    return Run(
        message_id=run.answer.message_id,
        status=status,
        model=model,
        reason=reason,
        retry_in_ms=None if seconds is None else round(seconds * 1000),
    )


def _mark(
    run: RunState, model: Model, apart: Collection[TextKind], used: Usage
) -> tuple[Run, Held]:
    """How the message stands before an answer, for the event that says where that is kept."""
    length, calls = run.answer.length, len(run.answer.calls)
    held = Held("", model.label, length["text"], length["reasoning"], calls, sorted(apart), used)
    return _state(run, model.name, "resumed"), held


def _fell_back(run: RunState, switch: Switch, offset: int) -> Run:
    return Run(
        message_id=run.answer.message_id,
        status="fallback",
        model=switch.model,
        from_model=switch.from_model,
        reason=switch.reason,
        reset_to=offset,
    )


def _limit(message: str, job: Job) -> Outcome:
    return Outcome("limit", "limit", job.meter.usage(), Error("limit", message))
