"""One run: model calls and tools until its outcome, as a stream of protocol events.

`execute` yields lists of events, one list for each read from the model, and last an
`Outcome`. It writes nothing and knows no session: whoever drives it records the
events, and stops it by closing it, which closes the upstream request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from ..core.context import History
from ..core.provider_state import ProviderState
from ..core.usage import Meter
from ..models import (
    Finished,
    Item,
    ModelError,
    ModelEvent,
    Request,
    TextDelta,
    Thought,
    ToolCallReady,
    ToolCallStarted,
)
from ..models.errors import failure
from ..protocol import (
    Error,
    Event,
    Options,
    ProtocolError,
    Run,
    RunStatus,
    TextKind,
    ToolCall,
    Usage,
)
from ..tools import Toolbox
from .attached import Attached, Read
from .calls import Hooks, Step, call_all
from .chain import Attempts, Switch, Wait
from .outcome import Outcome, ending, failed
from .writer import Writer

logger = logging.getLogger(__name__)

WHOLE = ("stop", "tool_calls")
"""The reasons after which the calls of an answer may be made."""
REFUSED = ("bad_request", "content_filter", "context_overflow")
"""Failures that may be due to something said long ago."""
MAX_STEPS = 8
MAX_CALLS = 16


class Job(msgspec.Struct):
    """What a run starts from. `lengths`: UTF-16 units its message has already, by kind.
    `before_call` is told what the model is asked and what the calls before came to; it
    raises `ProtocolError` where the call must not be made. `summary` takes the place of what
    does not fit the model.

    A run that goes on after a crash has taken `steps` already, with `made` calls; `calls`
    are those of its last step, which is not in `context`: the open ones among them are made
    (again). `states`: what the provider wants back with them. `after_calls`: the message ends
    with calls so far, so what follows begins a paragraph.

    `session_id` and `user_id` (the user who asked) go into the model's request. `read` gives the
    bytes of a file that the context lists.
    """

    message_id: str
    instructions: str
    context: list[Item]
    lengths: dict[TextKind, int]
    new_id: Callable[[], str]
    before_call: Callable[[Request, Usage | None], None]
    hooks: Hooks
    meter: Meter
    read: Read
    options: Options = Options()
    summary: str | None = None
    show_reasoning: bool = True
    calls: list[ToolCall] = []
    states: dict[str, ProviderState] = {}
    steps: int = 0
    made: int = 0
    after_calls: bool = False
    session_id: str = ""
    user_id: str = ""


async def execute(
    job: Job, attempts: Attempts, tools: Toolbox
) -> AsyncGenerator[list[Event] | Outcome, None]:
    """Carry one run to its outcome. Raises nothing that a model or a tool caused."""
    writer = Writer(job.message_id, job.lengths)
    history = History(job.context, job.summary)
    attached = Attached(job.read)
    made, after_calls = job.made, job.after_calls
    try:
        if job.calls:
            step = Step(job.message_id, job.new_id, attempts.model.label)
            step.resume(job.calls, job.states)
            async with aclosing(call_all(step, tools, job.hooks)) as parts:
                async for changes in parts:
                    yield changes
            history.items += step.items()
        for _ in range(job.steps, MAX_STEPS):
            begun = writer.length
            told: Run | None = None  # of a fallback; with text to lose, once its model speaks
            if switch := attempts.step():
                yield [_fell_back(job, switch, begun)]
            while True:
                writer.begin(paragraph=after_calls)
                step = Step(job.message_id, job.new_id, attempts.model.label)
                request = _request(job, history, attempts.link.history_tokens, tools)
                job.before_call(request, job.meter.usage())
                job.meter.begin(attempts.model.name, request, step)
                whole = await attached.given(request, attempts.link.takes)
                try:
                    async with aclosing(attempts.model.stream(whole)) as stream:
                        async for batch in stream:
                            events: list[Event] = []
                            if not step.spoke and any(_shown(item, job) for item in batch):
                                step.spoke = True
                                attempts.answered()
                                if told:
                                    writer.cut(begun)
                                    writer.begin(paragraph=after_calls)
                                    events, told = [told], None
                            _take(batch, step, writer, job, events)
                            if events:
                                yield events
                    if step.finished is None:
                        raise failure("cut")
                    break
                except ModelError as error:
                    wrote = step.spoke or step.size > 0
                    job.meter.end(billed=wrote or error.kind in ("timeout", "cut"))
                    if error.kind == "context_overflow" and history.shorten():
                        continue
                    model = told.from_model if told and told.from_model else attempts.model.name
                    match attempts.failed(error, spoke=step.spoke):
                        case Wait(reason, seconds):
                            yield [_state(job, model, "waiting", reason, seconds)]
                            await asyncio.sleep(seconds)
                            yield [_state(job, model, "resumed")]
                        case Switch() as switch:
                            told = _fell_back(job, switch, begun)
                            told.from_model = model
                            if writer.length == begun and not step.spoke:
                                yield [told]
                                told = None
                        case None:
                            if step.spoke or error.kind not in REFUSED or not history.keep_newest():
                                raise
                            logger.warning(
                                "%s: retrying with the newest message alone", attempts.model.name
                            )
            job.meter.end()
            if rest := writer.flush():
                yield rest
            if not step.calls or step.finished.reason not in WHOLE:
                outcome = ending(step.finished, job.meter.usage())
                outcome.state = step.state
                yield outcome
                return
            made += len(step.calls)
            if made > MAX_CALLS:
                yield _limit(f"stopped: more than {MAX_CALLS} tool calls", job)
                return
            async with aclosing(call_all(step, tools, job.hooks)) as parts:
                async for changes in parts:
                    yield changes
            history.items += step.items()
            after_calls = True
        yield _limit(f"stopped after {MAX_STEPS} steps with tools", job)
    except ProtocolError as refusal:
        yield Outcome("quota_exceeded", "limit", job.meter.usage(), refusal.error())
    except ModelError as error:
        if rest := writer.flush():
            yield rest
        yield failed(error, job.meter.usage(), spoke=writer.spoke)


def _request(job: Job, history: History, tokens: int, tools: Toolbox) -> Request:
    """What the model is asked, within the tokens of history that it may be given."""
    context, summary = history.fit(tokens)
    return Request(
        instructions=job.instructions + summary,
        context=context,
        tools=tools.specs,
        options=job.options,
        session_id=job.session_id,
        user_id=job.user_id,
    )


def _shown(item: ModelEvent, job: Job) -> bool:
    """Whether devices see it: behind that the step is not begun again."""
    if isinstance(item, TextDelta):
        return item.kind == "text" or job.show_reasoning
    return isinstance(item, ToolCallStarted | ToolCallReady | Finished)


def _take(
    batch: list[ModelEvent], step: Step, writer: Writer, job: Job, events: list[Event]
) -> None:
    """Add to `events` what one read from the model becomes."""
    for item in batch:
        match item:
            case TextDelta():
                if item.kind == "text":
                    step.texts.append(item.text)
                    events += writer.text(item)
                else:
                    step.reasoning += len(item.text)
                    if job.show_reasoning:
                        events += writer.text(item)
            case ToolCallStarted():
                events.append(step.started(item))
            case ToolCallReady():
                events.append(step.ready(item))
            case Thought():
                step.thought(item, writer.length)
            case Usage():
                job.meter.counted(item)
            case Finished():
                step.finished = item


def _state(
    job: Job, model: str, status: RunStatus, reason: str | None = None, seconds: float | None = None
) -> Run:
    return Run(
        message_id=job.message_id,
        status=status,
        model=model,
        reason=reason,
        retry_in_ms=None if seconds is None else round(seconds * 1000),
    )


def _fell_back(job: Job, switch: Switch, offset: int) -> Run:
    return Run(
        message_id=job.message_id,
        status="fallback",
        model=switch.model,
        from_model=switch.from_model,
        reason=switch.reason,
        reset_to=offset,
    )


def _limit(message: str, job: Job) -> Outcome:
    return Outcome("limit", "limit", job.meter.usage(), Error("limit", message))
