"""What is put in the server's way: viewers that do not read, a slow database, a long past."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from bench.measure import tree
from bench.websocket import Ours, Tally

SO_ATTACH_FILTER = 26
TAKE_NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0
SMALL = 4096
PONG_S = 1.0
IDLE_PRIORITY = 19

Key = dict[str, Any]


class Viewer(Ours):
    """Watches the session that `key` opens, or a new one, whose key is then known."""

    def __init__(self, tally: Tally, key: Key | None = None) -> None:
        super().__init__(tally)
        self.key = key or {}

    def auth(self) -> str:
        return json.dumps(self.key)

    def event(self, payload: bytes, now: int) -> None:
        if payload.startswith(b'42["session",'):
            said = json.loads(payload[2:])[1]
            if "error" in said:
                self.fail(f"the relay does not open a session: {said['error']}")
                self.close()
                return
            token = said.get("guest_token") or self.key.get("token")
            self.key = {"session_id": said["session_id"], "token": token}
        super().event(payload, now)


class Vanished(Viewer):
    """Its machine is gone: from here on it acknowledges no segment, and resets nothing."""

    def be_ready(self) -> None:
        program = struct.pack("HL", 1, ctypes.addressof(TAKE_NOTHING))
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        super().be_ready()


class Stalled(Viewer):
    """Its kernel is there, but the program reads nothing more."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        super().connection_made(transport)

    def be_ready(self) -> None:
        self._transport.pause_reading()
        super().be_ready()


class Ponging(Stalled):
    """Reads nothing either, but answers the pings that must have come."""

    def be_ready(self) -> None:
        super().be_ready()
        self._pong()

    def _pong(self) -> None:
        if not self._transport.is_closing():
            self.send("3")
            asyncio.get_running_loop().call_later(PONG_S, self._pong)


BAD = (Vanished, Stalled, Ponging)


# ------------------------------------------------------------------ the database


class Database:
    """A Supabase project whose answers come `delay_s` later."""

    def __init__(self, port: int, key: str) -> None:
        self.delay_s = 0.0
        self.key = key
        self._port = port

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(
            passed_on(reader, to_writer, lambda: 0.0),
            passed_on(to_reader, writer, lambda: self.delay_s),
        )


async def passed_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: Callable[[], float]
) -> None:
    """Everything, in order, and then the end, each so many seconds later."""
    loop = asyncio.get_running_loop()
    due, data = 0.0, b" "
    while data:
        try:
            data = await reader.read(1 << 16)
        except OSError:
            data = b""
        due = max(due, loop.time() + delay())
        loop.call_at(due, *((writer.write, data) if data else (writer.close,)))


@asynccontextmanager
async def database() -> AsyncIterator[tuple[Database, dict[str, str]]]:
    """Supabase Lite on embedded Postgres, and the settings that lead there. Whatever else the
    core has to do goes first."""
    from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite

    before = set(tree(os.getpid()))
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres())
        lite = stack.enter_context(SupabaseLite(postgres.database(), schema=SCHEMA.read_text()))
        for pid in set(tree(os.getpid())) - before:
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    os.setpriority(os.PRIO_PROCESS, int(task.name), IDLE_PRIORITY)
        found = Database(lite.port, lite.secret_key)
        async with await asyncio.start_server(found.connected, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            yield found, {"SUPABASE_URL": f"http://127.0.0.1:{port}", "SUPABASE_KEY": found.key}


# ----------------------------------------------------------------------- the past


class Nobody:
    """Listens to the log of a past that nobody watches."""

    def published(self, append: Any) -> None:
        pass

    def discarded(self, session_ids: set[str], error: Exception) -> None:
        raise error

    async def repaired(self) -> None:
        pass


async def write_past(path: Path, secret: str, sessions: int, runs: int, events: int) -> list[Key]:
    """A journal of sessions with so many runs of so many events each, made by the server's own
    session and log, folded as it folds; and what opens them."""
    from realtime.auth.guests import Guests
    from realtime.core.rows import Head
    from realtime.core.session import Session, new_id
    from realtime.live.clock import now_ms
    from realtime.log.journal import Journal
    from realtime.log.journal.keeper import JournalKeeper
    from realtime.log.log import Log
    from realtime.protocol import Send, Token

    log = Log(JournalKeeper(Journal(str(path))))
    log.start(Nobody())
    keys = []
    for _ in range(sessions):
        user, token = Guests(secret).new()
        session = Session(new_id())
        session.begin(user.user_id, now_ms())
        keys.append({"session_id": session.session_id, "token": token})
        for number in range(runs):
            asked = Send(text=f"question {number}", client_msg_id=new_id())
            _, run = session.send(asked, user.user_id, "bench", now_ms())
            for place in range(events - 3):
                said = Token(
                    message_id=run.answer.message_id,
                    offset=16 * place,
                    delta=f"{place:015} ",
                    kind="text",
                )
                session.record(run.run_id, [said], now_ms())
            session.finish(run.run_id, "completed", "stop", now_ms())
            ticket = log.append(
                session.session_id,
                session.epoch,
                session.take(),
                head=Head(session.row(), unfinished=False, left_at=now_ms()),
                fold=run.first_seq,
            )
        await ticket
    await log.close()
    return keys
