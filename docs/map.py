"""Draws docs/architecture.svg from the import rules that tests/test_architecture.py holds.

Run it from the project's folder: `python -m docs.map`. A folder with no place here is an error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from pathlib import Path
from textwrap import wrap

TARGET = Path(__file__).with_name("architecture.svg")
BUILDERS = "cli, app, build"
# Column, row and purpose of each folder. A line leaves a box downwards and turns just above the
# row of its target, so a column must be free between a box and the rows of its targets.
PLACES = {
    "tracing": (0, 1, "spans for a collector"),
    "background": (1, 1, "summaries, retention"),
    "cluster": (2, 1, "many workers, one log"),
    "edge": (3, 1, "Socket.IO, HTTP"),
    "supabase": (5, 1, "ships the log"),
    "client": (6, 1, "a client in Python"),
    "live": (2, 2, "sessions in memory"),
    "auth": (3, 2, "token → user"),
    "config": (4, 2, "settings"),
    "extensions": (4, 3, "an operator's own code"),
    "limits": (0, 3, "rates, budgets"),
    "files": (1, 3, "uploads, images"),
    "log": (1, 4, "commits, then publishes"),
    "runs": (2, 3, "one message's answer"),
    "tools": (2, 4, "functions, MCP"),
    "core": (2, 5, "a session's rules"),
    "models": (2, 6, "language models"),
    "protocol": (2, 7, "commands, events, errors"),
}
COLUMN, ROW, WIDTH, HEIGHT, MARGIN = 164, 98, 148, 60, 16
COLUMNS, ROWS = 7, 8
INK, SOFT = "#1f2937", "#6b7280"

Rules = Mapping[str, Collection[str]]


def direct(rules: Rules, name: str) -> list[str]:
    """What a folder imports, without what it reaches through another one."""

    def reach(start: str) -> set[str]:
        return set(rules[start]).union(*map(reach, rules[start]))

    below = set().union(*map(reach, rules[name]))
    return sorted(set(rules[name]) - below)


def corner(name: str) -> tuple[int, int]:
    column, row, _ = PLACES[name]
    return MARGIN + column * COLUMN, MARGIN + row * ROW


def box(x: int, y: int, width: int, name: str, lines: list[str]) -> list[str]:
    middle, top = x + width // 2, y + (HEIGHT - 12 * len(lines)) // 2
    texts = [f'<text x="{middle}" y="{top + 3}" font-weight="bold">{escape(name)}</text>']
    texts += [
        f'<text x="{middle}" y="{top + 17 + 12 * i}" font-size="10.5" fill="{SOFT}">'
        f"{escape(line)}</text>"
        for i, line in enumerate(lines)
    ]
    return [
        f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT}" rx="6" fill="#f3f4f6" '
        f'stroke="{INK}"/>',
        *texts,
    ]


def arrow(source: tuple[int, int], target: tuple[int, int]) -> str:
    """Down, across in the gap above the target, and down into it."""
    (x, y), (to_x, to_y) = source, target
    gap = 26 if x < to_x else 18  # lines from the left and from the right stay apart,
    gap += 5 if to_y - y > ROW else 0  # and those from farther up from both
    across = f"V{to_y - gap}H{to_x}" if x != to_x else ""
    return f'<path d="M{x} {y}{across}V{to_y - 2}" marker-end="url(#tip)"/>'


def draw(rules: Rules, services: Mapping[str, Collection[str]]) -> str:
    """The folders and which imports which, as SVG. `services`: a package's name, and the
    modules that touch it."""
    width = 2 * MARGIN + (COLUMNS - 1) * COLUMN + WIDTH
    height = 2 * MARGIN + (ROWS - 1) * ROW + HEIGHT
    half = WIDTH // 2
    arrows, boxes = [], box(MARGIN, MARGIN, width - 2 * MARGIN, BUILDERS, ["put it together"])
    imported = set().union(*rules.values())
    for name in rules:
        x, y = corner(name)
        if name not in imported:
            arrows.append(arrow((x + half, MARGIN + HEIGHT), (x + half, y)))
        for other in direct(rules, name):
            to_x, to_y = corner(other)
            arrows.append(arrow((x + half, y + HEIGHT), (to_x + half, to_y)))
        used = [
            service
            for service, modules in services.items()
            if any(module.partition(".")[0] == name for module in modules)
        ]
        lines = [PLACES[name][2], *(wrap(f"({', '.join(used)})", 24) if used else [])]
        boxes += box(x, y, WIDTH, name, lines)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="13" '
            f'text-anchor="middle" fill="{INK}">',
            "<title>The folders of realtime/, and which imports which</title>",
            '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{SOFT}"/></marker>',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            f'<g fill="none" stroke="{SOFT}" stroke-width="1.3">',
            *arrows,
            "</g>",
            *boxes,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    from tests.test_architecture import picture

    TARGET.write_text(picture(), "utf-8")
