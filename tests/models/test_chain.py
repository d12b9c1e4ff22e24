"""Who is asked next, and when: the decisions, without a model."""

from __future__ import annotations

from typing import Any

import pytest

from realtime.models import ErrorKind, ModelError
from realtime.runs.chain import BUDGET_S, FAILURES, PROBE_S, Chain, Link, Switch, Wait
from tests.support.scripted import ScriptedModel, says

PASSING: tuple[ErrorKind, ...] = ("rate_limited", "unavailable", "timeout", "cut")
LASTING: tuple[ErrorKind, ...] = (
    *("quota", "unauthorized", "not_found", "malformed", "bad_request", "context_overflow"),
)
OURS: tuple[ErrorKind, ...] = ("content_filter",)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def named(name: str) -> ScriptedModel:
    model = ScriptedModel(says("hi"))
    model.name = model.label = name
    return model


def chain_of(*names: str) -> tuple[Chain, Clock]:
    """A chain of models with an account each."""
    clock = Clock()
    first, *others = [Link(named(name), name) for name in names]
    return Chain([first], others, clock=clock), clock


def error(kind: ErrorKind, **more: Any) -> ModelError:
    return ModelError(kind, kind, **more)


@pytest.mark.parametrize("kind", PASSING)
def test_passing_trouble_is_tried_again_three_times_within_the_budget(kind: ErrorKind) -> None:
    chain, clock = chain_of("a")
    attempts = chain.begin()
    attempts.step()
    begun, waits = clock.now, []
    while isinstance(move := attempts.failed(error(kind), spoke=False), Wait):
        waits.append(move.seconds)
        clock.now += move.seconds
    assert move is None
    assert len(waits) == 3
    assert all(low <= wait <= 3 * low for low, wait in zip((0.25, 0.5, 1), waits, strict=True))
    assert clock.now - begun < BUDGET_S
    attempts.step()
    assert isinstance(attempts.failed(error(kind), spoke=False), Wait), "each step has its own"


@pytest.mark.parametrize("kind", LASTING + OURS)
def test_what_does_not_pass_is_not_tried_again(kind: ErrorKind) -> None:
    attempts = chain_of("a")[0].begin()
    attempts.step()
    assert attempts.failed(error(kind), spoke=False) is None


@pytest.mark.parametrize("kind", PASSING)
def test_nothing_is_tried_again_once_the_model_spoke(kind: ErrorKind) -> None:
    attempts = chain_of("a")[0].begin()
    attempts.step()
    assert attempts.failed(error(kind), spoke=True) is None


def test_a_wait_that_the_provider_names_is_kept_or_not_begun() -> None:
    attempts = chain_of("a", "b")[0].begin()
    attempts.step()
    limited = error("rate_limited", retry_after_s=7.5)
    assert attempts.failed(limited, spoke=False) == Wait("rate_limited", 7.5)
    long = error("rate_limited", retry_after_s=600)
    assert attempts.failed(long, spoke=False) == Switch("rate_limited", "a", "b")


def test_time_that_calls_took_counts() -> None:
    chain, clock = chain_of("a")
    attempts = chain.begin()
    attempts.step()
    clock.now += BUDGET_S
    assert attempts.failed(error("timeout"), spoke=False) is None


@pytest.mark.parametrize("kind", LASTING)
@pytest.mark.parametrize("spoke", [True, False])
def test_each_falls_back_to_the_next(kind: ErrorKind, spoke: bool) -> None:
    attempts = chain_of("a", "b", "c")[0].begin()
    attempts.step()
    assert attempts.failed(error(kind), spoke=spoke) == Switch(kind, "a", "b")
    assert attempts.failed(error(kind), spoke=spoke) == Switch(kind, "b", "c")
    assert attempts.failed(error(kind), spoke=spoke) is None
    assert attempts.step() is None
    assert attempts.model.name == "c", "who answered last goes on in this run"


@pytest.mark.parametrize("kind", OURS)
def test_what_was_said_is_not_tried_elsewhere(kind: ErrorKind) -> None:
    attempts = chain_of("a", "b")[0].begin()
    attempts.step()
    assert attempts.failed(error(kind), spoke=False) is None


@pytest.mark.parametrize("kind", ["quota", "unauthorized"])
def test_an_open_breaker_sends_others_on_at_once_and_probes_once_a_minute(kind: ErrorKind) -> None:
    chain, clock = chain_of("a", "b")
    first = chain.begin()
    first.step()
    first.failed(error(kind), spoke=False)
    assert chain.state()[0] == {"model": "a", "state": "open", "reason": kind, "next_probe_s": 60.0}
    for _ in range(3):
        other = chain.begin()
        assert other.step() == Switch(kind, "a", "b")
        other.answered()
    clock.now += PROBE_S
    probe = chain.begin()
    assert probe.step() is None, "one is let through"
    assert chain.begin().step() == Switch(kind, "a", "b"), "and nobody beside it"
    assert probe.failed(error(kind), spoke=False) == Switch(kind, "a", "b")
    clock.now += PROBE_S
    probe = chain.begin()
    assert probe.step() is None
    probe.answered()
    assert chain.state()[0] == {"model": "a", "state": "closed"}
    assert chain.begin().step() is None


def test_it_opens_when_nobody_was_there_several_times_in_a_row() -> None:
    chain, _ = chain_of("a", "b")
    for answered in (True, False):
        for _ in range(FAILURES - answered):
            attempts = chain.begin()
            assert attempts.step() is None
            while isinstance(attempts.failed(error("unavailable"), spoke=False), Wait):
                pass
        if answered:
            attempts = chain.begin()
            attempts.step()
            attempts.answered()
    assert chain.begin().step() == Switch("unavailable", "a", "b")


def test_who_is_alone_is_asked_though_the_breaker_is_open() -> None:
    attempts = chain_of("a")[0].begin()
    attempts.step()
    attempts.failed(error("quota"), spoke=False)
    assert attempts.step() is None
    assert attempts.model.name == "a"


def test_models_of_one_account_fail_together() -> None:
    clock = Clock()
    links = [Link(named("a"), "x"), Link(named("b"), "x"), Link(named("c"), "y")]
    attempts = Chain(links[:1], links[1:], clock=clock).begin()
    attempts.step()
    assert attempts.failed(error("quota"), spoke=False) == Switch("quota", "a", "c")


def test_models_of_one_name_on_several_servers_are_told_apart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here, there = named("m"), named("m")
    here.label, there.label = "m at here", "m at there"
    chain = Chain([Link(here, "x")], [Link(there, "y"), Link(here, "x")])
    attempts = chain.begin()
    attempts.step()
    attempts.failed(error("quota"), spoke=False)
    attempts.failed(error("unauthorized"), spoke=False)
    assert [line["reason"] for line in chain.state()] == ["quota", "unauthorized"]
    assert [text.partition(":")[0] for text in caplog.messages] == ["m at here", "m at there"]


def test_a_session_may_choose_and_falls_back_from_its_choice() -> None:
    links = {name: Link(named(name), name) for name in "abc"}
    chain = Chain([links["a"], links["b"]], [links["b"], links["c"]])
    assert chain.begin().model.name == "a"
    assert chain.begin("no longer offered").model.name == "a"
    chosen = chain.begin("b")
    chosen.step()
    assert chosen.failed(error("quota"), spoke=False) == Switch("quota", "b", "c")
