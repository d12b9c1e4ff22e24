"""Two servers with journals of their own on one project, killed and replaced, and clients that
move between them: what is in Supabase in the end is one history a session."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import socketio.exceptions

from tests.supabase.worker import LEASE_S
from tests.support.device import Device
from tests.support.process import Process, free_port, process
from tests.support.supabase_lite import SupabaseLite
from tests.support.upstream import upstream

SESSIONS = 4


class Worker:
    """A server on one port. Its disk may be wiped while it is down."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.quarantined: list[str] = []
        self._environ = {**environ, "PORT": str(self.port), "HOST": "127.0.0.1"}
        self._stack = AsyncExitStack()
        self.process: Process

    async def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        command = (sys.executable, "-m", "tests.supabase.worker")
        self.process = await self._stack.enter_async_context(
            process(*command, cwd=self.folder, **self._environ)
        )
        await self.process.says("Listening")

    async def end(self, how: signal.Signals) -> None:
        self.process.child.send_signal(how)
        await self.process.ended()
        assert "Traceback" not in self.process.output, self.process.output
        await self._stack.aclose()

    async def replaced(self) -> None:
        """A deploy: another disk. All of it was shipped, and its sessions are free."""
        await self.end(signal.SIGTERM)
        self.quarantined += self.kept()
        shutil.rmtree(self.folder)
        await self.start()

    async def restarted(self) -> None:
        """It comes back while all it holds is still its own."""
        await self.end(signal.SIGKILL)
        await self.start()

    async def crashed(self) -> None:
        """It comes back with what it had not shipped, when others have written on."""
        await self.end(signal.SIGKILL)
        await asyncio.sleep(2 * LEASE_S)
        await self.start()

    async def frozen(self) -> None:
        """It does not even notice that it was away."""
        self.process.child.send_signal(signal.SIGSTOP)
        await asyncio.sleep(2 * LEASE_S)
        self.process.child.send_signal(signal.SIGCONT)

    def kept(self) -> list[str]:
        """The client_msg_ids of the messages in quarantine."""
        with contextlib.closing(sqlite3.connect(self.folder / "realtime.db")) as database:
            found = database.execute(
                "SELECT payload FROM quarantine WHERE event_type = 'user_message'"
            ).fetchall()
        return [json.loads(payload)["client_msg_id"] for (payload,) in found]


class Talker:
    """A user with one session, who comes back to whichever server answers, and sends each
    message until it is acked."""

    def __init__(self, workers: list[Worker], seed: int) -> None:
        self.random = random.Random(seed)
        self.workers = workers
        self.acked: list[str] = []
        self.auth: dict[str, Any] = {}
        self.errors: Counter[str] = Counter()
        self.busy_with: Any = None  # as the last `session` said

    async def visit(self, device: Device) -> dict[str, Any] | None:
        """Connected and let in, or None."""
        device.auth |= self.auth
        with contextlib.suppress(socketio.exceptions.ConnectionError, TimeoutError):
            session = await device.connect(wait_timeout=3)
            if "error" not in session:
                self.auth = device.place
                return session
            error = session["error"]
            self.errors[error["code"]] += 1
            # The session may not have reached Supabase yet when its first server dies.
            assert error["retryable"] or error["code"] == "not_found", error
        return None

    async def say(self) -> None:
        """One message, acked once and for all."""
        name = str(uuid4())
        while name not in self.acked:
            device = Device(self.random.choice(self.workers).url)
            try:
                if await self.visit(device):
                    payload = {"text": f"tokens {self.random.randint(3, 60)} rate 200"}
                    ack = await asyncio.wait_for(
                        device.client.call("send", {**payload, "client_msg_id": name}, timeout=4), 5
                    )
                    if ack["ok"] or ack["error"]["code"] == "conflict":
                        self.acked.append(name)
                        if self.random.random() < 0.5:
                            await device.done(ack["run_id"], seconds=4)
            except (socketio.exceptions.SocketIOError, TimeoutError, KeyError):
                pass
            finally:
                await device.drop()
            await asyncio.sleep(0.1)

    async def talk(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self.say()

    async def rest(self) -> None:
        """Until nothing of the session runs or waits."""
        while True:
            device = Device(self.random.choice(self.workers).url)
            try:
                session = await self.visit(device)
                if session:
                    self.busy_with = session.get("active_run") or session.get("queue")
                    if not self.busy_with:
                        return
            finally:
                await device.drop()
            await asyncio.sleep(0.2)


async def test_one_history_whatever_dies(project: SupabaseLite, tmp_path: Path) -> None:
    chance = random.Random(7)
    async with upstream() as source:
        environ = {
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": source.url,
            "SUPABASE_URL": project.url,
            "SUPABASE_KEY": project.secret_key,
            "AUTH_SECRET": "a-secret-for-tests-of-32-characters",
            "GRACE_SECONDS": "1",
            "DRAIN_SECONDS": "1",
        }
        workers = [Worker(tmp_path / name, environ) for name in ("one", "two")]
        await asyncio.gather(*(worker.start() for worker in workers))
        talkers = [Talker(workers, seed) for seed in range(SESSIONS)]
        over = asyncio.Event()
        talks = [asyncio.create_task(talker.talk(over)) for talker in talkers]
        one, two = workers
        for fate in (one.replaced, two.crashed, one.frozen, two.restarted):
            await asyncio.sleep(chance.uniform(1.0, 2.0))
            await fate()
        over.set()
        try:
            async with asyncio.timeout(150):
                await asyncio.gather(*talks)
                await asyncio.gather(*(talker.rest() for talker in talkers))
        except TimeoutError:
            waiting = [(talker.busy_with, dict(talker.errors)) for talker in talkers]
            told = "\n".join(worker.process.output[-3000:] for worker in workers)
            raise AssertionError(f"they never came to rest: {waiting}\n{told}") from None
        for worker in workers:
            await worker.end(signal.SIGTERM)

    kept = [name for worker in workers for name in (*worker.quarantined, *worker.kept())]
    moved = 0
    for talker in talkers:
        rows = history(project, talker.auth["session_id"])
        assert_one_history(rows)
        moved += rows[-1]["epoch"] - 1
        said = Counter(
            row["payload"]["client_msg_id"] for row in rows if row["event_type"] == "user_message"
        )
        assert set(said.values()) <= {1}
        lost = set(talker.acked) - set(said) - set(kept)
        assert not lost, talker.errors
        runs = {row["run_id"] for row in rows if row["event_type"] in ("user_message", "run")}
        done = Counter(row["run_id"] for row in rows if row["event_type"] == "done")
        assert done == dict.fromkeys(runs, 1)
    assert moved >= SESSIONS, "the sessions have moved"


def history(project: SupabaseLite, session_id: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        project.psql(
            "select json_agg(e order by e.seq, e.epoch) from session_events e "
            f"where session_id = '{session_id}'"
        )
    )
    return rows


def assert_one_history(rows: list[dict[str, Any]]) -> None:
    """Every seq once, without a hole, under epochs that only rise."""
    last, epoch = 0, 1
    for row in rows:
        assert row["first_seq"] == last + 1, (last, row)
        assert row["epoch"] >= epoch
        last, epoch = row["seq"], row["epoch"]
