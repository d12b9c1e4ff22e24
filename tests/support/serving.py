"""The application on a real port, in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from realtime.app import Server


@dataclass
class Running:
    """A server in this process."""

    url: str
    server: Server
    stop: Callable[[], Awaitable[None]]


Serve = Callable[..., Awaitable[Running]]
"""`await serve(model, grace_seconds=1)`: starts the application, as often as asked."""
