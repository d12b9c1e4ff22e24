"""The core: one session's rules, without I/O, clock or asyncio.

Each method checks what is asked against the state, and appends the events that follow
from it. `take` hands the new events on. Times are ms since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

import msgspec

from ..protocol import (
    WAITING_TOOL,
    Approve,
    Done,
    DoneStatus,
    Error,
    Event,
    FinishReason,
    Options,
    ProtocolError,
    Run,
    RunStatus,
    Send,
    SessionEnded,
    SessionStarted,
    Summary,
    Token,
    ToolCall,
    Usage,
    UserMessage,
    clean_text,
)
from .approvals import Check, answered, decided, expired
from .ending import closed, repeated
from .provider_state import ProviderState, keep
from .state import RunState, State
from .usage import estimate


def new_id() -> str:
    return str(uuid4())


class Bounds(msgspec.Struct, frozen=True):
    """What a session takes: UTF-8 bytes of one message, and messages that wait."""

    text_bytes: int = 16 * 1024
    queued: int = 5


DEFAULT_BOUNDS = Bounds()


class Session(State):
    """A session's state and what may happen next. Only its owner in this process calls it."""

    def __init__(
        self,
        session_id: str,
        *,
        epoch: int = 1,
        ids: Callable[[], str] = new_id,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        super().__init__(session_id, epoch=epoch)
        self._bounds = bounds
        self._ids = ids
        self._new: list[Event] = []

    def _append(self, event: Event, now: int) -> None:
        event.session_id, event.seq, event.ts = self.session_id, self.head + 1, now
        self.apply(event)
        self._new.append(event)

    def take(self) -> list[Event]:
        """The events appended since the last call; the caller must commit them."""
        taken, self._new = self._new, []
        return taken

    # ------------------------------------------------------------- commands

    def begin(self, user_id: str, now: int, options: Options | None = None) -> None:
        """The first event of a new session."""
        self._append(SessionStarted(user_id=user_id, start_time=now, options=options), now)

    def send(self, command: Send, user_id: str, model: str, now: int) -> tuple[str, RunState]:
        """Take a user's message: ("started" | "queued" | "duplicate", its run).

        With `if_busy: "interrupt"` the caller must end the active run first.
        Raises `bad_request`, `too_large`, `conflict`, `busy`, `queue_full`.
        """
        text = clean_text(command.text)
        if known := self._by_client_id.get((user_id, command.client_msg_id)):
            if known.user and known.user.text != text:
                raise ProtocolError(
                    "conflict", "this client_msg_id was used for a different text; use a new one"
                )
            return "duplicate", known
        self.check_send(command)
        run_id = self._ids()
        self._append(
            UserMessage(
                run_id=run_id,
                message_id=self._ids(),
                client_msg_id=command.client_msg_id,
                text=text,
                user_id=user_id,
                on_abandon=None if command.on_abandon == "continue" else command.on_abandon,
                schema=command.schema,
            ),
            now,
        )
        return self._enter(run_id, self._ids(), user_id, model, now)

    def is_duplicate(self, client_msg_id: str, user_id: str) -> bool:
        return (user_id, client_msg_id) in self._by_client_id

    def check_send(self, command: Send) -> None:
        """Whether a new message could be taken now. Raises as `send` does."""
        if not command.text.strip():
            raise ProtocolError("bad_request", "text is empty")
        if not 1 <= len(command.client_msg_id) <= 128:
            raise ProtocolError(
                "bad_request", "client_msg_id must have 1 to 128 characters, such as a UUID"
            )
        most = self._bounds
        if len(command.text.encode()) > most.text_bytes:
            raise ProtocolError(
                "too_large", f"text is longer than {most.text_bytes} bytes; send a shorter one"
            )
        if self.active and command.if_busy == "reject":
            raise ProtocolError("busy", "an answer is running; stop it or wait", retryable=True)
        if self.active and command.if_busy == "queue" and len(self.queue) >= most.queued:
            raise ProtocolError(
                "queue_full",
                f"{most.queued} messages are already waiting; wait until one is answered",
                retryable=True,
            )

    def resume(self, run_id: str, user_id: str, model: str, now: int) -> tuple[str, RunState]:
        """Go on with the last answer, in the same message, as a new run of this user. Raises
        `not_found`, `busy`, `conflict`."""
        run = self.runs.get(run_id)
        if run is None or run.done is None or run.started_at is None:
            raise ProtocolError("not_found", "no finished run with this id in this session")
        if self.active or self.queue:
            raise ProtocolError("busy", "an answer is running; wait for it", retryable=True)
        newest = self.started[-1]
        if newest.refused and newest.answer is run.answer:
            raise ProtocolError(
                "conflict", "the model's provider refused this message; rephrase it"
            )
        if newest.answer is not run.answer or not self._continuable(newest):
            raise ProtocolError(
                "conflict",
                "only the last answer can be continued, and only if it was interrupted or is "
                "incomplete",
            )
        return self._enter(self._ids(), run.answer.message_id, user_id, model, now)

    def _continuable(self, run: RunState) -> bool:
        """Whether its answer broke off; a failure to continue it leaves it so."""
        done = run.done
        assert done
        broke_off = done.status in ("interrupted", "incomplete") and done.finish_reason != "stop"
        return broke_off or (run.user is None and done.status != "completed")

    def _enter(
        self, run_id: str, message_id: str, user_id: str, model: str, now: int
    ) -> tuple[str, RunState]:
        status: RunStatus = "queued" if self.active else "started"
        self._append(
            Run(run_id=run_id, message_id=message_id, status=status, model=model, user_id=user_id),
            now,
        )
        return status, self.runs[run_id]

    def start_next(self, model: str, now: int) -> RunState | None:
        """Start the first queued run, where none is active."""
        if self.active or not self.queue:
            return None
        run = self.queue[0]
        self._move(run, "started", model, now, user_id=run.asker)
        return run

    def _move(
        self, run: RunState, status: RunStatus, model: str, now: int, user_id: str | None = None
    ) -> None:
        event = Run(message_id=run.answer.message_id, status=status, model=model, user_id=user_id)
        event.run_id = run.run_id
        self._append(event, now)

    # ------------------------------------------------------------- the run

    def record(self, run_id: str, events: Iterable[Event], now: int) -> bool:
        """Append what a run produced; tokens get their place in the message. False, and nothing
        is appended, once it has ended."""
        run = self.runs[run_id]
        if run.done:
            return False
        length = run.answer.length
        for event in events:
            event.run_id = run_id
            if isinstance(event, Token):
                event.offset = length[event.kind]
            self._append(event, now)
            if isinstance(event, ToolCall):
                self._follow(run, now)
        return True

    def _follow(self, run: RunState, now: int) -> None:
        """The run waits for approval while one of its calls does."""
        waits = bool(self.pending())
        if waits != (run.status == "awaiting_approval"):
            status: RunStatus = "awaiting_approval" if waits else "resumed"
            self._move(run, status, run.model, now)

    def approve(self, command: Approve, user_id: str, now: int, check: Check) -> None:
        """A person's decision on a call of the active run: of the user who asked, with whose
        rights the call is made, or of the session's owner. `check`: of arguments that it changes.
        Raises `not_found`, `forbidden`, and what `decided` raises."""
        call = self.call(command.tool_call_id)
        if call is None or call.approval is None:
            raise ProtocolError("not_found", "no tool call with that id is waiting for a decision")
        if user_id not in (self.user_id, self.runs[call.run_id or ""].asker):
            raise ProtocolError(
                "forbidden", "only the user who asked or the session's owner may decide this"
            )
        self._resolve(decided(call, call.approval, command, user_id, now, check), now)

    def take_result(
        self, tool_call_id: str, output: Any, error: Error | None, user_id: str, now: int
    ) -> None:
        """A device's answer to a call that waits for one. Raises what `answered` raises."""
        self._resolve(answered(self.call(tool_call_id), output, error, user_id, now), now)

    def expire_call(self, tool_call_id: str, now: int) -> None:
        """Nobody decided on this call of the active run, or answered it, in time."""
        if (call := self.call(tool_call_id)) and call.status in WAITING_TOOL:
            self._resolve(expired(call), now)

    def _resolve(self, call: ToolCall, now: int) -> None:
        self._append(call, now)
        self._follow(self.runs[call.run_id or ""], now)

    def finish(
        self,
        run_id: str,
        status: DoneStatus,
        reason: FinishReason,
        now: int,
        *,
        usage: Usage | None = None,
        error: Error | None = None,
        ended_at: int | None = None,
        state: ProviderState | None = None,
        value: Any = msgspec.UNSET,
    ) -> bool:
        """End a run: close its open tool calls, then `done`. False where it had ended.

        `ended_at`: when it really ended, where that was before `now`. `state`: what the
        provider wants back with the end of the answer. `value`: what the answer is by its schema.
        """
        run = self.runs[run_id]
        if run.done:
            return False
        for call in run.answer.open_calls():
            self._append(closed(call, status), now)
        text, value = repeated(run.answer, value)
        done = Done(
            run_id=run_id,
            status=status,
            finish_reason=reason,
            message_id=run.answer.message_id,
            text=text,
            text_len=run.answer.length["text"],
            usage=usage or estimate(run, self.started),
            model=run.model,
            duration_ms=run.duration_ms(now if ended_at is None else ended_at),
            user_id=run.asker or None,
            error=error,
            value=value,
        )
        if state:
            keep(done, state)
        self._append(done, now)
        return True

    def go_on(self, run: RunState, model: str, now: int) -> None:
        """After a crash: the active run takes its next step."""
        self._move(run, "resumed", model, now)

    # ------------------------------------------------------ end and summary

    def end(self, left_at: int, now: int) -> bool:
        """End the session; `left_at`: when the last device left. False where it had ended.

        The caller must have ended its runs. With nothing said there is nothing to sum up."""
        if self.ended:
            return False
        end_time = max(left_at, self.last_done(), self.start_time)
        self._append(
            SessionEnded(end_time=end_time, duration_seconds=(end_time - self.start_time) / 1000),
            now,
        )
        if self.summary_status == "none":
            self._append(Summary(status="skipped"), now)
        return True

    def summarised(
        self, ended_seq: int, now: int, *, text: str | None = None, error: Error | None = None
    ) -> bool:
        """Store what came of the summary of the end at `ended_seq`.

        False, and nothing changes, where the session was reopened since or has its
        summary; a second failure is not told again.
        """
        if self.ended is None or self.ended.seq != ended_seq:
            return False
        if text is not None and self.summary_status in ("pending", "failed"):
            self._append(Summary(status="done", text=text), now)
            return True
        if error is not None and self.summary_status == "pending":
            self._append(Summary(status="failed", error=error), now)
            return True
        return False
