"""Clients that a test need not close."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from realtime.client import SessionClient

Connect = Callable[..., Any]
"""`await connect(url, **parts)`: a client that is live."""


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    async with AsyncExitStack() as open_clients:

        async def connected(url: str, **parts: Any) -> SessionClient:
            return await open_clients.enter_async_context(SessionClient(url, **parts))

        yield connected
