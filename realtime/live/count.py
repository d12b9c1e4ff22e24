"""What is counted of runs, for the metrics."""

from __future__ import annotations

from collections import Counter

from ..protocol import Done


class RunCount:
    """Runs that ended since the start: how, how long they took, what their models used."""

    def __init__(self) -> None:
        self.by_status: Counter[str] = Counter()
        self.seconds = 0.0
        self.tokens: Counter[str] = Counter()
        self.summaries_waiting = 0

    def add(self, done: Done) -> None:
        self.by_status[done.status] += 1
        self.seconds += done.duration_ms / 1000
        self.tokens["input"] += done.usage.input_tokens
        self.tokens["output"] += done.usage.output_tokens
