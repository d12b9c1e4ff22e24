"""The tests' own fold of a log, independent of the server's and of the page's.

Its result has the form of the shared vectors (`tests/vectors/README.md`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Entry = dict[str, Any]
OPEN = ("streaming", "ready", "awaiting_approval", "awaiting_client", "running")


class _Exchange:
    """One run, or several that continue one message. Texts are UTF-16 bytes."""

    def __init__(self, run_id: str) -> None:
        self.run_ids = [run_id]
        self.message_id: str | None = None
        self.begun = False
        self.user_text: str | None = None
        self.text = {"text": b"", "reasoning": b""}
        self.calls: dict[str, tuple[str, int]] = {}
        self.took: list[tuple[str | None, int]] = []  # messages, each with its place
        self.status = "queued"
        self.question: str | None = None
        self.follows: str | None = None  # the answer before the question
        self.placed = False  # with the question
        self.behind: str | None = None  # the answer that was last when it ended in the queue

    def grow(self, kind: str, offset: int, delta: str) -> None:
        known, new = self.text[kind], delta.encode("utf-16-le", "surrogatepass")
        if 2 * offset > len(known):
            raise AssertionError(f"a hole in {self.run_ids}: {len(known) // 2} then {offset}")
        self.text[kind] = known + new[max(0, len(known) - 2 * offset) :]

    def cut(self, offset: int) -> None:
        self.text["text"] = self.text["text"][: 2 * offset]
        self.calls = {
            key: (status, place)
            for key, (status, place) in self.calls.items()
            if place <= offset and status not in OPEN
        }

    def view(self) -> dict[str, Any]:
        return {
            "run_id": self.run_ids[-1],
            "user_text": self.user_text,
            "text": self.text["text"].decode("utf-16-le"),
            "reasoning": self.text["reasoning"].decode("utf-16-le"),
            "tool_calls": [
                {"tool_call_id": key, "status": status} for key, (status, _) in self.calls.items()
            ],
            "status": self.status,
            **({"messages": messages} if (messages := self._messages()) else {}),
        }

    def _messages(self) -> list[dict[str, Any]]:
        return [{"text": text, "offset": offset} for text, offset in self.took]


def fold(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """The runs that a log leads to, on its active branch. Raises AssertionError where a text has
    a hole.

    `done.text` is not used: what the tokens did not say is not there.
    """
    begun: list[_Exchange] = []
    waiting: list[_Exchange] = []
    leaf: str | None = None
    for entry in entries:
        if entry["event"] == "selected":
            leaf = entry["message_id"]
        if entry["event"] == "queue":
            waiting.sort(key=lambda run, order=entry["order"]: order.index(run.run_ids[0]))
        if entry.get("run_id") is None:
            continue
        run = _find(begun + waiting, entry)
        if run is None:
            run = _Exchange(entry["run_id"])
            waiting.append(run)
        match entry["event"]:
            case "user_message":
                run.user_text, run.question = entry["text"], entry["message_id"]
                run.follows, run.placed = entry.get("parent"), "parent" in entry
            case "run":
                if entry["run_id"] not in run.run_ids:
                    run.run_ids.append(entry["run_id"])
                run.message_id, run.status = entry["message_id"], entry["status"]
                if entry.get("reset_to") is not None:
                    run.cut(entry["reset_to"])
            case "token":
                run.grow(entry["kind"], entry["offset"], entry["delta"])
            case "tool_call":
                place = run.calls.get(entry["tool_call_id"], ("", len(run.text["text"]) // 2))[1]
                run.calls[entry["tool_call_id"]] = (entry["status"], place)
            case "done":
                run.status = entry["status"]
        if taker_id := entry.get("consumed_by"):
            taker = next(one for one in begun if taker_id in one.run_ids)
            taker.took.append((run.user_text, len(taker.text["text"]) // 2))
            waiting.remove(run)
            continue
        waits = entry["event"] == "user_message" or entry.get("status") == "queued"
        if not run.begun and not waits:
            run.begun = True
            waiting.remove(run)
            if entry["event"] == "run":
                _place(run, entry, begun, leaf)
                leaf = run.message_id
            else:
                run.behind = leaf
            begun.append(run)
    return [run.view() for run in [*_on_branch(begun, leaf), *waiting]]


def _place(run: _Exchange, entry: Entry, begun: list[_Exchange], leaf: str | None) -> None:
    """It answers its own question, or one that was answered before."""
    twin = next((other for other in begun if other.question == entry.get("parent")), None)
    if run.question is None and twin is not None:
        run.question, run.user_text, run.follows = twin.question, twin.user_text, twin.follows
    elif not run.placed:
        run.follows = entry.get("follows", leaf)


def _on_branch(begun: list[_Exchange], leaf: str | None) -> list[_Exchange]:
    answers = {run.message_id: run for run in begun if run.behind is None and run.message_id}
    branch: set[str | None] = set()
    while leaf in answers:
        branch.add(leaf)
        leaf = answers[leaf].follows
    return [
        run for run in begun if (run.message_id if run.behind is None else run.behind) in branch
    ]


def _find(runs: list[_Exchange], entry: Entry) -> _Exchange | None:
    for run in reversed(runs):
        if entry["run_id"] in run.run_ids:
            return run
    if entry["event"] == "run":
        for run in reversed(runs):
            if run.message_id == entry["message_id"]:
                return run
            if not run.begun and run.question and run.question == entry.get("parent"):
                return run  # another answer to it, on a page of this branch alone
    return None
