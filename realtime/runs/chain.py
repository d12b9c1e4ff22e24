"""Which model answers when one fails: retries, fallbacks, circuit breakers.

A run asks its `Attempts` which model to call, tells it what came of each call, and is
told what to do next: wait and call again, go over to another model, or give up.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec

from ..core.usage import Meter
from ..models import ErrorKind, Finished, Model, ModelError, ModelEvent, Request, TextDelta
from ..models.errors import failure
from ..protocol import Kind, Usage, clean_text
from .count import ModelCount
from .patience import Patience, timed
from .trace import NOBODY, Trace

RETRIES = 3  # of one step, whichever models it asks
BUDGET_S = 20.0  # from a step's first call to its last retry
PAUSE_S = 0.5  # before the first retry, doubled for each further one
FAILURES = 3  # calls in a row that found nobody, until the breaker opens
PROBE_S = 60.0

HISTORY_TOKENS = 100_000

_RETRIED = frozenset({"rate_limited", "unavailable", "timeout", "cut"})
FALLS_BACK = _RETRIED | {
    *("quota", "unauthorized", "not_found", "malformed", "bad_request", "context_overflow")
}
_FOR_THE_OPERATOR = frozenset({"quota", "unauthorized", "not_found"})

logger = logging.getLogger(__name__)


class Link(msgspec.Struct, frozen=True):
    """A model of the chain. Models of one `account` (a server and a key) have one circuit
    breaker; `history_tokens` is what of a conversation it is given, `takes` which kinds of files
    beside text. `patience`: None where the model itself times the bytes of its answer."""

    model: Model
    account: str
    history_tokens: int = HISTORY_TOKENS
    takes: Collection[Kind] = ()
    patience: Patience | None = None

    def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
        """As `Model.stream`, within the limits on its time."""
        if self.patience is None:
            return self.model.stream(request)
        return timed(self.model, request, self.patience)

    @property
    def given(self) -> Collection[Kind]:
        """What it takes, without what its server has refused since."""
        refused: Collection[Kind] = getattr(self.model, "refuses", ())
        return [kind for kind in self.takes if kind not in refused]


class Wait(msgspec.Struct, frozen=True):
    """Call the same model again after so long."""

    reason: ErrorKind
    seconds: float


class Switch(msgspec.Struct, frozen=True):
    """Another model has taken over."""

    reason: ErrorKind
    from_model: str
    model: str


class Breaker:
    """Whether an account is worth asking. It opens on what does not pass by itself, and then
    lets one call a minute through to see."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._probe_at = 0.0
        self._failures = 0
        self.reason: ErrorKind | None = None

    def admits(self) -> bool:
        """Whether to make a call. Of an open breaker this takes the probe: do make it then."""
        if self.reason is None:
            return True
        if self._clock() < self._probe_at:
            return False
        self._probe_at = self._clock() + PROBE_S
        return True

    def answered(self) -> None:
        self.reason, self._failures = None, 0

    def failed(self, kind: ErrorKind) -> None:
        if kind in ("unavailable", "timeout"):
            self._failures += 1
        if kind in ("quota", "unauthorized") or self._failures >= FAILURES:
            if self.reason is None:
                self._probe_at = self._clock() + PROBE_S
            self.reason = kind

    def state(self) -> dict[str, Any]:
        if self.reason is None:
            return {"state": "closed"}
        probe = max(0.0, self._probe_at - self._clock())
        return {"state": "open", "reason": self.reason, "next_probe_s": round(probe, 1)}


class Chain:
    """The models of a server. `choices` are those that a session may ask for, the first of
    them unless it does; `fallbacks` stand in for it, in their order. `aside` is asked for what is
    no answer, as titles are; without one, the default is."""

    def __init__(
        self,
        choices: Sequence[Link],
        fallbacks: Sequence[Link] = (),
        *,
        aside: Link | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.choices = {link.model.name: link for link in choices}
        self._default = choices[0]
        self._fallbacks = tuple(fallbacks)
        self._aside = aside or self._default
        self._clock = clock
        links = (*choices, *fallbacks, self._aside)
        self._breakers = {link.account: Breaker(clock) for link in links}
        self.count = ModelCount(link.model.name for link in links)

    @property
    def name(self) -> str:
        """What users see in `session.model`."""
        return self._default.model.name

    @property
    def label(self) -> str:
        """One line for the operator."""
        return ", else ".join(model.label for model in self.default)

    @property
    def default(self) -> list[Model]:
        """Who answers a session that chose nothing, in their order."""
        return [self._default.model, *(link.model for link in self._fallbacks)]

    @property
    def models(self) -> list[Model]:
        """Every model once, the default first."""
        return [link.model for link in self.links]

    def begin(self, choice: str | None = None, trace: Trace = NOBODY) -> Attempts:
        """A run begins. A choice that is no longer offered is the default again."""
        return self._begin(self.choices.get(choice or "", self._default), trace)

    def begin_aside(self) -> Attempts:
        """Something is asked for that is no answer."""
        return self._begin(self._aside, NOBODY)

    def _begin(self, first: Link, trace: Trace) -> Attempts:
        links = [first, *(link for link in self._fallbacks if link.model is not first.model)]
        breakers = [self._breakers[link.account] for link in links]
        return Attempts(links, breakers, self._clock, self.count, trace)

    def name_of(self, choice: str | None) -> str:
        return self.choices.get(choice or "", self._default).model.name

    def takes(self, choice: str | None) -> Collection[Kind]:
        """The kinds of files, beside text, that may be sent to a choice."""
        return self.choices.get(choice or "", self._default).given

    def state(self) -> list[dict[str, Any]]:
        """The circuit breaker of each model, for the operator, in the order of `models`. Servers
        may offer models of one name: each stands for itself."""
        return [
            {"model": link.model.name, **self._breakers[link.account].state()}
            for link in self.links
        ]

    @property
    def links(self) -> list[Link]:
        """Every model once, the default first."""
        links = (*self.choices.values(), *self._fallbacks, self._aside)
        return list({id(link.model): link for link in links}.values())

    async def close(self) -> None:
        for model in self.models:
            await model.close()


class Attempts:
    """One run's way along the chain. Who answers in a run goes on answering in it."""

    def __init__(
        self,
        links: Sequence[Link],
        breakers: Sequence[Breaker],
        clock: Callable[[], float],
        count: ModelCount,
        trace: Trace,
    ) -> None:
        self._links = links
        self._breakers = breakers
        self._clock = clock
        self._count = count
        self.trace = trace
        self._at = 0
        self._retries = 0
        self._until = 0.0

    @property
    def link(self) -> Link:
        return self._links[self._at]

    @property
    def model(self) -> Model:
        return self.link.model

    def step(self) -> Switch | None:
        """A step begins, perhaps with another model than the last one: who is known to fail
        is passed over, unless nobody else is there."""
        self._retries, self._until = 0, self._clock() + BUDGET_S
        for place in range(self._at, len(self._links)):
            if self._breakers[place].admits():
                return self._switch(place, self._breakers[self._at].reason or "unavailable")
        return None

    def hand_to(self, label: str) -> bool:
        """A step begins with the model of this label. False where there is none."""
        self._retries, self._until = 0, self._clock() + BUDGET_S
        found = [place for place, link in enumerate(self._links) if link.model.label == label]
        self._at = found[0] if found else self._at
        return bool(found)

    @property
    def ready(self) -> bool:
        """Whether one of the models is not known to fail."""
        return any(breaker.reason is None for breaker in self._breakers)

    @asynccontextmanager
    async def asked(
        self, request: Request
    ) -> AsyncIterator[AsyncGenerator[list[ModelEvent], None]]:
        """The model's answer, closed at the end. What came of the call is counted, and traced."""
        begun, result = self._clock(), "cancelled"
        try:
            with self.trace.model(self.model) as headers:
                if headers:
                    request = msgspec.structs.replace(request, headers=headers)
                async with aclosing(self.link.stream(request)) as stream:
                    yield stream
            result = "ok"
        except ModelError as error:
            result = error.kind
            raise
        finally:
            self._count.called(self.model.name, result, self._clock() - begun)

    def answered(self) -> None:
        """The first of an answer has come."""
        self._breakers[self._at].answered()
        self.trace.spoke()

    def failed(self, error: ModelError, *, spoke: bool) -> Wait | Switch | None:
        """What to do after a call that failed; `spoke`: some of its answer had come."""
        level = logging.ERROR if error.kind in _FOR_THE_OPERATOR else logging.WARNING
        logger.log(level, "%s: %s", self.model.label, error.report)
        if not spoke and error.kind in _RETRIED and (wait := self._wait(error)):
            return wait
        self._breakers[self._at].failed(error.kind)
        if error.kind in FALLS_BACK:
            for place in range(self._at + 1, len(self._links)):
                if self._breakers[place].admits():
                    return self._switch(place, error.kind)
        return None

    def _wait(self, error: ModelError) -> Wait | None:
        if self._retries >= RETRIES:
            return None
        seconds = error.retry_after_s
        if seconds is None:
            seconds = PAUSE_S * 2**self._retries * random.uniform(0.5, 1.5)  # noqa: S311
        if self._clock() + seconds > self._until:
            return None
        self._retries += 1
        return Wait(error.kind, seconds)

    def _switch(self, place: int, reason: ErrorKind) -> Switch | None:
        if place == self._at:
            return None
        before, self._at = self.model.name, place
        return Switch(reason, before, self.model.name)


async def ask(attempts: Attempts, request: Request, meter: Meter) -> str:
    """A whole answer at once, for those who show nothing of it. Raises `ModelError`; where the rate
    is limited at once, since nobody waits who could not ask again later."""
    attempts.step()
    while True:
        try:
            return await _whole(attempts, request, meter)
        except ModelError as error:
            match attempts.failed(error, spoke=False):
                case Wait(reason="rate_limited"):
                    raise
                case Wait(seconds=seconds):
                    await asyncio.sleep(seconds)
                case None:
                    raise


async def _whole(attempts: Attempts, request: Request, meter: Meter) -> str:
    pieces: list[str] = []
    finished = False
    meter.begin(attempts.model.name, request)
    try:
        async with attempts.asked(request) as stream:
            async for events in stream:
                attempts.answered()
                for event in events:
                    match event:
                        case TextDelta(text=text, kind=kind):
                            meter.written += len(text)
                            pieces += [text] if kind == "text" else []
                        case Usage():
                            meter.counted(event)
                        case Finished():
                            finished = True
            if not finished:
                raise failure("cut")
    finally:
        meter.end(billed=finished or meter.written > 0)
    text = clean_text("".join(pieces)).strip()
    if not text:
        raise failure("cut")
    return text
