"""What a journal costs that has a long past: built by the server's own session and journal, and
measured against an empty one. `python -m bench.conditions --only size` does both; by itself:

    python -m bench.past past.db --sessions 100000 --gigabytes 10    # builds it first
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import structs

from realtime.background import garbage
from realtime.core.rows import Head, Listing
from realtime.core.session import Session, new_id
from realtime.live.listing import place_of
from realtime.log.encode import encoded
from realtime.log.journal import Journal
from realtime.log.journal.keeper import JournalKeeper
from realtime.protocol import Send, Token, Usage

ANSWER = 3800  # characters
HEAVY = "guest-heavy"
HEAVY_SESSIONS = 10_000
AT_ONCE = 20  # sessions a transaction while it is built
DAY_MS = 86_400_000
COMMITS = 400  # a window
ROUNDS = 6
START_TRIES = 3

Row = dict[str, Any]


def vocabulary(dice: random.Random) -> list[str]:
    """Made up, the most frequent words first."""
    return ["".join(dice.choices("etaoinshrdlu", k=dice.randrange(2, 9))) for _ in range(20_000)]


WORDS = vocabulary(random.Random(1))
OFTEN, RARE, BEGUN = WORDS[0], f"{WORDS[9000]} {WORDS[9001]}", WORDS[500][:3]
"""What is searched for: a word that is everywhere, two rare ones, and a beginning."""


def build(path: Path, sessions: int, gigabytes: float) -> None:
    """A journal of so many ended sessions of 90 days and about so many bytes. One user has
    10,000 of them, or a tenth; the others have ten each."""
    dice = random.Random(1)
    words = vocabulary(dice)
    often = [1 / (place + 2) for place in range(len(words))]  # as in texts that people write
    pool = " ".join(dice.choices(words, often, k=200_000))
    answers = max(1, round(gigabytes * 1e9 / sessions / (1.35 * ANSWER)))
    heavy = min(HEAVY_SESSIONS, sessions // 10)
    journal = Journal(str(path), synchronous="OFF")
    now = int(time.time() * 1000)
    spoken: list[tuple[Session, list[Any]]] = []
    for number in range(sessions):
        user = HEAVY if number < heavy else f"guest-{number // 10}"
        at = now - dice.randrange(90 * DAY_MS)
        session = Session(new_id())
        session.begin(user, at)
        for place in range(answers):
            begin = dice.randrange(len(pool) - ANSWER)
            asked = Send(text=pool[begin : begin + 60], client_msg_id=str(place))
            _, run = session.send(asked, user, "bench", at)
            text = pool[begin : begin + ANSWER]
            said = Token(message_id=run.answer.message_id, offset=0, delta=text, kind="text")
            session.record(run.run_id, [said], at)
            session.finish(run.run_id, "completed", "stop", at, usage=Usage(1234, 876))
        session.end(at, at)
        assert session.ended
        session.summarised(session.ended.seq, at, text="They talked.")
        spoken.append((session, session.take()))
        if len(spoken) == AT_ONCE or number == sessions - 1:
            parts = [encoded(one.session_id, 1, events) for one, events in spoken]
            journal.write(parts, [Head(one.row(), False, at) for one, _ in spoken])
            spoken = []
            while journal.index():
                pass
        if number % 1000 == 0:
            journal.checkpoint()
            print(f"\r{number} of {sessions} sessions", end="", file=sys.stderr, flush=True)
    while journal.merge(1.0):  # as a server has done by then
        pass
    journal.checkpoint()
    journal.close()
    print(file=sys.stderr)


def started_s(path: Path) -> float:
    """From the start of a server process until it is ready (s): the best of three."""
    found = []
    for _ in range(START_TRIES):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environ = os.environ | {"PORT": str(port), "DATABASE_PATH": str(path), "MODEL": "demo"}
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "realtime"],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
                    break
                assert process.poll() is None, "the server does not start"
                time.sleep(0.005)
            found.append(time.perf_counter() - begun)
        finally:
            process.terminate()
            process.wait()
    return min(found)


async def timed_ms(work: Callable[[], Awaitable[Any]], times: int = 7) -> float:
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        await work()
        found.append(1000 * (time.perf_counter() - begun))
    return statistics.median(found)


class Chat:
    """One answer that is committed piece by piece, as the log does it."""

    def __init__(self, keeper: JournalKeeper) -> None:
        self._keeper = keeper
        self.session = Session(new_id())
        self.session.begin("guest-now", int(time.time() * 1000))
        self.session.send(Send(text="Now?", client_msg_id="1"), "guest-now", "bench", 1)

    async def commit(self) -> float:
        """The next events; how long it took (ms)."""
        events = self.session.take()
        heads = [Head(self.session.row(), True, None)] if events[0].seq == 1 else []
        part = encoded(self.session.session_id, 1, events)
        begun = time.perf_counter()
        await self._keeper.commit([part], heads)
        took = 1000 * (time.perf_counter() - begun)
        self._keeper.tend(len(events), [])
        run = self.session.active
        assert run
        offset = run.answer.length["text"]
        said = Token(message_id=run.answer.message_id, offset=offset, delta="word ", kind="text")
        self.session.record(run.run_id, [said], 2)
        return took


async def commits(keeper: JournalKeeper, until: Callable[[int], bool]) -> list[float]:
    """Commits, 5 ms apart, for as long as `until` says (ms each)."""
    chats = [Chat(keeper) for _ in range(20)]
    found = [await chat.commit() for chat in chats]
    while not until(len(found)):
        found.append(await chats[len(found) % len(chats)].commit())
        await asyncio.sleep(0.005)
    return found


def p99(found: list[float]) -> float:
    return sorted(found)[len(found) * 99 // 100]


async def scanning(keeper: JournalKeeper) -> None:
    """A reader that asks for all there is, again and again."""
    while True:
        await keeper.figures(None, 0)
        await keeper.find_sessions(Listing(user_id=HEAVY, limit=50))
        await keeper.find_sessions(Listing(user_id=HEAVY, limit=50, wanted=RARE))


async def measured(path: Path, keeper: JournalKeeper) -> Row:
    """What one asks of a journal."""
    row: Row = {"file_gb": round(path.stat().st_size / 1e9, 2)}
    row["sessions"] = (await keeper.figures(None, 0))["sessions"]
    month = int(time.time() * 1000) - 30 * DAY_MS
    row["figures_all_ms"] = await timed_ms(lambda: keeper.figures(None, 0))
    row["figures_month_ms"] = await timed_ms(lambda: keeper.figures(None, month))
    row["figures_user_ms"] = await timed_ms(lambda: keeper.figures(HEAVY, 0))
    for name, wanted in (("list", ""), ("often", OFTEN), ("rare", RARE), ("begun", BEGUN)):
        page = Listing(user_id=HEAVY, limit=50, wanted=wanted)
        last = (await keeper.find_sessions(page))[-1:]
        behind = structs.replace(page, before=place_of(last[0]) if last else None)
        asked = [partial(keeper.find_sessions, one) for one in (page, behind)]
        row[f"{name}_ms"] = max([await timed_ms(one) for one in asked])
    return row


async def committing(pairs: list[tuple[JournalKeeper, JournalKeeper | None]]) -> list[float]:
    """The p99 of commits to the first of each pair beside a reader of the second (ms), over windows
    that follow one another, every second round backwards."""
    found: list[list[float]] = [[] for _ in pairs]
    for number in range(ROUNDS):
        for place in list(range(len(pairs)))[:: -1 if number % 2 else 1]:
            written, read = pairs[place]
            reader = asyncio.create_task(scanning(read)) if read else None
            window = await commits(written, lambda done: done >= COMMITS)
            found[place] += window
            if reader:
                reader.cancel()
    return [p99(waits) for waits in found]


async def deleted(keeper: JournalKeeper) -> Row:
    """Delete the user with many sessions, while others commit."""
    theirs = [one.session_id for one in await keeper.list_sessions(HEAVY, HEAVY_SESSIONS)]
    begun = time.perf_counter()
    task = asyncio.create_task(keeper.delete(theirs))
    waited = await commits(keeper, lambda _: task.done())
    await task
    return {
        "deleted": len(theirs),
        "delete_s": time.perf_counter() - begun,
        "delete_pause_ms": max(waited),
    }


async def both(path: Path) -> dict[str, list[Row]]:
    """An empty journal, and a copy of this one: measuring deletes what it measures."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=path.parent) as folder:
        paths = [empty(Path(folder) / "empty.db"), Path(shutil.copy(path, folder))]
        os.sync()  # what is still to be written of the copy is nobody's commit
        starts = [started_s(one) for one in paths]
        collecting = asyncio.create_task(garbage.collect(lambda: True))  # as the server does
        keepers = [JournalKeeper(Journal(str(one))) for one in paths]
        rows = [await measured(*one) for one in zip(paths, keepers, strict=True)]
        fresh, long = keepers
        alone = await committing([(fresh, None), (long, None)])
        *scanned, beside = await committing([(fresh, fresh), (long, long), (fresh, long)])
        for place, row in enumerate(rows):
            row["start_s"] = starts[place]
            row["commit_p99_ms"], row["commit_scanned_p99_ms"] = alone[place], scanned[place]
        rows[0]["commit_beside_p99_ms"], rows[1]["commit_beside_p99_ms"] = beside, scanned[1]
        rows[1] |= await deleted(keepers[1])
        for keeper in keepers:
            await keeper.close()
        collecting.cancel()
    rows = [{name: round(value, 2) for name, value in row.items()} for row in rows]
    return {
        "empty": [rows[0]],
        f"{rows[1]['sessions']:,.0f} sessions, {rows[1]['file_gb']:g} GB": [rows[1]],
    }


def empty(path: Path) -> Path:
    Journal(str(path)).close()
    return path


SHOWN = {
    "start_s": "start s",
    "figures_all_ms": "figures ms",
    "figures_month_ms": "of 30 days",
    "figures_user_ms": "of a user",
    "list_ms": "list of a user ms",
    "often_ms": "search for a word that is everywhere",
    "rare_ms": "for two rare words",
    "begun_ms": "for a beginning",
    "commit_p99_ms": "commit p99 ms",
    "commit_scanned_p99_ms": "while it is scanned",
    "commit_beside_p99_ms": "while the long one is scanned",
    "delete_pause_ms": "longest commit while deleting, ms",
    "delete_s": "deleting s",
}


def table(rows: dict[str, list[Row]]) -> list[str]:
    lines = ["| journal | " + " | ".join(SHOWN.values()) + " |", "|---" * (len(SHOWN) + 1) + "|"]
    for name, (row,) in rows.items():
        cells = [f"{row[key]:g}" if key in row else "" for key in SHOWN]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.past")
    parser.add_argument("path", type=Path)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    given = parser.parse_args()
    if not given.path.exists():
        build(given.path, given.sessions, given.gigabytes)
    print("\n".join(table(asyncio.run(both(given.path)))))


if __name__ == "__main__":
    main()
