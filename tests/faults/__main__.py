"""`python -m tests.faults --rounds N [--seed S] [--only NAME] [--workers]`: the long version, as a
table; with `--workers` on three servers that share an engine.

It ends with 1 where anything was wrong. N = 100: 500 cuts, 100 kills, 2,000 stop races and so on.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

from tests.faults import scenarios
from tests.support.cluster import cluster
from tests.support.oracle import Verdict
from tests.support.world import world

PLAYED = {
    "cuts": (scenarios.cuts, 5.0),
    "kills": (scenarios.kills, 1.0),
    "stop_races": (scenarios.stop_races, 20.0),
    "storms": (scenarios.storms, 50.0 / 3),
    "joins": (scenarios.joins, 2.0),
    "retries": (scenarios.retries, 1.0),
}
COLUMNS = [one.name for one in fields(Verdict) if one.name != "problems"]


async def play(name: str, rounds: int, seed: int, *, workers: bool) -> Verdict:
    scenario, factor = PLAYED[name]
    stage = cluster if workers else world
    with tempfile.TemporaryDirectory() as folder:
        async with stage(Path(folder), seed) as scene:
            try:
                return await scenario(scene, max(1, round(rounds * factor)))
            except (AssertionError, TimeoutError) as error:
                verdict = Verdict()
                verdict.problems.append(f"{type(error).__name__}: {error}")
                return verdict


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=PLAYED, action="append")
    parser.add_argument("--workers", action="store_true", help="three of them, on one engine")
    given = parser.parse_args()
    say(f"rounds {given.rounds}, seed {given.seed}\n")
    say(f"{'faults':<12}" + "".join(f"{name:>10}" for name in [*COLUMNS, "seconds"]))
    total = Verdict()
    for name in given.only or PLAYED:
        began = time.monotonic()
        verdict = await play(name, given.rounds, given.seed, workers=given.workers)
        show(name, verdict, time.monotonic() - began)
        total += verdict
    show("in all", total, None)
    for problem in total.problems[:50]:
        say(f"  {problem[:1000]}")
    say("Nothing lost, nothing doubled." if total.good else "WRONG.")
    return 0 if total.good else 1


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def show(name: str, verdict: Verdict, seconds: float | None) -> None:
    cells = "".join(f"{getattr(verdict, column):>10}" for column in COLUMNS)
    say(f"{name:<12}{cells}" + (f"{seconds:>10.1f}" if seconds else ""))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
