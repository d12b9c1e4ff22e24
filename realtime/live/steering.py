"""Whether the messages that wait to join the answer under way did so, for their acks."""

from __future__ import annotations

import asyncio

from ..core.rows import StorageError
from ..core.state import RunState, State
from ..core.steering import Fate, fate, steers

Decided = asyncio.Future[Fate]


class Steering:
    """The messages of one session of which that is still open."""

    def __init__(self, session: State) -> None:
        self._session = session
        self._open: list[tuple[RunState, RunState, Decided]] = []

    def of(self, waiting: RunState) -> Decided | None:
        """Done once the log has the decision; None where this message can only wait. Raises
        `StorageError` where the session goes out of memory before."""
        run = self._session.active
        if run is None or not steers(waiting, run):
            return None
        decided: Decided = asyncio.get_running_loop().create_future()
        self._open.append((waiting, run, decided))
        return decided

    def look(self, committed: int) -> None:
        """The log has all events up to this one."""
        for waiting, run, decided in self._open:
            made = fate(waiting, run, self._session, committed)
            if made and not decided.done():
                decided.set_result(made)
        self._open = [item for item in self._open if not item[2].done()]

    def release(self) -> None:
        """Nothing more is decided here: what is open waits in the queue."""
        for *_, decided in self._open:
            if not decided.done():
                decided.set_result("queued")
        self._open.clear()

    def close(self, why: StorageError) -> None:
        """The session is forgotten: what is open fails with `why`."""
        for *_, decided in self._open:
            if not decided.done():
                decided.set_exception(why)
                decided.exception()  # nobody may wait for it
        self._open.clear()
