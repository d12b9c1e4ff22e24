"""A device that follows one session by the client rule, and records all it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from realtime.protocol import EVENTS
from tests.support.fold import Entry

T = TypeVar("T")
WAIT_S = 20.0
ACK_S = 8.0


class Lost(Exception):
    """The connection went away before the answer came."""


class Wire(Protocol):
    """One connection. `received` is called for each event, in order."""

    lost: asyncio.Event

    async def open(
        self, url: str, auth: dict[str, Any], received: Callable[[str, Any], None]
    ) -> None: ...
    async def call(self, command: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The ack. Raises `Lost`."""
        ...

    async def close(self) -> None: ...


class Recorder:
    """Connects again whenever its wire is lost, from its cursor, until it is closed.

    `entries` is the log as this device has it; `seen` every durable event it was ever told,
    `pages` every `session` payload; `faults` where the server broke its word.
    """

    def __init__(self, name: str, url: str, wire: Callable[[], Wire], **auth: Any) -> None:
        self.name = name
        self.url = url
        self.auth = auth
        self.entries: list[Entry] = []
        self.seen: list[Entry] = []
        self.pages: list[dict[str, Any]] = []
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.faults: list[str] = []
        self.epoch: int | None = None
        self.last_seq = 0
        self.connects = 0
        self.live = False
        self._make_wire = wire
        self._wire: Wire | None = None
        self._held: list[Entry] = []
        self._older: int | None = None  # before this, what a snapshot left out
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._jobs: set[asyncio.Task[Any]] = set()
        self._asking = False

    # ---------------------------------------------------------- connection

    async def start(self) -> Recorder:
        self._task = asyncio.create_task(self._keep_alive(), name=f"device {self.name}")
        await self.until(lambda: self.live or None)
        return self

    async def _keep_alive(self) -> None:
        while True:
            wire = self._wire = self._make_wire()
            self.live, self._held, self._asking = False, [], False
            try:
                async with asyncio.timeout(10):
                    await wire.open(self.url, self.handshake(), self._received)
                self.connects += 1
                await wire.lost.wait()
            except (OSError, TimeoutError, Lost):
                pass
            finally:
                self.live = False
                await wire.close()
            await asyncio.sleep(0.03)

    async def close(self) -> None:
        """Leave for good, without a goodbye."""
        for task in [self._task, *self._jobs]:
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._task = None
        self.live = False

    async def back(self) -> None:
        """Come back after `close`, from the cursor."""
        await self.start()

    def handshake(self) -> dict[str, Any]:
        cursor = {} if self.epoch is None else {"epoch": self.epoch, "after_seq": self.last_seq}
        return {**self.auth, **cursor}

    # -------------------------------------------------------------- events

    def _received(self, name: str, payload: Any) -> None:
        if name == "session":
            if "error" in payload:
                self.notices.append((name, payload))
            else:
                self._do(self._catch_up(payload))
        elif name in EVENTS:
            entry = {"event": name, **payload}
            self.seen.append(entry)
            if self.live:
                self._take(entry)
            else:
                self._held.append(entry)
        else:
            self.notices.append((name, payload))
        self._tell()

    def _take(self, entry: Entry) -> None:
        if entry["seq"] <= self.last_seq:
            return
        if entry.get("first_seq", entry["seq"]) > self.last_seq + 1:
            self.faults.append(f"{self.name}: gap, {self.last_seq} then {entry['seq']}")
            self.live = False
            self._held.append(entry)
            self._do(self._ask_on())
            return
        self.entries.append(entry)
        self.last_seq = entry["seq"]

    async def _ask_on(self) -> None:
        await self._catch_up(
            await self.ask("join", {"epoch": self.epoch, "after_seq": self.last_seq})
        )

    async def _catch_up(self, page: dict[str, Any]) -> None:
        """Take a `session` payload and the pages behind it; live events wait meanwhile."""
        wire = self._wire
        while True:
            self._take_page(page)
            if page["seq"] >= page["head"]:
                break
            cursor = {"session_id": page["session_id"], "epoch": self.epoch}
            page = await self.ask("join", {**cursor, "after_seq": self.last_seq})
        await self._page_back(page["session_id"])
        if wire is self._wire:
            self.live = True
            held, self._held = self._held, []
            for place, entry in enumerate(held):
                if not self.live:  # a gap among them: the rest waits on
                    self._held += held[place:]
                    break
                self._take(entry)
        self._tell()

    def _take_page(self, page: dict[str, Any]) -> None:
        self.pages.append(page)
        self.seen += page["events"]
        self.auth["session_id"] = page["session_id"]
        if page.get("guest_token"):
            self.auth["token"] = page["guest_token"]
        if page["mode"] == "snapshot":
            self.entries = list(page["events"])
            self.epoch, self.last_seq = page["epoch"], page["seq"]
            self._older = page.get("next_before_seq")
            return
        if page["epoch"] != self.epoch:
            self.faults.append(f"{self.name}: {page['mode']} of epoch {page['epoch']}")
        for entry in page["events"]:
            first = entry.get("first_seq", entry["seq"])
            if entry["seq"] > self.last_seq and first > self.last_seq + 1:
                self.faults.append(f"{self.name}: replay with a gap, {self.last_seq} then {first}")
            if entry["seq"] > self.last_seq:
                self.entries.append(entry)
                self.last_seq = entry["seq"]
        if page["seq"] > self.last_seq:
            self.faults.append(f"{self.name}: page up to {page['seq']} ends at {self.last_seq}")
            self.last_seq = page["seq"]

    async def _page_back(self, session_id: str) -> None:
        """Read what a snapshot left out, also where the connection was lost meanwhile."""
        while before := self._older:
            ask = {"session_id": session_id, "before_seq": before, "limit": 200}
            page = await self.ask("history", ask)
            if self._older != before:  # another connection was quicker
                return
            self.seen += page["events"]
            self.entries = [*page["events"], *self.entries]
            self._older = page["next_before_seq"]

    def _do(self, work: Any) -> None:
        async def quietly() -> None:
            with contextlib.suppress(Lost):  # the next connection begins it anew
                await work

        task = asyncio.create_task(quietly())
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    # ------------------------------------------------------------ commands

    async def ask(self, command: str, payload: dict[str, Any]) -> dict[str, Any]:
        """One command with this payload and nothing else. Raises `Lost`."""
        if self._wire is None:
            raise Lost
        return await self._wire.call(command, payload)

    async def call(self, command: str, **payload: Any) -> dict[str, Any]:
        """One command, one ack. Raises `Lost`."""
        session_id = self.auth.get("session_id")
        return await self.ask(command, {"session_id": session_id, **payload})

    async def send(self, text: str, **more: Any) -> dict[str, Any]:
        """Send once. Raises `Lost`, and then it may or may not have been taken."""
        return await self.call("send", **{"text": text, "client_msg_id": str(uuid4()), **more})

    async def say(self, text: str, **more: Any) -> dict[str, Any]:
        """Send until it is acked: again, with the same id, after each loss and refusal."""
        more.setdefault("client_msg_id", str(uuid4()))
        async with asyncio.timeout(WAIT_S):
            while True:
                await self.until(lambda: self.live or None)
                with contextlib.suppress(Lost):
                    ack = await self.send(text, **more)
                    if ack["ok"] or not ack["error"]["retryable"]:
                        return ack
                await asyncio.sleep(0.05)

    # ------------------------------------------------------------- waiting

    def _tell(self) -> None:
        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        if not self._asking:
            self._asking = True

            async def once() -> None:
                self._asking = False
                await notify()

            self._do(once())

    async def until(self, find: Callable[[], T | None], seconds: float = WAIT_S) -> T:
        """What `find` gives once it is not None."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                while (found := find()) is None:
                    await self._changed.wait()
                return found
        except TimeoutError:
            raise AssertionError(
                f"{self.name} waited {seconds} s; live={self.live} last_seq={self.last_seq} "
                f"connects={self.connects} notices={self.notices[-2:]}"
            ) from None

    def events(self, name: str, **fields: Any) -> list[Entry]:
        return [
            entry
            for entry in self.entries
            if entry["event"] == name and all(entry.get(k) == v for k, v in fields.items())
        ]

    async def done(self, run_id: str, seconds: float = WAIT_S) -> Entry:
        await self.until(lambda: self.events("done", run_id=run_id) or None, seconds)
        return self.events("done", run_id=run_id)[0]

    async def reaches(self, seq: int, seconds: float = WAIT_S) -> None:
        """Until it is live and knows the log up to `seq`."""
        await self.until(lambda: (self.live and self.last_seq >= seq) or None, seconds)
