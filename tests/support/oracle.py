"""What was said, what was stored, what was shown: three tapes that must be one.

The journal's file is read directly, while the server runs or after it was killed.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from realtime.log.journal import slim
from tests.support.fold import Entry, fold
from tests.support.upstream import TOKEN, Tape


class Seer(Protocol):
    """A device's tape: all it ever saw, and where the server broke its word."""

    name: str
    seen: list[Entry]
    faults: list[str]


class Witness(Seer, Protocol):
    """The same of a device whose log is kept here."""

    auth: dict[str, Any]
    entries: list[Entry]


@dataclass
class Verdict:
    """Counts of what was tried and of what was wrong; `problems` says it in words."""

    tried: int = 0
    runs: int = 0
    tokens: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    ghosts: int = 0
    orphans: int = 0
    problems: list[str] = field(default_factory=list)

    def __iadd__(self, other: Verdict) -> Verdict:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        return self

    @property
    def good(self) -> bool:
        wrong = self.lost + self.doubled + self.reordered + self.ghosts + self.orphans
        return not wrong and not self.problems

    def hold(self) -> None:
        assert self.good, f"{self}"


def journal(path: Path) -> dict[str, list[Entry]]:
    """Every session's entries, in order."""
    sessions: dict[str, list[Entry]] = defaultdict(list)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        for row in slim.rows(database.execute(slim.SELECT + "TRUE ORDER BY session_id, seq")):
            entry = {"event": row.event_type, **json.loads(row.payload)}
            sessions[row.session_id].append(entry)
    return dict(sessions)


def rows(path: Path, sql: str, *values: Any) -> list[Any]:
    """Any question to the journal."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        return database.execute(sql, values).fetchall()


def check(
    sessions: Mapping[str, list[Entry]],
    witnesses: Iterable[Witness] = (),
    tapes: Sequence[Tape] = (),
    *,
    running: Iterable[str] = (),
) -> Verdict:
    """Hold the log, what the devices saw and what the upstream said against each other.

    Every run must have ended, but for those named in `running`. The devices must have caught
    up with the log. The texts said to the upstream must differ from run to run where
    `tapes` is given.
    """
    verdict = Verdict()
    for session_id, entries in sessions.items():
        _check_log(verdict, session_id, entries, set(running))
        _check_tapes(verdict, entries, tapes)
    for witness in witnesses:
        entries = sessions.get(witness.auth.get("session_id", ""), [])
        _check_witness(verdict, witness, entries)
    return verdict


def _check_log(verdict: Verdict, session_id: str, entries: list[Entry], running: set[str]) -> None:
    """`seq` without a hole from 1, one `done` a run and nothing behind it, texts whole."""
    head = 0
    ended: set[str] = set()
    begun: set[str] = set()
    lengths: dict[str, int] = {}
    for entry in entries:
        if entry.get("first_seq", entry["seq"]) != head + 1:
            verdict.problems.append(f"{session_id}: seq {head} then {entry['seq']} in the log")
        head = entry["seq"]
        run_id = entry.get("run_id")
        if run_id is None:
            continue
        begun.add(run_id)
        if run_id in ended:
            what = "a second done" if entry["event"] == "done" else "an event behind done"
            verdict.problems.append(f"{run_id}: {what} at {entry['seq']}")
        if entry["event"] == "token" and entry["kind"] == "text":
            end = entry["offset"] + len(entry["delta"].encode("utf-16-le")) // 2
            lengths[entry["message_id"]] = end
        if entry["event"] == "done":
            ended.add(run_id)
            if entry["text_len"] != lengths.get(entry["message_id"], 0):
                verdict.problems.append(f"{run_id}: text_len is {entry['text_len']}")
    verdict.runs += len(begun)
    for run_id in begun - ended - running:
        verdict.orphans += 1
        verdict.problems.append(f"{run_id} has no done")


def _check_tapes(verdict: Verdict, entries: list[Entry], tapes: Sequence[Tape]) -> None:
    """The text of each run is t000001, t000002, … as far as it came; never more than was said."""
    by_run = {e["run_id"]: e for e in entries if e["event"] == "done"}
    for run in fold(entries):
        numbers = [int(number) for number in TOKEN.findall(run["text"])]
        if len("".join(f"t{n:06d} " for n in numbers)) != len(run["text"]):
            verdict.problems.append(f"{run['run_id']}: text that nobody said")
        verdict.tokens += len(numbers)
        verdict.doubled += len(numbers) - len(set(numbers))
        verdict.reordered += sum(b < a for a, b in pairwise(numbers))
        verdict.lost += max(numbers, default=0) - len(set(numbers))
        done = by_run.get(run["run_id"])
        if done and done.get("text") is not None and done["text"] != run["text"]:
            verdict.problems.append(f"{run['run_id']}: done.text is not what was streamed")
        texts = [run["user_text"], *(message["text"] for message in run.get("messages", ()))]
        said = [tape for tape in tapes if tape.kind == "run" and tape.said in texts]
        if not said:
            continue
        if len(numbers) > max(tape.written for tape in said):
            verdict.problems.append(f"{run['run_id']}: more tokens than were said")
        if run["status"] == "completed":
            verdict.lost += max(0, said[-1].count - len(numbers))


def _check_witness(verdict: Verdict, witness: Witness, entries: list[Entry]) -> None:
    """Nothing seen that is not in the log, and in the end the same state."""
    try:
        state = fold(witness.entries)
    except AssertionError as error:
        verdict.lost += 1
        verdict.problems.append(f"{witness.name}: {error}")
        state = []
    check_state(verdict, witness, state, entries)


def check_state(
    verdict: Verdict, witness: Seer, state: list[dict[str, Any]], entries: list[Entry]
) -> None:
    """As above, with the state that the device itself has made of what it saw."""
    verdict.problems += witness.faults
    by_seq = {entry["seq"]: entry for entry in entries if entry["event"] != "token"}
    texts = _texts(entries)
    calls = {e["tool_call_id"] for e in entries if e["event"] == "tool_call"}
    for entry in witness.seen:
        if entry["event"] == "token":
            known = texts.get((entry["message_id"], entry["kind"]), b"")
            start, delta = 2 * entry["offset"], entry["delta"].encode("utf-16-le")
            real = known[start : start + len(delta)] == delta
        elif entry["event"] == "tool_call" and "first_seq" in entry:
            real = entry["tool_call_id"] in calls
        else:
            real = by_seq.get(entry["seq"]) == entry
        if not real:
            verdict.ghosts += 1
            verdict.problems.append(f"{witness.name} saw a ghost: {str(entry)[:200]}")
    logs = fold(entries)
    if state != logs:
        differing = [(a, b) for a, b in zip(state, logs, strict=False) if a != b]
        verdict.lost += max(1, len(differing))
        verdict.problems.append(
            f"{witness.name} ends with another state: {len(state)} runs of {len(logs)}; "
            f"{str(differing[:1])[-600:]}"
        )


def _texts(entries: list[Entry]) -> dict[tuple[str, str], bytes]:
    texts: dict[tuple[str, str], bytes] = defaultdict(bytes)
    for entry in entries:
        if entry["event"] == "token":
            texts[entry["message_id"], entry["kind"]] += entry["delta"].encode("utf-16-le")
    return texts
