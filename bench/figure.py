"""The figure: CPU per token by load, a line a relay, as SVG by hand."""

from __future__ import annotations

from html import escape
from math import log10
from statistics import median
from typing import Any

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 230, 48, 44
COLOURS = ("#d1495b", "#00798c", "#edae49", "#30638e", "#8d6a9f", "#7a7a7a", "#5b8e7d")


def draw(result: dict[str, Any]) -> str:
    """CPU µs per token over sessions, both logarithmic; a hollow point is a saturated relay."""
    loads = sorted(int(name) for name in result["rows"] if name.isdigit())
    series: dict[str, list[tuple[int, float, bool]]] = {}
    for load in loads:
        for name, rows in result["rows"][str(load)].items():
            good = [row for row in rows if "error" not in row]
            if good:
                value = median(row["cpu_us_per_token"] for row in good)
                kept_up = median(row["held"] for row in good) >= 0.97
                series.setdefault(name, []).append((load, value, kept_up))
    values = [value for points in series.values() for _, value, _ in points]
    if not values:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\n'
    low, high = log10(min(values) * 0.8), log10(max(values) * 1.2)
    first, last = log10(loads[0]), log10(loads[-1]) or 1

    def x(load: int) -> float:
        part = (log10(load) - first) / (last - first) if last > first else 0.5
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (log10(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">CPU per token relayed, µs '
        "(lower is better)</text>",
    ]
    parts += [
        f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>'
        for tick in (10, 20, 50, 100, 200, 500, 1000)
        if low <= log10(tick) <= high
    ]
    parts += [
        f'<text x="{x(load):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{load}</text>'
        for load in loads
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">'
        "sessions of 50 tokens/s</text>"
    )
    ends = sorted((y(points[-1][1]), name) for name, points in series.items())
    labels: dict[str, float] = {}
    for at, name in ends:
        labels[name] = max(at, max(labels.values(), default=0) + 16)
    for (name, points), colour in zip(series.items(), COLOURS, strict=False):
        line = " ".join(f"{x(load):.1f},{y(value):.1f}" for load, value, _ in points)
        width = 3 if name == "ours" else 1.5
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        )
        for load, value, kept_up in points:
            fill = colour if kept_up else "#fff"
            parts.append(
                f'<circle cx="{x(load):.1f}" cy="{y(value):.1f}" r="4" fill="{fill}" '
                f'stroke="{colour}" stroke-width="1.5"/>'
            )
        weight = ' font-weight="bold"' if name == "ours" else ""
        parts.append(
            f'<text x="{WIDTH - RIGHT + 12}" y="{labels[name] + 4:.1f}" fill="{colour}"{weight}>'
            f"{escape(result['relays'][name])}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"
