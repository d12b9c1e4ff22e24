"""The commands that a client may send, and the handshake before them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from .options import Options

Decision = Literal["approve", "deny"]
Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Traceparent = Annotated[str, msgspec.Meta(max_length=100)]
ClientId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Command(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A client's request. Each one is acked, in the order of arrival."""


class ToolDeclaration(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A function of a client that models may call; `parameters` is the JSON Schema of an
    object."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    description: str
    parameters: dict[str, Any] = {}
    deadline_s: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 30.0


Declared = Annotated[list[ToolDeclaration], msgspec.Meta(max_length=16)]


class Handshake(Command):
    """Socket.IO's `auth`. With `session_id` the socket joins it, else it gets a new one."""

    token: str | None = None
    session_id: str | None = None
    epoch: Seq | None = None
    after_seq: Seq | None = None
    share: str | None = None
    name: str | None = None
    tools: Declared | None = None


class Create(Command):
    """Begin another session on this socket."""

    options: Options | None = None
    tools: Declared | None = None


class Join(Command):
    """Watch a session, from `after_seq` of `epoch` on. Also how a gap is filled."""

    session_id: str | None = None
    epoch: Seq | None = None
    after_seq: Seq | None = None
    share: str | None = None
    tools: Declared | None = None


class Leave(Command):
    """Stop watching a session. Its run goes on."""

    session_id: str


class CancelAfter(msgspec.Struct, forbid_unknown_fields=True):
    cancel_after_s: Annotated[float, msgspec.Meta(ge=0, le=86400)]


class Send(Command, omit_defaults=True):
    """Say something. `client_msg_id` makes a retry safe: same id, same message, same run.
    `replaces`: a user's message that this one takes the place of, on a branch of its own.
    `files`: ids of files of this session; with any of them the text may be empty.
    `if_busy`: with "steer" the answer under way takes the message in before its next step.
    `schema`: a JSON Schema that the answer is held to. `traceparent`: of the trace that the run
    belongs to, as W3C's Trace Context writes it."""

    text: str
    client_msg_id: str
    session_id: str | None = None
    replaces: str | None = None
    files: list[str] = []
    if_busy: Literal["queue", "reject", "interrupt", "steer"] = "queue"
    on_abandon: Literal["continue", "cancel"] | CancelAfter = "continue"
    schema: dict[str, Any] | None = None
    traceparent: Traceparent | None = None


class QueueEdit(msgspec.Struct, forbid_unknown_fields=True):
    run_id: str
    text: str


class QueueMove(msgspec.Struct, forbid_unknown_fields=True):
    """`before`: the run that this one is to go before; None: behind all."""

    run_id: str
    before: str | None = None


class QueueDrop(msgspec.Struct, forbid_unknown_fields=True):
    run_id: str


class Queue(Command):
    """Change what waits: exactly one of the three."""

    session_id: str | None = None
    edit: QueueEdit | None = None
    move: QueueMove | None = None
    drop: QueueDrop | None = None

    def __post_init__(self) -> None:
        if [self.edit, self.move, self.drop].count(None) != 2:
            raise ValueError("say one of edit, move and drop")


class Stop(Command):
    """Cancel a run: the active one, or the one named."""

    session_id: str | None = None
    run_id: str | None = None


class Continue(Command):
    """Go on with an interrupted or incomplete answer, in the same message."""

    run_id: str
    session_id: str | None = None


class Regenerate(Command):
    """Have the question of a run answered once more, on a branch of its own. `model` and
    `options` hold for this answer."""

    run_id: str
    session_id: str | None = None
    model: str | None = None
    options: Options | None = None
    client_msg_id: ClientId | None = None


class Select(Command):
    """Make the branch of a message the active one, on all devices."""

    message_id: str
    session_id: str | None = None


class Approve(Command):
    """Decide on a tool call that waits for a person. The first decision counts. `arguments`: to
    be used in place of those that were asked for."""

    tool_call_id: str
    decision: Decision
    session_id: str | None = None
    reason: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    arguments: dict[str, Any] | None = None


class ClientFailure(msgspec.Struct, forbid_unknown_fields=True):
    message: str
    code: str = "tool_error"


class ClientResult(Command):
    """What came of a tool call that a client makes: its output, or an error. The first counts."""

    tool_call_id: str
    session_id: str | None = None
    output: Any = msgspec.UNSET
    error: ClientFailure | None = None


class History(Command):
    """Older events, folded, the newest `limit` before `before_seq`, of the active branch or of
    the one that `leaf` is on."""

    session_id: str | None = None
    leaf: str | None = None
    before_seq: Seq | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class Auth(Command):
    """Give a fresh token on a live socket; a guest may give another name with it."""

    token: str
    name: str | None = None


class Share(Command):
    """Get a token that lets another identity open this session, wholly or only to read it."""

    session_id: str | None = None
    access: Literal["full", "read"] = "full"


class Unshare(Command):
    """Revoke every share token of this session that was given so far."""

    session_id: str | None = None


class Rename(Command):
    """Give the session a title, in place of the one that the server made."""

    title: str
    session_id: str | None = None


class Pin(Command):
    """Keep the session at the top of the owner's list, or no longer."""

    pinned: bool
    session_id: str | None = None


class ArchiveSession(Command):
    """Take the session out of the owner's list, or put it back."""

    archived: bool
    session_id: str | None = None


class Delete(Command):
    """Delete a session for good, with all that belongs to it."""

    session_id: str


class Fork(Command):
    """Copy the conversation, up to a message and its answer, into a new session."""

    message_id: str
    session_id: str | None = None


class Rate(Command):
    """Say what one thinks of an answer; null takes it back."""

    message_id: str
    value: Literal["up", "down"] | None
    session_id: str | None = None
    comment: Annotated[str, msgspec.Meta(max_length=1000)] | None = None


class End(Command):
    """End the session now: cancel what runs or waits, no grace period, summary at once."""

    session_id: str | None = None


COMMANDS: dict[str, type[Command]] = {
    "create": Create,
    "join": Join,
    "leave": Leave,
    "send": Send,
    "queue": Queue,
    "stop": Stop,
    "continue": Continue,
    "regenerate": Regenerate,
    "select": Select,
    "approve": Approve,
    "tool_result": ClientResult,
    "history": History,
    "auth": Auth,
    "share": Share,
    "unshare": Unshare,
    "rename": Rename,
    "pin": Pin,
    "archive": ArchiveSession,
    "delete": Delete,
    "fork": Fork,
    "feedback": Rate,
    "end": End,
}
