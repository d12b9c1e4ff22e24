"""A call of another worker takes as long as it takes, while that worker is heard of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from realtime.cluster import bus
from realtime.cluster.bus import Bus
from realtime.cluster.calls import Call, Caller
from realtime.core.rows import StorageError
from realtime.log.hot.line import Ear, Line
from tests.support.cluster import PREFIX
from tests.support.engine import Engine

PATIENCE_S = 0.3


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "engine") as running:
        yield running


class Owner:
    """Carries out calls when it may."""

    def __init__(self) -> None:
        self.asked: list[Call] = []
        self.may = asyncio.Event()

    async def __call__(self, call: Call) -> dict[str, Any]:
        self.asked.append(call)
        await self.may.wait()
        return {"ok": True, "status": "consumed"}


@asynccontextmanager
async def buses(engine: Engine, owner: Owner) -> AsyncIterator[tuple[Bus, list[bytes]]]:
    """That of a worker which asks, and the answers of `owner`, a worker which it may ask."""
    tasks: set[asyncio.Task[Any]] = set()
    answers: list[bytes] = []

    def spawn(work: Any) -> None:
        tasks.add(asyncio.create_task(work))

    async with Line(engine.address, "test") as line:
        asks, answering = (Bus(line, PREFIX, name, owner, spawn) for name in ("asker", "owner"))

        def answered(frame: bytes) -> None:
            answers.append(frame)
            asks.answered(frame[1:])

        ears = [
            Ear(engine.address, "one", [f"{PREFIX}w:asker"], answered),
            Ear(engine.address, "two", [f"{PREFIX}w:owner"], lambda f: answering.called(f[1:])),
        ]
        for ear in ears:
            await ear.start()
        try:
            yield asks, answers
        finally:
            for ear in ears:
                await ear.close()
            await asyncio.gather(*tasks)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "PATIENCE_S", PATIENCE_S)
    monkeypatch.setattr(bus, "AGAIN_S", 0.05)


def heard_of(engine: Engine, seconds: float) -> None:
    till = round((time.time() + seconds) * 1000)
    engine.tell("ZADD", f"{PREFIX}workers", till, "owner")


async def test_what_is_decided_later_is_waited_for(engine: Engine) -> None:
    owner = Owner()
    heard_of(engine, 600)
    async with buses(engine, owner) as (asks, answers):
        ack = asyncio.create_task(asks.ask("owner", "session", "end", ("u",), Caller("u", None)))
        await asyncio.wait([ack], timeout=4 * PATIENCE_S)
        assert not ack.done()
        owner.may.set()
        assert await ack == {"ok": True, "status": "consumed"}
        assert len(owner.asked) == len(answers) == 1, "it was asked again and again"


async def test_a_worker_that_died_is_not(engine: Engine) -> None:
    owner = Owner()
    heard_of(engine, 0)
    async with buses(engine, owner) as (asks, _):
        with pytest.raises(StorageError, match="silent"):
            await asyncio.wait_for(
                asks.ask("owner", "session", "end", ("u",), Caller("u", None)), 10
            )
        owner.may.set()
