"""What became of a batch."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..core.rows import Refused


class Lost(msgspec.Struct, frozen=True):
    """A session that this worker may write no more."""

    session_id: str
    reason: Literal["taken", "deleted"]


class Shipped(msgspec.Struct):
    """What became of a batch: rows that the database does not take, sessions that were lost."""

    refused: list[Refused]
    lost: list[Lost] = []

    def add(self, other: Shipped) -> None:
        """Add what became of other rows, each once."""
        self.refused += [row for row in other.refused if row not in self.refused]
        self.lost += [lost for lost in other.lost if lost not in self.lost]
