"""What a server counts, as a scraper reads it."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read
from prometheus_client.samples import Sample

from tests.support.fetch import fetch

OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


async def samples(url: str, token: str | None = None) -> list[Sample]:
    """Those of `/metrics`, by the stricter of its two formats."""
    answer = await fetch(f"{url}/metrics", token, Accept=OPEN_METRICS)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    return [sample for family in read(answer.text) for sample in family.samples]


async def scrape(url: str, token: str | None = None) -> dict[str, float]:
    """The values by name, as `runs_total{status="failed"}`; the labels are in order."""
    return {named(sample): sample.value for sample in await samples(url, token)}


def named(sample: Sample) -> str:
    name = sample.name.removeprefix("realtime_")
    labels = ",".join(f'{label}="{value}"' for label, value in sorted(sample.labels.items()))
    return f"{name}{{{labels}}}" if labels else name
