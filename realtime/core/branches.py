"""The tree of a session's messages. Each follows its parent; siblings stand in one another's place.

Questions and answers take turns on every path. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def around(family: Sequence[str], message_id: str, most: int) -> Sequence[str]:
    """At most so many siblings that stand next to a message, itself among them."""
    first = max(0, min(family.index(message_id) - most // 2, len(family) - most))
    return family[first : first + most]


class Branches:
    """Which message follows which, and the branch that is active: the path to `leaf`."""

    def __init__(self) -> None:
        self.leaf: str | None = None
        self.parents: dict[str, str | None] = {}  # by message, in the order in which they began
        self._active: dict[str | None, str] = {}  # the child that was last on the active branch

    def __contains__(self, message_id: str) -> bool:
        return message_id in self.parents

    def add(self, message_id: str, parent: str | None) -> None:
        """A message begins; one that is there stays where it is."""
        self.parents.setdefault(message_id, parent)

    def activate(self, leaf: str) -> None:
        before, self.leaf = self.leaf, leaf
        child = leaf
        while child != before and child in self.parents:  # the path to the leaf before is active
            parent = self.parents[child]
            self._active[parent] = child
            if parent is None:
                return
            child = parent

    def end_of(self, message_id: str) -> str:
        """The leaf behind a message that was last on the active branch."""
        while child := self._active.get(message_id):
            message_id = child
        return message_id

    def next(self, message_id: str) -> str | None:
        """The message behind this one that was last on the active branch."""
        return self._active.get(message_id)

    def path(self, leaf: str | None) -> list[str]:
        """The messages of a branch, the first one first."""
        found: list[str] = []
        while leaf is not None:
            found.append(leaf)
            leaf = self.parents.get(leaf)
        return found[::-1]

    @property
    def many(self) -> bool:
        """Whether there is any other branch than the active one."""
        return len(self.parents) > len(self.path(self.leaf))

    def siblings(self, messages: Iterable[str]) -> dict[str, list[str]]:
        """Of those of these messages that have any: they and their siblings, in the order in
        which they began."""
        families: dict[str | None, list[str]] = {}
        for message_id, parent in self.parents.items():
            families.setdefault(parent, []).append(message_id)
        found = {message_id: families[self.parents[message_id]] for message_id in messages}
        return {message_id: family for message_id, family in found.items() if len(family) > 1}
