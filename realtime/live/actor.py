"""The owner of one live session: what is asked of it, one command at a time.

The order of commands is the order of arrival. The rules are the session's; this adds time, tasks
and the log. A method that changes something returns the ticket of its commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..core.continuing import newest
from ..core.state import RunState
from ..core.user import User
from ..limits.budget import payers
from ..log.log import Ticket
from ..protocol import (
    Approve,
    ClientResult,
    Error,
    Event,
    File,
    Options,
    Origin,
    Queue,
    QueueEdit,
    Rate,
    Regenerate,
    Send,
    Stop,
    ToolDeclaration,
    Usage,
)
from .ack import Ack, acked, steered, stopped
from .attached import attached
from .client_result import answer_of
from .errors import draining
from .options import one_more
from .resident import Resident
from .schema import check_schema


class Actor(Resident):
    """One session and what may be asked of it. Only the hub makes and forgets it."""

    def begin(
        self, user_id: str, options: Options | None = None, forked_from: Origin | None = None
    ) -> Ticket:
        return self._ledger.change(
            lambda now: self.session.begin(user_id, now, options, forked_from)
        )[1]

    async def copy(self, events: Iterable[Event], title: str | None) -> None:
        """Take in a conversation, in one commit: nobody finds a part of it, nor does a crash leave
        one. Raises `StorageError`."""

        def rule(now: int) -> None:
            if title:
                self.session.rename(title, self.owner, now)
            self.session.copy(events)

        await self._ledger.copy(rule)

    def check_send(
        self, command: Send, user: User, found: Sequence[File] = ()
    ) -> tuple[File, ...] | None:
        """The files of a message that could be taken now; None where it is here already. Raises as
        `send`."""
        session = self.session
        if session.is_duplicate(command.client_msg_id, user.user_id):
            return None
        session.check_send(command)
        check_schema(command.schema)
        files = attached(command, found, session, self._host.services.chain)
        waits = command.if_busy in ("queue", "steer")
        self._admit(user.user_id, self.driver.model_for(None), waits=waits)
        return files

    def send(
        self,
        command: Send,
        user: User,
        found: Sequence[File] = (),
        *,
        instead: str | None = None,
    ) -> Ack:
        """Take a message; `found`: its files, as far as they are stored; `instead`: the text in
        place of its own. Raises `ProtocolError` at once; the ack comes with the commit."""
        session, model, user_id = self.session, self.driver.model_for(None), user.user_id
        files = self.check_send(command, user, found)
        if files is not None and command.if_busy == "interrupt" and session.active:
            self.driver.end(session.active)
        return self._ask(
            lambda now: session.send(
                command, user_id, model, now, files or (), name=user.name, instead=instead
            ),
            command.traceparent,
        )

    def resume(self, run_id: str, user_id: str) -> Ack:
        """Go on with an answer that broke off, as a run of this user."""
        model = self.driver.model_for(None)
        self._admit(user_id, model)
        return self._ask(lambda now: self.session.resume(run_id, user_id, model, now))

    def regenerate(self, command: Regenerate, user_id: str) -> Ack:
        """Answer a question once more, as a run of this user."""
        session = self.session
        command.options = own = one_more(command)
        if own:
            self._host.check_options(own)
        model = self.driver.model_for(own)
        if not session.is_duplicate(command.client_msg_id, user_id):
            self._admit(user_id, model)
        return self._ask(lambda now: session.regenerate(command, user_id, model, now))

    def _ask(
        self, rule: Callable[[int], tuple[str, RunState]], traceparent: str | None = None
    ) -> Ack:
        """Have a run begin, or wait, by a rule that says which of the two. Raises `draining` where
        it would begin in a process that ends."""
        if self.driver.draining and not self.session.active:
            raise draining()
        (status, run), ticket = self._ledger.change(rule)
        self.driver.follows(run, traceparent)
        if status == "started":
            self.driver.start(run)
        fields = {
            "message_id": run.user.message_id if run.user else run.answer.message_id,
            "run_id": run.run_id,
            "seq": run.first_seq,
        }
        if status == "queued" and (decided := self._steering.of(run)):
            return steered(ticket, decided, **fields)
        return acked(ticket, status=status, **fields)

    def queue(self, command: Queue, user: User) -> Ack:
        """Change what waits."""
        session, drop = self.session, command.drop
        if drop:
            return acked(self.driver.end(session.waiting(drop.run_id)).ticket)
        change = self._ledger.change(lambda now: session.change_queue(command, user, now))
        return acked(change[1])

    def check_edit(self, edit: QueueEdit) -> tuple[File, ...]:
        """The files of a message that waits, where its text may be changed so."""
        return self.session.check_edit(edit.run_id, edit.text).files

    def select(self, message_id: str, user_id: str) -> Ack:
        """Go over to the branch of a message."""
        leaf, ticket = self._ledger.change(lambda now: self.session.select(message_id, now))
        return acked(ticket, leaf=leaf)

    def _admit(self, user_id: str, model: str, *, waits: bool = False) -> None:
        """Raises `rate_limited` where this user, or the session's owner, may not have one more
        run, `forbidden` where the user may not have it of this model."""
        budget, session = self._host.services.budget, self.session
        self._host.services.people.check_model(user_id, model)
        users = payers(user_id, session.user_id)
        budget.check_runs(users, session.session_id)
        behind = session.active.run_id if session.active and waits else None
        budget.check_spending(users, behind=behind)

    def stop(self, command: Stop, user_id: str) -> Ack:
        """Cancel the active run or the one named, or what has gone on with that by itself; it is
        over before this returns."""
        session = self.session
        run = session.runs.get(command.run_id) if command.run_id else session.active
        run = run and newest(run, session)
        if run is None or run.done:
            status = "already_done" if run else "not_found"
            run_id = run.run_id if run else command.run_id
            return acked(None, status=status, run_id=run_id, upstream_closed=True, ms=0)
        ending = self.driver.end(run)
        self.driver.advance()
        return stopped(ending, run.run_id)

    def approve(self, command: Approve, user_id: str) -> Ack:
        """Decide on a call that waits. Raises `ProtocolError` at once."""
        session, check = self.session, self.driver.tools.check_edit
        _, ticket = self._ledger.change(lambda now: session.approve(command, user_id, now, check))
        return acked(ticket, status="resolved")

    def take_result(self, command: ClientResult, user_id: str) -> Ack:
        """Take a device's answer to a call. Raises `ProtocolError` at once."""
        session, answer = self.session, answer_of(command)
        _, ticket = self._ledger.change(
            lambda now: session.take_result(command.tool_call_id, *answer, user_id, now)
        )
        return acked(ticket, status="resolved")

    def rename(self, title: str, user_id: str) -> Ack:
        return self._done(lambda now: self.session.rename(title, user_id, now))

    def pin(self, pinned: bool, user_id: str) -> Ack:
        return self._done(lambda now: self.session.pin(pinned, user_id, now))

    def archive(self, archived: bool, user_id: str) -> Ack:
        return self._done(lambda now: self.session.archive(archived, user_id, now))

    def rate(self, command: Rate, user_id: str) -> Ack:
        return self._done(lambda now: self.session.rate(command, user_id, now))

    def _done(self, rule: Callable[[int], None]) -> Ack:
        return acked(self._ledger.change(rule)[1])

    def entitle(self, title: str, model: str, usage: Usage) -> Ticket:
        """Store a title that a model made, if it is of use, and what it cost."""
        return self._ledger.change(lambda now: self.session.entitle(title, model, usage, now))[1]

    def offer(self, tools: Sequence[ToolDeclaration]) -> Ack:
        """Tools of a device that has come, for the models of the runs to follow."""
        self.driver.tools.declare(tools)
        return acked(None)

    def end(self, user_id: str) -> Ack:
        """End the session now, with everything that runs or waits."""
        self._cancel(lambda run: True)
        return acked(self._ledger.change(lambda now: self.session.end(now, now))[1])

    def summarised(
        self, ended_seq: int, *, text: str | None, error: Error | None, model: str, usage: Usage
    ) -> Ticket | None:
        """Store a summary or the failure of one. None where it came too late."""
        stored, ticket = self._ledger.change(
            lambda now: self.session.summarised(
                ended_seq, now, text=text, error=error, model=model, usage=usage
            )
        )
        return ticket if stored else None
