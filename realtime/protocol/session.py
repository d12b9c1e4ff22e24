"""The `session` payload: where a session stands when a socket joins it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .events import Person, RunStatus


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


class SiblingCount(msgspec.Struct):
    """`place`: that of the message among all of its siblings, from 1; `count`: of all."""

    place: int
    count: int


class SessionPayload(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The ephemeral `session` event, and the ack of `create` and `join`. `user_id` is the
    owner, `you` the user of the socket. `leaf`: the message that the active branch ends with.
    `siblings`: of messages on this page that have any, they and their siblings, by message;
    `sibling_counts`: of those whose list has the nearest ones alone."""

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
    pending_client_calls: list[dict[str, Any]] = []
    active_run: ActiveRun | None = None
    leaf: str | None = None
    siblings: dict[str, list[str]] = {}
    sibling_counts: dict[str, SiblingCount] = {}
    people: list[Person] = []
    title: str | None = None
    pinned: bool = False
    archived: bool = False
