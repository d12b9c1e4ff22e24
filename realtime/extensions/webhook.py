"""A webhook: events by POST to an address of the operator's, signed as Standard Webhooks says
(https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import uuid4

import aiohttp

from ..core.rows import SessionRow
from ..protocol import (
    EVENT_NAMES,
    EVENTS,
    DoneStatus,
    Event,
    RunStatus,
    ToolStatus,
    to_json,
)
from .follower import Pauses

TIMEOUT_S = 15.0
PREFIX = "whsec_"
LENGTHS = range(24, 65)
"""Bytes that a secret may have."""

STATUSES: dict[str, Collection[str]] = {
    "run": get_args(RunStatus),
    "tool_call": get_args(ToolStatus),
    "done": get_args(DoneStatus),
    "summary": ("done", "failed", "skipped"),
}


class NotDelivered(Exception):
    """The receiver did not take it. The message says nothing of where that is."""


class Webhook:
    """One address. `events`: names of events, perhaps with a status behind a dot."""

    pauses = Pauses(first_s=2, last_s=3600, give_up_s=86_400)

    def __init__(self, url: str, secret: str, events: Iterable[str]) -> None:
        """Raises `ValueError`, which begins with the name of the setting that is wrong."""
        self._url = url
        self._key = key_of(secret)
        self._wanted = {checked(name) for name in events}
        self._http: aiohttp.ClientSession | None = None

    def wants(self, event: Event) -> bool:
        name = EVENT_NAMES[type(event)]
        return not self._wanted.isdisjoint({name, f"{name}.{getattr(event, 'status', '')}"})

    async def give(self, event: Event, session: SessionRow) -> None:
        """Deliver an event. Its id is the same each time. Raises `NotDelivered`."""
        data = {"event": event, "session": session}
        message_id = f"msg_{event.session_id}_{event.seq}_{event.ts}"
        await self._post(message_id, EVENT_NAMES[type(event)], event.ts / 1000, data)

    async def check(self) -> None:
        """Deliver a message of the type `check`, which means nothing. Raises `NotDelivered`."""
        await self._post(f"msg_check_{uuid4()}", "check", time.time(), {})

    async def close(self) -> None:
        if self._http:
            await self._http.close()

    async def _post(self, message_id: str, kind: str, at: float, data: dict[str, Any]) -> None:
        when = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        body = to_json({"type": kind, "timestamp": when.replace("+00:00", "Z"), "data": data})
        headers = {"Content-Type": "application/json", **self._signed(message_id, body)}
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
            self._http = aiohttp.ClientSession(timeout=timeout, trust_env=True)
        try:
            async with self._http.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                if not 200 <= answer.status < 300:
                    raise NotDelivered(f"HTTP {answer.status}")
        except TimeoutError:
            raise NotDelivered(f"no answer within {TIMEOUT_S:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotDelivered(f"it cannot be reached ({type(error).__name__})") from None

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        """The headers that say which message this is, when it was sent, and that it is ours."""
        now = str(int(time.time()))
        signature = hmac.digest(
            self._key, b".".join([message_id.encode(), now.encode(), body]), hashlib.sha256
        )
        return {
            "webhook-id": message_id,
            "webhook-timestamp": now,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }


def key_of(secret: str) -> bytes:
    """The bytes of a secret. Raises `ValueError`."""
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in LENGTHS:
        raise ValueError(
            f"WEBHOOK_SECRET must be {PREFIX} and the Base64 of {LENGTHS[0]} to {LENGTHS[-1]} "
            f'bytes; make one: echo "{PREFIX}$(openssl rand -base64 32)"'
        )
    return key


def checked(name: str) -> str:
    """The name of an event, perhaps with a status. Raises `ValueError`."""
    event, dot, status = name.partition(".")
    if event not in EVENTS or event == "token":
        known = ", ".join(one for one in EVENTS if one != "token")
        raise ValueError(f"WEBHOOK_EVENTS has {name}; the events are {known}")
    if dot and status not in STATUSES.get(event, ()):
        known = ", ".join(STATUSES.get(event, ())) or "none"
        raise ValueError(f"WEBHOOK_EVENTS has {name}; a {event} has the status: {known}")
    return name
