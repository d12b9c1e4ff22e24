"""A step's tool calls: asked for by the model, made side by side, an event for each change.

Like a run it writes nothing: whoever drives it records the events before it asks for more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from ..core.answer import as_text
from ..core.approvals import arguments_hash, let_run
from ..core.held import Held
from ..core.provider_state import ProviderState, keep
from ..models import Finished, HostedCall, Media, Thought, ToolCallReady, ToolCallStarted
from ..protocol import (
    MAX_ARGUMENTS,
    OPEN_TOOL,
    WAITING_TOOL,
    Approval,
    ClientCall,
    Event,
    File,
    Run,
    ToolCall,
    clean,
    clean_text,
    from_json,
    to_json,
)
from ..tools import Full, NewFile, Reporter, ToolContext, ToolError, Tools, error_value
from .hosted import ended_unheard, hosted_call, new_file
from .trace import NOBODY, Trace

SETTLED = ("ready", "completed", "failed")
"""After these a model says nothing more of a call."""


class Step:
    """One model call under way: what of it is in no event yet. `by`: the label of the model.
    `known`: the calls that the log has of it, where it was taken up after a crash."""

    def __init__(
        self, message_id: str, new_id: Callable[[], str], by: str, known: Sequence[ToolCall] = ()
    ) -> None:
        self._message_id = message_id
        self._new_id = new_id
        self._by = by
        self._ids: dict[str, str] = {}  # by the model's keys of its calls
        self._known = {call.tool_call_id: call.status for call in known}
        self._next = iter([call.tool_call_id for call in known if not call.hosted])
        self._next_hosted = iter([call.tool_call_id for call in known if call.hosted])
        self._hosted: dict[str, ToolCall] = {}  # that have not ended
        self.made: list[tuple[ToolCall, tuple[Media, ...]]] = []  # ended, with files to store
        self.state = ProviderState(by)  # of what comes next
        self.spoke = False
        self.finished: Finished | None = None
        self.mark: tuple[Run, Held] | None = None  # told where its provider keeps the answer

    def _id(self, key: str, known: Iterator[str]) -> str:
        if key not in self._ids:
            self._ids[key] = next(known, None) or self._new_id()
        return self._ids[key]

    def _event(self, key: str, name: str) -> ToolCall:
        return ToolCall(
            tool_call_id=self._id(key, self._next),
            name=clean_text(name)[:128],
            status="streaming",
            message_id=self._message_id,
        )

    def _news(self, event: ToolCall) -> list[ToolCall]:
        """Nothing, where the log has it."""
        known = self._known.get(event.tool_call_id)
        return [] if known in (*SETTLED, event.status) else [event]

    def started(self, item: ToolCallStarted) -> list[ToolCall]:
        return self._news(self._event(item.key, item.name))

    def ready(self, item: ToolCallReady) -> list[ToolCall]:
        event = self._event(item.key, item.name)
        event.status = "ready"
        event.arguments = _recorded(item.arguments)
        own_id = item.id and clean_text(item.id)
        keep(event, replace(self.state, id=own_id, extra=clean(item.extra)))
        self.state = ProviderState(self._by)
        return self._news(event)

    def hosted(self, item: HostedCall) -> list[ToolCall]:
        key = f"hosted {item.key}"
        event = hosted_call(item, self._id(key, self._next_hosted), self._message_id)
        self._hosted.pop(key, None)
        if event.status in OPEN_TOOL:
            self._hosted[key] = event
        if item.made and self._news(event):
            self.made.append((event, item.made))
            return []
        return self._news(event)

    async def stored(self, hooks: Hooks) -> list[Event]:
        """The provider's calls that made files, once these are stored, as far as they can be."""
        made, self.made = self.made, []
        ended: list[Event] = []
        for call, media in made:
            found = [await new_file(one) for one in media]
            files = [await hooks.attach(call.tool_call_id, file) for file in found if file]
            ended.append(replace(call, files=tuple(file for file in files if file)))
        return ended

    def close_hosted(self, *, whole: bool) -> list[Event]:
        """At the end of the model's answer: the provider's calls of which it did not say more."""
        left, self._hosted = list(self._hosted.values()), {}
        return [ended_unheard(call, whole=whole) for call in left]

    def thought(self, item: Thought, offset: int) -> None:
        """`offset`: where the text of the message has come to."""
        self.state.thoughts = [*self.state.thoughts, (offset, clean(item.data))]


def _recorded(arguments: str) -> object:
    """The arguments for the record: the JSON object, or the raw text where it is none."""
    text = clean_text(arguments)
    if len(to_json(text)) > MAX_ARGUMENTS:
        return text[: MAX_ARGUMENTS // 8] + "…"
    try:
        value = from_json(text if text.strip() else "{}")
    except ValueError:
        return text
    return {} if value is None else value


class Hooks(msgspec.Struct, frozen=True):
    """What the calls of a run need of whoever drives it, each by the call's id."""

    asker: str
    """The user whose run it is."""
    context: Callable[[str, Reporter], ToolContext]
    told: Callable[[str, float | None, str | None], None]
    """Shows how far the call is."""
    decided: Callable[[str], Awaitable[ToolCall]]
    """Waits for a decision, or for a device's answer; the call as it was recorded with it."""
    keep: Callable[[str, Full], Awaitable[str | None]]
    """Stores an output that is too long for the log; its reference, if it could."""
    attach: Callable[[str, NewFile], Awaitable[File | None]]
    """Stores a file that the call made, if it can."""
    trace: Trace = NOBODY


async def call_all(
    calls: Sequence[ToolCall], tools: Tools, hooks: Hooks
) -> AsyncGenerator[list[Event], None]:
    """Make those of a step's calls that are open side by side; an event for each change, in the
    order it happens. No call begins before `running` was taken: a crash cannot hide its effect.
    One that needs approval, or a device, waits for it, and nothing else waits for that one."""
    known = [call for call in calls if call.status in OPEN_TOOL and call.status != "streaming"]
    begun = await asyncio.gather(*(_begin(call, tools, hooks.asker) for call in known))
    if news := [after for before, after in zip(known, begun, strict=True) if after is not before]:
        yield list(news)
    tasks = {
        asyncio.create_task(_carry(call, tools, hooks))
        for call in begun
        if call.status in OPEN_TOOL
    }
    try:
        while tasks:
            finished, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if news := [call for task in finished if (call := task.result())]:
                yield list(news)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _begin(call: ToolCall, tools: Tools, asker: str) -> ToolCall:
    """The call as it begins: refused, `running`, or waiting for approval or for a device."""
    if call.status in WAITING_TOOL:  # since before a restart
        return call
    try:
        found = tools.find(call.name)
        keywords = found.parse(as_text(call.arguments))
        asks = call.approval is None and await found.needs_approval(keywords)
    except ToolError as error:
        return _failed(call, error)
    now = time.time_ns() // 1_000_000
    if found.client:
        call = replace(call, client=ClientCall(round(found.deadline_s * 1000)))
    if not asks:
        return let_run(call, now)
    expires_at = now + round(tools.approval_s * 1000)
    approval = Approval(
        expires_at,
        arguments_hash(call),
        asked_by=asker,
        editable=found.editable,
        defaults=found.defaults(call.arguments) or None,
    )
    return replace(call, status="awaiting_approval", approval=approval)


async def _carry(call: ToolCall, tools: Tools, hooks: Hooks) -> ToolCall | None:
    """Make one call, once it may be made; what is made is what was recorded. None where it was
    closed, and recorded, by whom it waited for."""
    if call.status in WAITING_TOOL:
        with hooks.trace.waits(call):
            call = await hooks.decided(call.tool_call_id)
        if call.status != "running":
            return None
    reporter = Reporter(partial(hooks.told, call.tool_call_id))
    try:
        if call.approval and call.approval.arguments_hash != arguments_hash(call):
            raise ToolError("these are not the arguments that were approved", "internal")
        found = tools.find(call.name)
        context = hooks.context(call.tool_call_id, reporter)
        keywords = found.parse(as_text(call.arguments))
        with hooks.trace.tool(call):
            output = await found.call(keywords, context)
        ref = await hooks.keep(call.tool_call_id, output.full) if output.full else None
        files = [await hooks.attach(call.tool_call_id, file) for file in list(context.files)]
    except ToolError as error:
        return _failed(call, error)
    finally:
        reporter.finish()
    listed = tuple(file for file in files if file)
    return replace(call, status="completed", output=output.value, output_ref=ref, files=listed)


def _failed(call: ToolCall, error: ToolError) -> ToolCall:
    return replace(call, status="failed", error=error_value(error))
