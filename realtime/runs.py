"""One run: model calls and tools until its outcome, as a stream of protocol events.

`execute` yields lists of events, one list for each read from the model, and last an
`Outcome`. It writes nothing and knows no session: whoever drives it records the
events, and stops it by closing it, which closes the upstream request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from realtime.answer import as_object, as_text, result_text
from realtime.models import (
    AssistantText,
    Finished,
    Item,
    Model,
    ModelError,
    Request,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    ToolRequest,
    ToolResult,
)
from realtime.protocol import (
    OPEN_TOOL,
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
    clean,
    clean_text,
    to_json,
    utf16_len,
)
from realtime.tools import Tool, Toolbox, ToolContext, ToolError, error_value

MAX_STEPS = 8
MAX_DELTA = 12_000  # characters: at six bytes each in JSON still below an event's bound
MAX_ARGUMENTS = 24 * 1024  # as JSON; with the longest output still below an event's bound


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
    tool_context: Callable[[str], ToolContext]
    before_call: Callable[[Request, Usage | None], None]
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
            step = _Step(job)
            step.calls = {call.tool_call_id: call for call in job.calls}
            async with aclosing(_call_all(step, tools, job)) as parts:
                async for changes in parts:
                    yield changes
            context += step.items()
        for _ in range(job.steps, MAX_STEPS):
            step = _Step(job)
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
            async with aclosing(_call_all(step, tools, job)) as parts:
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


class _Step:
    """One model call: its text, and the tool calls it asked for, in order."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._ids: dict[str, str] = {}
        self.text = ""
        self.finished: Finished | None = None
        self.calls: dict[str, ToolCall] = {}

    def _event(self, key: str, name: str) -> ToolCall:
        call_id = self._ids.setdefault(key, self._job.new_id())
        return ToolCall(
            tool_call_id=call_id,
            name=clean_text(name)[:128],
            status="streaming",
            message_id=self._job.message_id,
        )

    def started(self, item: ToolCallStarted) -> ToolCall:
        return self._event(item.key, item.name)

    def ready(self, item: ToolCallReady) -> ToolCall:
        event = self._event(item.key, item.name)
        event.status = "ready"
        event.arguments = _recorded(item.arguments)
        self.calls[event.tool_call_id] = event
        return event

    def items(self) -> list[Item]:
        """The step as the context of the next one; the results keep the calls' order."""
        items: list[Item] = [AssistantText(clean_text(self.text))] if self.text else []
        calls = self.calls.values()
        items += [ToolRequest(c.tool_call_id, c.name, as_object(c.arguments)) for c in calls]
        items += [ToolResult(c.tool_call_id, result_text(c)) for c in calls]
        return items


def _recorded(arguments: str) -> object:
    """The arguments for the record: the JSON object, or the raw text where it is none."""
    text = clean_text(arguments)
    if len(to_json(text)) > MAX_ARGUMENTS:
        return text[: MAX_ARGUMENTS // 8] + "…"
    try:
        return clean(msgspec.json.decode(text or "{}"))
    except (msgspec.DecodeError, RecursionError):
        return text


async def _call_all(step: _Step, tools: Toolbox, job: Job) -> AsyncGenerator[list[Event], None]:
    """Make a step's open calls side by side; an event for each change, in the order it
    happens. No call begins before `running` was taken: a crash cannot hide its effect."""
    begun: list[Event] = []
    ready: list[tuple[ToolCall, Tool, dict[str, object]]] = []
    for call in list(step.calls.values()):
        if call.status not in OPEN_TOOL:
            continue
        try:
            found = tools.find(call.name)
            keywords = found.parse(as_text(call.arguments))
        except ToolError as error:
            step.calls[call.tool_call_id] = refused = _closed(call, error=error)
            begun.append(refused)
        else:
            begun.append(msgspec.structs.replace(call, status="running"))
            ready.append((call, found, keywords))
    if begun:
        yield begun
    tasks = {
        asyncio.create_task(_call(call, found, keywords, job)): call.tool_call_id
        for call, found, keywords in ready
    }
    try:
        while tasks:
            finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            closed: list[Event] = []
            for task in finished:
                step.calls[tasks.pop(task)] = event = task.result()
                closed.append(event)
            yield closed
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _call(call: ToolCall, found: Tool, keywords: dict[str, object], job: Job) -> ToolCall:
    try:
        output = await found.call(keywords, job.tool_context(call.tool_call_id))
    except ToolError as error:
        return _closed(call, error=error)
    return _closed(call, output=output)


def _closed(call: ToolCall, *, output: object = None, error: ToolError | None = None) -> ToolCall:
    return msgspec.structs.replace(
        call,
        status="failed" if error else "completed",
        output=output,
        error=error_value(error) if error else None,
    )
