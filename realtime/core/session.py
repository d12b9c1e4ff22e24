"""The core: one session's rules, without I/O, clock or asyncio.

Each method checks what is asked against the state, and appends the events that follow
from it. `take` hands the new events on. Times are ms since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import uuid4

import msgspec

from ..protocol import (
    MAX_FILES,
    Error,
    File,
    Options,
    Origin,
    ProtocolError,
    Queue,
    QueueOrder,
    Regenerate,
    Run,
    Selected,
    Send,
    SessionEnded,
    SessionStarted,
    Summary,
    Usage,
    UserMessage,
    clean_text,
)
from .bounds import DEFAULT_BOUNDS, Bounds
from .continuing import continuable
from .list_rules import ListRules
from .state import RunState
from .user import User


def new_id() -> str:
    return str(uuid4())


def started(run_id: str | None, message_id: str, model: str, user_id: str) -> Run:
    return Run(run_id=run_id, message_id=message_id, status="started", model=model, user_id=user_id)


class Session(ListRules):
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

    # ------------------------------------------------------------- commands

    def begin(
        self,
        user_id: str,
        now: int,
        options: Options | None = None,
        forked_from: Origin | None = None,
    ) -> None:
        """The first event of a new session."""
        first = SessionStarted(user_id=user_id, start_time=now, options=options)
        first.forked_from = forked_from
        self._append(first, now)

    def send(
        self,
        command: Send,
        user_id: str,
        model: str,
        now: int,
        files: Sequence[File] = (),
        *,
        name: str | None = None,
        instead: str | None = None,
    ) -> tuple[str, RunState]:
        """Take a user's message: ("started" | "queued" | "duplicate", its run). `files`: those
        that the command names; `name`: the user's, as others see it; `instead`: the text that is
        said in place of the command's.

        With `if_busy: "interrupt"` the caller must end the active run first.
        Raises `bad_request`, `too_large`, `conflict`, `busy`, `queue_full`.
        """
        text = clean_text(command.text)
        if known := self._by_client_id.get((user_id, command.client_msg_id)):
            said = known.said
            same = said and (said.changed or said.text == text)
            if said is None or not same or said.replaces != command.replaces:
                raise ProtocolError(
                    "conflict", "this client_msg_id was used for something else; use a new one"
                )
            if known.user and [file.id for file in known.user.files] != command.files:
                raise ProtocolError(
                    "conflict", "this client_msg_id was used with different files; use a new one"
                )
            return "duplicate", known
        self.check_send(command)
        if instead is not None:
            instead = clean_text(instead)
            self._bounds.check_text(instead, empty=bool(command.files))
        message = UserMessage(
            run_id=self._ids(),
            message_id=self._ids(),
            client_msg_id=command.client_msg_id,
            text=text if instead is None else instead,
            changed=instead not in (None, text),
            user_id=user_id,
            name=name,
            replaces=command.replaces,
            files=tuple(files),
            on_abandon=None if command.on_abandon == "continue" else command.on_abandon,
            schema=command.schema,
            steer=command.if_busy == "steer" and self.active is not None,
        )
        if command.replaces:
            message.parent = self.branches.parents[command.replaces]
        elif not self.active:
            message.parent = self.branches.leaf
        self._append(message, now)
        run = started(message.run_id, self._ids(), model, user_id)
        run.parent = message.message_id
        return self._enter(run, now)

    def is_duplicate(self, client_msg_id: str | None, user_id: str) -> bool:
        return client_msg_id is not None and (user_id, client_msg_id) in self._by_client_id

    def check_send(self, command: Send) -> None:
        """Whether a new message could be taken now. Raises as `send` does."""
        self._bounds.check_text(command.text, empty=bool(command.files))
        if len(command.files) > MAX_FILES:
            raise ProtocolError("bad_request", f"a message takes {MAX_FILES} files at most")
        if not 1 <= len(command.client_msg_id) <= 128:
            raise ProtocolError(
                "bad_request", "client_msg_id must have 1 to 128 characters, such as a UUID"
            )
        if command.replaces is not None:
            self._check_quiet()
            if command.replaces not in self.branches or command.replaces not in self._questions:
                raise ProtocolError("not_found", "no message of a user with this id")
        if self.active and command.if_busy == "reject":
            raise ProtocolError("busy", "an answer is running; stop it or wait", retryable=True)
        most = self._bounds.queued
        if self.active and command.if_busy != "interrupt" and len(self.queue) >= most:
            raise ProtocolError(
                "queue_full",
                f"{most} messages are already waiting; wait until one is answered",
                retryable=True,
            )

    def waiting(self, run_id: str) -> RunState:
        """A run that waits. Raises `not_found`, `already_done`."""
        run = self.runs.get(run_id)
        if run is None or run.user is None:
            raise ProtocolError("not_found", "no message waits under this id")
        if run not in self.queue:
            raise ProtocolError("already_done", "this message waits no longer")
        return run

    def change_queue(self, command: Queue, user: User, now: int) -> None:
        """Edit or move what waits, as asked. Raises as the two do."""
        if edit := command.edit:
            self.edit_queued(edit.run_id, edit.text, user, now)
        elif move := command.move:
            self.move_queued(move.run_id, move.before, now)

    def check_edit(self, run_id: str, text: str) -> UserMessage:
        """The message that waits, where its text may become this. Raises as `edit_queued`."""
        message = self.waiting(run_id).user
        assert message
        self._bounds.check_text(text, empty=bool(message.files))
        return message

    def edit_queued(self, run_id: str, text: str, user: User, now: int) -> None:
        """Change a message that waits. It is this user's from now on, under their name: what it
        leads to is done with the rights of whoever wrote it. Raises as `send` and `waiting` do."""
        message = self.check_edit(run_id, text)
        changed = msgspec.structs.replace(
            message, text=clean_text(text), user_id=user.user_id, name=user.name
        )
        if (changed.text, changed.user_id) != (message.text, message.user_id):
            self._append(changed, now)

    def move_queued(self, run_id: str, before: str | None, now: int) -> None:
        """Have a message that waits go before another one, or behind all. Raises as `waiting`."""
        moved = self.waiting(run_id)
        order = [run.run_id for run in self.queue if run is not moved]
        if before == run_id:
            return
        place = len(order) if before is None else order.index(self.waiting(before).run_id)
        order.insert(place, run_id)
        if order != [run.run_id for run in self.queue]:
            self._append(QueueOrder(order=order), now)

    def resume(self, run_id: str, user_id: str, model: str, now: int) -> tuple[str, RunState]:
        """Go on with the last answer, in the same message, as a new run of this user.

        Raises `not_found`, `busy`, `conflict`.
        """
        run = self._finished(run_id)
        self._check_quiet()
        newest = self._answers[self.branches.leaf or ""]
        if newest.refused and newest.answer is run.answer:
            raise ProtocolError(
                "conflict", "the model's provider refused this message; rephrase it"
            )
        if newest.answer is not run.answer or not continuable(newest):
            raise ProtocolError(
                "conflict",
                "only the last answer can be continued, and only if it was interrupted or is "
                "incomplete",
            )
        return self._enter(started(self._ids(), run.answer.message_id, model, user_id), now)

    def regenerate(
        self, command: Regenerate, user_id: str, model: str, now: int
    ) -> tuple[str, RunState]:
        """Answer the question of a run once more, in a message of its own beside its answer:
        ("started" | "duplicate", the new run).

        Raises `not_found`, `busy`, `conflict`.
        """
        key = command.client_msg_id
        if key and (known := self._by_client_id.get((user_id, key))):
            if known.said:
                raise ProtocolError("conflict", "this client_msg_id was used for a message")
            return "duplicate", known
        run = self._finished(command.run_id)
        self._check_quiet()
        again = started(self._ids(), self._ids(), model, user_id)
        again.parent = self.branches.parents[run.answer.message_id]
        again.options, again.client_msg_id = command.options, key
        return self._enter(again, now)

    def select(self, message_id: str, now: int) -> str:
        """Make the branch of a message the active one, up to the leaf that was last active behind
        it, which is returned. Raises `not_found`, `busy`."""
        self.check_message(message_id)
        self._check_quiet()
        leaf = self.branches.end_of(message_id)
        if leaf != self.branches.leaf:
            self._append(Selected(message_id=leaf), now)
        return leaf

    def _finished(self, run_id: str) -> RunState:
        run = self.runs.get(run_id)
        if run is None or run.done is None or run.started_at is None:
            raise ProtocolError("not_found", "no finished run with this id in this session")
        return run

    def _check_quiet(self) -> None:
        if self.unfinished:
            raise ProtocolError("busy", "an answer is running; wait for it", retryable=True)

    def _enter(self, run: Run, now: int) -> tuple[str, RunState]:
        if self.active:
            run.status = "queued"
        self._append(run, now)
        return run.status, self.runs[run.run_id or ""]

    def start_next(self, model: str, now: int) -> RunState | None:
        """Start the first queued run, where none is active."""
        if self.active or not self.queue:
            return None
        run = self.queue[0]
        event = started(run.run_id, run.answer.message_id, model, run.asker)
        if run.user:  # else it goes on with an answer that has its place
            event.parent, event.follows = run.user.message_id, self.branches.leaf
        self._append(event, now)
        return run

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
        self,
        ended_seq: int,
        now: int,
        *,
        text: str | None = None,
        error: Error | None = None,
        model: str | None = None,
        usage: Usage | None = None,
    ) -> bool:
        """Store what came of the summary of the end at `ended_seq`.

        False, and nothing changes, where the session was reopened since or has its
        summary; a second failure is not told again.
        """
        if self.ended is None or self.ended.seq != ended_seq:
            return False
        if text is not None and self.summary_status in ("pending", "failed"):
            self._append(Summary(status="done", text=text, model=model, usage=usage), now)
            return True
        if error is not None and self.summary_status == "pending":
            self._append(Summary(status="failed", error=error, model=model, usage=usage), now)
            return True
        return False
