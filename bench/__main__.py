"""Run the benchmark: `python -m bench [--quick] [--relays ours,node] [--sessions 20,60]`.

Every repetition runs every relay once at each load, one directly after the other, and
every second repetition in the opposite order: what disturbs the machine disturbs all.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from bench import capacity, load, report
from bench.measure import Bench, process
from bench.peers import HERE, RELAYS, Relay, set_up

RATE = 50
BURST = (20, 2000)  # sessions, tokens each
BURST_S = 120.0
IDLE = (500, 5.0)  # connections, seconds

Result = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the relays.")
    add_common(parser)
    parser.add_argument("--sessions", default="5,20,60,200,400", help="comma separated")
    parser.add_argument("--quick", action="store_true", help="a short look; not for the record")
    parser.add_argument("--skip", default="", help="of: burst, idle, capacity; comma separated")
    given = parser.parse_args()
    given.sessions = [int(part) for part in given.sessions.split(",") if part]
    given.skip = set(given.skip.split(","))
    if given.quick:
        given.sessions = [n for n in given.sessions if n <= 60]
        given.seconds, given.repeat = min(given.seconds, 4.0), 1
        given.skip.add("capacity")
    return given


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--relays", default=",".join(RELAYS), help="comma separated")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measured window")
    parser.add_argument("--repeat", type=int, default=3)


def relays(names: str) -> list[Relay]:
    """The relays of these names, set up. Exits where one is unknown."""
    wanted = [name for name in names.split(",") if name]
    if unknown := set(wanted) - set(RELAYS):
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(RELAYS)}")
    set_up(wanted)
    return [RELAYS[name] for name in wanted]


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """The cores shared out, enough file descriptors, and the upstream running."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for the relay, one for the load")
    made = Bench(cores[0], cores[1])
    os.sched_setaffinity(0, {made.load_core})
    environ = {"PYTHONPATH": str(HERE.parent), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "bench.upstream"]
    async with process(command, environ, made.load_core) as upstream:
        made.upstream = upstream
        async with asyncio.timeout(20):
            while not (said := upstream.output().split()):
                await asyncio.sleep(0.05)
        made.upstream_port = int(said[1])
        yield made


async def measured(found: Relay, what: str, run: Any) -> dict[str, Any]:
    """One measurement; a relay that cannot stand it is a row too."""
    try:
        row: dict[str, Any] = await run
    except (RuntimeError, OSError, TimeoutError) as error:
        row = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    shown = "  ".join(f"{key} {row[key]}" for key in report.SHOWN if key in row)
    print(f"{what:<12} {found.name:<15} {row.get('error') or shown}", file=sys.stderr, flush=True)
    return row


async def all_rows(chosen: list[Relay], given: argparse.Namespace) -> Result:
    """Each relay's rows by load: `{"60": {"ours": [row, …]}, "burst": …, "idle": …}`."""
    rows: Result = {}
    loads = [str(n) for n in given.sessions] + [
        name for name in ("burst", "idle") if name not in given.skip
    ]
    async with bench() as made:
        for repetition in range(given.repeat):
            order = chosen if repetition % 2 == 0 else chosen[::-1]
            for name in loads:
                for found in order:
                    if name == "burst":
                        run = load.burst(made, found, *BURST, BURST_S)
                    elif name == "idle":
                        run = load.idle(made, found, *IDLE)
                    else:
                        run = load.streams(made, found, int(name), RATE, given.seconds)
                    row = await measured(found, name, run)
                    rows.setdefault(name, {}).setdefault(found.name, []).append(row)
        found_capacity = {}
        if "capacity" not in given.skip:
            for found in chosen:
                found_capacity[found.name] = await capacity.search(made, found)
    return {"rows": rows, "capacity": found_capacity}


def main() -> None:
    given = arguments()
    chosen = relays(given.relays)
    result = report.about(chosen, given) | uvloop.run(all_rows(chosen, given))
    path = report.save(result, record=not given.quick)
    print(report.table(result))
    print(f"\nwritten to {path.relative_to(HERE.parent)}", file=sys.stderr)


if __name__ == "__main__":
    main()
