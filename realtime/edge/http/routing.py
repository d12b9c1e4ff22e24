"""Handlers of routes, by methods of parts that exist once the application runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def by(
    key: web.AppKey[T], method: Callable[[T, web.Request], Awaitable[web.StreamResponse]]
) -> Handler:
    """A handler by a method of the application's part of this key."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await method(request.app[key], request)

    return handler
