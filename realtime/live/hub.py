"""Who owns which session now: loads sessions, forgets idle ones, mends what a crash left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, Protocol

from ..core.bounds import Bounds
from ..core.fork import copied, files_in
from ..core.rows import Deleted, Head, HeldElsewhere, SessionRow, StorageError
from ..core.session import Session, new_id
from ..core.user import User
from ..log.encode import Append, encoded
from ..log.log import Ticket
from ..protocol import (
    Event,
    Options,
    Origin,
    Present,
    Progress,
    ProtocolError,
    ToolDeclaration,
)
from .actor import Actor
from .archive import Archive, stored
from .errors import held_elsewhere, not_yours, storage_unavailable
from .host import Host
from .options import check_options
from .others import Others, OtherSeat
from .presence import Presence
from .recovery import Recovery
from .seat import Seat
from .services import Services

DROP_S = 0.05
ELSEWHERE_MS = 1000

logger = logging.getLogger(__name__)


class Rooms(Protocol):
    """The live tail: the sockets that watch a session. Nothing here waits."""

    def broadcast(self, append: Append) -> None: ...
    def show(self, session_id: str, entries: Sequence[tuple[str, bytes]]) -> None:
        """As `broadcast`: events by name, as JSON."""
        ...

    def presence(self, present: Present) -> None: ...
    def listed(self, user_id: str, changed: Sequence[SessionRow], deleted: Sequence[str]) -> None:
        """Tell a user's devices what has changed in their list."""
        ...

    def leave(self, sid: str, session_id: str) -> None: ...
    def progress(self, report: Progress) -> None: ...
    def drop(self, session_id: str) -> None:
        """Close the sockets' transports, so that they come back and resume."""
        ...

    def drop_all(self) -> None: ...


class Hub:
    """The sessions in memory. One hub writes one journal."""

    def __init__(
        self,
        services: Services,
        rooms: Rooms,
        *,
        grace_s: float,
        abandon_s: float,
        bounds: Bounds,
        session_options: Sequence[str] = (),
        archive: Archive | None = None,
        others: Others | None = None,
        on_ended: Callable[[str], None] = lambda session_id: None,
        on_answered: Callable[[str], None] = lambda session_id: None,
    ) -> None:
        self.log = log = services.log
        self.draining = False
        self.count = services.count
        self.taken_over = 0
        self._on_ended = on_ended
        self._rooms = rooms
        self._archive = archive
        self._others = others
        self._bounds = bounds
        self._actors: dict[str, Actor] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loading: dict[str, asyncio.Task[bool]] = {}
        self._suspect: set[str] = set()  # of these a device may have seen what is not stored
        self._recovery = Recovery(log, self.hold, self.holds, grace_s=grace_s)
        self.host = Host(
            services=services,
            grace_s=grace_s,
            abandon_s=abandon_s,
            check_options=partial(
                check_options, models=services.chain.choices, names=frozenset(session_options)
            ),
            on_ended=on_ended,
            on_answered=on_answered,
            on_idle=self._forget,
            on_presence=rooms.presence,
            on_devices=others.watched if others else lambda session_id, users: None,
            on_listed=lambda row: self._listed(row.user_id, [row], []),
        )
        log.start(self)

    # ----------------------------------------------------------- sessions

    def create(
        self,
        user_id: str,
        options: Options | None = None,
        tools: Sequence[ToolDeclaration] | None = None,
    ) -> tuple[Seat, Ticket]:
        """A new session, and the ticket of its first event. Raises `bad_request`."""
        if options:
            self.host.check_options(options)
        return self._new(user_id, options, tools or ())

    def _new(
        self,
        user_id: str,
        options: Options | None,
        tools: Sequence[ToolDeclaration] = (),
        forked_from: Origin | None = None,
    ) -> tuple[Actor, Ticket]:
        actor = Actor(Session(new_id(), bounds=self._bounds), self.host)
        actor.driver.tools.declare(tools)
        self._actors[actor.session.session_id] = actor
        if self._archive:
            self._archive.began(actor.session.session_id)
        return actor, actor.begin(user_id, options, forked_from)

    async def fork(self, source: Seat, user_id: str, message_id: str) -> Seat:
        """Copy a conversation, up to a message and its answer, into a new session of this user.
        Raises `not_found`, `busy`, `rate_limited`, `StorageError`."""
        part = source.part_up_to(message_id)
        origin = Origin(source.session_id, message_id)
        await self.log.settled()  # a run that has ended may not be stored as such yet
        found = await self.log.keeper.session(source.session_id)
        if found is None:  # it was deleted meanwhile
            raise not_yours()
        events = found[1]
        copy, ticket = self._new(user_id, source.options, forked_from=origin)
        async with self.hold(copy.session_id):
            await ticket
            try:
                given = files_in(events, part)
                files = self.host.services.files
                copies = await files.copy(source.session_id, copy.session_id, user_id, given)
                await copy.copy(copied(events, part, copies), part.title)
            except (ProtocolError, StorageError):
                with suppress(StorageError):
                    await self.delete(copy)
                raise
        return copy

    async def delete(self, seat: Seat, sid: str | None = None) -> None:
        """Delete a session for good, wherever it is. Its devices come back and are told that it
        is gone; `sid`: the one that asked for it, which knows. Raises `StorageError`."""
        session_id, owner = seat.session_id, seat.owner
        if self._archive:
            await self._archive.delete([session_id])
        if sid:
            self._rooms.leave(sid, session_id)
        await self.lost(session_id, deleted=True)
        self._listed(owner, [], [session_id])

    def _listed(self, user_id: str, changed: Sequence[SessionRow], deleted: Sequence[str]) -> None:
        (self._others or self._rooms).listed(user_id, changed, deleted)

    def leave(self, session_id: str, sid: str) -> None:
        """A device watches the session no more."""
        if (seat := self._seat(session_id)) is not None:
            seat.leave(sid)

    def rename(self, session_id: str, sid: str, user: User) -> None:
        """The user of a device that watches the session has another name."""
        if (seat := self._seat(session_id)) is not None:
            seat.renamed(sid, user)

    def elsewhere(self, session_id: str, worker: str, users: list[User]) -> None:
        """These watch a session on another worker."""
        if (seat := self._seat(session_id)) is not None:
            seat.elsewhere(worker, users)

    def actors(self) -> list[Actor]:
        """The sessions that are written here."""
        return [*self._actors.values()]

    def actor(self, session_id: str) -> Actor | None:
        """A session that is in memory and written here."""
        return self._actors.get(session_id)

    def _seat(self, session_id: str) -> Actor | OtherSeat | None:
        if actor := self._actors.get(session_id):
            return actor
        return self._others.view(session_id) if self._others else None

    @asynccontextmanager
    async def open(
        self, session_id: str, user_id: str, *, share_key: str | None = None
    ) -> AsyncIterator[Seat]:
        """Hold the session for a user who owns it, or whose share token carries its `share_key`.

        Raises `not_found` alike for a session that is missing and one that is not theirs,
        and `storage_unavailable`.
        """
        while (seat := self._seat(session_id)) is None:
            if not await self._load(session_id):
                raise not_yours()
        with pinned(seat):
            if not seat.admits(user_id, share_key):
                raise not_yours()
            yield seat

    @asynccontextmanager
    async def hold(self, session_id: str) -> AsyncIterator[Actor | None]:
        """Keep a session in memory that is written here, whoever owns it. Raises
        `storage_unavailable`, and `busy` where another worker writes it."""
        while (actor := self._actors.get(session_id)) is None:
            if not await self._load(session_id):
                yield None
                return
            if session_id not in self._actors and self._seat(session_id) is not None:
                raise held_elsewhere(ELSEWHERE_MS)
        with pinned(actor):
            yield actor

    async def _load(self, session_id: str) -> bool:
        """Read a session into memory, once for all who ask. False where there is none."""
        task = self._loading.get(session_id) or self._let_in(session_id, self._read(session_id))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(partial(self._unasked, session_id))
            raise

    def _unasked(self, session_id: str, task: asyncio.Task[bool]) -> None:
        """Nobody waits for a session any more that was read."""
        if not task.cancelled():
            task.exception()
        self._settle(session_id)

    def _let_in(self, session_id: str, work: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
        """Until `work` is done nobody opens the session."""

        async def alone() -> bool:
            try:
                return await work
            finally:  # not by a callback, which comes later: nobody finds a task here that is done
                del self._loading[session_id]

        task = self._loading[session_id] = asyncio.create_task(alone())
        return task

    def _settle(self, session_id: str) -> None:
        if (seat := self._seat(session_id)) is not None:
            seat.settle()

    async def _read(self, session_id: str) -> bool:
        others = self._others
        try:
            found = await stored(self.log, self._archive, session_id)
            if found is None:
                return False
            elsewhere = await others.elsewhere(session_id) if others else {}
        except HeldElsewhere as error:
            if others and error.worker:
                return await others.show(session_id, error.worker)
            raise held_elsewhere(error.retry_after_ms) from None
        except StorageError:
            raise storage_unavailable() from None
        head, events = found
        epoch = head.row.epoch
        if session_id in self._suspect:
            self._suspect.discard(session_id)
            epoch += 1
        actor = Actor(
            self.folded(session_id, epoch, events),
            self.host,
            left_at=head.left_at,
            share_key=head.share_key,
            unread=head.row.unread,
            draining=self.draining,
            presence=self._presence(head, epoch, events, elsewhere),
        )
        self._actors[session_id] = actor
        if not self.log.broken:
            if not events:  # its last worker died after it had shipped the head, before any event
                actor.begin(head.row.user_id)
            actor.recover()
        return True

    def folded(self, session_id: str, epoch: int, events: Iterable[Event]) -> Session:
        """A session, from all its events."""
        session = Session(session_id, epoch=epoch, bounds=self._bounds)
        for event in events:
            session.apply(event)
        return session

    def _presence(
        self,
        head: Head,
        epoch: int,
        events: Sequence[Event],
        elsewhere: Mapping[str, Sequence[User]],
    ) -> Presence:
        """Who watches a session that is written here from now on. What was shown of it so far is
        brought up first."""
        session_id, others = head.row.session_id, self._others
        view = others.written_here(session_id, head.share_key) if others else None
        presence = Presence(view.presence if view else None)
        for worker, users in elsewhere.items():
            presence.told(worker, users)
        if view and view.session.epoch != epoch:
            self._rooms.drop(session_id)
        elif view and (missed := [one for one in events if one.seq > view.committed]):
            self._rooms.broadcast(encoded(session_id, epoch, missed))
        return presence

    def gone(self, session_id: str) -> None:
        """Another worker has deleted the session."""
        if actor := self._actors.pop(session_id, None):
            actor.close(deleted=True)
            self._rooms.drop(session_id)
            self._let_go(session_id)

    def _let_go(self, session_id: str) -> None:
        self._tasks.add(task := asyncio.create_task(self._release(session_id)))
        task.add_done_callback(self._tasks.discard)

    def _forget(self, session_id: str) -> None:
        self._actors.pop(session_id, None)
        self._let_go(session_id)
        if self._archive:
            self._archive.left(session_id)

    async def lost(self, session_id: str, *, deleted: bool) -> None:
        """Another worker writes this session now, or it was deleted: what is here is void.

        Its devices come back and take what counts. Raises `StorageError`.
        """
        await self._alone_with(session_id, self._void(session_id, deleted))

    async def _alone_with(self, session_id: str, work: Coroutine[Any, Any, bool]) -> None:
        """Do it to a session that nobody opens meanwhile, even where the caller is cancelled."""
        while task := self._loading.get(session_id):
            await asyncio.wait([task])
        await asyncio.shield(self._let_in(session_id, work))

    async def _void(self, session_id: str, deleted: bool) -> bool:
        if actor := self._actors.pop(session_id, None):
            actor.close(deleted=deleted)
        await self.log.settled()
        if deleted:
            await self.log.keeper.delete([session_id])
            await self.host.services.files.forget([session_id])
        else:
            await self.log.keeper.void(session_id)
            if self._archive:  # else it would be held here, and missing
                self._archive.left(session_id)
        if self._others:
            self._others.forget(session_id)
        self._rooms.drop(session_id)
        return True

    # ------------------------------------------------------- from the log

    def published(self, append: Append) -> None:
        self._rooms.broadcast(append)
        if actor := self._actors.get(append.session_id):
            actor.published(append)

    def discarded(self, session_ids: set[str], error: StorageError) -> None:
        """What these sessions hold in memory was not stored: back to what is in the log."""
        if self.log.early_tokens:
            self._suspect |= session_ids
        for session_id in session_ids:
            if actor := self._actors.pop(session_id, None):
                actor.close(deleted=isinstance(error, Deleted))
            # behind the acks that tell of it
            asyncio.get_running_loop().call_later(DROP_S, self._rooms.drop, session_id)

    async def repaired(self) -> None:
        try:
            await self._recovery.mend()
        except (StorageError, ProtocolError) as error:
            logger.warning("recovery is incomplete: %s", error)

    # --------------------------------------------------- start and the end

    async def start(self, *, suspect: bool = False) -> None:
        """Mend what the last process left. Raises `StorageError`.

        `suspect`: it may have shown tokens that it did not store; the sessions whose runs
        it left unfinished get a new epoch.
        """
        if suspect:
            heads = await self.log.keeper.open_sessions()
            self._suspect |= {head.row.session_id for head in heads if head.unfinished}
        await self._recovery.mend()

    async def _release(self, session_id: str) -> None:
        try:
            await self.log.keeper.release(session_id)
        except StorageError as error:
            logger.warning("not let go of: %s", error, extra={"session_id": session_id})

    async def hand_over(self, session_id: str) -> None:
        """Leave a session to the other workers before this one ends, unless something runs in it.
        Its devices come back, to one of them. Raises `StorageError`."""
        await self._alone_with(session_id, self._handed_over(session_id))

    async def _handed_over(self, session_id: str) -> bool:
        while (actor := self._actors.get(session_id)) and actor.committed < actor.session.head:
            await self.log.settled()
        if actor and not actor.session.active:
            del self._actors[session_id]
            actor.close()
            await self._release(session_id)
            if self._archive:
                self._archive.left(session_id)
            self._rooms.drop(session_id)
        return True

    async def take_up(self, session_id: str) -> None:
        """Write a session from now on that another worker left, if nobody else does."""
        if session_id not in self._actors and not self.draining:
            await self._recovery.tend(session_id, self._took_over)

    def _took_over(self, actor: Actor) -> None:
        self.taken_over += 1
        self._summarise(actor)

    def _summarise(self, actor: Actor) -> None:
        if actor.session.ended and actor.session.summary_status in ("pending", "failed"):
            self._on_ended(actor.session.session_id)

    async def finish(self, session_id: str) -> None:
        """See to a session that another worker left behind: its runs and its end."""
        await self._recovery.tend(session_id, self._finish)

    def _finish(self, actor: Actor) -> None:
        actor.expire()
        self._summarise(actor)

    async def drain(self, deadline_s: float) -> None:
        """Start nothing more, and let what runs finish within the deadline."""
        self.draining = True
        await asyncio.gather(*(actor.drain(deadline_s) for actor in list(self._actors.values())))
        try:
            await self.log.settled()
            await self.log.keeper.file()
        except StorageError:
            logger.exception("the last events could not be stored")

    async def close(self) -> None:
        """Forget everything in memory; the log has it."""
        self._recovery.close()
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


@contextmanager
def pinned(seat: Actor | OtherSeat) -> Iterator[None]:
    """Keep it in memory."""
    seat.pins += 1
    try:
        yield
    finally:
        seat.pins -= 1
        seat.settle()
