"""Asking the worker that writes a session, and answering those who ask."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ..core.rows import StorageError
from ..log.hot.line import Line
from ..protocol import ProtocolError, to_json
from . import calls
from .calls import Answered, Call, Caller

AGAIN_S = 1.0
"""A call that is not answered is made again."""

PATIENCE_S = 6.0
"""A call that takes longer is waited for as long as its worker is heard of."""

REMEMBERED = 10_000
"""Calls whose answers are kept, so that the same call is carried out once."""

logger = logging.getLogger(__name__)


class Moved(Exception):
    """Another worker writes the session, or nobody does."""


class Bus:
    """`carry_out` gives what a call comes to, or raises `ProtocolError` or `Moved`. `spawn` begins
    what nobody waits for."""

    def __init__(
        self,
        line: Line,
        prefix: str,
        worker: str,
        carry_out: Callable[[Call], Awaitable[dict[str, Any]]],
        spawn: Callable[[Coroutine[Any, Any, Any]], None],
    ) -> None:
        self._line = line
        self._prefix = prefix
        self._worker = worker
        self._carry_out = carry_out
        self._spawn = spawn
        self._last = 0
        self._asked: dict[int, asyncio.Future[Answered]] = {}
        self._answers: OrderedDict[tuple[str, int], asyncio.Task[Answered]] = OrderedDict()

    async def ask(
        self,
        worker: str,
        session_id: str,
        name: str,
        given: tuple[Any, ...],
        caller: Caller,
    ) -> dict[str, Any]:
        """What a method of a session comes to on the worker that writes it, however long that
        takes. Raises what that raises, `Moved`, and `StorageError` where the worker is gone."""
        self._last += 1
        call_id = self._last
        frame = b"C" + calls.call_of(call_id, self._worker, session_id, name, given, caller)
        asked = self._asked[call_id] = asyncio.get_running_loop().create_future()
        until = time.monotonic() + PATIENCE_S
        try:
            while True:
                if not await self.tell(worker, frame):
                    raise Moved
                try:
                    answer = await asyncio.wait_for(asyncio.shield(asked), AGAIN_S)
                    break
                except TimeoutError:
                    if time.monotonic() > until and not await self._lives(worker):
                        raise StorageError("the worker that has the session is silent") from None
        finally:
            self._asked.pop(call_id, None)
        if answer.moved:
            raise Moved
        if answer.error:
            raise ProtocolError(**answer.error)
        return answer.ack or {}

    async def _lives(self, worker: str) -> bool:
        """Whether it was heard of within a lease."""
        till = await self._line.call("ZSCORE", f"{self._prefix}workers", worker)
        return till is not None and float(till) >= await self._line.time_ms()

    async def tell(self, worker: str, frame: bytes) -> int:
        """How many hear it. Raises `StorageError`."""
        heard: int = await self._line.call("PUBLISH", f"{self._prefix}w:{worker}", frame)
        return heard

    def answered(self, body: bytes) -> None:
        answer = calls.decode_answer(body)
        asked = self._asked.get(answer.call_id)
        if asked and not asked.done():
            asked.set_result(answer)

    def called(self, body: bytes) -> None:
        """Carry out a call, or give the answer to it once more."""
        call = calls.decode_call(body)
        key = call.worker, call.call_id
        task = self._answers.get(key)
        if task is None:
            task = self._answers[key] = asyncio.create_task(self._answer(call))
            if len(self._answers) > REMEMBERED:
                oldest, answer = self._answers.popitem(last=False)
                if not answer.done():
                    self._answers[oldest] = answer
        elif not task.done():
            return  # the answer is on its way
        task.add_done_callback(lambda done: self._reply(call.worker, done.result()))

    async def _answer(self, call: Call) -> Answered:
        try:
            return Answered(call.call_id, await self._carry_out(call))
        except Moved:
            return Answered(call.call_id, moved=True)
        except ProtocolError as error:
            return Answered(call.call_id, error=error.payload())
        except Exception:
            about = {"session_id": call.session_id}
            logger.exception("a call of another worker failed", extra=about)
            wrong = ProtocolError("internal", "the server made a mistake", retryable=True)
            return Answered(call.call_id, error=wrong.payload())

    def _reply(self, worker: str, answer: Answered) -> None:
        """Where this is not heard the asker asks again."""
        self._spawn(self.tell(worker, b"A" + to_json(answer)))
