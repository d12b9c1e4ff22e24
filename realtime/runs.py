"""One run: model calls and tools until its outcome, as a stream of protocol events.

`execute` yields lists of events, one list for each read from the model, and last an
`Outcome`. It writes nothing and knows no session: whoever drives it records the
events, and stops it by closing it, which closes the upstream request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from realtime.calls import Hooks, Step, call_all
from realtime.models import (
    Finished,
    Item,
    Model,
    ModelError,
    Request,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
)
from realtime.protocol import (
    DoneStatus,
    Error,
    ErrorCode,
    Event,
    FinishReason,
    ProtocolError,
    TextKind,
    Token,
    ToolCall,
    Usage,
    clean_text,
    utf16_len,
)
from realtime.tools import Toolbox

MAX_STEPS = 8
MAX_DELTA = 12_000  # characters: at six bytes each in JSON still below an event's bound


class Outcome(msgspec.Struct):
    """How a run ended; becomes its `done`."""

    status: DoneStatus
    reason: FinishReason
    usage: Usage | None = None
    error: Error | None = None


class Job(msgspec.Struct):
    """What a run starts from. `lengths`: UTF-16 units its message has already, by kind.
    `before_call` is told what the model is asked and what the calls before came to; it
    raises `ProtocolError` where that must not be.

    A run that goes on after a crash has taken `steps` already; `calls` are those of its
    last one, which is not in `context`: the open ones among them are made (again).
    """

    message_id: str
    instructions: str
    context: list[Item]
    lengths: dict[TextKind, int]
    new_id: Callable[[], str]
    before_call: Callable[[Request, Usage | None], None]
    hooks: Hooks
    calls: list[ToolCall] = []
    steps: int = 0


async def execute(
    job: Job, model: Model, tools: Toolbox
) -> AsyncGenerator[list[Event] | Outcome, None]:
    """Carry one run to its outcome. Raises nothing that a model or a tool caused."""
    writer = _Writer(job)
    context = list(job.context)
    usage: Usage | None = None
    try:
        if job.calls:
            step = Step(job.message_id, job.new_id)
            step.calls = {call.tool_call_id: call for call in job.calls}
            async with aclosing(call_all(step, tools, job.hooks)) as parts:
                async for changes in parts:
                    yield changes
            context += step.items()
        for _ in range(job.steps, MAX_STEPS):
            step = Step(job.message_id, job.new_id)
            request = Request(job.instructions, tuple(context), tools.specs)
            job.before_call(request, usage)
            async with aclosing(model.stream(request)) as stream:
                async for batch in stream:
                    events: list[Event] = []
                    for item in batch:
                        match item:
                            case TextDelta():
                                events += writer.text(item)
                                step.text += item.text if item.kind == "text" else ""
                            case ToolCallStarted():
                                events.append(step.started(item))
                            case ToolCallReady():
                                events.append(step.ready(item))
                            case Usage():
                                usage = _add(usage, item)
                            case Finished():
                                step.finished = item
                    if events:
                        yield events
            if rest := writer.flush():
                yield rest
            if step.finished is None:
                error = Error("interrupted", "the model's answer broke off", retryable=True)
                yield Outcome("interrupted", "error", usage, error)
                return
            if not step.calls:
                yield _ending(step.finished, usage)
                return
            async with aclosing(call_all(step, tools, job.hooks)) as parts:
                async for changes in parts:
                    yield changes
            context += step.items()
        error = Error("limit", f"stopped after {MAX_STEPS} steps with tools")
        yield Outcome("limit", "limit", usage, error)
    except ProtocolError as refusal:
        yield Outcome("quota_exceeded", "limit", usage, refusal.error())
    except ModelError as error:
        if rest := writer.flush():
            yield rest
        yield _failure(error, usage, spoke=writer.spoke)


def _ending(finished: Finished, usage: Usage | None) -> Outcome:
    if finished.reason == "length":
        return Outcome("incomplete", "length", usage)
    if finished.reason == "content_filter":
        return Outcome("incomplete", "content_filter", usage)
    return Outcome("completed", "stop", usage)


def _failure(error: ModelError, usage: Usage | None, *, spoke: bool) -> Outcome:
    if error.kind == "quota":
        return Outcome(
            "quota_exceeded",
            "error",
            usage,
            Error("quota_exceeded", "the model's quota is used up", retryable=True),
        )
    broke_off = error.kind == "cut" or (spoke and error.kind in _PASSING)
    status: DoneStatus = "interrupted" if broke_off else "failed"
    code: ErrorCode | str = "interrupted" if broke_off else f"model_{error.kind}"
    return Outcome(
        status,
        "error",
        usage,
        Error(code, _WORDS[error.kind], retryable=error.kind in _PASSING),
    )


_PASSING = frozenset({"rate_limited", "unavailable", "timeout", "cut", "malformed"})

# For users: neutral, without anything of the provider's. The operator reads the log.
_WORDS = {
    "rate_limited": "the model is busy; try again shortly",
    "unauthorized": "the model is not set up correctly; the operator has been told",
    "not_found": "the model is not set up correctly; the operator has been told",
    "context_overflow": "the conversation is too long for the model",
    "bad_request": "the model refused the request",
    "unavailable": "the model cannot be reached; try again shortly",
    "timeout": "the model did not answer in time",
    "cut": "the model's answer broke off",
    "malformed": "the model's answer could not be read",
}


def _add(total: Usage | None, more: Usage) -> Usage:
    if total is None:
        return more

    def both(a: int | None, b: int | None) -> int | None:
        return None if a is None and b is None else (a or 0) + (b or 0)

    return Usage(
        input_tokens=total.input_tokens + more.input_tokens,
        output_tokens=total.output_tokens + more.output_tokens,
        reasoning_tokens=both(total.reasoning_tokens, more.reasoning_tokens),
        cached_tokens=both(total.cached_tokens, more.cached_tokens),
        estimated=total.estimated or more.estimated,
    )


class _Writer:
    """Turns text into tokens with offsets. A trailing high surrogate waits for its pair."""

    def __init__(self, job: Job) -> None:
        self._message_id = job.message_id
        self._lengths = dict(job.lengths)
        self._held: dict[TextKind, str] = {}
        self.spoke = False

    def text(self, delta: TextDelta) -> list[Event]:
        text = self._held.pop(delta.kind, "") + delta.text
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held[delta.kind] = text[-1]
            text = text[:-1]
        return self._tokens(text, delta.kind)

    def flush(self) -> list[Event]:
        """What was held back, at the end of a stream."""
        held, self._held = self._held, {}
        return [token for kind, text in held.items() for token in self._tokens(text, kind)]

    def _tokens(self, text: str, kind: TextKind) -> list[Event]:
        text = clean_text(text)
        tokens: list[Event] = []
        for start in range(0, len(text), MAX_DELTA):
            delta = text[start : start + MAX_DELTA]
            offset = self._lengths[kind]
            tokens.append(Token(message_id=self._message_id, offset=offset, delta=delta, kind=kind))
            self._lengths[kind] = offset + utf16_len(delta)
            self.spoke = True
        return tokens
