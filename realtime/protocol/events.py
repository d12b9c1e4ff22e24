"""The events of a session: what happened, in the order of `seq`; and the ephemeral ones."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .commands import CancelAfter, Decision
from .errors import Error
from .files import File
from .options import Options

RunStatus = Literal["started", "queued", "waiting", "fallback", "awaiting_approval", "resumed"]
DoneStatus = Literal[
    "completed",
    "consumed",
    "cancelled",
    "interrupted",
    "incomplete",
    "limit",
    "quota_exceeded",
    "failed",
]
ToolStatus = Literal[
    "streaming",
    "ready",
    "awaiting_approval",
    "awaiting_client",
    "running",
    "completed",
    "failed",
    "denied",
    "expired",
    "cancelled",
]
FinishReason = Literal["stop", "length", "content_filter", "limit", "cancelled", "error"]
TextKind = Literal["text", "reasoning"]
Vote = Literal["up", "down"]
WAITING_TOOL = frozenset({"awaiting_approval", "awaiting_client"})
OPEN_TOOL = frozenset({"streaming", "ready", "running"}) | WAITING_TOOL


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Something that happened in a session: durable, with a `seq`, seen by every device.

    `seq` and `ts` (ms since the Unix epoch) are given when the session appends it.
    """

    session_id: str = ""
    seq: int = 0
    ts: int = 0
    run_id: str | None = None


class Origin(msgspec.Struct):
    """The message of another session up to which this one was copied."""

    session_id: str
    message_id: str


class SessionStarted(Event):
    user_id: str
    start_time: int
    options: Options | None = None
    forked_from: Origin | None = None


class UserMessage(Event):
    """Said once. One that is changed while it waits is said again under its `message_id`, by
    `user_id`, whose run it is from then on.

    `parent`: the message that it follows, None at the beginning; left out while it waits, and in
    logs of older servers. `replaces`: the message that it was made from by an edit.
    `steer`: it may join the answer under way instead of waiting for its own.
    `changed`: an extension of the server made this text of the one that was sent.
    """

    message_id: str
    client_msg_id: str
    text: str
    user_id: str
    name: str | None = None
    parent: str | msgspec.UnsetType | None = msgspec.UNSET
    replaces: str | None = None
    files: tuple[File, ...] = ()
    on_abandon: Literal["cancel"] | CancelAfter | None = None
    schema: dict[str, Any] | None = None
    steer: bool = False
    changed: bool = False


class Run(Event, dict=True):
    """The run changed its state. `message_id` is the assistant's message.

    When it is queued or starts: `user_id`, who asked; `automatic`, whether nobody asked for it,
    since it goes on with an answer that broke off; `parent`, the question that it answers.
    `follows`: the message that this question follows, once it no longer waits. `options` and
    `client_msg_id`: of the command, where an answer is made again.
    """

    message_id: str
    status: RunStatus
    model: str
    user_id: str | None = None
    automatic: bool | None = None
    parent: str | None = None
    follows: str | None = None
    options: Options | None = None
    client_msg_id: str | None = None
    from_model: str | None = None
    reason: str | None = None
    reset_to: int | None = None
    retry_in_ms: int | None = None


class Token(Event, gc=False):
    """Text of the answer. `offset` counts UTF-16 units of this `kind` before `delta`."""

    message_id: str
    offset: int
    delta: str
    kind: TextKind
    first_seq: int | None = None


class Approval(msgspec.Struct, omit_defaults=True):
    """What a person is asked. `arguments_hash` binds the decision to what they were shown;
    `asked_by` is the user whose run it is. `defaults`: what the tool takes for arguments that were
    left out, as its schema says. `editable`: whether the decision may change the
    arguments; then `edited_by` did, and `asked_arguments` are what the model had asked for."""

    expires_at: int
    arguments_hash: str
    asked_by: str | None = None
    decision: Decision | None = None
    decided_by: str | None = None
    reason: str | None = None
    editable: bool = False
    edited_by: str | None = None
    asked_arguments: Any = None
    defaults: dict[str, Any] | None = None


class ClientCall(msgspec.Struct, omit_defaults=True):
    """That a front end makes the call, within so long. `expires_at` is known once it may begin;
    `answered_by` is the user whose device said what came of it."""

    timeout_ms: int
    expires_at: int = 0
    answered_by: str | None = None


class ToolCall(Event, dict=True):  # dict: for what `core.provider_state` keeps beside it
    """State of a function call; replaces what was known of the same `tool_call_id`. `hosted`:
    the model's provider makes it."""

    tool_call_id: str
    name: str
    status: ToolStatus
    message_id: str | None = None
    arguments: Any = None
    output: Any = None
    output_ref: str | None = None
    error: Error | None = None
    approval: Approval | None = None
    client: ClientCall | None = None
    hosted: bool = False
    files: tuple[File, ...] = ()
    first_seq: int | None = None


class CitedSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page or a file; `start` and `end` say where in the text of the message it is cited, in
    UTF-16 units."""

    url: str | None = None
    title: str | None = None
    file_id: str | None = None
    start: int | None = None
    end: int | None = None


class Sources(Event):
    """What the message cites, beside what earlier such events said."""

    message_id: str
    sources: list[CitedSource]


class Usage(msgspec.Struct, omit_defaults=True):
    """What the model counted; `estimated` where it did not say. `cost` in US dollars, where
    the price of every model that took part is known."""

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    estimated: bool | None = None
    cost: float | None = None


class Done(Event, dict=True):
    """The end of a run: its last event, exactly once. `user_id`: the user who asked. `value`:
    what the answer is by the schema that was asked for; null is one. `continued_by`: the run that
    goes on with the answer by itself, and begins with the next event. `consumed_by`: the run whose
    answer took the message in, before its next step."""

    status: DoneStatus
    finish_reason: FinishReason
    message_id: str
    text_len: int
    usage: Usage
    model: str
    duration_ms: int
    user_id: str | None = None
    text: str | None = None
    error: Error | None = None
    value: Any = msgspec.UNSET
    continued_by: str | None = None
    consumed_by: str | None = None


class QueueOrder(Event):
    """The runs that wait, in their new order."""

    order: list[str]


class Selected(Event):
    """The branch that ends with this message is the active one."""

    message_id: str


class SessionUpdated(Event):
    """What the list of conversations shows of the session: what has changed of it. `user_id`: who
    did it; without one the server gave the title, by `model`, for `usage`. With those two alone,
    no title came of it."""

    title: str | None = None
    pinned: bool | None = None
    archived: bool | None = None
    user_id: str | None = None
    model: str | None = None
    usage: Usage | None = None


class Feedback(Event):
    """What a user thinks of an answer; it replaces what they said of it before."""

    message_id: str
    user_id: str
    value: Vote | None
    comment: str | None = None


class SessionEnded(Event):
    end_time: int
    duration_seconds: float


class Summary(Event):
    """By `model`, for `usage`, where one was asked."""

    status: Literal["done", "failed", "skipped"]
    text: str | None = None
    error: Error | None = None
    model: str | None = None
    usage: Usage | None = None


EVENTS: dict[str, type[Event]] = {
    "session_started": SessionStarted,
    "user_message": UserMessage,
    "run": Run,
    "token": Token,
    "tool_call": ToolCall,
    "sources": Sources,
    "done": Done,
    "queue": QueueOrder,
    "selected": Selected,
    "session_updated": SessionUpdated,
    "feedback": Feedback,
    "session_ended": SessionEnded,
    "summary": Summary,
}
EVENT_NAMES: dict[type[Event], str] = {kind: name for name, kind in EVENTS.items()}

EPHEMERAL = ("session", "sessions", "presence", "progress", "server")
"""Events without `seq`: they may be lost, and nothing is built on them."""


class Person(msgspec.Struct, omit_defaults=True):
    """Somebody who is here. Anybody may have any name."""

    user_id: str
    name: str | None = None


class Present(msgspec.Struct):
    """The ephemeral `presence` event: how many devices watch a session, and whose they are."""

    session_id: str
    devices: int
    people: list[Person]


class Progress(msgspec.Struct, omit_defaults=True):
    """The ephemeral `progress` event: how far a tool call is."""

    session_id: str
    tool_call_id: str
    fraction: float | None = None
    message: str | None = None
