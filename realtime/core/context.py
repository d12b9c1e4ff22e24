"""What of a conversation a model is given: as much as fits, by one rule. No I/O.

1. All of it, where it fits the budget.
2. Else the files of earlier exchanges become notes, the oldest first.
3. Then the outputs of the tools of earlier exchanges are shortened, in the same order.
4. Then the oldest exchanges are left out whole: a user's message with everything that
   followed from it, so no result is ever parted from its call.
5. Of the newest exchange the outputs of all steps but the last are shortened. The rest of
   it always stays: where that is too long, the provider says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..models import Item, ToolRequest, ToolResult, UserText
from ..models.notes import noted
from .usage import tokens_of

MAX_OVERFLOWS = 2
SUMMARY = "\n\nThe conversation began earlier than what you are given. A summary of it:\n\n"
MAX_OLD_OUTPUT = 1000  # characters of an output that is shortened

Exchange = list[Item]


class History:
    """A conversation as a run goes on with it. `summary` stands for what is left out of it."""

    def __init__(self, items: Sequence[Item], summary: str | None) -> None:
        self.items = list(items)
        self._summary = summary
        self._overflows = 0

    def fit(self, budget: int) -> tuple[tuple[Item, ...], str]:
        """What a model call is given for `budget` tokens, and what follows its instructions."""
        items, left_out = fit(self.items, budget)
        left_out = left_out or self._overflows > 0
        return tuple(items), SUMMARY + self._summary if left_out and self._summary else ""

    def shorten(self) -> bool:
        """After an overflow. False where nothing more can be left out."""
        shorter = halve(self.items) if self._overflows < MAX_OVERFLOWS else None
        if shorter is None:
            return False
        self._overflows += 1
        self.items = shorter
        return True

    def keep_newest(self) -> bool:
        """Keep the newest exchange only, after a refusal that may be due to something said long
        ago. False where there was nothing else."""
        *earlier, newest = exchanges(self.items)
        if earlier:
            self._overflows += 1
            self.items = newest
        return bool(earlier)


def fit(items: Sequence[Item], budget: int) -> tuple[list[Item], bool]:
    """What is given of `items` (oldest first) for `budget` tokens, and whether exchanges
    were left out."""
    total = sum(map(tokens_of, items))
    if total <= budget:
        return list(items), False
    *earlier, newest = exchanges(items)
    for shorter in (in_words, shortened):
        for place, exchange in enumerate(earlier):
            short = shorter(exchange)
            total -= _size(exchange) - _size(short)
            earlier[place] = short
            if total <= budget:
                return _joined([*earlier, newest]), False
    left_out = 0
    while left_out < len(earlier) and total > budget:
        total -= _size(earlier[left_out])
        left_out += 1
    if total > budget:
        newest = shortened(newest, keep_last=True)
    return _joined([*earlier[left_out:], newest]), left_out > 0


def halve(items: Sequence[Item]) -> list[Item] | None:
    """Without the older half of the exchanges; where there is only one, with all its outputs
    shortened. None where nothing is left to leave out."""
    parts = exchanges(items)
    if len(parts) > 1:
        return _joined(parts[(len(parts) + 1) // 2 :])
    short = shortened(items)
    return None if short == list(items) else short


def exchanges(items: Sequence[Item]) -> list[Exchange]:
    """The items cut before each user's message; at least one exchange, perhaps empty."""
    parts: list[Exchange] = [[]]
    for item in items:
        if isinstance(item, UserText) and not item.ours and parts[-1]:
            parts.append([])
        parts[-1].append(item)
    return parts


def in_words(items: Sequence[Item]) -> list[Item]:
    """With a note in place of each file."""
    return [noted(item) if isinstance(item, UserText) and item.files else item for item in items]


def shortened(items: Sequence[Item], *, keep_last: bool = False) -> list[Item]:
    """With the outputs of its tools cut to `MAX_OLD_OUTPUT`; perhaps but for the last step's."""
    end = len(items)
    if keep_last:
        requests = [place for place, item in enumerate(items) if isinstance(item, ToolRequest)]
        end = requests[-1] if requests else 0
    return [
        _short(item) if isinstance(item, ToolResult) and place < end else item
        for place, item in enumerate(items)
    ]


def _short(result: ToolResult) -> ToolResult:
    text = result.output
    if len(text) <= MAX_OLD_OUTPUT:
        return result
    head, tail = MAX_OLD_OUTPUT * 3 // 5, MAX_OLD_OUTPUT // 5
    left_out = f"\n[… {len(text) - head - tail} characters left out …]\n"
    return ToolResult(result.tool_call_id, text[:head] + left_out + text[-tail:])


def _size(items: Exchange) -> int:
    return sum(map(tokens_of, items))


def _joined(parts: Sequence[Exchange]) -> list[Item]:
    return [item for part in parts for item in part]
