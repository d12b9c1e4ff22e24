"""Who owns which session now: loads sessions, forgets idle ones, mends what a crash left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from ..core.rows import Head, HeldElsewhere, StorageError, Taken
from ..core.session import Bounds, Session, new_id
from ..log.encode import Append
from ..log.log import Ticket
from ..protocol import Event, Options, Progress, ProtocolError
from .actor import Actor, Shared, storage_unavailable
from .driver import Means

DROP_S = 0.05
Stored = tuple[Head, list[Event]]

logger = logging.getLogger(__name__)


class Rooms(Protocol):
    """The live tail: the sockets that watch a session. Nothing here waits."""

    def broadcast(self, append: Append) -> None: ...
    def presence(self, session_id: str, devices: int) -> None: ...
    def progress(self, report: Progress) -> None: ...
    def drop(self, session_id: str) -> None:
        """Close the sockets' transports, so that they come back and resume."""
        ...


class Archive(Protocol):
    """Where sessions are kept beyond the journal, and which of them this worker may write."""

    def holds(self, session_id: str) -> bool:
        """Whether nobody else may write it."""
        ...

    def began(self, session_id: str) -> None:
        """A session was begun here; nobody else can know it yet."""
        ...

    def left(self, session_id: str) -> None:
        """It is no longer in memory: another worker may have it, once all of it is shipped."""
        ...

    async def take(self, session_id: str, epoch: int | None) -> Taken | None:
        """Be the one that writes a session. `epoch`: of the journal's copy, if there is one.

        None: nothing is known there that the journal has not. Else what counts from now on.
        Raises `HeldElsewhere`; `StorageError` where nobody can be asked.
        """
        ...


class Hub:
    """The sessions in memory. One hub writes one journal."""

    def __init__(
        self,
        means: Means,
        rooms: Rooms,
        *,
        grace_s: float,
        abandon_s: float,
        bounds: Bounds,
        session_options: Sequence[str] = (),
        archive: Archive | None = None,
    ) -> None:
        self.log = log = means.log
        self.draining = False
        self.count = means.count
        self.on_ended: Callable[[str], None] = lambda session_id: None
        self._rooms = rooms
        self._archive = archive
        self._bounds = bounds
        self._session_options = frozenset(session_options)
        self._actors: dict[str, Actor] = {}
        self._loading: dict[str, asyncio.Task[bool]] = {}
        self._suspect: set[str] = set()  # of these a device may have seen what is not stored
        self._sweeper: asyncio.Task[None] | None = None
        self._shared = Shared(
            means=means,
            grace_s=grace_s,
            abandon_s=abandon_s,
            on_ended=lambda session_id: self.on_ended(session_id),
            on_idle=self._forget,
            on_presence=rooms.presence,
        )
        log.publish = self._published
        log.failed = self._lost
        log.repaired = self._repaired

    # ----------------------------------------------------------- sessions

    def create(self, user_id: str, options: Options | None = None) -> tuple[Actor, Ticket]:
        """A new session, and the ticket of its first event. Raises `bad_request`."""
        if options:
            self._check(options)
        actor = Actor(Session(new_id(), bounds=self._bounds), self._shared)
        self._actors[actor.session.session_id] = actor
        if self._archive:
            self._archive.began(actor.session.session_id)
        return actor, actor.begin(user_id, options)

    def _check(self, options: Options) -> None:
        """Whether a session may ask for this."""
        offered = self._shared.means.chain.choices
        if options.model is not None and options.model not in offered:
            raise ProtocolError(
                "bad_request", f"there is no such model here; there are: {', '.join(offered)}"
            )
        for name in set(options.__struct_fields__) - {"model", *self._session_options}:
            if getattr(options, name) is not None:
                raise ProtocolError(
                    "bad_request", f"a session may not set {name} here; see SESSION_OPTIONS"
                )

    def leave(self, session_id: str, sid: str) -> None:
        """A device watches the session no more."""
        if actor := self._actors.get(session_id):
            actor.leave(sid)

    @asynccontextmanager
    async def open(
        self, session_id: str, user_id: str, *, share_key: str | None = None
    ) -> AsyncIterator[Actor]:
        """Hold the session for a user who owns it, or whose share token carries its `share_key`.

        Raises `not_found` alike for a session that is missing and one that is not theirs,
        and `storage_unavailable`.
        """
        async with self.hold(session_id) as actor:
            if actor is None or not actor.admits(user_id, share_key):
                raise not_yours()
            yield actor

    @asynccontextmanager
    async def hold(self, session_id: str) -> AsyncIterator[Actor | None]:
        """Keep a session in memory, whoever owns it. Raises `storage_unavailable`."""
        while (actor := self._actors.get(session_id)) is None:
            if not await self._load(session_id):
                yield None
                return
        actor.pins += 1
        try:
            yield actor
        finally:
            actor.pins -= 1
            actor.settle()

    async def _load(self, session_id: str) -> bool:
        """Read a session into memory, once for all who ask. False where there is none."""
        task = self._loading.get(session_id) or self._let_in(session_id, self._read(session_id))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda _: self._settle(session_id))
            raise

    def _let_in(self, session_id: str, work: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
        """Until `work` is done nobody opens the session."""
        task = self._loading[session_id] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._loading.pop(session_id, None))
        return task

    def _settle(self, session_id: str) -> None:
        if actor := self._actors.get(session_id):
            actor.settle()

    async def _read(self, session_id: str) -> bool:
        try:
            found = await self.log.keeper.session(session_id)
            if self._archive and not self._archive.holds(session_id):
                found = await self._taken(self._archive, session_id, found)
        except HeldElsewhere as error:
            raise ProtocolError(
                "busy",
                "another server holds this session just now; try again",
                retryable=True,
                retry_after_ms=error.retry_after_ms,
            ) from None
        except StorageError:
            raise storage_unavailable() from None
        if found is None:
            return False
        head, events = found
        epoch = head.row.epoch
        if session_id in self._suspect:
            self._suspect.discard(session_id)
            epoch += 1
        session = Session(session_id, epoch=epoch, bounds=self._bounds)
        for event in events:
            session.apply(event)
        actor = Actor(
            session,
            self._shared,
            left_at=head.left_at,
            share_key=head.share_key,
            draining=self.draining,
        )
        self._actors[session_id] = actor
        if not self.log.broken:
            actor.recover()
        return True

    async def _taken(
        self, archive: Archive, session_id: str, found: Stored | None
    ) -> Stored | None:
        """What counts of a session that others may have written: the journal's copy, or theirs."""
        try:
            taken = await archive.take(session_id, found[0].row.epoch if found else None)
        except HeldElsewhere:
            raise
        except StorageError:
            if found is None:
                raise
            return found  # where nobody can be asked the chat goes on; shipping will tell
        if taken is None:
            return found
        if taken.head is None:
            await self.log.keeper.delete([session_id])
            return None
        if found:
            await self.log.keeper.void(session_id)
        await self.log.keeper.adopt(taken.head, taken.events)
        return await self.log.keeper.session(session_id)

    def _forget(self, session_id: str) -> None:
        self._actors.pop(session_id, None)
        if self._archive:
            self._archive.left(session_id)

    async def lost(self, session_id: str, *, deleted: bool) -> None:
        """Another worker writes this session now, or it was deleted: what is here is void.

        Its devices come back and take what counts. Raises `StorageError`.
        """
        while task := self._loading.get(session_id):
            await asyncio.wait([task])
        await asyncio.shield(self._let_in(session_id, self._void(session_id, deleted)))

    async def _void(self, session_id: str, deleted: bool) -> bool:
        if actor := self._actors.pop(session_id, None):
            actor.close()
        await self.log.settled()
        if deleted:
            await self.log.keeper.delete([session_id])
        else:
            await self.log.keeper.void(session_id)
        self._rooms.drop(session_id)
        return True

    # ------------------------------------------------------- from the log

    def _published(self, append: Append) -> None:
        self._rooms.broadcast(append)
        if actor := self._actors.get(append.session_id):
            actor.published(append)

    def _lost(self, session_ids: set[str], error: StorageError) -> None:
        """What these sessions hold in memory was not stored: back to what is in the log."""
        if self.log.early_tokens:
            self._suspect |= session_ids
        for session_id in session_ids:
            if actor := self._actors.pop(session_id, None):
                actor.close()
            # behind the acks that tell of it
            asyncio.get_running_loop().call_later(DROP_S, self._rooms.drop, session_id)

    async def _repaired(self) -> None:
        try:
            await self._mend()
        except (StorageError, ProtocolError) as error:
            logger.warning("not everything could be mended: %s", error)

    # --------------------------------------------------- start and the end

    async def start(self, *, suspect: bool = False) -> None:
        """Mend what the last process left. Raises `StorageError`.

        `suspect`: it may have shown tokens that it did not store; the sessions whose runs
        it left unfinished get a new epoch.
        """
        if suspect:
            heads = await self.log.keeper.open_sessions()
            self._suspect |= {head.row.session_id for head in heads if head.unfinished}
        await self._mend()

    async def _mend(self) -> None:
        """Runs that were cut off get their `done`, waiting ones go on, and sessions that
        nobody comes back to are ended after the grace period."""
        heads = await self.log.keeper.open_sessions()
        for head in heads:
            if head.unfinished:
                await self._tend(head.row.session_id, Actor.recover)
        if self._sweeper:
            self._sweeper.cancel()
        self._sweeper = asyncio.create_task(self._end_left(heads))

    async def _end_left(self, heads: list[Head]) -> None:
        await asyncio.sleep(self._shared.grace_s)
        for head in heads:
            if head.row.session_id not in self._actors:
                await self._tend(head.row.session_id, Actor.expire)

    async def finish(self, session_id: str) -> None:
        """See to a session that another worker left behind: its runs and its end."""
        await self._tend(session_id, self._finish)

    def _finish(self, actor: Actor) -> None:
        actor.expire()
        if actor.session.ended and actor.session.summary_status in ("pending", "failed"):
            self.on_ended(actor.session.session_id)

    async def _tend(self, session_id: str, act: Callable[[Actor], None]) -> None:
        """Act on a session; what is wrong with one must not keep us from the others."""
        try:
            async with self.hold(session_id) as actor:
                if actor:
                    act(actor)
        except ProtocolError as error:
            logger.warning("not mended yet: %s", error, extra={"session_id": session_id})
        except Exception:
            logger.exception("session cannot be mended", extra={"session_id": session_id})

    async def drain(self, deadline_s: float) -> None:
        """Start nothing more, and let what runs finish within the deadline."""
        self.draining = True
        await asyncio.gather(*(actor.drain(deadline_s) for actor in list(self._actors.values())))
        try:
            await self.log.settled()
        except StorageError:
            logger.exception("the last events could not be stored")

    async def close(self) -> None:
        """Forget everything in memory; the log has it."""
        if self._sweeper:
            self._sweeper.cancel()
        for actor in self._actors.values():
            actor.close()
        self._actors.clear()

    @property
    def ships(self) -> bool:
        """Whether there is a store beyond the journal."""
        return self._archive is not None

    def holds(self, session_id: str) -> bool:
        """Whether a session is in memory, or on its way there."""
        return session_id in self._actors or session_id in self._loading

    @property
    def sessions(self) -> int:
        return len(self._actors)

    @property
    def runs(self) -> int:
        return sum(actor.session.active is not None for actor in self._actors.values())


def not_yours() -> ProtocolError:
    return ProtocolError("not_found", "no such session of yours; leave out session_id to begin one")
