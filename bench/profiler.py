"""Where this server's CPU goes, by function: `python -m bench.profiler [--sessions 60]`.

Samples the running server with py-spy (`pip install py-spy`; it need not be in the same
environment), and prints the functions by the share of samples: in them (self), in them and
the C code that they call (python), that by package, and in them and all that they call
(all). The profiled run is not a measurement: sampling costs. `--native` sees which C code
it is, but stops the process for each sample, which favours system calls; without it the
samples are taken from the running process, and a few stacks are torn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shutil
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from bench import load
from bench.measure import Bench
from bench.peers import HERE, RELAYS, Relay
from bench.websocket import Tally

RATE = 50
SAMPLES_PER_S = 400
MOST = 30
RAMP_S = 1.0
WAITING = {"_queue_SimpleQueue_get", "epoll_wait", "epoll_pwait"}  # a thread without work
FRAME = re.compile(r"^(.*) \((.*?)(?::\d+)?\)$")


def named(frame: str) -> str:
    """`function (module)`, without the place where it is installed."""
    match = FRAME.match(frame)
    if not match:
        return frame
    function, path = match.groups()
    path = re.sub(r"^.*(site-packages|python3\.\d+)/", "", path)
    return f"{function} ({path})"


def package(frame: str) -> str:
    """Whose code a frame is: ours by sub-package, a library by its name."""
    place = frame.rpartition("(")[2].rstrip(")")
    parts = place.split("/")
    if parts[0] == "realtime":
        return "/".join(parts[:2]).removesuffix(".py")
    return parts[0].partition(".")[0].partition("-")[0] or "other"


def python_of(frames: list[str]) -> str:
    """The innermost function in Python: what C code runs for it counts as its own."""
    return next((frame for frame in reversed(frames) if frame.endswith(".py)")), frames[-1])


def shares(raw: str) -> dict[str, Any]:
    """py-spy's collapsed stacks as shares of all samples, largest first."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    python: Counter[str] = Counter()
    packages: Counter[str] = Counter()
    total = 0
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [named(frame) for frame in stack.split(";")]
        names = {frame.partition(" ")[0] for frame in frames}
        if WAITING & names or frames[-1].startswith("_worker "):
            continue
        samples = int(count)
        total += samples
        own[frames[-1]] += samples
        caller = python_of(frames)
        python[caller] += samples
        packages[package(caller)] += samples
        for frame in set(frames):
            whole[frame] += samples

    def part(counts: Counter[str]) -> list[tuple[str, float]]:
        return [(name, round(100 * n / total, 1)) for name, n in counts.most_common(MOST)]

    return {
        "samples": total,
        "self": part(own),
        "python": part(python),
        "packages": part(packages),
        "all": part(whole),
    }


async def profile(
    bench: Bench, relay: Relay, sessions: int, seconds: float, native: bool
) -> dict[str, Any]:
    """Sample the relay while it streams. Raises `RuntimeError` where py-spy is missing."""
    spy = shutil.which("py-spy")
    if spy is None:
        raise RuntimeError("py-spy is not on the path: pip install py-spy")
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        raw = Path(directory) / "stacks.txt"
        async with load.started(bench, relay) as (running, url):
            await load.warmed_up(relay, url)
            clients = await load.connected(relay, url, Tally(), sessions)
            tokens = int(RATE * (RAMP_S + load.SETTLE_S + seconds + 2))
            await load.asked(clients, f"rate={RATE} tokens={tokens}", sessions / RAMP_S)
            await asyncio.sleep(load.SETTLE_S)
            options = ["--format", "raw", "--function", "--output", str(raw)]
            options.append("--native" if native else "--nonblocking")
            options += ["--duration", str(int(seconds)), "--rate", str(SAMPLES_PER_S)]
            child = await asyncio.create_subprocess_exec(
                *(spy, "record", "--pid", str(running.pid), *options),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(seconds + 30):
                _, said = await child.communicate()
            await load.answered(clients, load.FINISH_S)
        if child.returncode:
            raise RuntimeError(said.decode(errors="replace")[-500:])
        return {"relay": relay.name, "sessions": sessions, **shares(raw.read_text())}


async def main() -> None:
    from bench.__main__ import bench

    parser = argparse.ArgumentParser(prog="python -m bench.profiler")
    parser.add_argument("--relay", default="ours", choices=[n for n in RELAYS if n != "node"])
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--native", action="store_true", help="look into C code as well")
    parser.add_argument("--record", action="store_true", help="keep it for RESULTS.md")
    given = parser.parse_args()
    async with bench() as made:
        try:
            found = await profile(
                made, RELAYS[given.relay], given.sessions, given.seconds, given.native
            )
        except RuntimeError as error:
            sys.exit(str(error))
    if given.record:
        found["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "profile.json").write_text(json.dumps(found, indent=1) + "\n")
    for heading in ("self", "python", "packages", "all"):
        print(f"\n{heading}, % of {found['samples']} samples")
        for name, share in found[heading]:
            print(f"{share:6.1f}  {name}")


if __name__ == "__main__":
    uvloop.run(main())
