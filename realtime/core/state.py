"""What a session is just now: the fold over its events.

`apply` alone changes it, for a new event and for one read back from the log alike. Times
are ms since the Unix epoch.
"""

from __future__ import annotations

from ..models import Item, UserText
from ..protocol import (
    MAX_QUEUED_TEXT,
    WAITING_TOOL,
    ActiveRun,
    CancelAfter,
    Done,
    Event,
    Options,
    QueuedRun,
    Run,
    RunStatus,
    SessionEnded,
    SessionStarted,
    Sources,
    Summary,
    Token,
    ToolCall,
    UserMessage,
)
from .answer import Answer
from .rows import SessionRow, SummaryStatus

FILTERED = "content_filter"


class RunState:
    """One user message on its way to its `done`; a continued run has no message of its own.

    `asker`: the user whose run it is; empty where the log does not say who continued it.
    """

    def __init__(self, run_id: str, user: UserMessage | None, answer: Answer) -> None:
        self.run_id = run_id
        self.user = user
        self.asker = user.user_id if user else ""
        self.answer = answer
        self.status: RunStatus = "queued"
        self.model = ""
        self.requested_at = 0
        self.started_at: int | None = None
        self.first_seq = 0
        self.size_before = 0  # of the answer, where an earlier run began it
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
        self.started: list[RunState] = []  # in the order of the context
        self.active: RunState | None = None
        self.queue: list[RunState] = []
        self.ended: SessionEnded | None = None
        self.summary: str | None = None
        self.summary_status: SummaryStatus = "none"
        self._said = False  # since the last summary
        self._by_client_id: dict[tuple[str, str], RunState] = {}  # by user and client_msg_id

    def apply(self, event: Event) -> None:
        """Take one event into the state. `seq`s must come in order."""
        self.head = event.seq
        self.last_ts = event.ts
        match event:
            case Token():
                self.runs[event.run_id or ""].answer.add_text(event)
            case ToolCall():
                self.runs[event.run_id or ""].answer.set_call(event)
            case UserMessage():
                self._apply_user_message(event)
            case Run():
                self._apply_run(event)
            case Done():
                self._apply_done(event)
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
                pass  # for readers; the model has its own
            case _:
                raise TypeError(f"no such event: {type(event).__name__}")

    def _apply_user_message(self, event: UserMessage) -> None:
        run = RunState(event.run_id or "", event, Answer())
        run.requested_at, run.first_seq = event.ts, event.seq
        run.answer.schema = event.schema
        self.runs[run.run_id] = run
        self._by_client_id[event.user_id, event.client_msg_id] = run
        self._reopen()

    def _reopen(self) -> None:
        self.ended, self._said = None, True
        if self.summary_status in ("pending", "failed"):
            self.summary_status = "none"

    def _apply_run(self, event: Run) -> None:
        run_id = event.run_id or ""
        run = self.runs.get(run_id)
        if run is None:  # goes on with the answer of an earlier run
            earlier = next(r for r in self.started if r.answer.message_id == event.message_id)
            run = RunState(run_id, None, earlier.answer)
            run.size_before = earlier.answer.size()
            run.requested_at, run.first_seq = event.ts, event.seq
            self.runs[run_id] = run
            self._reopen()
        run.asker = event.user_id or run.asker
        run.answer.message_id = event.message_id
        run.status, run.model = event.status, event.model
        if event.status == "queued":
            self.queue.append(run)
        elif run.started_at is None:
            run.started_at = event.ts
            if run in self.queue:
                self.queue.remove(run)
            self.started.append(run)
            self.active = run
        if event.reset_to is not None:
            run.answer.reset(event.reset_to)

    def _apply_done(self, event: Done) -> None:
        run = self.runs[event.run_id or ""]
        run.done = event
        run.answer.close(event)
        if run in self.queue:
            self.queue.remove(run)
        if self.active is run:
            self.active = None

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
        )

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

    def call(self, tool_call_id: str) -> ToolCall | None:
        """A tool call of this session, in its last state."""
        for run in reversed(self.started):
            if found := run.answer.calls.get(tool_call_id):
                return found
        return None

    def pending(self) -> list[ToolCall]:
        """The calls that wait for a person."""
        calls = self.active.answer.open_calls() if self.active else []
        return [call for call in calls if call.status == "awaiting_approval"]

    def pending_client_calls(self) -> list[ToolCall]:
        """The calls that wait for a device."""
        calls = self.active.answer.open_calls() if self.active else []
        return [call for call in calls if call.status == "awaiting_client"]

    def waits_for_people(self) -> bool:
        """Whether the active run cannot go on before a person decides, or a device answers."""
        calls = self.active.answer.open_calls() if self.active else []
        statuses = {call.status for call in calls}
        return bool(statuses & WAITING_TOOL) and "running" not in statuses

    def abandon_after(self) -> float | None:
        """Seconds that the active run may go on without viewers; None: no wish of its own."""
        user = self.active.user if self.active else None
        match user.on_abandon if user else None:
            case "cancel":
                return 0.0
            case CancelAfter(cancel_after_s=seconds):
                return seconds
            case _:
                return None

    def context(self) -> list[Item]:
        """What a model should see: the started runs, in the order they started.

        A run that ended without an answer still counts: the user did say it. What the
        provider's filter refused is not said again: it would refuse all that follows.
        """
        items: list[Item] = []
        refused = {id(run.answer) for run in self.started if run.refused}
        for run in self.started:
            if run.user and id(run.answer) not in refused:
                items.append(UserText(run.user.text))
                items.extend(run.answer.items())
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
