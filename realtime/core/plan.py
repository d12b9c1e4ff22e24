"""What one user may do, where that differs from the settings."""

from __future__ import annotations

from collections.abc import Collection

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one user, in place of the settings. None: as the settings say; 0: no limit.

    `runs`: answers at once (RUNS_PER_USER). `tokens`, `dollars`: what the user may spend in a day
    (UTC). `models`: the names of those that may answer; None: all. Raises `ValueError`.
    """

    runs: int | None = None
    tokens: int | None = None
    dollars: float | None = None
    models: Collection[str] | None = None

    def __post_init__(self) -> None:
        for name in ("runs", "tokens", "dollars"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value >= 0):
                raise ValueError(f"{name} of Limits must be a number from 0 on, or None")
        if isinstance(self.models, str):
            raise ValueError("models of Limits must be a list of names, or None")
