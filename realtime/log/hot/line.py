"""Connections to the engine that last: each is made anew whenever it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain, repeat
from typing import Any, Self, TypeVar

from ...core.rows import StorageError
from .address import Address
from .cable import Away, Cable, Command, EngineError

__all__ = ["Away", "Ear", "EngineError", "Line", "until_answered"]

CONNECT_S = 1.0
PAUSES_S = (0.25, 0.5, 1.0)
"""Before each try to connect again; the last one is repeated."""

T = TypeVar("T")
logger = logging.getLogger(__name__)

AGAIN_S = 0.1
"""From one try to be answered to the next."""

PROBE = b"?"
PROBE_S = 1.0
DEAF_S = 3.0


async def until_answered(work: Callable[[], Awaitable[T]]) -> T:
    """What the engine answers, as soon as it does. The work is done again until then."""
    while True:
        try:
            return await work()
        except Away:
            await asyncio.sleep(AGAIN_S)


class Line:
    """One connection to the engine, made anew whenever it is lost.

    `run_id` is that of the engine's process at the last connect, "" where it does not tell.
    `on_up` is called on each connect after the first.
    """

    def __init__(self, address: Address, name: str) -> None:
        """`name`: what the engine shows in CLIENT LIST, without spaces."""
        self.run_id = ""
        self.on_up: Callable[[], None] | None = None
        self._address = address
        self._name = name
        self._tls = address.context()
        self._cable: Cable | None = None
        self._away = Away(f"there is no connection to the engine at {address.label} yet")
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect. Raises `Away` when that fails or takes longer than 1 s; it may be tried
        again."""
        cable = await self._connect()
        self._keeping = asyncio.create_task(self._keep(cable))

    async def call(self, *args: bytes | str | int) -> Any:
        """The answer to one command; bytes in it stay bytes. Commands go out in the order of the
        calls and wait for no answer before theirs.

        Raises `Away` at once while there is no connection, and after 2 s without an answer; the
        connection is then dropped. Whether the command was carried out is not known then. Raises
        `EngineError` when the answer is an error.
        """
        if self._cable is None:
            raise Away(*self._away.args)
        return await self._cable.ask(*args)

    async def call_all(self, commands: Iterable[Command]) -> list[Any]:
        """As `call`, for several commands that go out together: the answers in their order."""
        if self._cable is None:
            raise Away(*self._away.args)
        return await asyncio.gather(*self._cable.ask_all([*commands]))

    async def time_ms(self) -> int:
        """The engine's clock. Raises what `call` raises."""
        seconds, micros = await self.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def close(self) -> None:
        """Who waits for an answer gets `Away`."""
        self._away = Away(f"the connection to the engine at {self._address.label} was closed")
        if self._keeping:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        if self._cable:
            self._cable.lose(self._away)
            self._cable = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _keep(self, cable: Cable) -> None:
        while True:
            self._away = await asyncio.shield(cable.lost)
            self._cable = None
            cable = await self._reconnect()
            if self.on_up:
                asyncio.get_running_loop().call_soon(self.on_up)

    async def _reconnect(self) -> Cable:
        for pause in chain(PAUSES_S, repeat(PAUSES_S[-1])):
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                return await self._connect()
            except Away as away:
                self._away = away
            except Exception as error:  # a line that gave up would be away for good
                logger.exception("the connection to the engine could not be made")
                self._away = Away(f"the engine at {self._address.label}: {error!r}")
        raise AssertionError("unreachable: the pauses never end")

    async def _connect(self) -> Cable:
        label = self._address.label
        cable = Cable(label, self._pushed)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: cable, self._address.host, self._address.port, ssl=self._tls
                )
                await self._greet(cable)
            self._cable = cable
        except TimeoutError as error:
            raise Away(f"the engine at {label} did not answer within 1 s") from error
        except (OSError, UnicodeError) as error:  # of TLS and of names too
            raise Away(f"the engine at {label} cannot be reached: {error}") from error
        except EngineError as error:
            raise Away(str(error)) from error
        finally:
            if self._cable is not cable:
                cable.lose(Away(f"the engine at {label} was given up"))
        return cable

    async def _greet(self, cable: Cable) -> None:
        """Sign in. An engine that turns us away says why, which is lost if we write once more:
        the first command goes alone. PING is refused while the engine loads its data."""
        at = self._address
        if at.password or at.user:
            await cable.ask("AUTH", *([at.user] if at.user else []), at.password)
        await cable.ask("PING")
        if at.db:
            await cable.ask("SELECT", at.db)
        asked = cable.ask_all((("CLIENT", "SETNAME", self._name), ("INFO", "server")))
        _, info = await asyncio.gather(*asked, return_exceptions=True)  # not everybody may
        told = info if isinstance(info, bytes) else b""
        self.run_id = told.partition(b"run_id:")[2].partition(b"\r\n")[0].decode()

    def _pushed(self, item: list[Any]) -> None:
        """What comes unasked."""


class Ear(Line):
    """Hears what others publish to some channels, the first of which is its own.

    It is deaf until proven otherwise: it publishes a probe (`?`, which `hear` does not get) to
    that one each second, and connects anew when it heard nothing for 3 s. What was published
    meanwhile is lost; `on_up` is called after each subscription but the first.
    """

    def __init__(
        self,
        address: Address,
        name: str,
        channels: Sequence[str],
        hear: Callable[[bytes], None],
        on_up: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(address, name)
        self.on_up = on_up
        self._channels = channels
        self._hear = hear
        self._heard = 0.0
        self._subscribed: asyncio.Future[None] | None = None
        self._probing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and subscribe. Raises `Away` as a line does."""
        await super().start()
        self._probing = asyncio.create_task(self._probe())

    async def close(self) -> None:
        if self._probing:
            self._probing.cancel()
        await super().close()

    async def _greet(self, cable: Cable) -> None:
        await super()._greet(cable)
        await cable.ask("HELLO", 3)  # so that one connection may subscribe and publish
        self._subscribed = asyncio.get_running_loop().create_future()
        cable.write(("SUBSCRIBE", *self._channels))
        await asyncio.wait((self._subscribed, cable.lost), return_when=asyncio.FIRST_COMPLETED)
        if cable.lost.done():
            raise cable.lost.result()

    def _pushed(self, item: list[Any]) -> None:
        self._heard = asyncio.get_running_loop().time()
        if item[0] == b"subscribe":
            if self._subscribed and not self._subscribed.done():
                self._subscribed.set_result(None)
        elif item[0] == b"message" and item[2] != PROBE:
            self._hear(item[2])

    async def _probe(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(PROBE_S)
            if (cable := self._cable) is None:
                continue
            if now() - self._heard > DEAF_S:
                cable.lose(Away(f"nothing came from the engine at {self._address.label} for 3 s"))
            else:
                with contextlib.suppress(StorageError):
                    await cable.ask("PUBLISH", self._channels[0], PROBE)
