"""The contract on the wire: every command, every event, every error code.

All payloads are JSON objects with snake_case names. Commands come in and are
validated here (`decode`); events go out and are encoded here, once, for the
journal and for every device alike. PROTOCOL.md says the same in prose, and a
test holds the two together.
"""

from __future__ import annotations

import logging
from typing import Annotated, Any, Literal, TypeVar

import msgspec

logger = logging.getLogger(__name__)

MAX_EVENT_BYTES = 96 * 1024
"""No event is larger on the wire."""

MAX_PAGE_BYTES = 110 * 1024
"""Bound of the events in one `session` payload or `history` ack, which stays below 128 KB."""

MAX_QUEUED_TEXT = 500
"""Characters of a waiting message in `session.queue`; its event has all of it."""

MAX_DONE_TEXT = 64 * 1024
"""An answer that is longer as JSON is left out of `done.text`; the tokens hold it."""

MAX_PROVIDER_STATE = 64 * 1024
"""Bytes of what one event may keep for the model's provider."""

ErrorCode = Literal[
    "bad_request",
    "too_large",
    "unauthorized",
    "forbidden",
    "not_found",
    "busy",
    "queue_full",
    "conflict",
    "rate_limited",
    "quota_exceeded",
    "already_done",
    "already_resolved",
    "expired",
    "draining",
    "overloaded",
    "storage_unavailable",
    "internal",
]

RunStatus = Literal["started", "queued", "waiting", "fallback", "awaiting_approval", "resumed"]
DoneStatus = Literal[
    "completed",
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
    "running",
    "completed",
    "failed",
    "denied",
    "expired",
    "cancelled",
]
FinishReason = Literal["stop", "length", "content_filter", "limit", "cancelled", "error"]
TextKind = Literal["text", "reasoning"]
Decision = Literal["approve", "deny"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
OPEN_TOOL = frozenset({"streaming", "ready", "awaiting_approval", "running"})


class Error(msgspec.Struct, omit_defaults=True):
    """What went wrong, for a program (`code`) and for a person (`message`)."""

    code: str
    message: str
    retryable: bool = msgspec.field(default=False)
    retry_after_ms: int | None = None


class ProtocolError(Exception):
    """Raised wherever a command cannot be carried out; becomes `{"ok": false, "error"}`."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        retryable: bool = False,
        retry_after_ms: int | None = None,
        **more: str,
    ) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms
        self.more = more  # further fields of the error

    def error(self) -> Error:
        return Error(self.code, self.message, self.retryable, self.retry_after_ms)

    def payload(self) -> dict[str, Any]:
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            **self.more,
        }
        if self.retry_after_ms is not None:
            error["retry_after_ms"] = self.retry_after_ms
        return error


# ------------------------------------------------------------------ commands


Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Command(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A client's request. Each one is acked, in the order of arrival."""


class Handshake(Command):
    """Socket.IO's `auth`. With `session_id` the socket joins it, else it gets a new one."""

    token: str | None = None
    session_id: str | None = None
    epoch: Seq | None = None
    after_seq: Seq | None = None
    share: str | None = None


class Options(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """How a session is to be answered; what is left out is as the server's settings say."""

    model: str | None = None
    instructions: Annotated[str, msgspec.Meta(max_length=16_000)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] | None = None
    reasoning_effort: Effort | None = None


class Create(Command):
    """Begin another session on this socket."""

    options: Options | None = None


class Join(Command):
    """Watch a session, from `after_seq` of `epoch` on. Also how a gap is filled."""

    session_id: str | None = None
    epoch: Seq | None = None
    after_seq: Seq | None = None
    share: str | None = None


class Leave(Command):
    """Stop watching a session. Its run goes on."""

    session_id: str


class CancelAfter(msgspec.Struct, forbid_unknown_fields=True):
    cancel_after_s: Annotated[float, msgspec.Meta(ge=0, le=86400)]


class Send(Command):
    """Say something. `client_msg_id` makes a retry safe: same id, same message, same run."""

    text: str
    client_msg_id: str
    session_id: str | None = None
    if_busy: Literal["queue", "reject", "interrupt"] = "queue"
    on_abandon: Literal["continue", "cancel"] | CancelAfter = "continue"


class Stop(Command):
    """Cancel a run: the active one, or the one named."""

    session_id: str | None = None
    run_id: str | None = None


class Continue(Command):
    """Go on with an interrupted or incomplete answer, in the same message."""

    run_id: str
    session_id: str | None = None


class Approve(Command):
    """Decide on a tool call that waits for a person. The first decision counts."""

    tool_call_id: str
    decision: Decision
    session_id: str | None = None
    reason: Annotated[str, msgspec.Meta(max_length=500)] | None = None


class History(Command):
    """Older events, folded, the newest `limit` before `before_seq`."""

    session_id: str | None = None
    before_seq: Seq | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class Auth(Command):
    """Give a fresh token on a live socket."""

    token: str


class Share(Command):
    """Get a token that lets another identity open this session, wholly or only to read it."""

    session_id: str | None = None
    access: Literal["full", "read"] = "full"


class Unshare(Command):
    """Revoke every share token of this session that was given so far."""

    session_id: str | None = None


class End(Command):
    """End the session now: cancel what runs or waits, no grace period, summary at once."""

    session_id: str | None = None


COMMANDS: dict[str, type[Command]] = {
    "create": Create,
    "join": Join,
    "leave": Leave,
    "send": Send,
    "stop": Stop,
    "continue": Continue,
    "approve": Approve,
    "history": History,
    "auth": Auth,
    "share": Share,
    "unshare": Unshare,
    "end": End,
}


C = TypeVar("C", bound=Command)


def decode(kind: type[C], data: object) -> C:
    """Validate a command's payload. Raises `ProtocolError("bad_request")`."""
    try:
        return msgspec.convert(clean(data) if data is not None else {}, kind)
    except msgspec.ValidationError as error:
        raise ProtocolError("bad_request", f"{error}. See PROTOCOL.md.") from None


# -------------------------------------------------------------------- events


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Something that happened in a session: durable, with a `seq`, seen by every device.

    `seq` and `ts` (ms since the Unix epoch) are given when the session appends it.
    """

    session_id: str = ""
    seq: int = 0
    ts: int = 0
    run_id: str | None = None


class SessionStarted(Event):
    user_id: str
    start_time: int
    options: Options | None = None


class UserMessage(Event):
    message_id: str
    client_msg_id: str
    text: str
    user_id: str
    on_abandon: Literal["cancel"] | CancelAfter | None = None


class Run(Event):
    """The run changed its state. `message_id` is the assistant's message; `user_id`, when it is
    queued or starts, the user who asked."""

    message_id: str
    status: RunStatus
    model: str
    user_id: str | None = None
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
    `asked_by` is the user whose run it is."""

    expires_at: int
    arguments_hash: str
    asked_by: str | None = None
    decision: Decision | None = None
    decided_by: str | None = None
    reason: str | None = None


class ToolCall(Event, dict=True):
    """State of a function call; replaces what was known of the same `tool_call_id`."""

    tool_call_id: str
    name: str
    status: ToolStatus
    message_id: str | None = None
    arguments: Any = None
    output: Any = None
    output_ref: str | None = None
    error: Error | None = None
    approval: Approval | None = None
    first_seq: int | None = None


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
    """The end of a run: its last event, exactly once. `user_id`: the user who asked."""

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


class SessionEnded(Event):
    end_time: int
    duration_seconds: float


class Summary(Event):
    status: Literal["done", "failed", "skipped"]
    text: str | None = None
    error: Error | None = None


EVENTS: dict[str, type[Event]] = {
    "session_started": SessionStarted,
    "user_message": UserMessage,
    "run": Run,
    "token": Token,
    "tool_call": ToolCall,
    "done": Done,
    "session_ended": SessionEnded,
    "summary": Summary,
}
EVENT_NAMES: dict[type[Event], str] = {kind: name for name, kind in EVENTS.items()}

EPHEMERAL = ("session", "presence", "progress", "server")
"""Events without `seq`: they may be lost, and nothing is built on them."""

_encoder = msgspec.json.Encoder()
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in EVENTS.items()}
to_json = _encoder.encode


def decode_event(name: str, payload: bytes | str) -> Event:
    """The event of a stored payload. Raises `msgspec.DecodeError` on damage."""
    return _decoders[name].decode(payload)


def entry(event: Event) -> dict[str, Any]:
    """The event as it stands in `session.events` and `history.events`."""
    return {"event": EVENT_NAMES[type(event)], **msgspec.to_builtins(event)}


class Progress(msgspec.Struct, omit_defaults=True):
    """The ephemeral `progress` event: how far a tool call is."""

    session_id: str
    tool_call_id: str
    fraction: float | None = None
    message: str | None = None


def provider_state(event: Event) -> bytes | None:
    """JSON that the model's provider wants back with this event later. It is stored beside the
    payload and never encoded with it, so no device and no export can get it."""
    state: bytes | None = getattr(event, "_provider_state", None)
    return state


def keep_provider_state(event: ToolCall | Done, state: bytes | None) -> None:
    """A copy of the event (`msgspec.structs.replace`) is without it. A state over
    `MAX_PROVIDER_STATE` is dropped; the event stays."""
    if state is None:
        return
    if len(state) > MAX_PROVIDER_STATE:
        logger.debug("provider state of %d bytes is dropped", len(state))
        return
    event._provider_state = state  # type: ignore[union-attr]


# ---------------------------------------------------------------- the session


class ActiveRun(msgspec.Struct):
    run_id: str
    message_id: str
    status: RunStatus
    model: str
    user_id: str


class QueuedRun(msgspec.Struct):
    run_id: str
    message_id: str
    client_msg_id: str
    text: str
    user_id: str


class SessionPayload(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The ephemeral `session` event, and the ack of `create` and `join`. `user_id` is the
    owner, `you` the user of the socket."""

    session_id: str
    user_id: str
    epoch: int
    seq: int
    head: int
    mode: Literal["live", "replay", "snapshot"]
    recovered: bool
    events: list[dict[str, Any]]
    queue: list[QueuedRun]
    pending_approvals: list[dict[str, Any]]
    ended: bool
    model: str
    you: str | None = None
    access: Literal["owner", "full", "read"] | None = None
    guest_token: str | None = None
    next_before_seq: int | None = None
    active_run: ActiveRun | None = None


# ---------------------------------------------------------------------- text


def clean_text(text: str) -> str:
    """Lone surrogates and U+0000 become U+FFFD: neither JSON nor Postgres takes them."""
    if text.isascii():
        return text.replace("\0", "\ufffd")
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\ufffd")


def clean(value: Any) -> Any:
    """A JSON value with every text in it cleaned."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return value


def utf16_len(text: str) -> int:
    """What `string.length` gives a browser."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
