"""What may still be spent today, in tokens and in money, by each user and by the whole
server; and how many runs a user may have at once.

A run reserves what a call of the model may come to before it makes it; its `done` says what
all of them came to. So what was spent is a fold over the log's `done` events, and a restart
reads it back from there. It is the session's owner who spends. Days are UTC days.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec

from realtime.limits import DAY_S, rate_limited
from realtime.protocol import Usage

ANSWER_TOKENS = 4096  # what an answer may come to, until it is known
SOON_S = 5.0
SERVER = ""  # no user's id


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


class Budget:
    """What a day allows, and runs at once; 0: any number. `clock`: seconds since the epoch.

    Where calls come to no more than was reserved, nobody spends more than the budget and one.
    """

    def __init__(
        self,
        *,
        user: Amount = NOTHING,
        server: Amount = NOTHING,
        user_runs: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._user = user
        self._server = server
        self._user_runs = user_runs
        self._clock = clock
        self._day = self._today()
        self._spent: dict[str, Amount] = {}
        self._reserved: dict[str, dict[str, Amount]] = {}  # by user, by run
        self._held = NOTHING  # the sum of all that is reserved

    def _today(self) -> int:
        return int(self._clock() // DAY_S)

    @property
    def day_begins(self) -> int:
        """ms since the Unix epoch."""
        return self._day * DAY_S * 1000

    def restore(self, spent: Mapping[str, Amount]) -> None:
        """What users have spent since the day began."""
        for user_id, amount in spent.items():
            self._spend(user_id, amount)

    def _spend(self, user_id: str, amount: Amount) -> None:
        for who in (user_id, SERVER):
            self._spent[who] = self._spent.get(who, NOTHING) + amount

    def check_runs(self, user_id: str, *, behind: str | None = None) -> None:
        """Whether this user may have one more run, or one in the place of `behind`. Raises
        `rate_limited`."""
        others = self._reserved.get(user_id, {}).keys() - {behind}
        if self._user_runs and len(others) >= self._user_runs:
            raise rate_limited(f"{len(others)} answers of yours are running; wait for one", SOON_S)

    def check_spending(
        self, user_id: str, *, behind: str | None = None, used: Amount = NOTHING
    ) -> None:
        """Whether there is something left for one more call; with `behind`, when this run has
        come to `used` in all, which is to be asked again then. Raises `rate_limited`."""
        self._turn()
        mine = self._reserved.get(user_id, {})
        freed = mine.get(behind, NOTHING) if behind else NOTHING
        for whose, limit, who, held in (
            ("your", self._user, user_id, sum(mine.values(), NOTHING)),
            ("this server's", self._server, SERVER, self._held),
        ):
            spent = self._spent.get(who, NOTHING) + used
            if spent.reaches(limit):
                midnight = (self._day + 1) * DAY_S - self._clock()
                raise rate_limited(f"{whose} budget for today is used up", midnight)
            if (spent + held - freed).reaches(limit):
                raise rate_limited(f"what runs now may use up {whose} budget for today", SOON_S)

    def reserve(self, user_id: str, run_id: str, most: Amount) -> None:
        """A run is about to call a model, and may come to `most` in all."""
        self.release(user_id, run_id)
        self._reserved.setdefault(user_id, {})[run_id] = most
        self._held += most

    def release(self, user_id: str, run_id: str) -> None:
        """A run is over, or is forgotten here."""
        if runs := self._reserved.get(user_id):
            self._held -= runs.pop(run_id, NOTHING)
            if not runs:
                del self._reserved[user_id]

    def settle(self, user_id: str, run_id: str, usage: Usage) -> None:
        """A run has ended with its `done`. Where that cannot be stored, it is counted, and so
        is the one that takes its place."""
        self.release(user_id, run_id)
        self._turn()
        self._spend(user_id, amount_of(usage))

    def _turn(self) -> None:
        """At midnight everybody begins anew; what is reserved stays so."""
        if (today := self._today()) != self._day:
            self._day = today
            self._spent.clear()


def amount_of(usage: Usage) -> Amount:
    return Amount(usage.input_tokens + usage.output_tokens, usage.cost or 0.0)
