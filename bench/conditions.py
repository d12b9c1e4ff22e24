"""What must not disturb a conversation: `python -m bench.conditions [--quick]`.

Each trouble is measured against its absence in windows that follow one another, every second
round in the opposite order, so that what drifts on the machine meets both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from bench import load, past, report
from bench.__main__ import RATE, bench
from bench.measure import Bench, Process
from bench.peers import HERE, RELAYS, Relay
from bench.trouble import BAD, Key, Viewer, database, write_past
from bench.websocket import Client, Tally

OURS = RELAYS["ours"]
PAST = (100, 200)  # runs, events each
SECRET = "signs the guests of one measurement and of nothing else"
SETTLE_S = 4.0  # a question costs more the longer the past: not what is measured here
TIDY_S = 2.0
SHIPPED_S = 120.0
SPARE_FILES = 500
QUIET = 3  # times in a row that nothing waits to be shipped

ROUNDS = ("viewers", "database", "history")

Row = dict[str, Any]
Rows = dict[str, list[Row]]
Sides = dict[str, Callable[[], Awaitable[Row]]]

HEADINGS = {
    "viewers": "Viewers that do not read, beside those that do",
    "database": "A database that answers 1 s later",
    "history": f"{PAST[0] * PAST[1]:,} past events in each session",
    "size": "A journal with a long past",
    "idle": "Idle connections",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.conditions")
    parser.add_argument("--only", default=",".join(HEADINGS), help="comma separated")
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=25.0, help="of each measured window")
    parser.add_argument("--repeat", type=int, default=6, help="rounds; an even number")
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--idle-seconds", type=float, default=600.0)
    parser.add_argument("--past-sessions", type=int, default=100_000)
    parser.add_argument("--past-gigabytes", type=float, default=10.0)
    parser.add_argument("--past-file", type=Path, help="built, where it is not there, and kept")
    parser.add_argument("--quick", action="store_true", help="a short look; not for the record")
    given = parser.parse_args()
    given.only = [name for name in given.only.split(",") if name]
    if unknown := set(given.only) - set(HEADINGS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(HEADINGS)}")
    if given.quick:
        given.repeat, given.idle_seconds = 2, min(given.idle_seconds, 20.0)
        given.past_sessions, given.past_gigabytes = 2000, 0.1
    return given


def ours(**settings: str) -> Relay:
    """This server. Its sessions never end: the summaries would fall into a later window."""
    return replace(OURS, environ={**OURS.environ, "GRACE_SECONDS": "86400", **settings})


async def rounds(sides: Sides, repeat: int) -> Rows:
    """Every side once a round, every second round backwards."""
    rows: Rows = {name: [] for name in sides}
    for number in range(repeat):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            row = await sides[name]()
            rows[name].append(row)
            shown = "  ".join(f"{key} {row[key]}" for key in report.SHOWN if key in row)
            print(f"{name:<22} {shown}", file=sys.stderr, flush=True)
    return rows


class Server:
    """A running server, and the clients of one window after the other."""

    def __init__(self, bench: Bench, running: Process, url: str, given: argparse.Namespace) -> None:
        self._bench = bench
        self._running = running
        self.url = url
        self._sessions: int = given.sessions
        self._seconds: float = given.seconds

    async def window(self, keys: Iterable[Key] = (), bad: Iterable[type[Viewer]] = ()) -> Row:
        """An answer in each session: those of `keys`, or else new ones. The rooms hold one
        viewer that reads, and one of each `bad` kind."""
        tally = Tally()
        viewers = await self._viewers(Viewer, tally, keys)
        others = []
        for kind in bad:
            others += await self._viewers(kind, Tally(), [viewer.key for viewer in viewers])
        before = await self._closed()
        row = await load.answers(
            self._bench, self._running, viewers, tally, RATE, self._seconds, SETTLE_S
        )
        gone = await self._closed() - before
        for client in (*others, *viewers):
            client.close()
        await asyncio.sleep(TIDY_S)
        if others:
            row |= {"bad": len(others), "gone": dict(gone)}
        return row

    async def _viewers(self, kind: type[Viewer], tally: Tally, keys: Iterable[Key]) -> list[Any]:
        opened = iter(keys)
        relay = replace(OURS, client=lambda _: kind(tally, next(opened, None)))
        clients: list[Client] = await load.connected(relay, self.url, tally, self._sessions)
        return clients

    async def _closed(self) -> Counter[str]:
        """Connections that the server has closed or lost, by its reason."""
        text = await get(self.url + "/metrics")
        found = re.findall(r'realtime_disconnects_total\{reason="(.*)"\} (\S+)', text)
        return Counter({reason: int(float(number)) for reason, number in found})

    async def waiting_s(self) -> float:
        """How long the oldest row that is to be shipped has waited."""
        state = json.loads(await get(self.url + "/readyz"))
        return float(state["supabase"]["backlog_age_s"])

    async def shipped(self) -> None:
        async with asyncio.timeout(SHIPPED_S):
            quiet = 0
            while quiet < QUIET:
                quiet = 0 if await self.waiting_s() else quiet + 1
                await asyncio.sleep(0.3)


async def get(url: str) -> str:
    def read() -> str:
        with urllib.request.urlopen(url, timeout=10) as response:
            text: str = response.read().decode()
            return text

    return await asyncio.to_thread(read)


class Conditions:
    """Each method measures one condition: rows by side, the undisturbed side first."""

    def __init__(self, bench: Bench, stack: AsyncExitStack, given: argparse.Namespace) -> None:
        self._bench = bench
        self._stack = stack
        self._given = given

    async def _started(self, relay: Relay) -> Server:
        running, url = await self._stack.enter_async_context(load.started(self._bench, relay))
        await load.warmed_up(relay, url)
        return Server(self._bench, running, url, self._given)

    async def viewers(self) -> Rows:
        server = await self._started(ours())
        sides: Sides = {
            "healthy alone": server.window,
            "and three bad each": lambda: server.window(bad=BAD),
        }
        return await rounds(sides, self._given.repeat)

    async def database(self) -> Rows:
        project, settings = await self._stack.enter_async_context(database())
        without = await self._started(ours())
        shipping = await self._started(ours(**settings))

        async def window(delay_s: float) -> Row:
            project.delay_s = 0.0
            await shipping.shipped()
            project.delay_s = delay_s
            return await shipping.window()

        sides: Sides = {
            "no database": without.window,
            "a database": lambda: window(0.0),
            "1 s slower": lambda: window(1.0),
        }
        return await rounds(sides, self._given.repeat)

    async def history(self) -> Rows:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        path = Path(folder) / "past.db"
        keys = await write_past(path, SECRET, self._given.sessions, *PAST)
        new = await self._started(ours())
        old = await self._started(ours(DATABASE_PATH=str(path), AUTH_SECRET=SECRET))
        sides: Sides = {
            "new sessions": new.window,
            "old sessions": lambda: old.window(keys),
            "new ones beside them": old.window,
        }
        return await rounds(sides, self._given.repeat)

    async def size(self) -> Rows:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        path: Path = self._given.past_file or Path(folder) / "past.db"
        if not path.exists():
            past.build(path, self._given.past_sessions, self._given.past_gigabytes)
        return await past.both(path)

    async def idle(self) -> Rows:
        number, seconds = self._given.connections, self._given.idle_seconds
        row = await load.idle(self._bench, OURS, number, seconds)
        return {f"{number:,} for {seconds:g} s": [row]}


def said(rows: list[Row]) -> str:
    """How the bad viewers went, and what takes away from the rows' worth."""
    found = []
    if bad := sum(row.get("bad", 0) for row in rows):
        gone: Counter[str] = sum((Counter(row["gone"]) for row in rows), Counter())
        ways = [f"{number} {reason}" for reason, number in gone.most_common()]
        found.append(f"of {bad} bad ones dropped: {', '.join(ways) or 'none yet'}")
    return "; ".join([*found, report.notes(rows)]).strip("; ")


def against(rows: Rows, key: str, name: str) -> str:
    """How much of the row above it, the median over the rounds."""
    names = list(rows)
    above = names[max(0, names.index(name) - 1)]
    return report.number(report.ratios(rows, key, name, above)) if above != name else ""


def table(result: Row) -> str:
    lines: list[str] = []
    for condition, rows in result["conditions"].items():
        lines += ["", f"## {HEADINGS[condition]}", ""]
        if condition == "size":
            lines += past.table(rows)
            continue
        if condition == "idle":
            names = {name: name for name in rows}
            lines += report.rows_table({"rows": {"idle": rows}, "relays": names}, "idle")
            continue
        heads = ["", "CPU µs/token", "× above", "p50 ms", "p99 ms", "× above", "max ms", "notes"]
        lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for name, found in rows.items():
            cells = [
                name,
                report.cell(found, "cpu_us_per_token"),
                against(rows, "cpu_us_per_token", name),
                report.cell(found, "latency_p50_ms"),
                report.cell(found, "latency_p99_ms"),
                against(rows, "latency_p99_ms", name),
                report.cell(found, "latency_max_ms"),
                said(found),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


async def measured(given: argparse.Namespace) -> dict[str, Rows]:
    found = {}
    async with bench() as made:
        if "idle" in given.only:
            enough_files(given.connections)
        for name in given.only:
            async with AsyncExitStack() as stack:
                found[name] = await getattr(Conditions(made, stack, given), name)()
    return found


def enough_files(connections: int) -> None:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed < connections + SPARE_FILES:
        sys.exit(f"{connections} connections need more files than {allowed}: raise ulimit -Hn")


def keep(result: Row) -> None:
    """Each condition's figures, and the tables of all that were ever kept."""
    folder = HERE / "results"
    for name, rows in result["conditions"].items():
        one = json.dumps(result | {"conditions": {name: rows}}, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(one + "\n")
    parts = ["# Under adverse conditions", "[README.md](README.md) says what is measured and how."]
    for name in HEADINGS:
        if (path := folder / f"{name}.json").exists():
            kept = json.loads(path.read_text())
            at = f"{kept['date']}, {kept['cpu']}, {kept['cores']} cores, Linux {kept['kernel']}"
            runs = f"{kept['repeat']} rounds with windows of {kept['seconds']:g} s"
            parts += [table(kept).strip(), f"{at}; {runs}" if name in ROUNDS else at]
    (HERE / "CONDITIONS.md").write_text("\n\n".join(parts) + "\n")


def main() -> None:
    given = arguments()
    result = report.about([OURS], given) | {
        "sessions": given.sessions,
        "conditions": uvloop.run(measured(given)),
    }
    if not given.quick:
        keep(result)
    print(table(result))


if __name__ == "__main__":
    main()
