"""When full garbage collections come."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from realtime.background import garbage


class Knot:
    """Garbage that only a collection finds; old enough that only a full one does."""

    def __init__(self) -> None:
        self.self = self


def dropped_knot() -> weakref.ref[Knot]:
    knot = Knot()
    for _ in range(garbage.WORTH_IT + 1):
        gc.collect(1)
    return weakref.ref(knot)


@asynccontextmanager
async def collecting(*, busy: bool, at_latest_s: float = 60) -> AsyncIterator[None]:
    task = asyncio.create_task(garbage.collect(lambda: busy, look_s=0.01, at_latest_s=at_latest_s))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        gc.unfreeze()


async def gone(ref: weakref.ref[Knot]) -> None:
    async with asyncio.timeout(10):
        while ref():
            await asyncio.sleep(0.01)


async def test_it_is_found_when_nothing_streams() -> None:
    async with collecting(busy=False):
        await gone(dropped_knot())


async def test_it_waits_while_something_streams_but_not_for_ever() -> None:
    async with collecting(busy=True):
        knot = dropped_knot()
        await asyncio.sleep(0.1)
        assert knot(), "what streams was held up"
    async with collecting(busy=True, at_latest_s=0.2):
        await gone(dropped_knot())


async def test_an_idle_server_does_not_look_again_and_again() -> None:
    async with collecting(busy=False):
        await gone(dropped_knot())
        full = gc.get_stats()[2]["collections"]
        await asyncio.sleep(0.1)
        assert gc.get_stats()[2]["collections"] == full


async def test_afterwards_python_decides_again() -> None:
    before = gc.get_threshold()
    async with collecting(busy=False):
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before
