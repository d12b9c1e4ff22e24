"""One contract for both stores: what the journal and Supabase are asked in the same words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from realtime.cli import admin
from realtime.core.rows import Head, Listing, SessionRow
from realtime.core.session import Session
from realtime.live.listing import place_of
from realtime.log.encode import encoded
from realtime.log.journal import Journal
from realtime.log.journal.keeper import JournalKeeper
from realtime.log.store import Store
from realtime.protocol import Event, Send, Token, Usage, decode_event
from realtime.supabase import Supabase
from tests.supabase.samples import T0, new_id

Write = Callable[[Session], Awaitable[list[Event]]]


class Both:
    """A store, and how a session gets into it."""

    def __init__(self, store: Store, write: Write) -> None:
        self.store = store
        self.write = write


@pytest.fixture(params=["journal", "supabase"])
async def both(
    request: pytest.FixtureRequest, tmp_path: Path, supabase: Supabase
) -> AsyncIterator[Both]:
    journal = Journal(str(tmp_path / "journal.db"))

    async def write(session: Session) -> list[Event]:
        events = session.take()
        head = Head(session.row(), session.unfinished, None)
        journal.write([encoded(session.session_id, session.epoch, events)], [head])
        if request.param == "supabase":
            batch = journal.shipping.unshipped(10_000)
            assert not (await supabase.ship(batch, journal.worker(), 60)).refused
            journal.shipping.shipped(batch)
        return events

    keeper = JournalKeeper(journal)
    yield Both(keeper if request.param == "journal" else supabase, write)
    await keeper.close()


def begun(user: str, at: int = T0) -> Session:
    session = Session(new_id())
    session.begin(user, at)
    return session


def spoken(user: str, at: int = T0, answer: str = "Well.") -> Session:
    """A session in which one question was answered."""
    session = begun(user, at)
    _, run = session.send(Send(text="Is it?", client_msg_id=new_id()), user, "m", at + 10)
    message = run.answer.message_id
    offset = 0
    for piece in answer.split(" "):
        session.record(
            run.run_id,
            [Token(message_id=message, offset=offset, delta=piece, kind="text")],
            at + 20,
        )
        offset += len(piece)
    usage = Usage(input_tokens=3, output_tokens=7)
    session.finish(run.run_id, "completed", "stop", at + 30, usage=usage)
    return session


async def test_what_is_not_there(both: Both) -> None:
    assert await both.store.fetch(new_id()) is None
    assert await both.store.list_sessions(new_id(), 10) == []
    assert (await both.store.figures(new_id(), 0))["sessions"] == 0
    await both.store.delete([new_id()])


async def test_a_session_row_for_row_in_order(both: Both) -> None:
    session = spoken("ada", answer="Über 🙂 it  was")
    events = await both.write(session)
    fetched = await both.store.fetch(session.session_id)
    assert fetched
    row, rows = fetched
    assert row == session.row()
    assert [decode_event(row.event_type, row.payload) for row in rows] == events
    assert [row.seq for row in rows] == list(range(1, len(events) + 1))
    assert {row.epoch for row in rows} == {1}
    assert rows[1].content == "Is it?"


async def test_an_end_and_a_summary(both: Both) -> None:
    session = spoken(new_id())
    session.end(T0 + 500, T0 + 600)
    await both.write(session)
    fetched = await both.store.fetch(session.session_id)
    assert fetched
    assert (fetched[0].end_time, fetched[0].duration_seconds) == (T0 + 500, 0.5)
    assert fetched[0].summary_status == "pending"
    ended = session.ended
    assert ended
    session.summarised(ended.seq, T0 + 700, text="It was.")
    await both.write(session)
    (row,) = await both.store.list_sessions(session.user_id, 10)
    assert (row.summary, row.summary_status) == ("It was.", "done")
    assert row == session.row()


async def test_sessions_are_listed_newest_first(both: Both) -> None:
    user = new_id()
    silent = begun(user, T0 + 3000)
    older, newer = spoken(user, T0), spoken(user, T0 + 2000)
    for session in (older, silent, newer, spoken(new_id(), T0 + 4000)):
        await both.write(session)

    async def listed(limit: int) -> list[str]:
        return [row.session_id for row in await both.store.list_sessions(user, limit)]

    assert await listed(10) == [silent.session_id, newer.session_id, older.session_id]
    assert await listed(1) == [silent.session_id]
    everybody = await both.store.list_sessions(None, 10_000)
    assert set(await listed(10)) < {row.session_id for row in everybody}


async def test_a_list_is_read_in_pages_pinned_ones_first(both: Both) -> None:
    user = new_id()
    sessions = [spoken(user, T0 + 1000 * number) for number in range(7)]
    sessions[2].pin(True, user, T0 + 9000)
    sessions[3].archive(True, user, T0 + 9000)
    sessions[4].entitle("Named", "m", Usage(1, 2), T0 + 9000)
    for session in (*sessions, begun(user), spoken(new_id())):
        await both.write(session)
    order = [sessions[at].session_id for at in (2, 6, 5, 4, 1, 0)]
    found: list[SessionRow] = []
    before = None
    while rows := await both.store.find_sessions(Listing(user_id=user, limit=2, before=before)):
        found += rows
        before = place_of(rows[-1])
    assert [row.session_id for row in found] == order
    assert found == [one.row() for key in order for one in sessions if one.session_id == key]
    archived = await both.store.find_sessions(Listing(user_id=user, limit=9, archived=True))
    assert archived == [sessions[3].row()]


TEXTS = [
    ("Über die Größe der Bäume", ["größe", "UBER bäum", "grosse baume"], ["strauch", "bäu der x"]),
    ("Le café près du musée", ["cafe musee", "MUSÉE", "mus"], ["the", "mu"]),
    (
        "今天天气怎么样？北京下雨吗",
        ["天气", "北京 天气", "雨", "样 吗 天"],
        ["上海", "气天", "上 吗"],
    ),
    ("A green teapot, №5", ["tea green tea", "no5 teapot"], ["tea green", "no6"]),
    ("東京タワーの高さは何メートルですか", ["東京", "タワー", "高さ"], ["大阪"]),
    ("สวัสดีครับ วันนี้อากาศดี", ["อากาศ", "สวัสดี"], ["ฝนตก"]),
    ("오늘 날씨가 어때요", ["날씨", "오늘"], ["내일"]),
    ("आज मौसम कैसा है", ["मौसम", "आज कैस"], ["बारिश"]),
    (
        "call get_user_by_id(42) twice; iPhone手机",
        ["get_user_by_id", "user 42", "手机"],
        ["get_usr"],
    ),
    ("emoji 🙂 and — dashes…", ["emoji dash"], ["🙂", "—", "'", "\\", "%", "emoji:*x"]),
    ("مرحبا، كيف الحال؟ بخير۔", ["مرحبا كيف", "الحال بخير"], ["، ؟", "شكرا"]),
    ("Ο ΣΊΣΥΦΟΣ στους δρόμους", ["σίσυφος", "ΔΡΌΜΟΥΣ στους"], ["ηρακλής"]),
    ("ПРИВЕТ, мир! Ещё раз", ["привет Мир", "еще раз"], ["пока"]),
    ("☀️Sonne, 1️⃣2 Mal", ["sonne", "2 mal"], ["mond", "☀️"]),
]


@pytest.mark.parametrize(("text", "found", "missing"), TEXTS, ids=[t[0][:6] for t in TEXTS])
async def test_words_are_found_in_any_script(
    both: Both, text: str, found: list[str], missing: list[str]
) -> None:
    user = new_id()
    asked, answered = spoken(user, T0, "Nothing."), spoken(user, T0 + 500)
    for session, question, answer in ((asked, text, "Yes"), (answered, "What?", text)):
        at = session.start_time + 40
        _, run = session.send(Send(text=question, client_msg_id="2"), user, "m", at)
        said = Token(message_id=run.answer.message_id, offset=0, delta=answer, kind="text")
        session.record(run.run_id, [said], at)
        session.finish(run.run_id, "completed", "stop", at, usage=Usage(1, 1))
    for session in (asked, answered, spoken(user), spoken(new_id(), T0, text)):
        await both.write(session)

    async def search(words: str) -> list[str]:
        rows = await both.store.find_sessions(Listing(user_id=user, limit=9, wanted=words))
        return [row.session_id for row in rows]

    for words in found:
        assert await search(words) == [answered.session_id, asked.session_id], words
    for words in missing:
        assert await search(words) == [], words
    await both.store.delete([asked.session_id])
    assert await search(found[0]) == [answered.session_id]


async def test_words_stand_in_any_of_the_messages_or_in_the_newest_title(both: Both) -> None:
    user = new_id()
    session = spoken(user, T0, "pelican")
    session.rename("Zebra", user, T0 + 60)
    session.rename("Okapi", user, T0 + 70)
    await both.write(session)

    async def search(words: str, **more: object) -> int:
        wanted = Listing(user_id=user, limit=9, wanted=words)
        return len(await both.store.find_sessions(replace(wanted, **more)))

    found = [await search(words) for words in ("okapi pelican is", "zebra", "okapi lion")]
    assert found == [1, 0, 0]
    assert await search("pelican", archived=True) == 0
    assert await search("pelican", before=place_of(session.row())) == 0


async def test_figures(both: Both) -> None:
    user = new_id()
    ended = spoken(user, T0)
    ended.end(T0 + 4000, T0 + 4000)
    for session in (ended, spoken(user, T0 + 100_000), begun(user, T0 + 100_000)):
        await both.write(session)
    assert await both.store.figures(user, 0) == {
        "sessions": 3,
        "sessions_ended": 1,
        "mean_duration_seconds": 4.0,
        "messages": 2,
        "answers": 2,
        "input_tokens": 6,
        "output_tokens": 14,
        "cost": 0,
    }
    assert (await both.store.figures(user, T0 + 1))["messages"] == 1


async def test_deletion_takes_all_of_it_and_nothing_else(both: Both) -> None:
    user = new_id()
    gone, stays = spoken(user), spoken(user)
    await both.write(gone)
    await both.write(stays)
    await both.store.delete([gone.session_id])
    assert await both.store.fetch(gone.session_id) is None
    assert await both.store.fetch(stays.session_id)
    assert (await both.store.figures(user, 0))["messages"] == 1


async def test_an_export_is_the_same(both: Both) -> None:
    session = spoken(new_id(), answer="One two")
    await both.write(session)
    row, events = await admin.found([both.store], session.session_id)
    assert "Onetwo" in admin.as_markdown(row, events)
    assert '"delta": "Onetwo"' in admin.as_json(row, events)
    with pytest.raises(admin.NoSuchSession):
        await admin.found([both.store], new_id())
