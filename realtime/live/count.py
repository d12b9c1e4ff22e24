"""What is counted of runs, for the metrics."""

from __future__ import annotations

from collections import Counter
from typing import get_args

from ..core.histogram import Histogram
from ..protocol import Done, DoneStatus
from ..runs.count import OTHER
from ..tools import Toolbox

TOOL_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
MAX_TOOLS = 200
"""A server of tools may call them otherwise each day."""


class RunCount:
    """Since the start: runs that ended, how and how long they took, and their tool calls, by the
    names of the tools that are configured. `calls`: by tool and status. `summaries_waiting`: ended
    sessions that have no summary just now."""

    def __init__(self, box: Toolbox) -> None:
        # a rise from nothing is none to Prometheus
        ended = set(get_args(DoneStatus)) - {"consumed"}
        self.by_status: Counter[str] = Counter(dict.fromkeys(sorted(ended), 0))
        self.seconds = 0.0
        self.summaries_waiting = 0
        self.call_s: dict[str, Histogram] = {}
        self.calls: Counter[tuple[str, str]] = Counter()
        self._box = box
        self._names: set[str] = set()

    def add(self, done: Done) -> None:
        self.by_status[done.status] += 1
        self.seconds += done.duration_ms / 1000

    def called(self, tool: str, status: str, seconds: float | None) -> None:
        """A call has ended. `seconds`: how long it ran, where it did."""
        name = self._label(tool)
        self.calls[name, status] += 1
        if seconds is not None:
            self.call_s.setdefault(name, Histogram(TOOL_S)).observe(seconds)

    def _label(self, tool: str) -> str:
        name = self._box.name_of(tool)
        if name is None or (name not in self._names and len(self._names) == MAX_TOOLS):
            return OTHER
        self._names.add(name)
        return name
