"""How many sessions of 50 tokens a second one worker on one core holds: `python -m bench.capacity`.

Held means: the tokens come as fast as the upstream writes them, p99 of the added latency is
at most 100 ms, none is lost. The number is doubled until it is too much, then halved in on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from bench import load, report
from bench.measure import Bench
from bench.peers import Relay

RATE = 50
MOST_P99_MS = 100.0
LEAST_HELD = 0.97
FIRST = 25
MOST = 1600
FINENESS = 0.1  # of the answer
SATURATED_PERCENT = 90.0
DISTURBED_PERCENT = 10.0
SHOWN = ("ok", "latency_p99_ms", "held", "relay_cpu_percent", "foreign_cpu_percent", "error")


async def holds(bench: Bench, relay: Relay, sessions: int, seconds: float) -> dict[str, Any]:
    """One attempt: `ok`, and `limit` where it is not the relay that failed."""
    try:
        row = await load.streams(bench, relay, sessions, RATE, seconds)
    except (RuntimeError, OSError, TimeoutError) as error:
        row = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    ok = (
        "error" not in row
        and row["latency_p99_ms"] <= MOST_P99_MS
        and row["held"] >= LEAST_HELD
        and not (row["lost"] or row["doubled"])
    )
    by_load = not ok and row.get("load_cpu_percent", 0) >= SATURATED_PERCENT
    return {"sessions": sessions, "ok": ok, "load_saturated": by_load, **row}


async def search(bench: Bench, relay: Relay, seconds: float = 5.0) -> dict[str, Any]:
    """The highest number that held, with all attempts; each may fail twice before it counts.

    `estimated` is what its CPU would allow, for where the load generator gave in first.
    """
    attempts: list[dict[str, Any]] = []

    async def attempt(sessions: int) -> bool:
        for _ in range(2):
            found = await holds(bench, relay, sessions, seconds)
            attempts.append(found)
            shown = {key: found[key] for key in SHOWN if key in found}
            print(f"capacity     {relay.name:<15} {sessions} {shown}", file=sys.stderr, flush=True)
            if found["ok"]:
                return True
        return False

    low, high = 0, FIRST
    while high <= MOST and await attempt(high):
        low, high = high, high * 2
    while low and high <= MOST and high - low > max(5, FINENESS * low):
        middle = (low + high) // 2
        if await attempt(middle):
            low = middle
        else:
            high = middle
    best = max((a for a in attempts if a["ok"]), key=lambda a: a["sessions"], default=None)
    return {
        "sessions": low,
        "limited_by_load": any(a["load_saturated"] for a in attempts) or high > MOST,
        "disturbed": any(
            a.get("foreign_cpu_percent", 0) >= DISTURBED_PERCENT for a in attempts if not a["ok"]
        ),
        "estimated": round(low * 100 / best["relay_cpu_percent"]) if best else 0,
        "attempts": attempts,
    }


async def main() -> None:
    from bench.__main__ import add_common, bench, relays

    parser = argparse.ArgumentParser(prog="python -m bench.capacity")
    add_common(parser)
    parser.add_argument("--into", type=Path, help="a result without it, to be drawn again with it")
    given = parser.parse_args()
    chosen = relays(given.relays)
    async with bench() as made:
        found = {relay.name: await search(made, relay, given.seconds) for relay in chosen}
    if given.into:
        report.save(json.loads(given.into.read_text()) | {"capacity": found}, record=True)
    for result in found.values():
        del result["attempts"]
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    uvloop.run(main())
