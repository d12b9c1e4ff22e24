"""The faults of one server, played on three that share an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.support.cluster import cluster


@pytest.mark.parametrize(
    ("scenario", "rounds"),
    [
        ("cuts", 60),
        ("kills", 3),
        ("stop_races", 30),
        ("storms", 10),
        ("joins", 40),
        ("retries", 10),
    ],
)
async def test_nothing_is_lost_or_doubled(tmp_path: Path, scenario: str, rounds: int) -> None:
    async with cluster(tmp_path, seed=7) as world:
        (await getattr(scenarios, scenario)(world, rounds)).hold()
