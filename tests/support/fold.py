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
        self.status = "queued"

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
        }


def fold(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """The runs that a log leads to. Raises AssertionError where a text has a hole.

    `done.text` is not used: what the tokens did not say is not there.
    """
    begun: list[_Exchange] = []
    waiting: list[_Exchange] = []
    for entry in entries:
        if entry.get("run_id") is None:
            continue
        run = _find(begun + waiting, entry)
        if run is None:
            run = _Exchange(entry["run_id"])
            waiting.append(run)
        match entry["event"]:
            case "user_message":
                run.user_text = entry["text"]
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
        waits = entry["event"] == "user_message" or entry.get("status") == "queued"
        if not run.begun and not waits:
            run.begun = True
            waiting.remove(run)
            begun.append(run)
    return [run.view() for run in begun + waiting]


def _find(runs: list[_Exchange], entry: Entry) -> _Exchange | None:
    for run in reversed(runs):
        if entry["run_id"] in run.run_ids:
            return run
    if entry["event"] == "run":
        for run in reversed(runs):
            if run.message_id == entry["message_id"]:
                return run
    return None
