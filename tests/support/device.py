"""A device for tests: python-socketio's own client, and a record of all it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

import socketio

from realtime.protocol import EVENTS

T = TypeVar("T")
WAIT_S = 15


class Device:
    """Follows one session by the client rule, and keeps its cursor over reconnects."""

    def __init__(self, url: str, *, token: str | None = None, **auth: Any) -> None:
        self.url = url
        self.auth = {"token": token, **auth}
        self.session: dict[str, Any] = {}
        self.record: list[tuple[str, dict[str, Any]]] = []
        self.log: dict[int, tuple[str, dict[str, Any]]] = {}
        self.ended: dict[str, dict[str, Any]] = {}
        self.last_seq = 0
        self._changed = asyncio.Condition()
        self.client = socketio.AsyncClient(reconnection=False)
        self.client.on("*", self._received)

    async def _received(self, name: str, payload: dict[str, Any]) -> None:
        self.record.append((name, payload))
        if name == "session" and "error" not in payload:
            self.adopt(payload)
        elif name in EVENTS:
            self._take(name, payload)
        async with self._changed:
            self._changed.notify_all()

    def adopt(self, payload: dict[str, Any]) -> None:
        self.session = payload
        self.auth |= {
            "token": payload.get("guest_token") or self.auth["token"],
            "session_id": payload["session_id"],
            "epoch": payload["epoch"],
        }
        if payload["mode"] == "snapshot":
            self.log.clear()
            self.ended.clear()
            self.last_seq = 0
        for entry in payload["events"]:
            self._take(entry["event"], entry, gap=payload["mode"] != "snapshot")
        self.last_seq = max(self.last_seq, payload["seq"])

    def _take(self, name: str, payload: dict[str, Any], gap: bool = True) -> None:
        seq = payload["seq"]
        if seq <= self.last_seq and gap:
            return
        first = payload.get("first_seq", seq)
        assert not gap or first <= self.last_seq + 1, f"gap: {self.last_seq} then {first}"
        self.log[seq] = (name, payload)
        if name == "done":
            self.ended[payload["run_id"]] = payload
        self.last_seq = max(self.last_seq, seq)
        self.auth["after_seq"] = self.last_seq

    @property
    def place(self) -> dict[str, Any]:
        """What a further device of the same user joins the session with."""
        return {key: self.auth[key] for key in ("token", "session_id")}

    async def connect(self, **options: Any) -> dict[str, Any]:
        """Connect, or connect again from the cursor; the `session` event."""
        before = len(self.record)
        auth = {key: value for key, value in self.auth.items() if value is not None}
        options.setdefault("transports", ["websocket"])
        options.setdefault("wait_timeout", 10)
        await self.client.connect(self.url, auth=auth, **options)
        _, payload = await self.wait("session", since=before)
        return payload

    async def drop(self) -> None:
        await self.client.disconnect()

    async def call(self, command: str, payload: Any = None) -> dict[str, Any]:
        return await self.client.call(
            command, payload if payload is not None else {}, timeout=WAIT_S
        )

    async def send(self, text: str, **more: Any) -> dict[str, Any]:
        return await self.call("send", {"text": text, "client_msg_id": str(uuid4()), **more})

    async def ask(self, text: str, **more: Any) -> dict[str, Any]:
        """Send, and wait for the run's `done`."""
        ack = await self.send(text, **more)
        assert ack["ok"], ack
        return await self.done(ack["run_id"])

    async def until(self, find: Callable[[], T | None], seconds: float = WAIT_S) -> T:
        """What `find` gives once it is not None; asked again at each event."""
        async with asyncio.timeout(seconds), self._changed:
            while (found := find()) is None:
                await self._changed.wait()
        return found

    async def wait(self, name: str, *, since: int = 0, **fields: Any) -> tuple[int, dict[str, Any]]:
        """The first such event in the record, now or later: (its place, its payload)."""

        def find() -> tuple[int, dict[str, Any]] | None:
            nonlocal since
            for place in range(since, len(self.record)):
                event, payload = self.record[place]
                if event == name and all(payload.get(k) == v for k, v in fields.items()):
                    return place, payload
            since = len(self.record)
            return None

        return await self.until(find)

    async def durable(self, name: str, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
        """The durable events of one kind, once there are `count`; live or replayed."""
        return await self.until(
            lambda: found if len(found := self.events(name, **fields)) >= count else None
        )

    async def done(self, run_id: str, seconds: float = WAIT_S) -> dict[str, Any]:
        """The run's `done`, live or replayed."""
        return await self.until(lambda: self.ended.get(run_id), seconds)

    def events(self, name: str, **fields: Any) -> list[dict[str, Any]]:
        """The durable events of one kind, in order of `seq`."""
        return [
            payload
            for _, (event, payload) in sorted(self.log.items())
            if event == name and all(payload.get(k) == v for k, v in fields.items())
        ]

    def text(self, run_id: str, kind: str = "text") -> str:
        """The answer put together from its deltas, by offset."""
        text = b""
        for token in self.events("token", run_id=run_id, kind=kind):
            known, delta = text[2 * token["offset"] :], token["delta"].encode("utf-16-le")
            assert len(text) >= 2 * token["offset"], "the deltas do not join"
            assert delta.startswith(known), "the deltas do not fit"
            text += delta[len(known) :]
        return text.decode("utf-16-le")
