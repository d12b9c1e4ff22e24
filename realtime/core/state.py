"""What a session is just now: the fold over its events.

`apply` alone changes it, for a new event and for one read back from the log alike. Times
are ms since the Unix epoch.
"""

from __future__ import annotations

import msgspec

from ..models import Item, UserText
from ..protocol import (
    MAX_QUEUED_TEXT,
    WAITING_TOOL,
    ActiveRun,
    CancelAfter,
    Done,
    Event,
    Feedback,
    File,
    Options,
    QueuedRun,
    QueueOrder,
    Run,
    RunStatus,
    Selected,
    SessionEnded,
    SessionStarted,
    SessionUpdated,
    Sources,
    Summary,
    Token,
    ToolCall,
    UserMessage,
)
from .answer import Answer
from .branches import Branches
from .held import Held, held_in
from .labels import Labels
from .rows import SessionRow, SessionStatus, SummaryStatus

FILTERED = "content_filter"
FAILED = ("failed", "interrupted", "quota_exceeded")


class RunState:
    """One user message on its way to its `done`. A run that goes on with an answer, or makes it
    again, has no message of its own.

    `asker`: the user whose run it is; empty where the log does not say who continued it.
    `options`: of this run, over the session's. `behind`: where it ended before it had begun, the
    message that was the last one then.
    """

    def __init__(self, run_id: str, user: UserMessage | None, answer: Answer) -> None:
        self.run_id = run_id
        self.user = user
        self.said = user  # as it was sent
        self.automatic = False  # nobody asked for it
        self.held: Held | None = None  # what the provider keeps of the newest answer
        self.asker = user.user_id if user else ""
        self.answer = answer
        self.status: RunStatus = "queued"
        self.model = ""
        self.requested_at = 0
        self.started_at: int | None = None
        self.first_seq = 0
        self.continues = False  # an earlier run began the answer
        self.size_before = 0  # of the answer then
        self.options: Options | None = None
        self.behind: str | None = None
        self.done: Done | None = None

    @property
    def refused(self) -> bool:
        """Whether the provider's filter refused what was said in it."""
        error = self.done.error if self.done else None
        return error is not None and error.code == FILTERED

    def duration_ms(self, ended_at: int) -> int:
        """From its start, or from the request where it never started."""
        return max(0, ended_at - (self.started_at or self.requested_at))


class State:
    """One session's state. It decides nothing: see `Session`."""

    def __init__(self, session_id: str, *, epoch: int = 1) -> None:
        self.session_id = session_id
        self.epoch = epoch
        self.user_id = ""
        self.options = Options()
        self.start_time = 0
        self.head = 0
        self.last_ts = 0
        self.runs: dict[str, RunState] = {}
        self.started: list[RunState] = []
        self.branches = Branches()
        self.active: RunState | None = None
        self.queue: list[RunState] = []
        self.ended: SessionEnded | None = None
        self.summary: str | None = None
        self.summary_status: SummaryStatus = "none"
        self.files: dict[str, File] = {}  # that events list
        self.labels = Labels()
        self._said = False  # since the last summary
        self._by_client_id: dict[tuple[str, str], RunState] = {}  # by user and client_msg_id
        self._questions: dict[str, UserMessage] = {}
        self._answers: dict[str, RunState] = {}  # by message, the newest run
        self._refused: set[str] = set()  # answers to what the provider's filter refused

    def apply(self, event: Event) -> None:
        """Take one event into the state. `seq`s must come in order."""
        self.head = event.seq
        self.last_ts = event.ts
        match event:
            case Token():
                self.runs[event.run_id or ""].answer.add_text(event)
            case ToolCall():
                self.runs[event.run_id or ""].answer.set_call(event)
                self.files.update((file.id, file) for file in event.files)
            case UserMessage():
                self._apply_user_message(event)
            case Run():
                self._apply_run(event)
            case Done():
                self._apply_done(event)
            case QueueOrder():
                self.queue.sort(key=lambda run: event.order.index(run.run_id))
            case Selected():
                self.branches.activate(event.message_id)
            case SessionUpdated() | Feedback():
                self.labels.apply(event)
            case SessionStarted():
                self.user_id, self.start_time = event.user_id, event.start_time
                self.options = event.options or self.options
            case SessionEnded():
                self.ended = event
                self.summary_status = "pending" if self._said else "none"
            case Summary():
                if event.status == "done":
                    self.summary, self.summary_status, self._said = event.text, "done", False
                elif event.status == "failed":
                    self.summary_status = "failed"
            case Sources():
                self.runs[event.run_id or ""].answer.sources.update(event.sources)
            case _:
                raise TypeError(f"no such event: {type(event).__name__}")

    def _apply_user_message(self, event: UserMessage) -> None:
        if known := self.runs.get(event.run_id or ""):
            known.user, known.asker = event, event.user_id
        else:
            run = RunState(event.run_id or "", event, Answer())
            run.requested_at, run.first_seq = event.ts, event.seq
            self.runs[run.run_id] = run
            self._by_client_id[event.user_id, event.client_msg_id] = run
        self._questions[event.message_id] = event
        if not isinstance(event.parent, msgspec.UnsetType):
            self.branches.add(event.message_id, event.parent)
        self.files.update((file.id, file) for file in event.files)
        self._reopen(event.text, event.ts)

    def _reopen(self, text: str, at: int) -> None:
        self.ended, self._said = None, True
        self.labels.said(text, at)
        if self.summary_status in ("pending", "failed"):
            self.summary_status = "none"

    def _apply_run(self, event: Run) -> None:
        run_id = event.run_id or ""
        run = self.runs.get(run_id)
        if run is None:
            run = self._apply_further_run(event, run_id)
        run.asker = event.user_id or run.asker
        run.held = held_in(event)
        run.automatic = run.automatic or bool(event.automatic)
        run.answer.message_id = event.message_id
        run.status, run.model = event.status, event.model
        if event.status == "queued":
            self.queue.insert(0 if run.automatic else len(self.queue), run)
        elif run.started_at is None:
            run.started_at = event.ts
            if run in self.queue:
                self.queue.remove(run)
            self.started.append(run)
            self.active = run
            self._place(run, event)
        if event.reset_to is not None:
            run.answer.reset(event.reset_to)

    def _apply_further_run(self, event: Run, run_id: str) -> RunState:
        """One that goes on with the answer of an earlier run, or answers a question again."""
        earlier = self._answers.get(event.message_id)
        run = RunState(run_id, None, earlier.answer if earlier else Answer())
        run.continues = earlier is not None
        run.size_before = run.answer.size()
        run.options = event.options
        run.requested_at, run.first_seq = event.ts, event.seq
        self.runs[run_id] = run
        if event.user_id and event.client_msg_id:
            self._by_client_id[event.user_id, event.client_msg_id] = run
        self._reopen("", event.ts)
        return run

    def _place(self, run: RunState, event: Run) -> None:
        """The run begins: its question and its answer are on the active branch."""
        question = run.user.message_id if run.user else event.parent
        if question is not None:
            self.branches.add(question, event.follows or self.branches.leaf)
            self.branches.add(event.message_id, question)
            run.answer.schema = self._questions[question].schema
        if event.message_id in self.branches:  # else its question is lost
            self.branches.activate(event.message_id)
        self._answers[event.message_id] = run

    def _apply_done(self, event: Done) -> None:
        run = self.runs[event.run_id or ""]
        run.done = event
        run.answer.close(event)
        taker = self.runs.get(event.consumed_by or "")
        if taker and run.user:
            taker.answer.take_in(run.user)
        if run.refused:
            self._refused.add(event.message_id)
        if run in self.queue:
            self.queue.remove(run)
        text = run.answer.text() if event.text is None else event.text
        if run.started_at is None:
            run.behind = self.branches.leaf
            if event.status != "consumed":  # its message was not said
                text = self._last_text()
        self.labels.said(text, event.ts)
        if self.active is run:
            self.active = None

    def _last_text(self) -> str:
        """What was said last, and stands."""
        runs = self.queue or self.started
        if not runs:
            return ""
        run = runs[-1]
        return run.user.text if run.user and not run.done else run.answer.text()

    def row(self) -> SessionRow:
        return SessionRow(
            session_id=self.session_id,
            user_id=self.user_id,
            epoch=self.epoch,
            start_time=self.start_time,
            end_time=self.ended.end_time if self.ended else None,
            duration_seconds=self.ended.duration_seconds if self.ended else None,
            summary=self.summary,
            summary_status=self.summary_status,
            title=self.labels.title,
            pinned=self.labels.pinned,
            archived=self.labels.archived,
            active_at=self.labels.active_at,
            status=self.status,
            last_text=self.labels.last_text,
        )

    @property
    def status(self) -> SessionStatus:
        """What a list shows of the runs."""
        if self.active and self.active.status == "awaiting_approval":
            return "awaiting_approval"
        if self.unfinished:
            return "running"
        done = self.started[-1].done if self.started else None
        return "failed" if done and done.status in FAILED else "idle"

    @property
    def unfinished(self) -> bool:
        """Whether a run is active or waits."""
        return self.active is not None or bool(self.queue)

    def active_view(self) -> ActiveRun | None:
        run = self.active
        if run is None:
            return None
        return ActiveRun(run.run_id, run.answer.message_id, run.status, run.model, run.asker)

    def queue_view(self) -> list[QueuedRun]:
        return [
            QueuedRun(
                run.run_id,
                run.user.message_id,
                run.user.client_msg_id,
                run.user.text[:MAX_QUEUED_TEXT],
                run.asker,
            )
            for run in self.queue
            if run.user
        ]

    def last_said(self, user_id: str) -> UserMessage | None:
        """The newest message of a user."""
        said = (run.user for run in reversed(self.runs.values()) if run.user)
        return next((message for message in said if message.user_id == user_id), None)

    def call(self, tool_call_id: str) -> ToolCall | None:
        """A tool call of this session, in its last state."""
        for run in reversed(self.started):
            if found := run.answer.calls.get(tool_call_id):
                return found
        return None

    def _open_calls(self) -> list[ToolCall]:
        """Those of the active run."""
        return self.active.answer.open_calls() if self.active else []

    def pending(self) -> list[ToolCall]:
        """The calls that wait for a person."""
        return [call for call in self._open_calls() if call.status == "awaiting_approval"]

    def pending_client_calls(self) -> list[ToolCall]:
        """The calls that wait for a device."""
        return [call for call in self._open_calls() if call.status == "awaiting_client"]

    def waits_for_people(self) -> bool:
        """Whether the active run cannot go on before a person decides, or a device answers."""
        statuses = {call.status for call in self._open_calls()}
        return bool(statuses & WAITING_TOOL) and "running" not in statuses

    def abandon_after(self) -> float | None:
        """Seconds that the active run may go on without viewers; None: no wish of its own."""
        run = self.active
        if run and run.automatic:  # its user's wish was about the whole answer
            run = next(one for one in self.started if one.answer is run.answer)
        user = run.user if run else None
        match user.on_abandon if user else None:
            case "cancel":
                return 0.0
            case CancelAfter(cancel_after_s=seconds):
                return seconds
            case _:
                return None

    def exchanges(self, leaf: str | None = None) -> list[tuple[UserMessage, Answer]]:
        """The questions and answers of a branch, the first ones first; of the active one, unless
        its last message is given."""
        path = self.branches.path(leaf or self.branches.leaf)
        pairs = zip(path[::2], path[1::2], strict=True)
        return [(self._questions[asked], self._answers[said].answer) for asked, said in pairs]

    def context(self) -> list[Item]:
        """What a model should see: the active branch.

        A run that ended without an answer still counts: the user did say it. What the
        provider's filter refused is not said again: it would refuse all that follows.
        """
        items: list[Item] = []
        for question, answer in self.exchanges():
            if answer.message_id not in self._refused:
                items.append(UserText(question.text, files=question.files))
                items.extend(answer.items())
        return items

    def last_done(self) -> int:
        """When the last run ended, which a crash may have hidden until much later."""
        return max(
            (
                (run.started_at or run.requested_at) + run.done.duration_ms
                for run in self.runs.values()
                if run.done
            ),
            default=0,
        )
