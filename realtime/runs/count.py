"""What is counted of models, for the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..core.histogram import Histogram
from ..protocol import Usage

FIRST_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
CALL_S = (0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
OTHER = "other"
"""A model that is not configured any more, or a tool that nobody has configured."""


class ModelCount:
    """Since the start, by the names of the models that are configured. `calls`: by model and
    result, which is `ok`, `cancelled` or the kind of a failure. `tokens`: by model and kind."""

    def __init__(self, names: Iterable[str]) -> None:
        self.first_s = {name: Histogram(FIRST_S) for name in names}
        self.call_s = {name: Histogram(CALL_S) for name in self.first_s}
        self.calls: Counter[tuple[str, str]] = Counter()
        self.tokens: Counter[tuple[str, str]] = Counter()
        self.dollars: dict[str, float] = {}

    def spoke(self, model: str, seconds: float) -> None:
        """A run's first token has come so long after its start."""
        self.first_s.setdefault(self._label(model), Histogram(FIRST_S)).observe(seconds)

    def called(self, model: str, result: str, seconds: float) -> None:
        """A call of a model is over."""
        self.call_s[model].observe(seconds)
        self.calls[model, result] += 1

    def used(self, model: str, usage: Usage) -> None:
        """What a call came to."""
        model = self._label(model)
        self.tokens[model, "input"] += usage.input_tokens
        self.tokens[model, "output"] += usage.output_tokens
        if usage.cost is not None:
            self.dollars[model] = self.dollars.get(model, 0.0) + usage.cost

    def _label(self, model: str) -> str:
        return model if model in self.call_s else OTHER
