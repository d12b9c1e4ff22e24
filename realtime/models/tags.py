"""Thoughts that a model writes into its text, in tags such as `<think>`. No I/O.

Servers without a parser for the model's reasoning pass the tags on. They count as tags only at
the beginning of an answer: later they may be what the answer is about.
"""

from __future__ import annotations

from . import TextDelta

_TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
}
_MAX_SPACE = 64
"""The most white space before a tag, in characters; what follows more is text."""


class Tags:
    """Splits the texts of one answer into text and reasoning, wherever the pieces were cut."""

    def __init__(self) -> None:
        self.settled = False
        """No tag is open and none can follow: later texts need not be fed."""
        self._held = ""
        self._end = ""  # what closes the tag that is open
        self._thought = False

    def feed(self, text: str) -> list[TextDelta]:
        self._held += text
        deltas: list[TextDelta] = []
        while self._held and not self.settled:
            step = self._inside(deltas) if self._end else self._before(deltas)
            if not step:
                break
        return deltas

    def finish(self) -> list[TextDelta]:
        """What was held back, at the end of the answer."""
        held, self._held = self._held, ""
        if self._end:
            return [TextDelta(held, "reasoning")] if held else []
        held = held.lstrip() if self._thought else held
        return [TextDelta(held)] if held else []

    def _before(self, deltas: list[TextDelta]) -> bool:
        """Where a tag may begin. False: it takes more text to tell."""
        text = self._held.lstrip()
        for tag, end in _TAGS.items():
            if text.startswith(tag):
                self._held, self._end, self._thought = text[len(tag) :], end, True
                return True
            if tag.startswith(text) and len(self._held) <= _MAX_SPACE:
                return False
        self.settled = True
        deltas.append(TextDelta(text if self._thought else self._held))
        self._held = ""
        return True

    def _inside(self, deltas: list[TextDelta]) -> bool:
        """After an opening tag. False: its end has not come yet."""
        thought, found, rest = self._held.partition(self._end)
        if found:
            self._held, self._end = rest, ""
        else:
            kept = _begun(thought, self._end)
            thought, self._held = thought[: len(thought) - kept], thought[len(thought) - kept :]
        if thought:
            deltas.append(TextDelta(thought, "reasoning"))
        return bool(found)


def _begun(text: str, end: str) -> int:
    """How many characters at the end of `text` begin `end`."""
    return next((n for n in range(len(end) - 1, 0, -1) if text.endswith(end[:n])), 0)
