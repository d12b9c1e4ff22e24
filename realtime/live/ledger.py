"""One session's way into the log, with what follows from the events that go there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..core.rows import Head, StorageError
from ..core.session import Session
from ..core.state import RunState
from ..limits.budget import payers
from ..log.encode import only_tokens
from ..log.log import Ticket, settle
from ..protocol import Done, Event, ToolCall
from .clock import now_ms
from .run_log import CallLog
from .services import Services
from .tail import Tail

T = TypeVar("T")


class Ledger:
    """The one place where a session changes.

    `left_at`, when the last device left, `share_key`, and `unread` are parts of the session's head
    that no event tells of: the next change stores them. An answer is unread that ends while its
    owner does not watch.
    """

    def __init__(
        self,
        session: Session,
        services: Services,
        *,
        watched: Callable[[], bool],
        left_at: int | None = None,
        share_key: str | None = None,
        unread: bool = False,
    ) -> None:
        self.left_at = max(left_at or 0, session.last_ts)
        self.share_key = share_key
        self.unread = unread
        self._watched = watched
        self.lost: StorageError | None = None  # why nothing is stored any more
        self.tail = Tail(services.log, session.session_id, session.head)
        self._session = session
        self._services = services
        self._aside = self._now_aside()  # as it is stored
        self._calls = CallLog(session.session_id, services.count)

    def change(self, rule: Callable[[int], T]) -> tuple[T, Ticket]:
        """Apply a rule of the session at this time (ms), and hand the events that it appends to
        the log. The ticket is done once devices may see them, and raises `StorageError` where
        they are not stored. A rule that appends nothing writes nothing; then the ticket waits
        for what there is. Raises what the rule raises."""
        result = rule(now_ms())
        return result, self._commit()

    def note(self) -> Ticket:
        """Store what no event tells of."""
        return self.change(lambda now: None)[1]

    def copy(self, rule: Callable[[int], None]) -> Ticket:
        """As `change`, for a rule that takes in what happened elsewhere, and was counted there."""
        rule(now_ms())
        return self._commit(follow=False)

    def _now_aside(self) -> tuple[int, str | None, bool]:
        return self.left_at, self.share_key, self.unread

    def _commit(self, *, follow: bool = True) -> Ticket:
        session = self._session
        if self.lost:
            return _lost(self.lost)
        events = session.take()
        if not events and self._now_aside() == self._aside:
            return self.committed(session.head)
        head = first = None
        if not events or not only_tokens(events):
            first = self._follow(events) if follow else None
            head = Head(session.row(), session.unfinished, self.left_at, self.share_key)
            head.row.unread = self.unread
            self._aside = self._now_aside()
        return self._services.log.append(
            session.session_id, session.epoch, events, head=head, fold=first
        )

    def committed(self, seq: int) -> Ticket:
        """Done once the event of this `seq` is committed; nothing is written for it."""
        return _lost(self.lost) if self.lost else self.tail.reached(seq)

    def _follow(self, events: Sequence[Event]) -> int | None:
        """See to what follows from events at once: whom the session keeps busy, what runs that
        have ended cost. Returns where the one that had begun did so, to be folded."""
        first = None
        for event in events:
            if not isinstance(event, ToolCall | Done):
                continue
            run = self._session.runs[event.run_id or ""]
            if isinstance(event, ToolCall):
                self._calls.told(event, run)
            else:
                self._services.budget.settle(self.payers(run), run.run_id, event.usage)
                if event.status != "consumed":  # else it was no run of its own
                    self._services.count.add(event)
                if run.started_at is not None:
                    self.unread = not self._watched()
                    first = run.first_seq if first is None else min(first, run.first_seq)
        self.occupy()
        return first

    def occupy(self) -> None:
        """Tell the budget who has something to run here."""
        runs = (self._session.active, *self._session.queue)
        users = {user_id for run in runs if run for user_id in self.payers(run)}
        self._services.budget.occupy(self._session.session_id, users)

    def payers(self, run: RunState) -> tuple[str, ...]:
        """Whom a run counts against."""
        return payers(run.asker, self._session.user_id)

    def close(self, why: StorageError) -> None:
        """The session is forgotten here: what is not committed is gone, and fails with `why`."""
        self.lost = why
        self.tail.close(why)
        self._services.budget.occupy(self._session.session_id, ())


def _lost(why: StorageError) -> Ticket:
    lost: Ticket = asyncio.get_running_loop().create_future()
    settle(lost, why)
    return lost
