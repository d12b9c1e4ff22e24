"""The rules of a session by themselves: any commands, any answers, any crash, in any order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from realtime.core.approvals import let_run
from realtime.core.bounds import Bounds
from realtime.core.continuing import MOST, may_go_on, newest, successor
from realtime.core.session import Session
from realtime.core.shown import on_branch
from realtime.core.state import RunState, State
from realtime.core.user import User
from realtime.models import ToolResult, UserText
from realtime.protocol import (
    EVENT_NAMES,
    WAITING_TOOL,
    Approval,
    Approve,
    CitedSource,
    ClientCall,
    Done,
    Error,
    Event,
    ProtocolError,
    Regenerate,
    Run,
    Send,
    Sources,
    Token,
    ToolCall,
    UserMessage,
    decode_event,
    to_json,
)

OWNER, GUEST, STRANGER = "owner", "guest", "stranger"
BOUNDS = Bounds(text_bytes=64, queued=2)
APPROVAL_MS = 100
CLIENT_MS = 50
ENDS = [
    ("completed", "stop"),
    ("cancelled", "cancelled"),
    ("interrupted", "error"),
    ("incomplete", "length"),
    ("incomplete", "stop"),
    ("failed", "error"),
]
NEXT = {"streaming": "ready", "ready": "running", "running": "completed"}


def read_back(state: State, events: list[Event]) -> None:
    """Apply these events as a store gives them back."""
    for event in events:
        state.apply(decode_event(EVENT_NAMES[type(event)], to_json(event)))


def seen(state: State) -> dict[str, Any]:
    """All that others see of a session."""
    return {
        "row": state.row(),
        "head": (state.head, state.last_ts, state.last_done()),
        "ended": state.ended,
        "active": state.active_view(),
        "queue": state.queue_view(),
        "pending": (state.pending(), state.pending_client_calls(), state.waits_for_people()),
        "context": state.context(),
        "branches": (state.branches.leaf, state.branches.parents),
        "runs": {
            run_id: (run.asker, run.automatic, run.status, run.model, run.started_at, run.done)
            for run_id, run in state.runs.items()
        },
        "answers": [
            (run.run_id, run.answer.message_id, run.answer.length, run.answer.text())
            for run in state.started
        ],
        "calls": [call for run in state.started for call in run.answer.calls.values()],
    }


def takes(name: str, arguments: dict[str, Any]) -> None:
    """What a tool says of the arguments that a person gives."""
    if "bad" in arguments:
        raise ProtocolError("bad_request", "n is missing")


class Conversation(RuleBasedStateMachine):
    """What an actor asks of a session, and what a model and people may do to it meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        numbers = itertools.count(1)
        self.ids = lambda: f"id{next(numbers)}"
        self.session = Session("s", ids=self.ids, bounds=BOUNDS)
        self.events: list[Event] = []
        self.now = 1000
        self.said: dict[tuple[str, str], tuple[str, str]] = {}  # text and run, by user and id
        self.waiting: list[str] = []  # runs, in the order in which they must start
        self.decided: dict[str, tuple[str, str]] = {}  # decision and by whom, by call
        self.answered: dict[str, str] = {}  # by whose device, by call
        self.unheard = False  # something was said since the last summary
        self.tree: dict[str, str | None] = {}  # each message's parent
        self.branch: list[str] = []  # the messages that a model should see now
        self.last_on: dict[str, list[str]] = {}  # for each message, the branch it was last on
        self.step_at = 0  # where the text of the step under way begins
        self.took: dict[str, list[UserMessage]] = {}  # messages that answers took in, by answer

    @initialize()
    def begin(self) -> None:
        self.session.begin(OWNER, self.now)
        self.commit()

    def commit(self) -> list[Event]:
        taken = self.session.take()
        self.events += taken
        return taken

    @contextmanager
    def refused(self, *codes: str) -> Iterator[None]:
        with pytest.raises(ProtocolError) as caught:
            yield
        assert caught.value.code in codes
        assert not self.commit(), "a refusal changes nothing"

    def started_next(self) -> None:
        run = self.session.start_next("m", self.now)
        assert (run.run_id if run else None) == (self.waiting.pop(0) if self.waiting else None)
        self.step_at = 0
        self.commit()
        if run:
            self.grown(run, run.user)

    def grown(self, run: RunState, question: UserMessage | None) -> None:
        """The branch goes on with a question, if there is a new one, and its answer."""
        for message_id in (question and question.message_id, run.answer.message_id):
            if message_id:
                self.tree[message_id] = self.branch[-1] if self.branch else None
                self.branch = [*self.branch, message_id]
        self.last_on |= dict.fromkeys(self.branch, self.branch)

    def up_to(self, message_id: str | None) -> list[str]:
        """The branch that ends with a message."""
        found: list[str] = []
        while message_id is not None:
            found, message_id = [message_id, *found], self.tree[message_id]
        return found

    # ------------------------------------------------------------------ people

    @rule(
        text=st.sampled_from(["hello", "what?", "and 😀"]),
        key=st.sampled_from("abcdefgh"),
        user=st.sampled_from([OWNER, GUEST]),
        if_busy=st.sampled_from(["queue", "reject", "steer"]),
    )
    def send(self, text: str, key: str, user: str, if_busy: Any) -> None:
        command = Send(text=text, client_msg_id=key, if_busy=if_busy)
        busy = self.session.active is not None
        if known := self.said.get((user, key)):
            if known[0] != text:
                with self.refused("conflict"):
                    self.session.send(command, user, "m", self.now)
                return
            status, run = self.session.send(command, user, "m", self.now)
            assert (status, run.run_id) == ("duplicate", known[1])
            assert not self.commit(), "a message that is sent again changes nothing"
        elif busy and if_busy == "reject":
            with self.refused("busy"):
                self.session.send(command, user, "m", self.now)
        elif busy and len(self.waiting) == BOUNDS.queued:
            with self.refused("queue_full"):
                self.session.send(command, user, "m", self.now)
        else:
            status, run = self.session.send(command, user, "m", self.now)
            assert status == ("queued" if busy else "started")
            assert [type(event).__name__ for event in self.commit()] == ["UserMessage", "Run"]
            assert run.user
            assert run.user.steer == (busy and if_busy == "steer")
            if not busy:
                self.grown(run, run.user)
            self.said[user, key] = text, run.run_id
            self.unheard = True
            if busy:
                self.waiting.append(run.run_id)
            self.step_at = self.step_at if busy else 0

    @precondition(lambda self: self.tree)
    @rule(data=st.data(), user=st.sampled_from([OWNER, GUEST]))
    def edit(self, data: st.DataObject, user: str) -> None:
        old = data.draw(st.sampled_from([*self.tree, "nobody's"]))
        command = Send(text="better", client_msg_id=self.ids(), replaces=old)
        questions = [e.message_id for e in self.events if isinstance(e, UserMessage)]
        if self.session.unfinished or old not in questions:
            with self.refused("busy" if self.session.unfinished else "not_found"):
                self.session.send(command, user, "m", self.now)
            return
        status, run = self.session.send(command, user, "m", self.now)
        said, _ = self.commit()
        assert isinstance(said, UserMessage)
        assert (status, said.replaces, said.parent) == ("started", old, self.tree[old])
        self.said[user, command.client_msg_id] = "better", run.run_id
        self.branch = self.up_to(self.tree[old])
        self.grown(run, said)
        self.unheard, self.step_at = True, 0

    @precondition(lambda self: self.tree)
    @rule(data=st.data(), user=st.sampled_from([OWNER, GUEST]))
    def regenerate(self, data: st.DataObject, user: str) -> None:
        run_id = data.draw(st.sampled_from([*self.session.runs, "nobody's"]))
        run = self.session.runs.get(run_id)
        command = Regenerate(run_id=run_id, client_msg_id=self.ids())
        begun = run is not None and run.done and run.started_at
        if not begun or self.session.unfinished:
            with self.refused("busy" if begun else "not_found"):
                self.session.regenerate(command, user, "m", self.now)
            return
        assert run
        status, again = self.session.regenerate(command, user, "m", self.now)
        (event,) = self.commit()
        assert isinstance(event, Run)
        assert (status, event.parent) == ("started", self.tree[run.answer.message_id])
        assert self.session.regenerate(command, user, "m", self.now) == ("duplicate", again)
        assert not self.commit()
        self.branch = self.up_to(event.parent)
        self.grown(again, None)
        self.unheard, self.step_at = True, 0

    @precondition(lambda self: self.tree)
    @rule(data=st.data())
    def select(self, data: st.DataObject) -> None:
        message_id = data.draw(st.sampled_from([*self.tree, "nobody's"]))
        if message_id not in self.tree or self.session.unfinished:
            with self.refused("busy", "not_found"):
                self.session.select(message_id, self.now)
            return
        before, self.branch = self.branch, self.last_on[message_id]
        self.last_on |= dict.fromkeys(self.branch, self.branch)
        assert self.session.select(message_id, self.now) == self.branch[-1]
        assert bool(self.commit()) == (self.branch != before)

    @rule(text=st.sampled_from(["", " \n", "x" * 65, "é" * 33]), key=st.sampled_from(["new", ""]))
    def send_what_cannot_be_taken(self, text: str, key: str) -> None:
        with self.refused("bad_request", "too_large"):
            self.session.send(Send(text=text, client_msg_id=key), OWNER, "m", self.now)

    @rule(data=st.data(), user=st.sampled_from([OWNER, GUEST]))
    def go_on(self, data: st.DataObject, user: str) -> None:
        run_id = data.draw(st.sampled_from([*self.session.runs, "nobody's"]))
        if code := self.why_not_on(run_id):
            with self.refused(code):
                self.session.resume(run_id, user, "m", self.now)
            return
        earlier = self.session.runs[run_id]
        status, run = self.session.resume(run_id, user, "m", self.now)
        assert (status, run.asker, run.user) == ("started", user, None)
        assert run.answer is earlier.answer, "in the same message"
        assert run is self.session.active
        self.unheard = True
        self.step_at = run.answer.length["text"]
        self.commit()

    def why_not_on(self, run_id: str) -> str | None:
        """The code with which going on with this run is refused."""
        run = self.session.runs.get(run_id)
        if run is None or run.done is None or run.started_at is None:
            return "not_found"
        if self.session.active:
            return "busy"
        runs = [r for r in self.session.started if r.answer.message_id == self.branch[-1]]
        newest = runs[-1]
        assert newest.done
        whole = newest.done.status == "completed"
        broken = newest.done.status in ("interrupted", "incomplete")
        continued = len(runs) > 1
        if newest.done.finish_reason == "stop":
            return "conflict"
        if newest.answer is not run.answer or whole or not (broken or continued):
            return "conflict"
        return "conflict" if newest.refused else None

    @precondition(lambda self: self.asked())
    @rule(
        data=st.data(),
        user=st.sampled_from([OWNER, GUEST, STRANGER]),
        decision=st.sampled_from(["approve", "deny"]),
        late=st.sampled_from([False, False, True]),
        edit=st.sampled_from([None, None, {"n": 1}, {"n": 2}, {"bad": 1}]),
    )
    def approve(
        self, data: st.DataObject, user: str, decision: Any, late: bool, edit: dict[str, Any] | None
    ) -> None:
        self.now += late * APPROVAL_MS
        call = data.draw(st.sampled_from(self.asked()))
        command = Approve(tool_call_id=call.tool_call_id, decision=decision, arguments=edit)
        assert call.run_id
        if user not in (OWNER, self.session.runs[call.run_id].asker):
            with self.refused("forbidden"):
                self.session.approve(command, user, self.now, takes)
        elif call.tool_call_id in self.decided:
            with self.refused("already_resolved"):
                self.session.approve(command, user, self.now, takes)
        elif call.status != "awaiting_approval":
            with self.refused("already_done" if call.status == "cancelled" else "expired"):
                self.session.approve(command, user, self.now, takes)
        elif call.approval and self.now >= call.approval.expires_at:
            with self.refused("expired"):
                self.session.approve(command, user, self.now, takes)
        elif edit and (decision == "deny" or "bad" in edit):
            with self.refused("bad_request"):
                self.session.approve(command, user, self.now, takes)
        else:
            self.session.approve(command, user, self.now, takes)
            self.decided[call.tool_call_id] = decision, user
            (told, *_) = self.commit()
            assert isinstance(told, ToolCall)
            begun = "awaiting_client" if call.client else "running"
            assert told.status == (begun if decision == "approve" else "denied")
            if told.client and told.status == "awaiting_client":
                assert told.client.expires_at == self.now + CLIENT_MS
            assert told.approval
            assert told.arguments == (edit or {"n": 1})
            assert told.approval.asked_arguments == ({"n": 1} if edit == {"n": 2} else None)
            assert told.approval.edited_by == (user if edit == {"n": 2} else None)

    @precondition(lambda self: self.clients())
    @rule(data=st.data(), user=st.sampled_from([OWNER, GUEST]), fails=st.booleans())
    def a_device_answers(self, data: st.DataObject, user: str, fails: bool) -> None:
        call = data.draw(st.sampled_from(self.clients()))
        error = Error("tool_error", "no") if fails else None
        answer = call.tool_call_id, None if fails else 7, error, user, self.now
        assert call.client
        if call.status == "awaiting_approval":
            with self.refused("not_found"):
                self.session.take_result(*answer)
        elif call.tool_call_id in self.answered:
            with self.refused("already_resolved"):
                self.session.take_result(*answer)
        elif call.status in ("cancelled", "denied"):
            with self.refused("already_done"):
                self.session.take_result(*answer)
        elif call.status == "expired" or self.now >= call.client.expires_at:
            with self.refused("expired"):
                self.session.take_result(*answer)
        else:
            self.session.take_result(*answer)
            self.answered[call.tool_call_id] = user
            (told,) = self.commit()
            assert isinstance(told, ToolCall)
            assert told.client
            assert (told.status, told.output) == (("failed", None) if fails else ("completed", 7))
            assert told.client.answered_by == user

    def clients(self) -> list[ToolCall]:
        """Every call that a front end makes, or made, or may yet make."""
        calls = [c for run in self.session.started for c in run.answer.calls.values()]
        return list({c.tool_call_id: c for c in calls if c.client}.values())

    @precondition(lambda self: self.clients())
    @rule(data=st.data())
    def no_device_answers(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.clients()))
        self.now += CLIENT_MS
        waited = call.status in WAITING_TOOL
        self.session.expire_call(call.tool_call_id, self.now)
        assert bool(self.commit()) == waited

    def asked(self) -> list[ToolCall]:
        """Every call that ever waited for a person."""
        calls = [c for run in self.session.started for c in run.answer.calls.values()]
        return list({c.tool_call_id: c for c in calls if c.approval}.values())

    @precondition(lambda self: self.asked())
    @rule(data=st.data())
    def nobody_decides(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.asked()))
        self.now += APPROVAL_MS
        waited = call.status in WAITING_TOOL
        self.session.expire_call(call.tool_call_id, self.now)
        assert bool(self.commit()) == waited

    @rule(data=st.data(), user=st.sampled_from([OWNER, GUEST]), text=st.sampled_from(["x", ""]))
    def edit_what_waits(self, data: st.DataObject, user: str, text: str) -> None:
        run_id = data.draw(st.sampled_from([*self.session.runs, "nobody's"]))
        if not text or run_id not in self.waiting:
            with self.refused("bad_request", "not_found", "already_done"):
                self.session.edit_queued(run_id, text, User(user), self.now)
            return
        run = self.session.runs[run_id]
        before = run.user and (run.user.text, run.asker)
        self.session.edit_queued(run_id, text, User(user), self.now)
        assert bool(self.commit()) == (before != (text, user))
        assert run.user
        assert (run.user.text, run.asker) == (text, user), "it is whose words it is"

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def move_what_waits(self, data: st.DataObject) -> None:
        run_id, other = (data.draw(st.sampled_from(self.waiting)) for _ in range(2))
        before = data.draw(st.sampled_from([other, None]))
        old = list(self.waiting)
        if before != run_id:
            self.waiting.remove(run_id)
            self.waiting.insert(self.waiting.index(before) if before else len(old), run_id)
        self.session.move_queued(run_id, before, self.now)
        assert bool(self.commit()) == (self.waiting != old)
        with self.refused("not_found", "already_done"):
            self.session.move_queued("nobody's", None, self.now)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def stop_what_waits(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(run_id)
        assert self.session.finish(run_id, "cancelled", "cancelled", self.now)
        self.commit()

    # --------------------------------------------------------------- the model

    def running(self) -> RunState:
        """The active run; somebody asks where there is none."""
        if self.session.active is None:
            self.send(text="hello", key=self.ids(), user=GUEST, if_busy="queue")
        assert self.session.active
        return self.session.active

    @rule(kind=st.sampled_from(["text", "reasoning"]), delta=st.sampled_from(["a ", "😀", "é\n"]))
    def speak(self, kind: Any, delta: str) -> None:
        run = self.running()
        offset = run.answer.length[kind]
        token = Token(message_id=run.answer.message_id, offset=offset, delta=delta, kind=kind)
        assert self.session.record(run.run_id, [token], self.now)
        self.commit()

    @rule()
    def the_provider_searches(self) -> None:
        """A call that it makes itself closes no step, and nothing is made of it here."""
        run = self.running()
        steps, asked = run.answer.steps, run.answer.last_step()
        call = ToolCall(tool_call_id=self.ids(), name="web_search", status="running", hosted=True)
        assert self.session.record(run.run_id, [call], self.now)
        said = run.answer.length["text"]
        token = Token(message_id=run.answer.message_id, offset=said, delta="seen", kind="text")
        ended = msgspec.structs.replace(call, status="completed")
        cites = Sources(
            message_id=run.answer.message_id, sources=[CitedSource(url="https://a.example")]
        )
        assert self.session.record(run.run_id, [ended, token, cites], self.now)
        assert run.answer.steps == steps
        assert run.answer.last_step() in (asked, []), "a new step where the last was closed"
        results = [item for item in run.answer.items() if isinstance(item, ToolResult)]
        assert call.tool_call_id not in {item.tool_call_id for item in results}
        self.commit()

    @rule(asks=st.booleans(), client=st.booleans())
    def ask_for_a_tool(self, asks: bool, client: bool) -> None:
        run = self.running()
        call = ToolCall(tool_call_id=self.ids(), name="f", status="streaming", arguments={"n": 1})
        call.message_id = run.answer.message_id
        if client:
            call.client = ClientCall(CLIENT_MS)
            call = call if asks else let_run(call, self.now)
        if asks:
            call.status = "awaiting_approval"
            call.approval = Approval(self.now + APPROVAL_MS, "hash", asked_by=run.asker)
        assert self.session.record(run.run_id, [call], self.now)
        self.step_at = run.answer.length["text"]
        self.commit()

    @rule()
    def work(self) -> None:
        run = self.running()
        for call in run.answer.open_calls():
            if status := NEXT.get(call.status):
                onward = msgspec.structs.replace(call, status=status)
                assert self.session.record(run.run_id, [onward], self.now)
        self.commit()

    @precondition(lambda self: self.session.active and not self.session.active.answer.open_calls())
    @rule()
    def fall_back(self) -> None:
        run = self.session.active
        assert run
        switch = Run(message_id=run.answer.message_id, status="fallback", model="n")
        switch.reset_to = self.step_at
        assert self.session.record(run.run_id, [switch], self.now)
        assert run.answer.length["text"] == self.step_at
        self.commit()

    @precondition(lambda self: self.session.active and not self.session.active.answer.open_calls())
    @rule()
    def begin_a_further_step(self) -> None:
        """What waits to steer the answer joins it, if it is of the user who asked."""
        run = self.session.active
        assert run
        waiting = [(run_id, self.session.runs[run_id]) for run_id in self.waiting]
        joins = {w: one.user for w, one in waiting if one.user and one.user.steer}
        joins = {w: said for w, said in joins.items() if said.user_id == run.asker}
        steps = run.answer.steps, run.answer.last_step(), run.answer.length["text"]
        assert self.session.take_in(run.run_id, self.now) == bool(joins)
        done = self.commit()
        assert [(e.run_id, getattr(e, "consumed_by", None)) for e in done] == [
            (run_id, run.run_id) for run_id in joins
        ]
        self.waiting = [run_id for run_id in self.waiting if run_id not in joins]
        self.took.setdefault(run.answer.message_id, []).extend(joins.values())
        assert steps == (run.answer.steps, run.answer.last_step(), run.answer.length["text"])
        assert not self.session.take_in(run.run_id, self.now), "each message once"
        self.step_at = run.answer.length["text"]

    @rule(waits=st.booleans())
    def break_off(self, waits: bool) -> None:
        """The server goes on by itself, in this process or in another."""
        run = self.running()
        may = may_go_on(run, self.session)
        then = successor(run, self.ids(), "m", waits=waits) if may else None
        self.session.finish(run.run_id, "interrupted", "error", self.now, then=then)
        *_, ended = self.commit()
        if then is None:
            assert isinstance(ended, Done)
            self.started_next()
            return
        heir = self.session.runs[then.run_id or ""]
        assert isinstance(ended, Run), "in the same commit"
        assert newest(run, self.session) is heir
        assert (heir.asker, heir.automatic) == (run.asker, True)
        assert heir.answer is run.answer
        if waits:
            assert self.session.queue[0] is heir, "before all that waits"
            assert self.session.start_next("m", self.now) is heir
            self.commit()
        assert self.session.active is heir
        self.step_at = run.answer.length["text"]

    @invariant()
    def nobody_goes_on_for_ever(self) -> None:
        if not hasattr(self, "session"):
            return
        in_a_row = 0
        for before, run in itertools.pairwise(self.session.started):
            in_a_row = in_a_row + 1 if run.automatic else 0
            assert in_a_row <= MOST
            assert not run.automatic or run.answer is before.answer

    @rule(end=st.sampled_from(ENDS), refused=st.booleans())
    def finish(self, end: Any, refused: bool) -> None:
        run = self.running()
        status, reason = end
        error = Error("content_filter" if refused else "x", "why") if reason == "error" else None
        assert self.session.finish(run.run_id, status, reason, self.now, error=error)
        assert not run.answer.open_calls(), "its calls end with it"
        *_, done = self.commit()
        assert isinstance(done, Done)
        self.started_next()

    @precondition(lambda self: any(run.done for run in self.session.runs.values()))
    @rule(data=st.data())
    def answer_too_late(self, data: st.DataObject) -> None:
        ended = [run.run_id for run in self.session.runs.values() if run.done]
        run_id = data.draw(st.sampled_from(ended))
        late = Token(message_id="m", offset=0, delta="late", kind="text")
        assert not self.session.record(run_id, [late], self.now)
        assert not self.session.finish(run_id, "completed", "stop", self.now)
        assert not self.commit()

    # -------------------------------------------------- the end, and the process

    @precondition(lambda self: not self.session.unfinished)
    @rule()
    def end(self) -> None:
        had_ended = self.session.ended is not None
        assert self.session.end(self.now, self.now) != had_ended
        assert bool(self.commit()) != had_ended
        if not had_ended:
            assert self.session.summary_status == ("pending" if self.unheard else "none")

    @precondition(lambda self: self.session.ended)
    @rule(current=st.booleans(), good=st.booleans())
    def sum_up(self, current: bool, good: bool) -> None:
        assert self.session.ended
        seq = self.session.ended.seq - (not current)
        before = self.session.summary_status
        took = self.session.summarised(
            seq,
            self.now,
            text="They spoke." if good else None,
            error=None if good else Error("x", "why"),
        )
        assert took == (current and before in (("pending", "failed") if good else ("pending",)))
        assert bool(self.commit()) == took
        self.unheard = self.unheard and not (took and good)

    @rule(lost=st.booleans())
    def crash(self, lost: bool) -> None:
        """The process dies; the next one has the log, and ends or keeps the active run."""
        self.session = Session("s", ids=self.ids, bounds=BOUNDS)
        read_back(self.session, self.events)
        if lost and (run := self.session.active):
            last = self.session.last_ts
            self.session.finish(run.run_id, "interrupted", "error", self.now, ended_at=last)
            assert run.done
            assert run.done.status == "interrupted"
            self.commit()
            self.started_next()

    @rule(by=st.integers(1, 30))
    def wait(self, by: int) -> None:
        self.now += by

    # ------------------------------------------------------------ what holds always

    @invariant()
    def seqs_are_without_gaps(self) -> None:
        assert [event.seq for event in self.events] == [*range(1, len(self.events) + 1)]
        assert self.session.head == len(self.events)

    @invariant()
    def done_comes_once_and_last(self) -> None:
        over: set[str | None] = set()
        for event in self.events:
            assert event.run_id is None or event.run_id not in over
            over |= {event.run_id} if isinstance(event, Done) else set()

    @invariant()
    def the_active_branch_is_the_context(self) -> None:
        branches = self.session.branches
        assert branches.path(branches.leaf) == self.branch
        answered = [answer.message_id for _, answer in self.session.exchanges()]
        assert answered == self.branch[1::2]
        shown = on_branch(self.session, branches.leaf) or (lambda event: True)
        asked = [e.message_id for e in self.events if isinstance(e, UserMessage) and shown(e)]
        placed = [message_id for message_id in dict.fromkeys(asked) if message_id in self.tree]
        assert sorted(placed) == sorted(self.branch[::2])
        begun = [e for e in self.events if isinstance(e, Run) and shown(e)]
        assert {e.message_id for e in begun if e.status == "started"} == set(self.branch[1::2])
        families = {
            message_id: [other for other in self.tree if self.tree[other] == parent]
            for message_id, parent in self.tree.items()
        }
        several = {one: family for one, family in families.items() if len(family) > 1}
        assert branches.siblings(self.tree) == several

    @invariant()
    def what_an_answer_took_in_is_on_its_branch_alone(self) -> None:
        expected = [said for answer in self.branch[1::2] for said in self.took.get(answer, [])]
        refused = {r.answer.message_id for r in self.session.runs.values() if r.refused}
        told = [
            said for a in self.branch[1::2] if a not in refused for said in self.took.get(a, [])
        ]
        texts = [said.text for said in told]
        context = self.session.context()
        assert [i.text for i in context if isinstance(i, UserText) and i.steers] == texts
        shown = on_branch(self.session, self.session.branches.leaf) or (lambda event: True)
        all_taken = {said.message_id for taken in self.took.values() for said in taken}
        asked = {e.message_id for e in self.events if isinstance(e, UserMessage) and shown(e)}
        assert asked & all_taken == {said.message_id for said in expected}

    @invariant()
    def the_log_is_the_session(self) -> None:
        again = State("s")
        read_back(again, self.events)
        assert seen(again) == seen(self.session)

    @invariant()
    def one_run_is_active_and_the_others_wait_in_order(self) -> None:
        assert [run.run_id for run in self.session.queue] == self.waiting
        begun = [run for run in self.session.started if not run.done]
        assert begun == ([self.session.active] if self.session.active else [])
        assert self.session.active or not self.waiting

    @invariant()
    def a_call_is_decided_once(self) -> None:
        decisions: dict[str, set[tuple[str, str | None]]] = {}
        for event in self.events:
            if isinstance(event, ToolCall) and event.approval and event.approval.decision:
                decision = event.approval.decision, event.approval.decided_by
                decisions.setdefault(event.tool_call_id, set()).add(decision)
        assert decisions == {call: {decision} for call, decision in self.decided.items()}

    @invariant()
    def a_device_answers_once(self) -> None:
        calls = [event for event in self.events if isinstance(event, ToolCall)]
        by = [(c.tool_call_id, c.client.answered_by) for c in calls if c.client]
        assert sorted(item for item in by if item[1]) == sorted(self.answered.items())

    @invariant()
    def a_run_says_that_it_waits_for_a_person(self) -> None:
        if run := self.session.active:
            assert (run.status == "awaiting_approval") == bool(self.session.pending())


Conversation.TestCase.settings = settings(max_examples=300, stateful_step_count=40)
TestConversation = Conversation.TestCase
