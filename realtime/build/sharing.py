"""The log that several workers share, for a server that has the address of an engine."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from ..cluster.limits import SharedBuckets, SharedBudget
from ..cluster.workers import Workers
from ..config import ConfigError, Settings
from ..core.rows import StorageError
from ..edge.transport import Transport
from ..limits.budget import Budget
from ..live.hub import Hub
from ..log.hot.address import Address
from ..log.hot.checking import troubles
from ..log.hot.keeper import HotLog
from ..log.hot.line import Away, Ear, EngineError, Line
from ..log.hot.quarantine import HotQuarantine
from ..log.hot.reading import Reading

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shared:
    """`keeper` is one of its workers once it is opened."""

    keeper: HotLog
    workers: Workers
    ear: Ear
    transport: Transport
    budget: Callable[..., Budget]
    buckets: Callable[[float, float, str], SharedBuckets]

    async def join(
        self, hub: Hub, undo: AsyncExitStack, heard: Callable[[], Awaitable[str]] | None
    ) -> None:
        """Hear the others, and take up what they leave. `heard`: as for `Workers.start`."""

        def on_away(away: bool) -> None:
            kind = "storage_away" if away else "storage_back"
            self.transport.tell_all("server", {"type": kind})

        def on_lost(lost: Mapping[str, StorageError]) -> None:
            for session_id, why in lost.items():
                hub.discarded({session_id}, why)

        self.keeper.watch(on_away=on_away, on_lost=on_lost, on_return=self.workers.returned)
        self.workers.start(hub, heard)
        undo.push_async_callback(self.workers.close)
        await self.ear.start()
        undo.push_async_callback(self.ear.close)


@asynccontextmanager
async def visit(settings: Settings) -> AsyncIterator[tuple[HotLog, HotQuarantine, Line]]:
    """The log, for who is none of the workers. Raises `StorageError`."""
    prefix = settings.engine_prefix
    line = Line(address_of(settings), "operator")
    await line.start()
    keeper = HotLog(line, line, prefix, "operator")
    try:
        yield keeper, HotQuarantine(line, prefix, Reading(line, prefix)), line
    finally:
        await keeper.close()


def address_of(settings: Settings) -> Address:
    return Address.parse(settings.engine_url, verify=settings.valkey_tls == "verify")


def stays(error: StorageError) -> bool:
    """Whether another try would fail in the same way: the engine refuses the password, a database
    or a command, its certificate is not trusted, or its name is none."""
    lasting = (EngineError, ssl.SSLCertVerificationError, UnicodeError)
    return isinstance(error, lasting) or isinstance(error.__cause__, lasting)


async def share_log(settings: Settings, transport: Transport) -> Shared:
    """Raises `Away` where that may pass, else `ConfigError`."""
    address = address_of(settings)
    prefix, worker = settings.engine_prefix, settings.worker or uuid4().hex[:8]
    line, side = Line(address, f"{worker}-log"), Line(address, f"{worker}-side")
    try:
        await line.start()
        await side.start()
        keeper = HotLog(line, side, prefix, worker, grace_s=settings.grace_seconds)
        await keeper.start()
        for problem in await troubles(side):
            logger.warning("VALKEY_URL: %s", problem)
    except StorageError as error:
        if stays(error):
            raise ConfigError([f"VALKEY_URL: {error}"]) from None
        until = "before the engine is back, or VALKEY_URL names another one"
        raise Away(f"The server cannot start {until}: {error}") from None
    workers = Workers(keeper, side, prefix, transport, grace_s=settings.grace_seconds)
    channels = [f"{prefix}w:{worker}", f"{prefix}w:all"]
    ear = Ear(address, f"{worker}-ear", channels, workers.hear)
    budget = partial(SharedBudget, side, prefix)
    buckets = partial(SharedBuckets, side, prefix)
    return Shared(keeper, workers, ear, transport, budget, buckets)
