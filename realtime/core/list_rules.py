"""What people do with a conversation as a whole: its title, its place in the list, copies of it,
and what they think of its answers. The rules, without I/O, clock or asyncio.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..protocol import (
    Event,
    Feedback,
    ProtocolError,
    Rate,
    SessionUpdated,
    Usage,
    clean_title,
)
from .fork import Part
from .run_rules import RunRules
from .state import RunState


class ListRules(RunRules):
    """A session's state, and what may be done with all of it. Times are ms since the Unix epoch."""

    def rename(self, title: str, user_id: str, now: int) -> None:
        """Give it a person's title. Raises `bad_request`."""
        cleaned = clean_title(title)
        if cleaned is None:
            raise ProtocolError("bad_request", "a title needs at least one visible character")
        if (cleaned, True) != (self.labels.title, self.labels.named):
            self._append(SessionUpdated(title=cleaned, user_id=user_id), now)

    def entitle(self, title: str, model: str, usage: Usage, now: int) -> None:
        """Give it the title that a model made, unless that is empty or the session has one by now.
        What it cost is stored in any case."""
        new = title if title and self.labels.title is None else None
        if new or usage.input_tokens or usage.output_tokens:
            self._append(SessionUpdated(title=new, model=model, usage=usage), now)

    def pin(self, pinned: bool, user_id: str, now: int) -> None:
        if pinned != self.labels.pinned:
            self._append(SessionUpdated(pinned=pinned, user_id=user_id), now)

    def archive(self, archived: bool, user_id: str, now: int) -> None:
        if archived != self.labels.archived:
            self._append(SessionUpdated(archived=archived, user_id=user_id), now)

    def rate(self, command: Rate, user_id: str, now: int) -> None:
        """Note what a user thinks of an answer that has ended. Raises `not_found`, `busy`."""
        run = self._answers.get(command.message_id)
        if run is None:
            raise ProtocolError("not_found", "no answer with this id in this session")
        if run.done is None:
            raise ProtocolError("busy", "this answer is still running", retryable=True)
        known = self.labels.feedback.get((command.message_id, user_id))
        before = (known.value, known.comment) if known else (None, None)
        if (command.value, command.comment) != before:
            said = Feedback(
                message_id=command.message_id,
                user_id=user_id,
                value=command.value,
                comment=command.comment,
            )
            self._append(said, now)

    def part_up_to(self, message_id: str) -> Part:
        """The branch that ends with a message, or with the answer to it that was last active.
        Raises `not_found`, `busy`."""
        self.check_message(message_id)
        answered = message_id in self._answers
        path = set(self.branches.path(message_id if answered else self.branches.next(message_id)))
        runs = [run for run in self.started if run.answer.message_id in path]
        answers: dict[str | None, list[RunState]] = {}  # by question
        for run in runs:
            answers.setdefault(self.branches.parents[run.answer.message_id], []).append(run)
        answered_by: dict[str, str] = {}
        for question in (self._questions[one] for one in path if one in self._questions):
            own, found = self.runs[question.run_id or ""], answers.get(question.message_id)
            if not found:  # it waits, or has ended before it began
                runs.append(own)
            elif own not in found:
                answered_by[question.message_id] = found[0].run_id
        if any(run.done is None for run in runs):
            raise ProtocolError("busy", "this answer is still running", retryable=True)
        ids = {run.run_id for run in runs}
        taken = {
            run.run_id for run in self.runs.values() if run.done and run.done.consumed_by in ids
        }
        return Part(path, ids | taken, answered_by, self.labels.title)

    def copy(self, events: Iterable[Event]) -> None:
        """Take in events of another session, as they were and when they were."""
        for event in events:
            event.session_id, event.seq = self.session_id, self.head + 1
            self.apply(event)
            self._new.append(event)
