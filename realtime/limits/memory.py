"""Whether the memory that this server may use is nearly used up."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

FULL = 0.85
LOOK_S = 1.0
UNBOUNDED = 1 << 60  # what "no limit" is in the first version of control groups
# The mount, the limit, the usage, and what of it the kernel gives back when asked.
CGROUP_2 = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
CGROUP_1 = (
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
)

Gauge = tuple[int, Callable[[], int]]
"""A limit, and how to see what is used of it; in bytes."""
logger = logging.getLogger(__name__)


class Memory:
    """`tight` above 85 % of a limit, looked at once a second at most.

    The limit is that of the container (its control group), or `limit_mb` for this process.
    Where there is neither, it is never tight.
    """

    def __init__(
        self,
        limit_mb: float = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        root: Path = Path("/"),
    ) -> None:
        self._gauge = own(root, round(limit_mb * 2**20)) if limit_mb else container(root)
        self._clock = clock
        self._looked_at = -LOOK_S
        self._tight = False

    @property
    def tight(self) -> bool:
        if self._gauge and self._clock() - self._looked_at >= LOOK_S:
            self._looked_at = self._clock()
            limit, used = self._gauge
            tight = used() > FULL * limit
            if tight and not self._tight:
                logger.warning("memory is nearly exhausted: refusing new connections")
            elif self._tight and not tight:
                logger.warning("memory is available again: accepting new connections")
            self._tight = tight
        return self._tight


def own(root: Path, limit: int) -> Gauge | None:
    """This process's resident memory, where the system tells it."""
    if not resident(root):
        logger.warning("MEMORY_LIMIT_MB has no effect: this system does not report memory use")
        return None
    return limit, lambda: resident(root)


def resident(root: Path = Path("/")) -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    try:
        pages = int((root / "proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def container(root: Path) -> Gauge | None:
    """The tightest limit of the control groups that this process is in."""
    gauges = [
        (limit, usage_of(group, usage, cache))
        for group, (_, name, usage, cache) in groups(root)
        if (limit := number(group / name)) is not None and limit < UNBOUNDED
    ]
    return min(gauges, key=lambda gauge: gauge[0], default=None)


def groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str, str]]]:
    """The directories of our control groups, each with those above it."""
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            number, kinds, path = line.split(":", 2)
            if number == "0":
                version = CGROUP_2
            elif "memory" in kinds.split(","):
                version = CGROUP_1
            else:
                continue
            mount = root / version[0]
            place = mount / path.strip("/")
            while place != mount:
                yield place, version
                place = place.parent
            yield mount, version


def usage_of(group: Path, usage: str, cache: str) -> Callable[[], int]:
    def used() -> int:
        return (number(group / usage) or 0) - spare(group / "memory.stat", cache)

    return used


def spare(stat: Path, cache: str) -> int:
    with contextlib.suppress(OSError):
        for line in stat.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == cache:
                return int(value)
    return 0


def number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # "max" among them
        return None
