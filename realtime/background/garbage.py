"""When Python looks for garbage that reference counts do not find: a session that ended is some.

A full collection walks everything that is alive, and nothing else moves meanwhile: 60 ms with 400
sessions. Left to itself it comes every few seconds under load. Here it waits for a moment in
which nothing streams, and for a minute at most.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

YOUNG, MIDDLE, NEVER = 700, 10, 1_000_000
WORTH_IT = 10  # collections of the middle generation since the last full one


async def collect(
    busy: Callable[[], bool], *, look_s: float = 1.0, at_latest_s: float = 60.0
) -> None:
    """See to it, until cancelled; then it is Python's own affair again. For whoever owns the
    process. What is there at the start is taken to stay, and never walked through again."""
    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, MIDDLE, NEVER)
    last = time.monotonic()
    try:
        while True:
            await asyncio.sleep(look_s)
            late = time.monotonic() - last >= at_latest_s
            if gc.get_count()[2] >= WORTH_IT and (late or not busy()):
                gc.collect()
                last = time.monotonic()
    finally:
        gc.set_threshold(*before)
