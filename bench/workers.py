"""What several workers on one engine cost: `python -m bench.workers [--quick]`.

`watching`: the worker that runs the answers, on SQLite and on Valkey, with 0, 1 and 4 other workers
that watch each session; what those cost, with devices of their own and without; and how much later
such a device has a token. `machine`: answers spread over 1, 2 and 4 workers, beside as many of
Node.js with socket.io's Redis Streams adapter.
Every round measures each row of a table once, every second round in the opposite order.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

import uvloop

from bench import load, report
from bench.__main__ import RATE, bench
from bench.conditions import OURS, SECRET, Row, Rows, ours, rounds
from bench.measure import Bench, Process, Usage, cpu
from bench.peers import HERE, Relay, relay, set_up
from bench.trouble import Key, Viewer
from bench.websocket import Client, SocketIO, Tally
from tests.support.engine import Engine

WORKERS = (1, 2, 4)

NODE = relay(
    "node_streams",
    "Node.js socket.io + Redis Streams adapter",
    ("node", HERE / "relays" / "node_streams.mjs"),
    SocketIO,
    ("socket.io", "@socket.io/redis-streams-adapter", "redis", "openai"),
)

Made = Callable[[Tally], Client]


class Guest(SocketIO):
    """A device of the Node.js relay. The worker on port `home` streams its answers, whichever
    worker it is connected to."""

    def __init__(self, tally: Tally, home: int) -> None:
        super().__init__(tally)
        self._home = home

    def question(self, text: str) -> str:
        return f'42["send",{json.dumps({"text": text, "home": self._home})}]'


# ------------------------------------------------------------------ the workers


class Seen(NamedTuple):
    """What `Usage` has no place for: CPU seconds so far, and receipts of the watching devices."""

    engine: float
    others: list[float]
    receipts: int


class Cluster(Bench):
    """Several workers that are measured as one relay: those that `count`. The `others` share the
    load's core and are part of the load, and so is the engine. `watched` is what their devices
    see."""

    def __init__(self, bench: Bench, engine: Engine | None) -> None:
        super().__init__(bench.relay_core, bench.load_core)
        self.upstream, self.upstream_port = bench.upstream, bench.upstream_port
        self.count: list[Process] = []
        self.others: list[Process] = []
        self.urls: list[str] = []
        self.watched = Tally()
        self.seen: list[Seen] = []
        self._engine = engine

    def usage(self, relay: Process) -> Usage:
        seen = Seen(
            self._engine_s(), [cpu(one.pid) for one in self.others], len(self.watched.latencies)
        )
        self.seen.append(seen)
        usage = super().usage(relay)
        return usage._replace(
            relay=sum(cpu(one.pid) for one in self.count),
            load=usage.load + seen.engine + sum(seen.others),
        )

    def _engine_s(self) -> float:
        if self._engine is None:
            return 0.0
        said = self._engine.tell("INFO", "cpu")
        return float(said["used_cpu_user"]) + float(said["used_cpu_sys"])

    async def devices(self, tally: Tally, wanted: Sequence[tuple[int, Made]]) -> list[Client]:
        """Connect devices, each to the worker of that number. Those of one worker stand together,
        in the order of the workers."""
        made: list[Client] = []
        for number, url in enumerate(self.urls):
            here = iter([make for place, make in wanted if place == number])
            found = replace(OURS, client=lambda tally, here=here: next(here)(tally))
            count = sum(place == number for place, _ in wanted)
            made += await load.connected(found, url, tally, count)
        return made

    async def answers(self, clients: list[Client], tally: Tally, seconds: float) -> Row:
        """An answer for each of the clients; a window of it is measured."""
        row = await load.answers(self, self.count[0], clients, tally, RATE, seconds)
        engine = self.seen[-1].engine - self.seen[-2].engine
        if self._engine:
            row["engine_us_per_token"] = round(engine * 1e6 / max(1, row["tokens"]), 1)
        return row


@asynccontextmanager
async def cluster(
    bench: Bench, relay: Relay, count: int = 1, others: int = 0, *, engine: bool = True
) -> AsyncIterator[Cluster]:
    """Fresh workers, on a fresh engine that writes its append-only file."""
    async with AsyncExitStack() as stack:
        shared = None
        if engine:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            shared = stack.enter_context(Engine(Path(folder), appendonly="yes"))
            relay = replace(relay, environ={**relay.environ, "VALKEY_URL": shared.url})
        made = Cluster(bench, shared)
        for number in range(count + others):
            core = bench.relay_core if number < count else bench.load_core
            running, url = await stack.enter_async_context(load.started(bench, relay, core))
            (made.count if number < count else made.others).append(running)
            made.urls.append(url)
        yield made


# --------------------------------------------------------------------- watching

ALONE = "Valkey, no other worker"
WATCHED = {others: f"Valkey, watched by {others}" for others in (1, 4)}
SILENT = "Valkey, watched by 1 without devices"
SHOWN_S = 20.0
"""A worker watches a session on for 30 s once its devices are gone: a window must end before."""


async def watching(bench: Bench, given: argparse.Namespace) -> Rows:
    """Rows by side. `cpu_us_per_token` is the producer's."""

    async def side(others: int, *, devices: bool = True, engine: bool = True) -> Row:
        tally = Tally()
        found = ours(AUTH_SECRET=SECRET)
        async with cluster(bench, found, others=others, engine=engine) as made:
            for url in made.urls:
                await load.warmed_up(found, url)
            owners = await made.devices(tally, [(0, Viewer)] * given.sessions)
            wanted: list[tuple[int, Made]] = [
                (place, partial(Viewer, key=key))
                for place in range(1, others + 1)
                for key in keys(owners)
            ]
            watchers = await made.devices(made.watched, wanted)
            if not devices:
                for one in watchers:
                    one.close()
                watchers = []
                await asyncio.sleep(load.SETTLE_S)
            row = await made.answers(owners, tally, given.seconds)
            late = await load.answered(watchers, load.FINISH_S) if watchers else 0
            ends = load.endings(watchers, max(one.received_tokens for one in owners))
            wrong = load.integrity(made.watched, ends, late)
            row |= {key: row[key] + wrong[key] for key in report.WRONG}
        if others:
            before, after = made.seen
            spent = sum(after.others) - sum(before.others)
            row["watching_us_per_token"] = round(spent * 1e6 / others / max(1, row["tokens"]), 1)
            seen = sorted(made.watched.latencies[before.receipts : after.receipts])
            for part in (50, 99) if devices else ():
                row[f"watching_p{part}_ms"] = round(load.percentile(seen, part / 100) / 1000, 2)
        return row

    sides: dict[str, Callable[[], Awaitable[Row]]] = {
        "SQLite": lambda: side(0, engine=False),
        ALONE: lambda: side(0),
        **{name: partial(side, others) for others, name in WATCHED.items()},
        SILENT: lambda: side(1, devices=False),
    }
    return await rounds(sides, given.repeat)


def keys(clients: Sequence[Client]) -> list[Key]:
    return [client.key for client in clients if isinstance(client, Viewer)]


def broadcast(rows: Rows) -> float:
    """What the only device in each room costs a watching worker, µs a token."""
    key = "watching_us_per_token"
    pairs = zip(rows[WATCHED[1]], rows[SILENT], strict=True)
    return median(shown[key] - silent[key] for shown, silent in pairs)


def later(rows: Rows, name: str, part: int) -> float:
    """By how many ms a watching worker's devices have the tokens later than the owner's."""
    key = f"p{part}_ms"
    return median(row[f"watching_{key}"] - row[f"latency_{key}"] for row in rows[name])


def watching_tables(rows: Rows) -> list[str]:
    ratio = partial(report.ratios, rows, "cpu_us_per_token")
    heads = ["", "CPU µs/token", "÷ SQLite", "÷ no other worker"]
    lines = table([*heads, "tokens/frame", "engine µs/token", "notes"])
    for name, found in rows.items():
        lines += line(
            name,
            report.cell(found, "cpu_us_per_token"),
            hundredths(ratio(name, "SQLite")),
            hundredths(ratio(name, ALONE)),
            report.cell(found, "tokens_per_frame"),
            report.cell(found, "engine_us_per_token"),
            report.notes(found),
        )
    lines += table(["a watching worker", "CPU µs/token"])
    for name, found in rows.items():
        if name in (*WATCHED.values(), SILENT):
            lines += line(name, report.cell(found, "watching_us_per_token"))
    lines += line("its own broadcast", report.number(broadcast(rows)))
    lines += table(["from the upstream to a device", "p50 ms", "p99 ms"])
    for name in WATCHED.values():
        for place, kind in (("of the owner", "latency"), ("of a watching worker", "watching")):
            cells = [report.cell(rows[name], f"{kind}_p{part}_ms") for part in (50, 99)]
            lines += line(f"{name}: {place}", *cells)
        cells = [report.number(later(rows, name, part)) for part in (50, 99)]
        lines += line(f"{name}: later by", *cells)
    lines += table(["bar", "figure", ""])
    for bar, figure, reached in bars(rows):
        lines += line(bar, hundredths(figure), "" if reached else "**not reached**")
    return lines


def table(heads: Sequence[str]) -> list[str]:
    return ["", *line(*heads), "|---" * len(heads) + "|"]


def line(*cells: str) -> list[str]:
    return [f"| {' | '.join(cells)} |"]


def bars(rows: Rows) -> list[tuple[str, float, bool]]:
    """Each with its figure, and whether that reaches it."""
    found = []
    for others, name in WATCHED.items():
        figure = report.ratios(rows, "cpu_us_per_token", name, ALONE) or 0.0
        found.append(
            (f"watched by {others}, the producer costs at most 5 % more", figure, figure <= 1.05)
        )
    figure = max(
        report.ratios(rows, "cpu_us_per_token", name, "SQLite") or 0.0
        for name in (ALONE, *WATCHED.values())
    )
    found.append(("the producer costs at most what it does with SQLite", figure, figure <= 1))
    figure = report.middle(rows[SILENT], "watching_us_per_token") or 0.0
    bar = "a watching worker costs at most 12 µs above its own broadcast"
    found.append((bar, figure, figure <= 12))
    figure = later(rows, WATCHED[1], 50)
    found.append(("its devices are at most 5 ms later, p50", figure, figure <= 5))
    return found


def hundredths(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


# ---------------------------------------------------------------------- machine


async def machine(bench: Bench, given: argparse.Namespace) -> Rows:
    """Rows by `<sessions> <workers> <relay>`."""

    async def side(found: Relay, workers: int, sessions: int) -> Row:
        tally = Tally()
        draw = random.Random(sessions)  # the same for both
        places = sorted((one % workers, draw.randrange(workers)) for one in range(sessions))
        async with cluster(bench, found, workers) as made:
            warming = replace(found, client=homed(made, 0)) if found is NODE else found
            for url in made.urls:
                await load.warmed_up(warming, url)
            if found is NODE:
                wanted = [(place, homed(made, home)) for home, place in places]
                devices = await made.devices(tally, wanted)
            else:
                devices = await moved(made, tally, places)
            draw.shuffle(devices)
            return await made.answers(devices, tally, given.seconds)

    def homed(made: Cluster, home: int) -> Made:
        return partial(Guest, home=urlsplit(made.urls[home]).port or 0)

    sides = {
        f"{sessions} {workers} {found.name}": partial(side, found, workers, sessions)
        for sessions in given.loads
        for workers in WORKERS
        for found in (ours(AUTH_SECRET=SECRET), NODE)
    }
    return await rounds(sides, given.repeat)


async def moved(made: Cluster, tally: Tally, places: Sequence[tuple[int, int]]) -> list[Client]:
    """A session on the first worker of each place, and its only device on the second."""
    openers = await made.devices(Tally(), [(home, Viewer) for home, _ in places])
    wanted: list[tuple[int, Made]] = [
        (at, partial(Viewer, key=key)) for (_, at), key in zip(places, keys(openers), strict=True)
    ]
    devices = await made.devices(tally, wanted)
    for opener in openers:
        opener.close()
    await asyncio.sleep(load.SETTLE_S)
    return devices


def machine_tables(rows: Rows) -> list[str]:
    heads = ["workers", "relay", "tokens/s", "of the load", "p50 ms", "p99 ms", "CPU µs/token"]
    lines: list[str] = []
    shown = ""
    for name, found in rows.items():
        sessions, workers, kind = name.split()
        if sessions != shown:
            shown = sessions
            lines += ["", f"### {sessions} sessions"]
            lines += table([*heads, "ours ÷ it", "tokens/frame", "engine µs/token", "notes"])
        ours_name = f"{sessions} {workers} {OURS.name}"
        ratio = report.ratios(rows, "cpu_us_per_token", ours_name, name)
        lines += line(
            workers,
            NODE.label if kind == NODE.name else OURS.label,
            report.cell(found, "tokens_per_s"),
            hundredths(report.middle(found, "held")),
            report.cell(found, "latency_p50_ms"),
            report.cell(found, "latency_p99_ms"),
            report.cell(found, "cpu_us_per_token"),
            hundredths(ratio if kept_up(found) and kept_up(rows[ours_name]) else None),
            report.cell(found, "tokens_per_frame"),
            report.cell(found, "engine_us_per_token"),
            report.notes(found),
        )
    return lines


def kept_up(rows: list[Row]) -> bool:
    """Whether the CPU of a token means anything: a relay that falls behind shows few of them."""
    return (report.middle(rows, "held") or 0) >= report.KEPT_UP


# -------------------------------------------------------------------------- all

PARTS = {"watching": watching, "machine": machine}
TABLES = {"watching": watching_tables, "machine": machine_tables}
HEADINGS = {
    "watching": "Sessions that other workers watch",
    "machine": "Answers spread over the workers of one machine",
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.workers")
    parser.add_argument("--only", default=",".join(PARTS), help="comma separated")
    parser.add_argument("--rounds", type=int, default=6, dest="repeat", help="an even number")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measured window")
    parser.add_argument("--sessions", type=int, default=60, help="that are watched")
    parser.add_argument("--loads", default="60,240", help="sessions on the machine")
    parser.add_argument("--quick", action="store_true", help="a short look; not for the record")
    given = parser.parse_args()
    given.only = [name for name in given.only.split(",") if name]
    given.loads = [int(part) for part in given.loads.split(",") if part]
    if unknown := set(given.only) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    if "watching" in given.only and given.seconds > SHOWN_S:
        parser.error(f"a window of `watching` takes at most {SHOWN_S:g} s")
    if given.quick:
        given.seconds, given.repeat = min(given.seconds, 4.0), 1
    return given


def section(name: str, result: Row) -> str:
    """One part's tables, and what they come from."""
    at = f"{result['date']}, {result['cpu']}, {result['cores']} cores, Linux {result['kernel']}"
    runs = f"{result['repeat']} rounds with windows of {result['seconds']:g} s"
    used = "\n".join(f"- {result['relays'][kind]}: {v}" for kind, v in result["versions"].items())
    tables = "\n".join(TABLES[name](result["rows"]))
    return f"## {HEADINGS[name]}\n\n{at}; {runs}.\n\n{tables.strip()}\n\n{used}"


def keep(found: dict[str, Row]) -> None:
    """Each part's figures, and the tables of all that were ever kept."""
    paths = {name: HERE / "results" / f"{name}.json" for name in PARTS}
    for name, result in found.items():
        paths[name].write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    parts = [
        "# Several workers",
        "[README.md](README.md#several-workers) says what is measured and how.",
        *(section(name, json.loads(p.read_text())) for name, p in paths.items() if p.exists()),
    ]
    (HERE / "WORKERS.md").write_text("\n\n".join(parts) + "\n")


async def measured(given: argparse.Namespace) -> dict[str, Rows]:
    async with bench() as made:
        return {name: await PARTS[name](made, given) for name in given.only}


def main() -> None:
    given = arguments()
    set_up(["node"])
    about = report.about([OURS, NODE], given) | {"sessions": given.sessions}
    rows = uvloop.run(measured(given))
    found = {name: about | {"rows": rows[name]} for name in given.only}
    if not given.quick:
        keep(found)
    print("\n\n".join(section(name, result) for name, result in found.items()))


if __name__ == "__main__":
    main()
