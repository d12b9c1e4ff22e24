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


class ContextWindow:
    """What of a conversation a run's model calls are given, which only ever becomes less. The
    conversation is given anew for each step. `summary` stands for what is left out of it."""

    def __init__(self, summary: str | None) -> None:
        self._summary = summary
        self._overflows = 0
        self._left_out = 0  # exchanges, the oldest
        self._shortened = 0  # items of what is left, the oldest

    def fit(self, items: Sequence[Item], budget: int) -> tuple[tuple[Item, ...], str]:
        """What a model call is given for `budget` tokens, and what follows its instructions."""
        kept, left_out = fit(self._rest(items), budget)
        left_out = left_out or self._overflows > 0
        return tuple(kept), SUMMARY + self._summary if left_out and self._summary else ""

    def _rest(self, items: Sequence[Item]) -> list[Item]:
        if not self._overflows:
            return list(items)
        rest = _joined(exchanges(items)[self._left_out :])
        return [*shortened(rest[: self._shortened]), *rest[self._shortened :]]

    def shorten(self, items: Sequence[Item]) -> bool:
        """After an overflow: leave out the older half of the exchanges; where there is only one,
        all its outputs are shortened. False where nothing more can be left out."""
        if self._overflows >= MAX_OVERFLOWS:
            return False
        rest = self._rest(items)
        if (count := len(exchanges(rest))) > 1:
            self._left_out += (count + 1) // 2
        elif shortened(rest) != rest:
            self._shortened = len(rest)
        else:
            return False
        self._overflows += 1
        return True

    def keep_newest(self, items: Sequence[Item]) -> bool:
        """Keep the newest exchange only, after a refusal that may be due to something said long
        ago. False where there was nothing else."""
        earlier = len(exchanges(self._rest(items))) - 1
        self._left_out += earlier
        self._overflows += earlier > 0
        return earlier > 0


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


def exchanges(items: Sequence[Item]) -> list[Exchange]:
    """The items cut before each user's message that began an answer; at least one exchange,
    perhaps empty."""
    parts: list[Exchange] = [[]]
    for item in items:
        begins = isinstance(item, UserText) and not item.ours and not item.steers
        if begins and parts[-1]:
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
