"""What may still be spent today, in tokens and in money, by each user and by the whole
server; and how many runs a user may have at once.

A run reserves what a call of the model may come to before it makes it; its `done` says what
all of them came to. So what was spent is a fold over the log's `done` events, and a restart
reads it back from there. A run counts in full against the user who asked and against the
session's owner, and once against the server. Days are UTC days.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import msgspec

from ..core.plan import Limits
from ..protocol import ProtocolError, Usage
from .buckets import DAY_S, rate_limited

ANSWER_TOKENS = 4096  # what an answer may come to, until it is known
SOON_S = 5.0
SERVER = ""  # no user's id
WHOSE_ANSWERS = ("of your answers", "of the session owner's answers")


class Amount(msgspec.Struct, frozen=True):
    """Tokens, and US dollars. In a limit 0 is any number."""

    tokens: int = 0
    dollars: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.dollars + other.dollars)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.tokens - other.tokens, self.dollars - other.dollars)

    def reaches(self, limit: Amount) -> bool:
        many = 0 < limit.tokens <= self.tokens
        return many or 0 < limit.dollars <= self.dollars


NOTHING = Amount()


def payers(asker: str, owner: str) -> tuple[str, ...]:
    """Whom a run counts against, the one who asked first; each once. `asker` may be unknown."""
    return tuple(dict.fromkeys(user_id for user_id in (asker, owner) if user_id))


class Budget:
    """What a day allows, and runs at once; 0: any number. `own`: what holds for one user instead.
    `clock`: seconds since the epoch. `users` are the payers of a run.

    As long as calls come to no more than was reserved, nobody spends more than the budget and
    one call.
    """

    def __init__(
        self,
        *,
        user: Amount = NOTHING,
        server: Amount = NOTHING,
        user_runs: int = 0,
        own: Callable[[str], Limits | None] = lambda user_id: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._user = user
        self._own = own
        self._server = server
        self._user_runs = user_runs
        self._clock = clock
        self._day = self._today()
        self._spent: dict[str, Amount] = {}
        self._reserved: dict[str, dict[str, Amount]] = {}  # by user, and SERVER; by run
        self._busy: dict[str, Collection[str]] = {}  # by session, who has something to run there

    def _today(self) -> int:
        return int(self._clock() // DAY_S)

    @property
    def day_begins(self) -> int:
        """ms since the Unix epoch."""
        return self._day * DAY_S * 1000

    def spend(self, users: Sequence[str], amount: Amount) -> None:
        """A run of today has come to this."""
        for who in (*users, SERVER):
            self._spent[who] = self._spent.get(who, NOTHING) + amount

    def occupy(self, session_id: str, users: Collection[str]) -> None:
        """From now on these users, and no others, have an answer that runs or waits here."""
        if users:
            self._busy[session_id] = users
        else:
            self._busy.pop(session_id, None)

    def check_runs(self, users: Sequence[str], session_id: str) -> None:
        """Raises `rate_limited` where one of these users has as many answers under way in other
        sessions as are allowed. In this one, one run goes at a time."""
        for who, which in zip(users, WHOSE_ANSWERS, strict=False):
            there = sum(who in busy for other, busy in self._busy.items() if other != session_id)
            most = self._most_runs(who)
            if most and there >= most:
                raise too_many_runs(there, which)

    def _most_runs(self, user_id: str) -> int:
        own = self._own(user_id)
        return self._user_runs if own is None or own.runs is None else own.runs

    def check_spending(
        self, users: Sequence[str], *, behind: str | None = None, used: Amount = NOTHING
    ) -> None:
        """Raises `rate_limited` unless something is left for one more call.

        What the run `behind` has reserved does not count: it is the caller's own, or the one
        that the caller waits for, and then this is checked again. `used`: what the caller's
        run has come to so far."""
        self._turn()
        for who, name, limit in self._limits(users):
            if limit == NOTHING:
                continue
            spent = self._spent.get(who, NOTHING) + used
            runs = self._reserved.get(who, {})
            held = sum((most for run_id, most in runs.items() if run_id != behind), NOTHING)
            if spent.reaches(limit):
                raise self.used_up(name)
            if (spent + held).reaches(limit):
                raise may_be_used_up(name)

    def _limits(self, users: Sequence[str]) -> list[tuple[str, str, Amount]]:
        """Whose budgets these users draw on, what to call them, and how much they are."""
        whose = ("your", "the session owner's")
        budgets = [(who, name, self._limit(who)) for who, name in zip(users, whose, strict=False)]
        return [*budgets, (SERVER, "this server's", self._server)]

    def _limit(self, user_id: str) -> Amount:
        """What this user may spend in a day."""
        own, usual = self._own(user_id), self._user
        if own is None:
            return usual
        return Amount(
            usual.tokens if own.tokens is None else own.tokens,
            usual.dollars if own.dollars is None else own.dollars,
        )

    def reserve(self, users: Sequence[str], run_id: str, most: Amount) -> None:
        """A run is about to call a model, and may come to `most` in all."""
        for who in (*users, SERVER):
            self._reserved.setdefault(who, {})[run_id] = most

    async def confirm(
        self, users: Sequence[str], session_id: str, run_id: str, most: Amount, *, used: Amount
    ) -> None:
        """The same as `reserve`, before each call of the model. Raises `rate_limited` before a
        further one that there is nothing left for."""
        if used.tokens:
            self.check_spending(users, behind=run_id, used=used)
        self.reserve(users, run_id, most)

    def release(self, users: Sequence[str], run_id: str) -> None:
        """A run is over, or is forgotten here."""
        for who in (*users, SERVER):
            if runs := self._reserved.get(who):
                runs.pop(run_id, None)
                if not runs:
                    del self._reserved[who]

    def settle(self, users: Sequence[str], run_id: str, usage: Usage) -> None:
        """A run has ended with its `done`. Where that cannot be stored, it is counted, and so
        is the one that takes its place."""
        self.release(users, run_id)
        self._turn()
        self.spend(users, amount_of(usage))

    def settle_apart(self, users: Sequence[str], run_id: str, usage: Usage) -> None:
        """As `settle`, where the log may have nothing of what it came to."""
        self.settle(users, run_id, usage)

    def used_up(self, name: str) -> ProtocolError:
        """Whose budget there is nothing left of until midnight."""
        midnight = (self._day + 1) * DAY_S - self._clock()
        return rate_limited(f"{name} budget for today is used up", midnight)

    def _turn(self) -> None:
        """At midnight everybody begins anew; what is reserved stays so."""
        if (today := self._today()) != self._day:
            self._day = today
            self._spent.clear()


def too_many_runs(there: int, which: str) -> ProtocolError:
    return rate_limited(f"{there} {which} are running; wait for one", SOON_S)


def may_be_used_up(name: str) -> ProtocolError:
    return rate_limited(f"running answers may use up {name} budget for today", SOON_S)


def amount_of(usage: Usage) -> Amount:
    return Amount(usage.input_tokens + usage.output_tokens, usage.cost or 0.0)
