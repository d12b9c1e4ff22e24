"""Answers of 50 KB, each in one shape: one block that grows, or all kinds of them. The columns of
`table` stay as wide as its first rows, those of `columns` do not."""

from __future__ import annotations

from itertools import cycle

SIZE = 50_000  # characters

WORDS = [
    "the server keeps **every event** of a session in a log and the page reads *it* from `seq` ",
    "onwards, so a [reload](https://example.com/a) loses nothing at all ",
]
CODE = [
    "def total(prices: list[float], rate: float = 0.19) -> float:\n",
    '    """What they cost, with the tax on top."""\n',
    "    net = sum(price for price in prices if price > 0)  # no refunds\n",
    "    return round(net * (1 + rate), 2)\n",
    "\n",
]
CELLS = [f"| {n} | {'word ' * (n * 7 % 23)}| `{10 ** (n % 9)}` |\n" for n in range(99)]
MIXED = [
    "## A heading\n\n",
    "Some words with **bold**, `code` and a [link](https://example.com).\n\n",
    "- one\n- two\n  - with **more** in it\n\n",
    "```python\n" + "".join(CODE) + "```\n\n",
    "| name | value |\n|---|--:|\n| a | 1 |\n| b | **2** |\n\n",
    "The root is \\(\\sqrt{x^2 + 1}\\), and\n\n\\[\n\\sum_{i=0}^n \\frac{1}{i^2}\n\\]\n\n",
    "> What they said.\n\n",
]


def _repeated(pieces: list[str], head: str = "") -> str:
    text = [head]
    size = len(head)
    for piece in cycle(pieces):
        text.append(piece)
        size += len(piece)
        if size >= SIZE:
            return "".join(text)
    raise AssertionError


TEXTS = {
    "list": _repeated(["- an item with **bold** words and `code` in it\n", "- and another one\n"]),
    "table": _repeated(
        ["| Apple | **red** | `1.20` | sweet |\n"], "| a | b | c | d |\n|---|---|--:|---|\n"
    ),
    "columns": _repeated(CELLS, "| number | words | power |\n|--:|---|--:|\n"),
    "paragraph": _repeated(WORDS),
    "code": _repeated(CODE, "```python\n"),
    "quotes": _repeated(["> a line of *what they said*\n", "> > and what was `answered`\n", ">\n"]),
    "mixed": _repeated(MIXED),
}
