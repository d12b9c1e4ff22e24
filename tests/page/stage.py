"""A server that plays what a test tells it, and the real page before it: for what a real one
says seldom, at once and in any order."""

from __future__ import annotations

import asyncio
from typing import Any

import socketio
from aiohttp import web

from realtime.edge.http import api, static
from realtime.edge.http.guard import guard

SESSION = "11111111-1111-4111-8111-111111111111"
OWNER = "22222222-2222-4222-8222-222222222222"


class Stage:
    """`await stage.plays("run", status="waiting", …)` on every page. `asked` are the commands;
    `answers[command]` is its next ack, `rows` the list of sessions; a `refusal` keeps everybody
    out. What came before `first` is on the page before the first."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.rows: list[dict[str, Any]] = []
        self.refusal: dict[str, Any] | None = None
        self.outputs: dict[str, str] = {}
        self.fetched: list[str] = []
        self.first = 1
        self.url = ""
        self.info: dict[str, Any] = {"model": {"name": "large", "label": "large"}, "store": "none"}
        self._changed = asyncio.Condition()
        self._sio = socketio.AsyncServer(async_mode="aiohttp", always_connect=True)
        self._sio.on("connect", self._connect)
        self._sio.on("*", self._command)
        self.app = web.Application(middlewares=[guard(0, lambda request: None)])
        self._sio.attach(self.app)
        self.app.add_routes(static.ROUTES)
        self.app.router.add_get("/api/info", self._info)
        self.app.router.add_get("/api/sessions", self._sessions)
        self.app.router.add_get("/api/sessions/{session_id}/outputs/{ref}", self._output)

    async def plays(self, event: str, **fields: Any) -> None:
        payload = {"session_id": SESSION, "run_id": "r", "message_id": "a", "ts": 1, **fields}
        if event in ("presence", "progress", "server"):
            await self._sio.emit(event, payload)
            return
        payload["seq"] = len(self.log) + 1
        self.log.append({"event": event, **payload})
        await self._sio.emit(event, payload)

    async def was_asked(self, command: str) -> dict[str, Any]:
        """The payload of the last such command, once there is one; it is forgotten."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: any(name == command for name, _ in self.asked))
        payload = next(given for name, given in reversed(self.asked) if name == command)
        self.asked = [one for one in self.asked if one[0] != command]
        return payload

    async def _connect(self, sid: str, environ: Any, auth: Any = None) -> None:
        refused = {"session_id": None, "guest_token": "a-token", "error": self.refusal}
        await self._sio.emit("session", refused if self.refusal else self._session(), to=sid)

    def _session(self) -> dict[str, Any]:
        head = len(self.log)
        return {
            "session_id": SESSION,
            "user_id": OWNER,
            "you": OWNER,
            "access": "owner",
            "guest_token": "a-token",
            "epoch": 1,
            "seq": head,
            "head": head,
            "mode": "snapshot",
            "recovered": False,
            "events": self.log[self.first - 1 :],
            "next_before_seq": self.first if self.first > 1 else None,
            "queue": [],
            "pending_approvals": [],
            "ended": False,
            "model": "large",
        }

    async def _command(self, name: str, sid: str, payload: Any) -> dict[str, Any]:
        async with self._changed:
            self.asked.append((name, payload))
            self._changed.notify_all()
        if name in ("join", "create"):
            return {"ok": True, **self._session()}
        if name == "history":
            return {"ok": True, "events": self.log[: self.first - 1]}
        return self.answers.pop(name, {"ok": True})

    async def _info(self, request: web.Request) -> web.Response:
        return api.as_json(self.info)

    async def _sessions(self, request: web.Request) -> web.Response:
        found = self.rows if "q" not in request.query else self.rows[:1]
        return api.as_json({"sessions": found, "next_before": None})

    async def _output(self, request: web.Request) -> web.Response:
        self.fetched.append(request.headers.get("Authorization", ""))
        return web.Response(
            text=self.outputs[request.match_info["ref"]], content_type="application/json"
        )
