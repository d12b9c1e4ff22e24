"""The workers that share one hot log: what this one hears of the others, and tells them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import msgspec

from ..core.rows import Head, SessionRow, StorageError
from ..core.session import Session
from ..core.user import User
from ..live.errors import storage_unavailable
from ..live.hub import Hub, Rooms
from ..live.tail import Tail
from ..log.encode import encoded
from ..log.hot.keeper import HotLog
from ..log.hot.line import Line
from ..log.hot.records import Told, decode_parts
from ..log.hot.scripts import Script
from ..protocol import Event, Progress, ProtocolError, to_json
from .alone import Alone
from .bus import PATIENCE_S, Bus, Moved
from .calls import ARGUMENTS, Call, Caller, arguments, do
from .mirror import Gap, Mirror

LOOK_S = 1.0
"""From one comparison of what is shown with the log to the next."""

TURNS = 10
"""After so many of them each session's devices have been counted."""

MISSED = 10
"""After so many of them a session that is not in the log is shown no more."""

AGAIN_S = 0.25
"""From one try to find out who writes a session to the next."""

_see = Script("see")
_pack = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.decode
_present = msgspec.msgpack.Decoder(tuple[str, str, list[User]]).decode
_users = msgspec.msgpack.Decoder(list[User]).decode

logger = logging.getLogger(__name__)


class Listed(msgspec.Struct):
    """What has changed in a user's list, as a worker tells all of them."""

    worker: str
    user_id: str
    changed: list[SessionRow]
    deleted: list[str]


def list_frame(
    worker: str, user_id: str, changed: Sequence[SessionRow], deleted: Sequence[str]
) -> bytes:
    """Tells all workers what has changed in a user's list."""
    return b"L" + to_json(Listed(worker, user_id, [*changed], [*deleted]))


_listed = msgspec.json.Decoder(Listed).decode
_progress = msgspec.json.Decoder(Progress).decode


class Workers:
    """`Others` by way of the engine. `hear` is given what comes on the channel of this worker.
    `on_unshared`: the shares of a session of this owner are void. `on_renamed`: a user, by id, has
    this name."""

    def __init__(
        self, keeper: HotLog, line: Line, prefix: str, rooms: Rooms, *, grace_s: float
    ) -> None:
        self.name = keeper.name
        self.pulse, self.count = keeper.pulse, keeper.count
        self._keeper = keeper
        self._line = line
        self._prefix = prefix
        self._rooms = rooms
        self._grace_ms = round(grace_s * 1000)
        self._mirrors: dict[str, Mirror] = {}
        self._reading: dict[str, list[Told]] = {}  # what was told while a session is read
        self._devices: dict[str, bytes] = {}  # still to be told
        self._bus = Bus(line, prefix, self.name, self._carry_out, self._spawn)
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_unshared: Callable[[str, str], None] = lambda session_id, owner: None
        self.on_renamed: Callable[[str, str | None], None] = lambda user_id, name: None
        self._hub: Hub
        self._alone: Alone

    def start(self, hub: Hub, heard: Callable[[], Awaitable[str]] | None = None) -> None:
        """`heard`: as for `Alone`."""
        self._hub = hub
        self._alone = Alone(self.pulse, heard, self._rooms.drop_all)
        self._spawn(self._alone.watch())
        self._spawn(self._look())
        self._spawn(self._take_up())

    @property
    def cut_off(self) -> bool:
        """Whether the engine is away for this worker, and not for others."""
        return self._alone.known

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Awaitable[Any]) -> None:
        async def done() -> None:
            try:
                await work
            except (StorageError, ProtocolError) as error:
                logger.debug("the other workers were not reached: %s", error)

        task = asyncio.create_task(done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------------------ views

    def view(self, session_id: str) -> Mirror | None:
        return self._mirrors.get(session_id)

    @property
    def mirrored(self) -> int:
        """How many sessions are shown here that others write."""
        return len(self._mirrors)

    async def show(self, session_id: str, worker: str) -> bool:
        if mirror := self._mirrors.get(session_id):
            if worker != mirror.worker:
                mirror.claimed(worker)
            return True
        seen = await self._seen(session_id, _shown([]))
        with self._gathering(session_id) as told:
            found = await self._read(session_id)
            if found is None:
                return False
            head, session, _ = found
            tail = Tail(self._hub.log, session_id, session.head)
            mirror = Mirror(head, session, self._hub.host, tail, worker, self._ask, self.forget)
            for other, users in seen.items():
                mirror.presence.told(other, users)
            self._mirrors[session_id] = mirror
        self._take_all(mirror, told)
        return True

    @contextlib.contextmanager
    def _gathering(self, session_id: str) -> Iterator[list[Told]]:
        told: list[Told] = []
        self._reading[session_id] = told
        try:
            yield told
        finally:
            del self._reading[session_id]

    async def _read(self, session_id: str) -> tuple[Head, Session, list[Event]] | None:
        found = await self._keeper.session(session_id)
        if found is None:
            return None
        head, events = found
        return head, self._hub.folded(session_id, head.row.epoch, events), events

    def _take_all(self, mirror: Mirror, parts: Iterable[Told]) -> None:
        for told in parts:
            if self._mirrors.get(told.session_id) is mirror:
                self._take(mirror, told)

    def _take(self, mirror: Mirror, told: Told) -> None:
        if told.epoch != mirror.epoch:
            return self._drop(told.session_id)
        key = mirror.share_key
        try:
            entries = mirror.take(told)
        except Gap:
            return self._spawn(self._heal(mirror))
        except StorageError as error:  # of another version, perhaps
            logger.warning("%s", error, extra={"session_id": told.session_id})
            return self._drop(told.session_id)
        if entries:
            self._rooms.show(told.session_id, entries)
        return self._compare_share(mirror, key, mirror.share_key)

    def _compare_share(self, mirror: Mirror, before: str | None, now: str | None) -> None:
        """Show those out who came by a share that is void now."""
        if before and before != now:
            self.on_unshared(mirror.session_id, mirror.owner)

    async def _heal(self, mirror: Mirror) -> None:
        """Show what was missed."""
        session_id = mirror.session_id
        if session_id in self._reading:
            return
        with self._gathering(session_id) as told:
            found = await self._read(session_id)
            if self._mirrors.get(session_id) is not mirror:
                return
            if found is None or found[1].epoch != mirror.epoch:
                return self._drop(session_id)
            head, session, events = found
            self._compare_share(mirror, mirror.share_key, head.share_key)
            missed = [event for event in events if event.seq > mirror.heard]
            mirror.read_again(head, session, missed)
            if missed:
                self.count.healed += 1
                self._rooms.broadcast(encoded(session_id, session.epoch, missed))
        self._take_all(mirror, told)

    def _drop(self, session_id: str) -> None:
        """What is shown of a session is void: its devices come back and take what counts."""
        self.forget(session_id)
        self._rooms.drop(session_id)

    def forget(self, session_id: str) -> None:
        if mirror := self._mirrors.pop(session_id, None):
            mirror.close(StorageError("the session is no longer shown here"))
            self._tell_devices(session_id, b"")

    def written_here(self, session_id: str, share_key: str | None) -> Mirror | None:
        mirror = self._mirrors.pop(session_id, None)
        if mirror:
            self._compare_share(mirror, mirror.share_key, share_key)
            mirror.close(StorageError("the session is written here now"))
        return mirror

    # --------------------------------------------------------------- presence

    async def elsewhere(self, session_id: str) -> dict[str, list[User]]:
        mirror = self._mirrors.get(session_id)
        devices = mirror.presence.devices if mirror else {}
        return await self._seen(session_id, _shown(devices.values()) if devices else b"")

    def watched(self, session_id: str, users: Sequence[User]) -> None:
        shown = session_id in self._mirrors
        self._tell_devices(session_id, _shown(users) if users or shown else b"")

    def _tell_devices(self, session_id: str, users: bytes) -> None:
        waits = session_id in self._devices
        self._devices[session_id] = users
        if not waits:
            self._spawn(self._told_devices(session_id))

    def returned(self) -> None:
        """The engine may have forgotten who watches what."""
        for session_id, mirror in self._mirrors.items():
            self._tell_devices(session_id, _shown(mirror.presence.devices.values()))
        for actor in self._hub.actors():
            if devices := actor.presence.devices:
                self._tell_devices(actor.session_id, _shown(devices.values()))

    async def _told_devices(self, session_id: str) -> None:
        while session_id in self._devices:
            users = self._devices[session_id]
            try:
                await self._seen(session_id, users)
            except StorageError:
                await asyncio.sleep(AGAIN_S)
                continue
            if self._devices[session_id] == users:
                del self._devices[session_id]

    async def _seen(self, session_id: str, users: bytes) -> dict[str, list[User]]:
        """Say who watches here; who does so elsewhere. Raises `StorageError`."""
        found = await _see(self._line, self._prefix, self.name, session_id, users, self._grace_ms)
        pairs = zip(found[1::2], found[2::2], strict=True)
        return {name.decode(): _users(kept) for name, kept in pairs if name.decode() != self.name}

    # ------------------------------------------------------------------ hears

    def hear(self, frame: bytes) -> None:
        """Take something that came on a channel of this worker."""
        try:
            self._heard(frame[:1], frame[1:])
        except Exception:  # of another version, perhaps; the others are heard on
            logger.exception("a frame of another worker cannot be used")

    def _heard(self, kind: bytes, body: bytes) -> None:
        match kind:
            case b"T":
                for told in decode_parts(body):
                    if (gathered := self._reading.get(told.session_id)) is not None:
                        gathered.append(told)
                    elif mirror := self._mirrors.get(told.session_id):
                        self._take(mirror, told)
            case b"C":
                self._bus.called(body)
            case b"A":
                self._bus.answered(body)
            case b"P":
                self._hub.elsewhere(*_present(body))
            case b"O" | b"F":
                self._owner_changed(*_decode(body))
            case b"X":
                session_id, _ = _decode(body)
                self._gone(session_id)
            case b"E":
                self._rooms.progress(_progress(body))
            case b"N":
                self.on_renamed(*_decode(body))
            case b"L":
                news = _listed(body)
                if news.worker != self.name:
                    self._rooms.listed(news.user_id, news.changed, news.deleted)

    def _owner_changed(self, session_id: str, worker: str = "", epoch: int = 0) -> None:
        mirror = self._mirrors.get(session_id)
        if mirror is None:
            return
        if not worker:
            self._spawn(self._hub.take_up(session_id))
        elif epoch != mirror.epoch:
            self._drop(session_id)
        else:
            mirror.claimed(worker)

    def _gone(self, session_id: str) -> None:
        """It was deleted, or is written beyond these workers."""
        self._hub.gone(session_id)
        if session_id in self._mirrors:
            self._drop(session_id)

    async def _take_up(self) -> None:
        """See to what others left."""
        while True:
            await self._hub.take_up(await self._keeper.left.get())

    async def _look(self) -> None:
        """Compare what is here with the log, since what is told may be lost."""
        before: dict[str, tuple[int, int]] = {}
        missing: dict[str, int] = {}
        for turn in count():
            await asyncio.sleep(LOOK_S)
            try:
                for session_id in await self._keeper.deleted_lately():
                    self._gone(session_id)
                found = await self._keeper.where(self._mirrors)
                await self._count_devices(turn % TURNS)
            except StorageError:
                continue
            for session_id, place in found.items():
                if (mirror := self._mirrors.get(session_id)) is None:
                    continue
                if place.worker != mirror.worker:
                    mirror.claimed(place.worker)
                heard, revision = before.get(session_id, (None, None))
                if not place.alive:
                    self._spawn(self._hub.take_up(session_id))
                elif place.epoch != mirror.epoch:
                    self._drop(session_id)
                elif (
                    heard == mirror.heard < place.head
                    or revision == mirror.revision != place.revision
                ):
                    self._spawn(self._heal(mirror))
            before = {one: (mirror.heard, mirror.revision) for one, mirror in self._mirrors.items()}
            missing = {one: missing.get(one, 0) + 1 for one in self._mirrors.keys() - found.keys()}
            for session_id, times in missing.items():
                if times > MISSED:
                    self._drop(session_id)

    async def _count_devices(self, turn: int) -> None:
        """Compare who watches with what the engine knows, of some sessions in each turn."""
        seats = [*self._mirrors.values(), *self._hub.actors()]
        some = [seat for seat in seats if hash(seat.session_id) % TURNS == turn]
        found = await self._keeper.devices([seat.session_id for seat in some])
        for seat in some:
            there = {w: _users(users) for w, users in found[seat.session_id].items()}
            there = {w: users for w, users in there.items() if users and w != self.name}
            for worker in {*there, *seat.presence.elsewhere}:
                if (users := there.get(worker, [])) != seat.presence.elsewhere.get(worker, []):
                    seat.elsewhere(worker, users)

    # ------------------------------------------------------------------- asks

    async def _ask(
        self, session_id: str, name: str, given: tuple[Any, ...], caller: Caller
    ) -> dict[str, Any]:
        """What a command comes to on the worker that writes the session, whoever that is now."""
        self.count.forwarded += 1
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            mirror = self._mirrors.get(session_id)
            try:
                if mirror:
                    return await self._bus.ask(mirror.worker, session_id, name, given, caller)
            except Moved:
                await asyncio.sleep(AGAIN_S)
            except StorageError:
                break
            await self._hub.take_up(session_id)
            if (actor := self._hub.actor(session_id)) and session_id not in self._mirrors:
                ack: dict[str, Any] = await do(actor, name, given, caller)
                return ack
        raise storage_unavailable()

    async def _carry_out(self, call: Call) -> dict[str, Any]:
        if call.caller.user:
            await self._introduce(call.caller.user)
        if self._hub.draining and self._hub.actor(call.session_id) is None:
            raise Moved
        try:
            async with self._hub.hold(call.session_id) as actor:
                if actor is None or call.name not in ARGUMENTS:
                    raise Moved
                carried_out = do(actor, call.name, arguments(call), call.caller)
        except ProtocolError as error:
            if error.code == "busy" and self._hub.actor(call.session_id) is None:
                raise Moved from None
            if error.code == "draining":
                with contextlib.suppress(StorageError):  # else it stays until this worker ends
                    await self._hub.hand_over(call.session_id)
                raise Moved from None
            raise
        ack: dict[str, Any] = await carried_out
        if call.name == "unshare":
            self.on_unshared(call.session_id, actor.owner)
        return ack

    async def _introduce(self, user: User) -> None:
        """Know of a user what the worker knows where they signed in. Raises `ProtocolError`."""
        people = self._hub.host.services.people
        if people.find(user.user_id).attributes != user.attributes:
            people.met(user)
        await people.look_up(user)

    # ------------------------------------------------------------------ tells

    def progress(self, report: Progress) -> None:
        self._rooms.progress(report)
        if actor := self._hub.actor(report.session_id):
            frame = b"E" + to_json(report)
            for worker in actor.presence.elsewhere:
                self._spawn(self._said(worker, frame))

    def listed(self, user_id: str, changed: Sequence[SessionRow], deleted: Sequence[str]) -> None:
        self._rooms.listed(user_id, changed, deleted)
        self._spawn(self._said("all", list_frame(self.name, user_id, changed, deleted)))

    def renamed(self, user_id: str, name: str | None) -> None:
        """This worker too hears of it by the channel once more: the last name that the channel
        told is everywhere the same."""
        self.on_renamed(user_id, name)
        self._spawn(self._said("all", b"N" + _pack((user_id, name))))

    async def _said(self, worker: str, frame: bytes) -> None:
        await self._bus.tell(worker, frame)


def _shown(users: Iterable[User]) -> bytes:
    """Of each what everybody may see."""
    return _pack([User(user.user_id, name=user.name) for user in users])
