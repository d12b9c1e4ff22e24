"""What may still be spent today: tokens by each user and by the whole server; and how many
runs a user may have at once.

A run reserves what a call of the model may come to before it makes it; its `done` says what
all of them came to. So what was spent is a fold over the log's `done` events, and a restart
reads it back from there. It is the session's owner who spends. Days are UTC days.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from realtime.limits import DAY_S, rate_limited
from realtime.protocol import Usage

ANSWER_TOKENS = 4096  # what an answer may come to, until it is known
SOON_S = 5.0
SERVER = ""  # no user's id


class Budget:
    """In tokens a day, and in runs at once; 0: any number. `clock`: seconds since the epoch.

    Where calls come to no more than was reserved, nobody spends more than the budget and one.
    """

    def __init__(
        self,
        *,
        user_tokens: int = 0,
        server_tokens: int = 0,
        user_runs: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._user_tokens = user_tokens
        self._server_tokens = server_tokens
        self._user_runs = user_runs
        self._clock = clock
        self._day = self._today()
        self._spent: Counter[str] = Counter()
        self._reserved: dict[str, dict[str, int]] = {}  # by user, by run
        self._held = 0  # the sum of all that is reserved

    def _today(self) -> int:
        return int(self._clock() // DAY_S)

    @property
    def day_begins(self) -> int:
        """ms since the Unix epoch."""
        return self._day * DAY_S * 1000

    def restore(self, spent: Mapping[str, int]) -> None:
        """Tokens by user, spent since the day began."""
        self._spent.update(spent)
        self._spent[SERVER] += sum(spent.values())

    def check_runs(self, user_id: str, *, behind: str | None = None) -> None:
        """Whether this user may have one more run, or one in the place of `behind`. Raises
        `rate_limited`."""
        others = self._reserved.get(user_id, {}).keys() - {behind}
        if self._user_runs and len(others) >= self._user_runs:
            raise rate_limited(f"{len(others)} answers of yours are running; wait for one", SOON_S)

    def check_tokens(self, user_id: str, *, behind: str | None = None, used: int = 0) -> None:
        """Whether there are tokens left for one more call; with `behind`, when this run has come
        to `used` in all, which is to be asked again then. Raises `rate_limited`."""
        self._turn()
        mine = self._reserved.get(user_id, {})
        freed = mine.get(behind, 0) if behind else 0
        for whose, limit, who, held in (
            ("your", self._user_tokens, user_id, sum(mine.values())),
            ("this server's", self._server_tokens, SERVER, self._held),
        ):
            if limit and self._spent[who] + used >= limit:
                midnight = (self._day + 1) * DAY_S - self._clock()
                raise rate_limited(f"{whose} budget for today is used up", midnight)
            if limit and self._spent[who] + held - freed + used >= limit:
                raise rate_limited(f"what runs now may use up {whose} budget for today", SOON_S)

    def reserve(self, user_id: str, run_id: str, input_tokens: int, *, used: int = 0) -> None:
        """A run is about to call the model, and has `used` so much before."""
        self.release(user_id, run_id)
        most = used + input_tokens + ANSWER_TOKENS
        self._reserved.setdefault(user_id, {})[run_id] = most
        self._held += most

    def release(self, user_id: str, run_id: str) -> None:
        """A run is over, or is forgotten here."""
        if runs := self._reserved.get(user_id):
            self._held -= runs.pop(run_id, 0)
            if not runs:
                del self._reserved[user_id]

    def settle(self, user_id: str, run_id: str, usage: Usage) -> None:
        """A run has ended with its `done`. Where that cannot be stored, it is counted, and so
        is the one that takes its place."""
        self.release(user_id, run_id)
        self._turn()
        self._spent.update({user_id: tokens(usage), SERVER: tokens(usage)})

    def _turn(self) -> None:
        """At midnight everybody begins anew; what is reserved stays so."""
        if (today := self._today()) != self._day:
            self._day = today
            self._spent.clear()


def tokens(usage: Usage) -> int:
    return usage.input_tokens + usage.output_tokens
