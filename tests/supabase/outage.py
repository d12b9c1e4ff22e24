"""Supabase fails in every way for a while, under streaming load; nothing is lost or doubled.

`python -m tests.supabase.outage --minutes 10` plays it at length and prints figures; the
suite plays it in short.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import socketio.exceptions

from tests.supabase.gateway import Gateway, Mode
from tests.supabase.whole import journalled, stored
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import Process, free_port, process
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite
from tests.support.upstream import numbered, upstream

MODES: tuple[Mode, ...] = (
    *("slow", "cut", "dead", "hanging"),
    *(503, 401, 403, 404, 409, 413, 429, 500, 504),
)
TOKENS, RATE = 60, 120


class Figures(dict[str, Any]):
    """What was measured."""


class Chat:
    """One user who asks again and again, and gets every answer whole."""

    def __init__(self, url: str) -> None:
        self.device = Device(url)
        self.acks: list[float] = []
        self.answers = 0

    async def talk(self, over: asyncio.Event) -> None:
        while not over.is_set():
            if self.answers % 10 == 9:  # another conversation
                await self.device.drop()
                self.device = Device(self.device.url)
            name = str(uuid4())
            while True:  # until it is answered, whatever becomes of the server
                try:
                    await self._ask(name)
                    break
                except (socketio.exceptions.SocketIOError, TimeoutError):
                    await self.device.drop()
                    await asyncio.sleep(0.2)
        await self.device.drop()

    async def _ask(self, name: str) -> None:
        if not self.device.client.connected:
            await self.device.connect()
        began = time.monotonic()
        text = f"tokens {TOKENS} rate {RATE}"
        ack = await self.device.call("send", {"text": text, "client_msg_id": name})
        assert ack["ok"], ack
        self.acks.append(time.monotonic() - began)
        done = await self.device.done(ack["run_id"], seconds=4)
        # a kill in the midst of it ends it `interrupted`, its text kept
        assert done["status"] in ("completed", "interrupted"), done
        assert numbered(TOKENS).startswith(done["text"])
        self.answers += done["status"] == "completed"


async def play(
    minutes: float, chats: int, folder: Path, project: SupabaseLite, module: str = "realtime"
) -> Figures:
    """Raises AssertionError where anything is lost, doubled or out of order."""
    figures = Figures()
    each = minutes * 60 / len(MODES)
    gateway = Gateway(project.url)
    async with upstream() as source, gateway.running(), AsyncExitStack() as stack:
        environ = {
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": source.url,
            "SUPABASE_URL": gateway.url,
            "SUPABASE_KEY": project.secret_key,
            "AUTH_SECRET": "a-secret-for-tests-of-32-characters",
            "PORT": str(free_port()),
            "HOST": "127.0.0.1",
        }
        url = f"http://127.0.0.1:{environ['PORT']}"

        async def start() -> Process:
            running = await stack.enter_async_context(
                process(sys.executable, "-m", module, cwd=folder, **environ)
            )
            await running.says("Listening")
            return running

        running = await start()
        users = [Chat(url) for _ in range(chats)]
        over = asyncio.Event()
        talks = [asyncio.create_task(user.talk(over)) for user in users]
        await asyncio.sleep(2)
        calm = sorted(ack for user in users for ack in user.acks)
        for user in users:
            user.acks.clear()
        for number, mode in enumerate(MODES):
            gateway.mode = mode
            if number == len(MODES) // 2:
                await asyncio.sleep(each / 2)
                running.child.send_signal(signal.SIGKILL)
                await running.ended()
                gateway.mode = "dead"  # a start does not need Supabase, but a good key
                running = await start()
                gateway.mode = mode
                await asyncio.sleep(each / 2)
            else:
                await asyncio.sleep(each)
            assert running.child.returncode is None, running.output
        over.set()
        await asyncio.gather(*talks)
        backlog = waiting(folder)
        gateway.mode, before = "well", len(gateway.asked("ship_batch"))
        async with asyncio.timeout(120):
            while True:  # the pause that permanent trouble makes is not counted
                await asyncio.sleep(0.02)
                ready = (await fetch(f"{url}/readyz")).json()["supabase"]
                if ready["status"] == "ok" and not waiting(folder):
                    break
        drain = gateway.asked("ship_batch")[before:]
        took = time.monotonic() - drain[0]
        assert ready["quarantined"] == 0, ready
        figures["backlog"], figures["drained_in_s"] = backlog, round(took, 2)
        figures["drain_requests"] = len(drain)
        figures["events_per_s"] = round(backlog / took)
        figures["answers"] = sum(user.answers for user in users)
        figures["ack_ms_before"] = shares(calm)
        figures["ack_ms_during"] = shares(sorted(ack for user in users for ack in user.acks))
        running.child.send_signal(signal.SIGTERM)
        await running.ended()
        assert "Traceback" not in running.output, running.output
        told = running.output.count("Conversations continue")
        figures["told"] = told
    figures["rows"] = compare(folder, project)
    return figures


def shares(waited: list[float]) -> dict[str, int]:
    return {f"p{share}": round(1000 * waited[len(waited) * share // 100]) for share in (50, 95, 99)}


def waiting(folder: Path) -> int:
    """Rows that Supabase has not."""
    with closing(sqlite3.connect(folder / "realtime.db")) as database:
        (count,) = database.execute(
            "SELECT count(*) FROM events WHERE id > "
            "coalesce((SELECT value FROM meta WHERE name = 'shipped'), 0)"
        ).fetchone()
    return int(count)


def compare(folder: Path, project: SupabaseLite) -> int:
    """Row by row, in order: what is here is there, and nothing else of these sessions."""
    here = journalled(folder / "realtime.db")
    there = stored(project, sorted({row["session_id"] for row in here}))
    assert len(here) == len(there), (len(here), len(there))
    for one, other in zip(here, there, strict=True):
        assert one == other
    rising = project.psql(
        "select bool_and(rising) from (select seq > lag(seq, 1, 0::bigint) over "
        "(partition by session_id order by id) as rising from session_events "
        f"where first_seq = seq and session_id = {among(folder)}) e"
    )
    assert rising == "t", "it came in order"
    return len(here)


def among(folder: Path) -> str:
    """The sessions of the journal, as SQL."""
    with closing(sqlite3.connect(folder / "realtime.db")) as database:
        names = [row[0] for row in database.execute("SELECT session_id FROM sessions")]
    return f"any('{{{','.join(names)}}}')"


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--chats", type=int, default=10)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Postgres() as postgres,
        SupabaseLite(postgres.database(), schema=SCHEMA.read_text()) as project,
    ):
        figures = await play(arguments.minutes, arguments.chats, Path(folder), project)
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
