"""Code of others, kept from holding anything up: in threads that nobody waits for when the process
ends, and in tasks that nobody waits for longer than they may take."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_left: set[asyncio.Task[Any]] = set()  # told to stop, and not to be waited for


async def in_thread(work: Callable[[], T]) -> T:
    """Run it in a thread of its own."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = context.run(work)
        except StopIteration as error:  # which no future takes
            failure = RuntimeError(f"the tool raised {error!r}")
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has gone
            loop.call_soon_threadsafe(settle, result, failure)

    context = contextvars.copy_context()
    threading.Thread(target=run, name="tool", daemon=True).start()
    return await future


async def bounded(work: Coroutine[Any, Any, T], seconds: float, *, name: str) -> asyncio.Task[T]:
    """Carry it out in a task of its own, so that cancelling that hurts nobody else. Returns the
    task once it has ended, or after so long; then it was told to stop."""
    task = asyncio.create_task(work, name=name)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()  # it may take its time, or not listen: nobody waits for it
            _left.add(task)
            task.add_done_callback(_let_go)
    return task


def _let_go(task: asyncio.Task[Any]) -> None:
    _left.discard(task)
    if not task.cancelled():
        task.exception()  # has been seen
