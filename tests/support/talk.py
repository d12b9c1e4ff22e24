"""Sessions of every shape, made by the core: calls, resets, continued answers, odd texts, nulls."""

from __future__ import annotations

import random
from typing import Any
from uuid import UUID

from msgspec import UNSET

from realtime.core.rows import Head
from realtime.core.session import Session
from realtime.core.state import RunState
from realtime.protocol import (
    CitedSource,
    Done,
    Error,
    Event,
    ProtocolError,
    Rate,
    Regenerate,
    Run,
    Send,
    Sources,
    Token,
    ToolCall,
    Usage,
)

ODD = ("completed", "failed", "started", "done", "", "\U0001f600", "é\n\n", '"kind":"text"', "null")
VALUES: list[Any] = [UNSET, None, {"city": None}, [None, 0], "null"]
SCHEMAS: list[Any] = [None, {"type": "null"}, {"enum": [None, 1], "default": None}]
ENDS = {"completed": "stop", "interrupted": "error", "incomplete": "length", "failed": "error"}
LONG = "A text that is longer than one piece of a text is. " * 20


def head_of(session: Session) -> Head:
    return Head(session.row(), session.unfinished, None)


def talk(seed: int, runs: int = 5, owner: str = "owner") -> Session:
    """A random session; its events are to be taken."""
    dice = random.Random(seed)

    def new_id() -> str:
        return str(UUID(int=dice.getrandbits(128)))

    session = Session(new_id(), ids=new_id)
    session.begin(owner, 1)
    now = 1
    for number in range(runs):
        now += 1
        user = dice.choice([owner, "guest"])
        if not went_on(session, dice, user, now):
            text = dice.choice([f"question {number}", LONG, "completed", "\U0001f600?"])
            asked = [question.message_id for question, _ in session.exchanges()]
            old = dice.choice([*asked, None, None])
            schema = dice.choice(SCHEMAS)
            command = Send(text=text, client_msg_id=str(number), replaces=old, schema=schema)
            session.send(command, user, "m", now)
        run = session.active
        assert run
        for _ in range(dice.randrange(12)):
            now += 1
            what = dice.random()
            if what < 0.65:
                kind = "reasoning" if dice.random() < 0.2 else "text"
                text = dice.choice([*ODD, "word ", "word ", LONG])
                if text:
                    say(session, text, now, kind)
            elif what < 0.8:
                call(session, dice, new_id(), now)
            elif what < 0.85:
                cite(session, dice, now)
            else:
                back = dice.choice([0, run.answer.length["text"], run.answer.length["text"] // 2])
                event = Run(
                    message_id=run.answer.message_id, status="fallback", model="n", reset_to=back
                )
                session.record(run.run_id, [event], now)
        status = dice.choice(["completed", "interrupted", "incomplete", "failed"])
        error = Error("internal", "no") if status == "failed" else None
        value = dice.choice(VALUES) if status == "completed" else UNSET
        session.finish(
            run.run_id,
            status,  # type: ignore[arg-type]
            ENDS[status],  # type: ignore[arg-type]
            now,
            usage=Usage(1, 2),
            error=error,
            value=value,
        )
        if dice.random() < 0.4:
            label(session, dice, user, now)
    if dice.random() < 0.5:
        session.end(now, now)
        if session.ended:
            texts = ["A summary.", "done", LONG]
            session.summarised(session.ended.seq, now, text=dice.choice(texts))
    return session


def went_on(session: Session, dice: random.Random, user: str, now: int) -> bool:
    """With an answer that broke off, or with one that is made again."""
    if not session.started:
        return False
    try:
        if dice.random() < 0.5:
            session.resume(session.started[-1].run_id, user, "m", now)
        else:
            session.select(dice.choice([*session.branches.parents]), now)
            again = Regenerate(run_id=dice.choice(session.started).run_id)
            if dice.random() < 0.5:
                return False
            session.regenerate(again, user, "m", now)
    except ProtocolError:
        return False
    return True


def label(session: Session, dice: random.Random, user: str, now: int) -> None:
    """What people, and a model, say of it as a whole."""
    title = dice.choice(["A title", "done", "\U0001f600?"])
    match dice.randrange(5):
        case 0:
            session.rename(title, user, now)
        case 1:
            session.entitle(title, "m", Usage(3, 4, cost=0.5), now)
        case 2:
            session.pin(dice.random() < 0.7, user, now)
        case 3:
            session.archive(dice.random() < 0.7, user, now)
        case 4:
            rated = session.started[-1].answer.message_id
            value = dice.choice(["up", "down", None])
            comment = dice.choice([None, "up", LONG[:900]])
            rate = Rate(message_id=rated, value=value, comment=comment)
            session.rate(rate, user, now)


def asked(session: Session, text: str) -> RunState:
    """The run that answers the owner's message."""
    session.send(Send(text=text, client_msg_id=text), session.user_id, "m", 2)
    run = session.active
    assert run
    return run


def say(session: Session, text: str, now: int, kind: str = "text") -> None:
    run = session.active
    assert run
    token = Token(
        message_id=run.answer.message_id,
        offset=run.answer.length[kind],  # type: ignore[index]
        delta=text,
        kind=kind,  # type: ignore[arg-type]
    )
    session.record(run.run_id, [token], now)


def cite(session: Session, dice: random.Random, now: int) -> None:
    run = session.active
    assert run
    one = CitedSource(url="https://a.example", start=0, end=run.answer.length["text"])
    sources = [one, CitedSource(file_id="f", title=dice.choice(ODD))]
    event = Sources(message_id=run.answer.message_id, sources=sources)
    session.record(run.run_id, [event], now)


def call(session: Session, dice: random.Random, call_id: str, now: int) -> None:
    run = session.active
    assert run
    states = ["streaming", "ready", "running", "completed"]
    hosted = dice.random() < 0.3
    for status in states[: dice.randrange(1, 5)]:
        output = {"rows": [LONG, 0.1, None]} if status == "completed" else None
        event = ToolCall(
            tool_call_id=call_id,
            name="look",
            status=status,  # type: ignore[arg-type]
            message_id=run.answer.message_id,
            arguments={"where": LONG},
            output=output,
            hosted=hosted,
        )
        session.record(run.run_id, [event], now)


def ended_runs(events: list[Event]) -> list[tuple[str, int, int]]:
    """(run id, first seq, last seq) of the runs that have ended."""
    first: dict[str, int] = {}
    ended = []
    for event in events:
        if event.run_id:
            first.setdefault(event.run_id, event.seq)
            if isinstance(event, Done):
                ended.append((event.run_id, first[event.run_id], event.seq))
    return ended
