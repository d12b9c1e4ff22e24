"""A session that this worker shows and another one writes: the same fold, of what it is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ..core.fold import merge
from ..core.rows import Head, SessionRow, StorageError
from ..core.session import Session
from ..core.user import User
from ..live.ack import Ack
from ..live.host import Host
from ..live.presence import Presence
from ..live.tail import Tail
from ..live.view import View
from ..log.hot.records import Row, Told
from ..protocol import (
    Approve,
    ClientResult,
    Event,
    File,
    Join,
    ProtocolError,
    Queue,
    QueueEdit,
    Rate,
    Regenerate,
    Send,
    Stop,
)
from .calls import Caller

IDLE_S = 30.0
"""So long a session is shown on where nobody watches it here."""

UNREAD = 64
"""Tokens that are shown before they are folded: what a session has in memory is then reached once
for all of them."""

Ask = Callable[[str, str, tuple[Any, ...], Caller], Coroutine[Any, Any, dict[str, Any]]]
"""(session id, method, its arguments, who asks): what it comes to on the worker that writes the
session."""

logger = logging.getLogger(__name__)


class Gap(Exception):
    """Something that the session's writer told was not heard."""


class Mirror(View):
    """A `Seat` whose commands are carried out elsewhere. `worker`: where; `heard`: the last event
    that was told. Tokens are folded by the time that anybody looks at the session."""

    def __init__(
        self,
        head: Head,
        session: Session,
        host: Host,
        tail: Tail,
        worker: str,
        ask: Ask,
        on_idle: Callable[[str], None],
    ) -> None:
        self._unread: list[Row] = []
        super().__init__(session, host, tail, Presence())
        self.heard = session.head
        self.worker = worker
        self._head = head
        self._ask = ask
        self._on_idle = on_idle
        self._lost: StorageError | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # ---------------------------------------------------------------- reading

    @property
    def share_key(self) -> str | None:
        return self._head.share_key

    @property
    def revision(self) -> int:
        return self._head.revision

    @property
    def lost(self) -> StorageError | None:
        return self._lost

    def row(self) -> SessionRow:
        return self._head.row

    @property
    def session(self) -> Session:
        self._read()
        return self._session

    @session.setter
    def session(self, session: Session) -> None:
        self._session, self.epoch = session, session.epoch

    @property
    def _tail(self) -> Tail:
        self._read()
        return self._shown

    @_tail.setter
    def _tail(self, tail: Tail) -> None:
        self._shown = tail

    def take(self, told: Told) -> list[tuple[str, bytes]]:
        """Take in what the writer has added; the events of it that are to be shown here, by name.
        Raises `Gap`, and `StorageError` where one cannot be read."""
        heard, tokens = self.heard, True
        fresh: list[Row] = []
        for row in told.rows:
            if row.seq <= heard:
                continue
            if row.first_seq != heard + 1:
                raise Gap
            heard = row.seq
            tokens = tokens and row.name == "token"
            fresh.append(row)
        self.heard = heard
        if told.head and told.head.revision > self.revision:
            self._head = told.head.head(told.epoch, told.head.revision)
        self._unread += fresh
        if not tokens or len(self._unread) >= UNREAD:
            self._read()
        return [(row.name, row.payload) for row in fresh]

    def _read(self) -> None:
        """Fold what was heard. Raises `StorageError`."""
        if self._unread:
            unread, self._unread = self._unread, []
            events = merge([row.event() for row in unread])
            for event in events:
                self._session.apply(event)
            self._shown.extend(events)

    def read_again(self, head: Head, session: Session, events: Sequence[Event]) -> None:
        """The log has more than was heard: these events, the first of which may be known in
        part."""
        self._tail.extend(events)
        self._head, self.session, self.heard = head, session, session.head

    def entered(self, user: User, command: Join) -> None:
        if command.tools:
            self._tell_writer("offer", command.tools, by=user.user_id)
        if self._head.row.unread and user.user_id == self.owner:
            self._tell_writer("read", by=user.user_id)

    def claimed(self, worker: str) -> None:
        """This one writes the session from now on, and knows no tools of the devices here."""
        self.worker = worker
        for sid, tools in self.presence.tools.items():
            self._tell_writer("offer", tools, by=self.presence.devices[sid].user_id)

    def _tell_writer(self, name: str, *given: Any, by: str) -> None:
        """As `_do`, for what nobody waits for."""

        async def told() -> None:
            try:
                await self._do(name, *given, by=by)
            except (ProtocolError, StorageError) as error:
                about = {"session_id": self.session_id}
                logger.warning("the writer did not take %r: %s", name, error, extra=about)

        task = asyncio.create_task(told())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def leave(self, sid: str) -> None:
        """A device has gone."""
        if sid in self.presence.devices:
            self.presence.leave(sid)
            self._tell()
            self.settle()

    def settle(self) -> None:
        if not (self.presence.devices or self.pins):
            self.presence.after(IDLE_S, "idle", self._idle)

    def _idle(self) -> None:
        if not (self.presence.devices or self.pins):
            self._on_idle(self.session_id)

    def close(self, why: StorageError) -> None:
        """Nothing is shown any more."""
        self._lost = why
        self.presence.cancel()
        self._shown.close(why)

    # --------------------------------------------------------------- commands

    def _do(self, name: str, *given: Any, by: str, runs: bool = False) -> Ack:
        """`by`: the user who asks; `runs`: a run may come of it."""
        user = self._host.services.people.find(by) if runs else None
        return self._ask(self.session_id, name, given, Caller(by, self.share_key, user))

    def check_send(
        self, command: Send, user: User, found: Sequence[File] = ()
    ) -> tuple[File, ...] | None:
        """As far as it can be known here: whoever writes the session checks it again."""
        if self.session.is_duplicate(command.client_msg_id, user.user_id):
            return None
        self.session.check_send(command)
        return tuple(found)

    def send(
        self,
        command: Send,
        user: User,
        found: Sequence[File] = (),
        *,
        instead: str | None = None,
    ) -> Ack:
        return self._do("send", command, user, found, instead, by=user.user_id, runs=True)

    def check_edit(self, edit: QueueEdit) -> tuple[File, ...]:
        return self.session.check_edit(edit.run_id, edit.text).files

    def resume(self, run_id: str, user_id: str) -> Ack:
        return self._do("resume", run_id, user_id, by=user_id, runs=True)

    def regenerate(self, command: Regenerate, user_id: str) -> Ack:
        return self._do("regenerate", command, user_id, by=user_id, runs=True)

    def queue(self, command: Queue, user: User) -> Ack:
        return self._do("queue", command, user, by=user.user_id, runs=True)

    def select(self, message_id: str, user_id: str) -> Ack:
        return self._do("select", message_id, user_id, by=user_id)

    def stop(self, command: Stop, user_id: str) -> Ack:
        active = self.session.active
        if command.run_id is None and active:
            command.run_id = active.run_id  # asked again, it must not stop the next one
        return self._do("stop", command, user_id, by=user_id)

    def approve(self, command: Approve, user_id: str) -> Ack:
        return self._do("approve", command, user_id, by=user_id)

    def take_result(self, command: ClientResult, user_id: str) -> Ack:
        return self._do("take_result", command, user_id, by=user_id)

    def rename(self, title: str, user_id: str) -> Ack:
        return self._do("rename", title, user_id, by=user_id)

    def pin(self, pinned: bool, user_id: str) -> Ack:
        return self._do("pin", pinned, user_id, by=user_id)

    def archive(self, archived: bool, user_id: str) -> Ack:
        return self._do("archive", archived, user_id, by=user_id)

    def rate(self, command: Rate, user_id: str) -> Ack:
        return self._do("rate", command, user_id, by=user_id)

    def end(self, user_id: str) -> Ack:
        return self._do("end", user_id, by=user_id)

    def share(self) -> Ack:
        return self._do("share", by=self.owner)

    def unshare(self) -> Ack:
        return self._do("unshare", by=self.owner)
