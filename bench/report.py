"""What was measured, as JSON, as Markdown and as a figure; all from the JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench import figure
from bench.peers import HERE, Relay, versions

Result = dict[str, Any]
SHOWN = (
    "cpu_us_per_token",
    "tokens_per_s",
    "latency_p50_ms",
    "latency_p99_ms",
    "held",
    "foreign_cpu_percent",
    "load_cpu_percent",
    "bytes_per_connection",
    "connect_cpu_ms",
)
COLUMNS = {
    "relay": "",
    "CPU µs/token": "cpu_us_per_token",
    "tokens/s": "tokens_per_s",
    "tokens/frame": "tokens_per_frame",
    "added p50 ms": "latency_p50_ms",
    "p99 ms": "latency_p99_ms",
    "max ms": "latency_max_ms",
    "first p50 ms": "first_token_p50_ms",
    "first p99 ms": "first_token_p99_ms",
    "RSS idle MB": "rss_idle_mb",
    "RSS busy MB": "rss_busy_mb",
    "notes": "",
}
IDLE_COLUMNS = {
    "relay": "",
    "KB/connection": "bytes_per_connection",
    "connect CPU ms": "connect_cpu_ms",
    "idle CPU %": "idle_cpu_percent",
    "dropped": "dropped",
    "notes": "",
}
WITH_SPREAD = ("cpu_us_per_token", "latency_p99_ms", "bytes_per_connection")
WRONG = {
    "lost": "tokens lost",
    "doubled": "tokens doubled",
    "dropped": "connections dropped",
    "unfinished": "answers unfinished",
}
LOAD_SATURATED = 90.0
DISTURBED = 10.0
KEPT_UP = 0.97


def about(chosen: list[Relay], given: argparse.Namespace) -> Result:
    """Where and with what: nothing that names the machine or a path."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release().partition("-")[0],
        "seconds": given.seconds,
        "repeat": given.repeat,
        "relays": {relay.name: relay.label for relay in chosen},
        "versions": {relay.name: versions(relay) for relay in chosen},
    }


def middle(rows: list[Result], key: str) -> float | None:
    """The median of what the repetitions gave."""
    values = [row[key] for row in rows if key in row]
    return median(values) if values else None


def spread(rows: list[Result], key: str) -> tuple[float, float]:
    values = [row[key] for row in rows if key in row]
    return min(values), max(values)


def ratios(rows: dict[str, list[Result]], key: str, name: str, other: str) -> float | None:
    """The median of `name`'s value over `other`'s in the same repetition."""
    pairs = zip(rows.get(name, []), rows.get(other, []), strict=False)
    found = [a[key] / b[key] for a, b in pairs if a.get(key) and b.get(key)]
    return median(found) if found else None


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def notes(rows: list[Result]) -> str:
    """What takes away from a row's worth, or explains it."""
    found = [row["error"] for row in rows if "error" in row][:1]
    if any(row.get("compressed") for row in rows):
        found.append("compresses")
    held = middle(rows, "held")
    if held is not None and held < KEPT_UP:
        found.append(f"saturated: {100 * held:.0f} % of the tokens in time")
    for key, what in WRONG.items():
        if amount := sum(row.get(key, 0) for row in rows):
            found.append(f"{amount:,} {what}")
    if (middle(rows, "load_cpu_percent") or 0) >= LOAD_SATURATED:
        found.append("the load generator saturates")
    foreign = middle(rows, "foreign_cpu_percent") or 0
    if foreign >= DISTURBED:
        found.append(f"disturbed: others had {foreign:.0f} % of the core")
    return "; ".join(found)


def cell(rows: list[Result], key: str) -> str:
    scale = 1e-3 if key == "bytes_per_connection" else 1
    value = middle(rows, key)
    if value is None:
        return "–"
    if key not in WITH_SPREAD or len(rows) < 2:
        return number(value * scale)
    low, high = spread(rows, key)
    return f"{number(value * scale)} ({number(low * scale)}–{number(high * scale)})"


def rows_table(result: Result, name: str) -> list[str]:
    columns = IDLE_COLUMNS if name == "idle" else COLUMNS
    found: dict[str, list[Result]] = result["rows"][name]
    keys = [
        (title, key)
        for title, key in columns.items()
        if not key or any(key in row for rows in found.values() for row in rows)
    ]
    ours = name != "idle" and "ours" in found
    heads = [title for title, _ in keys]
    if ours:
        heads.insert(2, "ours ÷ it")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for relay, rows in found.items():
        cells = [cell(rows, key) if key else "" for _, key in keys]
        cells[0], cells[-1] = result["relays"][relay], notes(rows)
        if ours:
            cells.insert(2, number(ratios(found, "cpu_us_per_token", "ours", relay)))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def capacity_table(result: Result) -> list[str]:
    lines = ["| relay | sessions held | by its CPU | notes |", "|---|---|---|---|"]
    for relay, found in result["capacity"].items():
        note = "the load generator gave in first" if found["limited_by_load"] else ""
        if found["disturbed"]:
            note += "; disturbed" if note else "disturbed"
        label = result["relays"][relay]
        lines.append(f"| {label} | {found['sessions']} | {found['estimated']} | {note} |")
    return lines


def table(result: Result) -> str:
    """The result as Markdown, without its head."""
    lines: list[str] = []
    for name in result["rows"]:
        heading = {
            "burst": "Burst: 20 answers of 2,000 tokens, as fast as they come",
            "idle": "500 idle connections",
        }.get(name, f"{name} sessions, 50 tokens/s each")
        lines += ["", f"## {heading}", "", *rows_table(result, name)]
    if result.get("capacity"):
        heading = "Capacity: sessions of 50 tokens/s with p99 ≤ 100 ms, one core"
        lines += ["", f"## {heading}", "", *capacity_table(result)]
    return "\n".join(lines)


def profile_section(profile: Result) -> str:
    """What `python -m bench.profiler --record` found."""
    lines = ["| package | % | | function | % |", "|---|---|---|---|---|"]
    for (package, share), (name, own) in zip(
        profile["packages"][:20], profile["python"][:20], strict=False
    ):
        lines.append(f"| {package} | {share} | | `{name}` | {own} |")
    text = "\n".join(lines)
    return f"""
## Where the CPU goes

This server at {profile["sessions"]} sessions, {profile["date"]}: shares of \
{profile["samples"]} samples by py-spy, each counted for the innermost Python function.

{text}
"""


def save(result: Result, *, record: bool) -> Path:
    """Write the JSON; where it is for the record, RESULTS.md and the figure too."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    name = result["date"].replace(":", "") if record else "quick"
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if record:
        (HERE / "results.svg").write_text(figure.draw(result))
        (HERE / "RESULTS.md").write_text(page(result, path.name))
    return path


def page(result: Result, source: str) -> str:
    profile = HERE / "results" / "profile.json"
    profiled = profile_section(json.loads(profile.read_text())) if profile.exists() else ""
    used = "\n".join(
        f"- {result['relays'][name]}: {text}" for name, text in result["versions"].items()
    )
    return f"""# Results

{result["date"]}, {result["cpu"]}, {result["cores"]} cores, Linux {result["kernel"]}; \
{result["repeat"]} repetitions with windows of {result["seconds"]:g} s; from `results/{source}`. \
[README.md](README.md) says what is measured and how.

Values are medians, with (lowest–highest) beside them. *ours ÷ it* is this server's CPU per token \
divided by that relay's, the median over the repetitions.

![CPU per token](results.svg)
{table(result)}
{profiled}
## Versions

{used}
"""
