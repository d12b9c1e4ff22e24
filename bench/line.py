"""What a call to the engine costs: this server's connection beside redis-py's, on the same Valkey
in the same run. Each call is a script that gets 60 sessions' parts, as a flush is.

    python -m bench.line --rounds 9 --calls 2000
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import struct
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import redis.asyncio
import uvloop

from realtime.log.hot.line import Line
from tests.support.engine import Engine

SCRIPT = b"redis.call('APPEND', KEYS[1], ''); return #ARGV[2]"
PARTS, PART_BYTES = 60, 230
WARM_UP = 300
FIGURES = ("CPU µs a call", "p50 ms", "p99 ms")

Call = Callable[[], Awaitable[Any]]


async def measure(call: Call, calls: int) -> tuple[float, float, float]:
    """One call after the other: µs of this process's CPU a call, p50 and p99 in ms."""
    took = []
    cpu = time.process_time()
    for _ in range(calls):
        begun = time.perf_counter()
        assert await call() == PARTS * PART_BYTES
        took.append((time.perf_counter() - begun) * 1000)
    spent = (time.process_time() - cpu) * 1e6 / calls
    cuts = statistics.quantiles(took, n=100)
    return spent, cuts[49], cuts[98]


async def compare(engine: Engine, rounds: int, calls: int) -> None:
    index = b"".join(struct.pack(">16sI", b"s" * 16, PART_BYTES) for _ in range(PARTS))
    sha = hashlib.sha1(SCRIPT).hexdigest()
    arguments = ("{rt1}:", "{rt1}:", b"e" * (PARTS * PART_BYTES), index)
    line = Line(engine.address, "bench")
    await line.start()
    await line.call("SCRIPT", "LOAD", SCRIPT)
    async with redis.asyncio.Redis(port=engine.port) as peer:
        named: dict[str, Call] = {
            "Line": lambda: line.call("EVALSHA", sha, 1, *arguments),
            "redis-py": lambda: peer.evalsha(sha, 1, *arguments),
        }
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in named}
        for call in named.values():
            await measure(call, WARM_UP)
        for number in range(rounds):
            for name in sorted(named, reverse=bool(number % 2)):
                found[name].append(await measure(named[name], calls))
    await line.close()
    print(f"| {PARTS} parts of {PART_BYTES} bytes | {' | '.join(FIGURES)} |\n|---|--:|--:|--:|")
    for name, rows in found.items():
        print(f"| {name} | {' | '.join(f'{middle(row):.2f}' for row in zip(*rows, strict=True))} |")
    pairs = zip(found["Line"], found["redis-py"], strict=True)
    ratios = [[ours / its for ours, its in zip(*pair, strict=True)] for pair in pairs]
    print(f"| ratio | {' | '.join(f'{middle(row):.2f}' for row in zip(*ratios, strict=True))} |")


def middle(values: tuple[float, ...]) -> float:
    return statistics.median(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=2000, help="in each round, by each")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Engine(Path(folder)) as engine:
        uvloop.run(compare(engine, given.rounds, given.calls))


if __name__ == "__main__":
    main()
