"""One TCP connection to the engine: commands out, answers in."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from ...core.rows import StorageError

ANSWER_S = 2.0
NOT_NOW = frozenset(("LOADING", "OOM", "MISCONF", "CLUSTERDOWN", "BUSY", "NOREPLICAS", "TRYAGAIN"))
NOT_HERE = frozenset(("READONLY", "MASTERDOWN"))
"""What errors begin with that pass."""

CROWDED = "ERR max number of clients reached"
"""So does this one."""


Command = tuple[bytes | str | int, ...]
_packed: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]


class Away(StorageError):
    """The engine did not answer, or said that it cannot work now; the message says which."""


class Demoted(Away):
    """The engine is a replica now. The primary may be reached by the same name."""


class EngineError(StorageError):
    """The engine answered with an error of another kind. `code`: its first word."""

    def __init__(self, label: str, text: str) -> None:
        super().__init__(f"the engine at {label} answered: {text}")
        self.code = text.partition(" ")[0]


class Cable(asyncio.Protocol):
    """Until it is lost. `label` names the engine in messages; `push` is called with what comes
    unasked, under RESP3."""

    def __init__(self, label: str, push: Callable[[list[Any]], None] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._label = label
        self._push = push
        self._reader = hiredis.Reader(replyError=self._error, notEnoughData=self)
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[Away] = self._loop.create_future()

    def ask(self, *args: bytes | str | int) -> asyncio.Future[Any]:
        """Write one command; the answer follows. Raises `Away` once the cable is lost."""
        return self.ask_all((args,))[0]

    def ask_all(self, commands: Sequence[Command]) -> list[asyncio.Future[Any]]:
        """As `ask`, for several commands at once."""
        if self.lost.done():
            raise Away(*self.lost.result().args)
        answers = [self._loop.create_future() for _ in commands]
        now = self._loop.time()
        self._waiting += [(answer, now) for answer in answers]
        if not self._watch:
            self._watch = self._loop.call_at(now + ANSWER_S, self._late)
        self.write(*commands)
        return answers

    def write(self, *commands: Command) -> None:
        """Write commands, some of which may have no answer, such as SUBSCRIBE."""
        assert self._transport is not None, "it is not connected"
        try:
            self._transport.write(b"".join(map(_packed, commands)))
        except RuntimeError as error:  # uvloop's, of a transport that is closed
            self.lose(Away(f"the engine at {self._label}: {error}"))

    def lose(self, away: Away) -> None:
        """Drop the connection; who waits for an answer gets this."""
        if self.lost.done():
            return
        self.lost.set_result(away)
        if self._watch:
            self._watch.cancel()
        for answer, _ in self._waiting:
            if not answer.done():
                answer.set_exception(Away(*away.args))
        self._waiting.clear()
        if self._transport:
            self._transport.abort()

    def _late(self) -> None:
        self._watch = None
        if self._waiting:
            due = self._waiting[0][1] + ANSWER_S
            if due <= self._loop.time():
                self.lose(Away(f"the engine at {self._label} did not answer within 2 s"))
            else:
                self._watch = self._loop.call_at(due, self._late)

    def _error(self, text: str) -> Exception:
        code = text.partition(" ")[0]
        if code in NOT_NOW or code in NOT_HERE or text == CROWDED:
            kind = Demoted if code in NOT_HERE else Away
            return kind(f"the engine at {self._label} answered: {text}")
        return EngineError(self._label, text)

    # ---------------------------------------------------------------- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def connection_lost(self, error: Exception | None) -> None:
        why = str(error) if error else "closed the connection"
        self.lose(Away(f"the engine at {self._label}: {why}"))

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (item := self._reader.gets()) is not self and not self.lost.done():
                self._take(item)
        except hiredis.ProtocolError:
            self.lose(Away(f"the engine at {self._label} does not speak its protocol"))

    def _take(self, item: Any) -> None:
        if isinstance(item, hiredis.PushNotification):
            if self._push:
                self._push(item)
            return
        if not self._waiting:  # what was written without asking is refused
            self.lose(Away(str(item)))
            return
        answer, _ = self._waiting.popleft()
        if not answer.done():
            if isinstance(item, StorageError):
                answer.set_exception(item)
            else:
                answer.set_result(item)
        if isinstance(item, Demoted):
            self.lose(item)
