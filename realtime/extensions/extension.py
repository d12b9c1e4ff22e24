"""One object of the operator's: which methods it has, and how they are called."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from difflib import get_close_matches
from functools import partial
from types import UnionType
from typing import Any

from aiohttp import web

from ..core.about import ABOUT
from ..core.rows import SessionRow
from ..protocol import Event
from ..tools import bounded, in_thread
from .message import MessageRefused

METHODS = {
    "lifespan": ("app",),
    "instructions": ("user", "session"),
    "limits": ("user",),
    "before_message": ("message", "user", "session"),
    "on_event": ("event", "session"),
}
"""Each with its parameters, which are given in this order."""

LIKE = 0.8
"""How alike, from 0 to 1, a name must be to one of these to be taken for a mistake."""

HOOK_S = 10.0
EVENT_S = 30.0
START_S, STOP_S = 60.0, 5.0
"""How long a lifespan may take to begin, and to end."""

logger = logging.getLogger(__name__)


class BadExtension(ValueError):
    """It cannot be used. The message is the end of a sentence that begins with its name."""


class HookFailed(Exception):
    """A method did not do what it must. It has been logged."""

    def __init__(self) -> None:
        super().__init__("it failed")


class Extension:
    """An object, or a module. `name` tells it from all others, in every process."""

    def __init__(self, name: str, given: object) -> None:
        """Raises `BadExtension`."""
        self.name = name
        self._methods = methods_of(given)

    @property
    def methods(self) -> list[str]:
        return list(self._methods)

    def has(self, method: str) -> bool:
        return method in self._methods

    async def call(
        self,
        method: str,
        *given: Any,
        about: dict[str, str],
        returns: type | UnionType = object,
        seconds: float = HOOK_S,
    ) -> Any:
        """What a method returns, which must be of this type. Log lines say what it is `about`.

        Raises `HookFailed`, and `MessageRefused` where the method does.
        """
        name = f"{method} of {self.name}"
        work = await bounded(self._guarded(method, given, returns, about), seconds, name=name)
        if not work.done():
            logger.error("%s took longer than %g s", name, seconds, extra=about)
            raise HookFailed
        if work.cancelled():
            logger.error("%s cancelled itself", name, extra=about)
            raise HookFailed
        return work.result()

    async def _guarded(
        self, name: str, given: Any, returns: type | UnionType, about: dict[str, str]
    ) -> Any:
        ABOUT.set((ABOUT.get() or {}) | about)
        method = self._methods[name]
        try:
            if inspect.iscoroutinefunction(method):
                result = await method(*given)
            else:
                result = await in_thread(partial(method, *given))
                result = await result if inspect.isawaitable(result) else result
            if not isinstance(result, returns):
                raise TypeError(f"{name} returned a {type(result).__name__}")
            return result
        except (MessageRefused, asyncio.CancelledError):
            raise
        except BaseException:  # SystemExit, too, would go through the loop
            logger.exception("%s of %s failed", name, self.name)
            raise HookFailed from None

    async def told(self, event: Event, session: SessionRow) -> None:
        """Give it an event. Raises `HookFailed`."""
        about = {"session_id": session.session_id, "user_id": session.user_id}
        if event.run_id:
            about["run_id"] = event.run_id
        await self.call("on_event", event, session, about=about, seconds=EVENT_S)

    @asynccontextmanager
    async def living(self, app: web.Application) -> AsyncIterator[None]:
        """Its lifespan, around the server's. Raises `BadExtension` where it cannot begin; how it
        ends is logged, and stops nothing."""
        if not self.has("lifespan"):
            yield
            return
        try:
            async with asyncio.timeout(START_S):
                manager = _manager(self._methods["lifespan"](app))
                await manager.__aenter__()
        except TimeoutError:
            raise BadExtension(f"has a lifespan that did not begin within {START_S:g} s") from None
        except Exception as error:
            raise BadExtension(
                f"has a lifespan that failed: {type(error).__name__}: {error}"
            ) from error
        try:
            yield
        finally:
            try:
                async with asyncio.timeout(STOP_S):
                    await manager.__aexit__(None, None, None)
            except Exception:
                logger.exception("the lifespan of %s did not end as it should", self.name)


def methods_of(given: object) -> dict[str, Callable[..., Any]]:
    """The methods of an object, checked. Raises `BadExtension`."""
    for name in own_names(given):
        if close := get_close_matches(name, METHODS, n=1, cutoff=LIKE):
            raise BadExtension(
                f"has {name}, which nobody calls: did you mean {close[0]}? If it is something "
                f"else, call it _{name}"
            )
    found = {name: getattr(given, name) for name in METHODS if hasattr(given, name)}
    if not found:
        raise BadExtension(f"has none of {', '.join(METHODS)}")
    for name, method in found.items():
        shown = f"{name}({', '.join(METHODS[name])})"
        try:
            inspect.signature(method).bind(*METHODS[name])
        except TypeError:
            raise BadExtension(f"must define {shown}, with these parameters") from None
        except ValueError:  # it has no signature: a function written in C
            continue
    return found


def own_names(given: object) -> Iterator[str]:
    """The functions that are nobody else's and that none of `METHODS` names."""
    for name in dir(given):
        member = getattr(given, name, None)
        if name in METHODS or name.startswith("_") or not inspect.isroutine(member):
            continue
        if not inspect.ismodule(given) or member.__module__ == given.__name__:
            yield name


def _manager(made: Any) -> AbstractAsyncContextManager[Any]:
    """What a lifespan gave, as a context manager. Raises `TypeError`."""
    if inspect.isasyncgen(made):
        return asynccontextmanager(lambda: made)()
    if isinstance(made, AbstractAsyncContextManager):
        return made
    if inspect.iscoroutine(made):
        made.close()
    raise TypeError("it must be an async context manager: @asynccontextmanager, and one yield")
