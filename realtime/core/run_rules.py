"""What a run does to its session, and what people may do to the run: the rules, without I/O,
clock or asyncio. Times are ms since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..protocol import (
    WAITING_TOOL,
    Approve,
    Done,
    DoneStatus,
    Error,
    Event,
    FinishReason,
    ProtocolError,
    Run,
    RunStatus,
    Token,
    ToolCall,
    Usage,
)
from .approvals import Check, answered, decided, expired
from .continuing import resumed
from .ending import closed, repeated
from .provider_state import ProviderState, keep
from .state import RunState, State
from .steering import steers
from .usage import estimate


class RunRules(State):
    """A session's state, and what may happen to its runs."""

    def __init__(self, session_id: str, *, epoch: int = 1) -> None:
        super().__init__(session_id, epoch=epoch)
        self._new: list[Event] = []

    def _append(self, event: Event, now: int) -> None:
        event.session_id, event.seq, event.ts = self.session_id, self.head + 1, now
        self.apply(event)
        self._new.append(event)

    def take(self) -> list[Event]:
        """The events appended since the last call; the caller must commit them."""
        taken, self._new = self._new, []
        return taken

    def check_message(self, message_id: str) -> None:
        """Whether a message is on any branch. Raises `not_found`."""
        if message_id not in self.branches:
            raise ProtocolError("not_found", "no message with this id in this session")

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

        Raises `not_found`, `forbidden`, and what `decided` raises.
        """
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
        then: Run | None = None,
        consumed_by: str | None = None,
    ) -> bool:
        """End a run: close its open tool calls, then `done`. False where it had ended.

        `ended_at`: when it really ended, where that was before `now`. `state`: what the
        provider wants back with the end of the answer. `value`: what the answer is by its schema.
        `then`: begins the run that goes on. `consumed_by`: the run that took the message in.
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
            usage=usage or estimate(run, self),
            model=run.model,
            duration_ms=run.duration_ms(now if ended_at is None else ended_at),
            user_id=run.asker or None,
            error=error,
            value=value,
            continued_by=then.run_id if then else None,
            consumed_by=consumed_by,
        )
        if state:
            keep(done, state)
        self._append(done, now)
        if then:
            self._append(then, now)
        return True

    def take_in(self, run_id: str, now: int) -> bool:
        """Before a further step: the messages that steer the answer of this run join it, in their
        order. False where there are none, or it has ended."""
        run = self.runs[run_id]
        steering = [] if run.done else [waiting for waiting in self.queue if steers(waiting, run)]
        for waiting in steering:
            self.finish(
                waiting.run_id, "consumed", "stop", now, usage=Usage(0, 0), consumed_by=run_id
            )
        return bool(steering)

    def go_on(self, run: RunState, model: str, now: int) -> None:
        """After a crash: the active run takes its next step, or takes up the one under way."""
        self.record(run.run_id, [resumed(run, model)], now)

    def _move(self, run: RunState, status: RunStatus, model: str, now: int) -> None:
        event = Run(message_id=run.answer.message_id, status=status, model=model)
        event.run_id = run.run_id
        self._append(event, now)
