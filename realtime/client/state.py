"""The state of a session as a fold over what the server sends: no socket, no clock.

A client knows less than the server: it may begin with the newest page, a newer server may send it
what it has no name for, and the runs of other branches may be missing. So this is a fold of its
own beside that of the server, and both are held to the same vectors. Events are dicts: the payload
with its name as `event`. Those that are not known here change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from msgspec import UNSET, UnsetType

from .message import Json, Message

Verdict = Literal["applied", "ignored", "gap"]
Maybe = str | UnsetType | None
"""A message's id; None: there is none; UNSET: it is not known."""


@dataclass(eq=False)
class Exchange:
    """A question and its answer. An answer that was continued stays one exchange, under the newest
    `run_id`.

    `begun`: whether it waits no longer. `user`: the `user_message`. `question`: the id of the
    message that it answers; `follows`: the answer before that; `behind`: where it ended while it
    waited, the answer that was the last one then. `note`: what the last `run` event said;
    `fallback`: the last change of the model. `done`: how it ended.
    """

    run_id: str
    run_ids: list[str]
    begun: bool = False
    user: Json | None = None
    question: str | None = None
    follows: Maybe = UNSET
    behind: Maybe = UNSET
    began: int = 0
    message: Message = field(default_factory=Message)
    status: str = "queued"
    model: str = ""
    note: Json | None = None
    fallback: Json | None = None
    done: Json | None = None

    def is_same(self, other: Exchange) -> bool:
        """Whether two pages tell of one exchange."""
        asked = self.question and self.question == other.question
        message_id = self.message.message_id
        return bool(
            set(self.run_ids) & set(other.run_ids)
            or (asked and not (self.begun and other.begun))
            or (message_id and message_id == other.message.message_id)
        )

    def join(self, newer: Exchange) -> None:
        """Put what a newer page has of it behind what this one has."""
        if newer.model:
            self.status, self.model, self.note = newer.status, newer.model, newer.note
        self.run_id, self.begun, self.behind = newer.run_id, newer.begun, newer.behind
        self.run_ids += [one for one in newer.run_ids if one not in self.run_ids]
        self.user = newer.user or self.user
        self.question = newer.question or self.question
        self.follows = self.follows if newer.follows is UNSET else newer.follows
        self.began = self.began or newer.began
        self.fallback, self.done = newer.fallback or self.fallback, newer.done
        self.message.join(newer.message)


@dataclass(eq=False)
class SessionState:
    """One session, as far as it is known.

    `runs`: the exchanges of the active branch in the order of the context, those that wait in the
    queue last. `aside`: known ones of other branches. `leaf`: the last answer of the active branch.
    `next_before_seq`: where an older page begins, if there is one. `feedback`: by message and user.
    """

    session_id: str | None = None
    user_id: str | None = None
    epoch: int | None = None
    last_seq: int = 0
    start_time: int | None = None
    runs: list[Exchange] = field(default_factory=list)
    aside: list[Exchange] = field(default_factory=list)
    leaf: str | None = None
    ended: Json | None = None
    summary: Json | None = None
    next_before_seq: int | None = None
    title: str | None = None
    pinned: bool = False
    archived: bool = False
    forked_from: Json | None = None
    feedback: dict[str, dict[str, Json]] = field(default_factory=dict)

    # ---------------------------------------------------------------- taking in

    def apply(self, event: Json) -> Verdict:
        """Take one event, live or replayed. "gap": some are missing before it; nothing changed."""
        seq: int = event["seq"]
        if event.get("session_id", self.session_id) != self.session_id or seq <= self.last_seq:
            return "ignored"
        if (event.get("first_seq") or seq) > self.last_seq + 1:
            return "gap"
        self._fold(event)
        self.last_seq = seq
        return "applied"

    def prepend(self, page: Json) -> None:
        """Put an older page, the ack of `history`, in front of what is known."""
        older = SessionState(session_id=self.session_id)
        older.fold(page["events"])
        self._link(older)
        self._give_words(older)
        begun = [run for run in older.runs if run.begun]
        waiting = [run for run in older.runs if not run.begun]
        later = [run for run in self.runs if not _among(begun, run)]
        still = [run for run in waiting if not _among(later, run)]
        for run in begun:
            if end := _among(self.runs, run):
                run.join(end)
        rest = []
        for run in later:
            start = _among(waiting, run)
            if start:
                start.join(run)
            rest.append(start or run)
        self.runs = [
            *begun,
            *(run for run in rest if run.begun),
            *still,
            *(run for run in rest if not run.begun),
        ]
        self.user_id = self.user_id or older.user_id
        if older.start_time is not None:
            self.start_time = older.start_time
        self.forked_from = older.forked_from or self.forked_from
        for message_id, votes in older.feedback.items():
            self.feedback[message_id] = votes | self.feedback.get(message_id, {})
        self.next_before_seq = page.get("next_before_seq")

    def _link(self, older: SessionState) -> None:
        """The first exchange that is known follows the last one of the older page."""
        first = next((run for run in self.runs if run.begun), None)
        last = next((run for run in reversed(older.runs) if run.begun), None)
        if first and first.follows is UNSET and older.leaf and not (last and last.is_same(first)):
            first.follows = older.leaf

    def _give_words(self, older: SessionState) -> None:
        """Answers took messages in whose words are on the older page."""
        for waiting in [run for run in older.runs if not run.begun]:
            takers = [run for run in self.runs if run.message.took_in(waiting.run_id)]
            for taker in takers:
                taker.message.take_in(waiting.run_id, waiting.user)
            if takers:
                older.runs.remove(waiting)

    # ----------------------------------------------------------------- the view

    @property
    def known(self) -> bool:
        """Whether the active branch is known up to its end."""
        return self.leaf is None or any(run.message.message_id == self.leaf for run in self.runs)

    @property
    def active_run(self) -> Exchange | None:
        """The one under way."""
        return next((run for run in self.runs if run.begun and not run.done), None)

    @property
    def queued(self) -> list[Exchange]:
        """Those that wait, first come first."""
        return [run for run in self.runs if not run.begun]

    def run(self, run_id: str) -> Exchange | None:
        """The exchange of a run, on any branch; or the one whose answer took its message in."""
        for run in reversed([*self.aside, *self.runs]):
            if run_id in run.run_ids or run.message.took_in(run_id):
                return run
        return None

    def call(self, tool_call_id: str) -> Json | None:
        """A tool call in its last state."""
        calls = (call for run in self.runs for call in run.message.calls)
        return next((call for call in calls if call["tool_call_id"] == tool_call_id), None)

    # ----------------------------------------------------------------- the fold

    def fold(self, events: Iterable[Json]) -> None:
        """Take a page's events into a state that knows nothing yet."""
        for event in events:
            self._fold(event)

    def _fold(self, event: Json) -> None:
        if take := _FOLDS.get(event["event"]):
            take(self, event)

    def _session_started(self, event: Json) -> None:
        self.user_id, self.start_time = event["user_id"], event["start_time"]
        self.forked_from = event.get("forked_from")

    def _session_updated(self, event: Json) -> None:
        for name in ("title", "pinned", "archived"):
            setattr(self, name, event.get(name, getattr(self, name)))

    def _feedback(self, event: Json) -> None:
        votes = self.feedback.setdefault(event["message_id"], {})
        votes[event["user_id"]] = {name: event.get(name) for name in ("value", "comment")}

    def _user_message(self, event: Json) -> None:
        self._reopen()
        run = self._exchange(event)
        run.user, run.question = event, event["message_id"]
        run.follows = event.get("parent", UNSET)

    def _run(self, event: Json) -> None:
        run = self._find(event)
        if run is None or run.run_id != event["run_id"]:
            self._reopen()
        run = run or self._exchange(event)
        begins = event["status"] != "queued" and not run.begun
        run.run_id, run.done = event["run_id"], None
        if run.run_id not in run.run_ids:
            run.run_ids.append(run.run_id)
        run.status, run.model, run.note = event["status"], event["model"], event
        if event["status"] == "fallback":
            run.fallback = event
        run.message.name(event)
        if event.get("reset_to") is not None:
            run.message.cut(event["reset_to"])
        if begins:
            self._begin(run)
            self._place(run, event)

    def _queue(self, event: Json) -> None:
        order = event["order"]
        place = {run_id: number for number, run_id in enumerate(order)}
        waiting = sorted(self.queued, key=lambda run: place.get(run.run_id, -1))
        self.runs = [*(run for run in self.runs if run.begun), *waiting]

    def _selected(self, event: Json) -> None:
        self.leaf = event["message_id"]
        self._arrange()

    def _token(self, event: Json) -> None:
        run = self._begun(event)
        run.message.grow(event["kind"], event["offset"], event["delta"])

    def _tool_call(self, event: Json) -> None:
        self._begun(event).message.place(event)

    def _sources(self, event: Json) -> None:
        self._begun(event).message.sources += event["sources"]

    def _done(self, event: Json) -> None:
        if taker_id := event.get("consumed_by"):
            self._consumed(event["run_id"], taker_id)
            return
        run = self._exchange(event)
        if not run.begun:
            run.began, run.behind = event["seq"], self.leaf
            self._begin(run)
        run.status, run.model, run.note = event["status"], event["model"], None
        if event.get("text") is not None:
            run.message.name(event)
            run.message.grow("text", 0, event["text"])
        # with `continued_by` the server goes on by itself, and the next event says so
        run.done = None if event.get("continued_by") else event

    def _consumed(self, run_id: str, taker_id: str) -> None:
        """An answer takes a message in, which waits no longer."""
        waiting = next((run for run in self.runs if run_id in run.run_ids), None)
        if waiting:
            self.runs.remove(waiting)
        taker = self._begun({"run_id": taker_id})
        taker.message.take_in(run_id, waiting.user if waiting else None)

    def _session_ended(self, event: Json) -> None:
        self.ended = event

    def _summary(self, event: Json) -> None:
        self.summary = event

    def _reopen(self) -> None:
        """Saying something reopens an ended session."""
        if self.ended:
            self.ended = self.summary = None

    # ----------------------------------------------------------------- the runs

    def _find(self, event: Json) -> Exchange | None:
        """The exchange of an event; where its run is not known, by the answer or the question."""
        runs, parent, answer = self.runs[::-1], event.get("parent"), event.get("message_id")
        tests: tuple[Callable[[Exchange], object], ...] = (
            lambda run: event["run_id"] in run.run_ids,
            lambda run: answer and run.message.message_id == answer,
            lambda run: parent and not run.begun and run.question == parent,
        )
        return next((run for test in tests for run in runs if test(run)), None)

    def _exchange(self, event: Json) -> Exchange:
        """The same; one that is new waits at the end of the queue."""
        run = self._find(event)
        if run is None:
            run = Exchange(event["run_id"], [event["run_id"]])
            self.runs.append(run)
        return run

    def _begun(self, event: Json) -> Exchange:
        """The exchange of what its answer says."""
        run = self._exchange(event)
        run.message.name(event)
        if not run.begun:
            self._begin(run)
        return run

    def _begin(self, run: Exchange) -> None:
        """It waits no longer: its place is behind those that began before it."""
        run.begun = True
        self.runs.remove(run)
        self.runs.insert(sum(other.begun for other in self.runs), run)

    def _place(self, run: Exchange, event: Json) -> None:
        """Its question and its answer take their places among the branches."""
        others = [one for one in [*self.runs, *self.aside] if one is not run and one.begun]
        parent = event.get("parent")
        if run.user is None:
            run.user = next((one.user for one in others if parent and one.question == parent), None)
        run.question = run.question or parent
        answers = [one for one in others if run.question and one.question == run.question]
        last = UNSET if self.leaf is None and self.start_time is None else self.leaf
        twin = answers[0].follows if answers else UNSET
        follows = (run.follows, twin, event.get("follows", UNSET), last)
        run.follows = next((one for one in follows if one is not UNSET), UNSET)
        run.began = event["seq"]
        beside = run.follows is not UNSET and any(
            one.question and one.question != run.question and one.follows == run.follows
            for one in others
        )
        self.leaf = run.message.message_id
        if self.aside or answers or beside:
            self._arrange()

    def _arrange(self) -> None:
        """Put the exchanges of the active branch into `runs`, and all others aside."""
        everything = [*self.runs, *self.aside]
        answers = {run.message.message_id: run for run in everything if run.begun}
        branch: set[Maybe] = {None}
        at: Maybe = self.leaf
        while isinstance(at, str) and at in answers and at not in branch:
            branch.add(at)
            at = answers[at].follows

        def on(run: Exchange) -> bool:
            return not run.begun or run.message.message_id in branch or run.behind in branch

        begun = [run for run in everything if run.begun and on(run)]
        waiting = [run for run in everything if not run.begun]
        self.runs = [*sorted(begun, key=lambda run: run.began), *waiting]
        self.aside = [run for run in everything if not on(run)]


def load(state: SessionState, page: Json) -> tuple[SessionState, Verdict]:
    """Take a `session` payload: the state from then on. "gap": the page does not connect to what is
    known; ask for a snapshot."""
    snapshot = page["mode"] == "snapshot"
    known = (state.session_id, state.epoch) == (page["session_id"], page["epoch"])
    if snapshot or not known:
        state = SessionState(page["session_id"])
    state.user_id, state.epoch = page["user_id"], page["epoch"]
    if snapshot:
        state.fold(page["events"])
        state.next_before_seq = page.get("next_before_seq")
        for name in ("title", "pinned", "archived"):
            setattr(state, name, page.get(name, getattr(state, name)))
        if (leaf := page.get("leaf", state.leaf)) != state.leaf:
            state.leaf = leaf
            state._arrange()
    elif any(state.apply(event) == "gap" for event in page["events"]):
        return state, "gap"
    state.last_seq = page["seq"] if snapshot else max(state.last_seq, page["seq"])
    return state, "applied"


def _among(runs: list[Exchange], run: Exchange) -> Exchange | None:
    return next((other for other in runs if other.is_same(run)), None)


_FOLDS: dict[str, Callable[[SessionState, Json], None]] = {
    "session_started": SessionState._session_started,
    "session_updated": SessionState._session_updated,
    "feedback": SessionState._feedback,
    "user_message": SessionState._user_message,
    "run": SessionState._run,
    "queue": SessionState._queue,
    "selected": SessionState._selected,
    "token": SessionState._token,
    "tool_call": SessionState._tool_call,
    "sources": SessionState._sources,
    "done": SessionState._done,
    "session_ended": SessionState._session_ended,
    "summary": SessionState._summary,
}
