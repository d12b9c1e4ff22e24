"""Shipping and reading back, against Supabase Lite on a real Postgres."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

import msgspec
import pytest

from realtime.core.rows import Listing, SessionRow
from realtime.supabase import Supabase, SupabaseError
from realtime.supabase.codec import encode_head, milliseconds
from realtime.supabase.shipped import Lost
from tests.supabase.samples import (
    T0,
    batch,
    event,
    head_of,
    new_id,
    plain,
    session,
    ship,
    token,
)
from tests.support.supabase_lite import SupabaseLite


def shape(project: SupabaseLite, session_id: str) -> list[str]:
    """Each row of a session as `epoch first_seq..seq`, in order."""
    rows = project.psql(
        "select epoch || ' ' || first_seq || '..' || seq from public.session_events "
        f"where session_id = '{session_id}' order by epoch, seq"
    )
    return rows.splitlines()


def content_of_database(project: SupabaseLite, session_id: str) -> str:
    return project.psql(
        f"select s from public.sessions s where session_id = '{session_id}'; "
        f"select e from public.session_events e where session_id = '{session_id}' order by id"
    )


async def test_round_trip_row_for_row(supabase: Supabase) -> None:
    head = session(
        user_id="guest-ä",
        end_time=T0 + 61_500,
        duration_seconds=61.5,
        summary="Über 'dies' \"und\" das\n🙂",
        summary_status="done",
    )
    strange = {"n": 2**60, "f": 0.1, "deep": [{"x": None}], "s": "a\\u0000b ü 🙂 \\", "e": ""}
    rows = [
        event(head, 1, "session_started", content=""),
        event(head, 2, run_id="r-1", payload=msgspec.json.encode(strange)),
        token(head, 3, 40),
        event(head, 41, "done", run_id="r-1", content="x\ty"),
    ]

    assert await ship(supabase, batch(head, *rows)) == []
    fetched = await supabase.fetch(head.session_id)

    assert fetched is not None
    assert fetched[0] == head
    assert [plain(row) for row in fetched[1]] == [plain(row) for row in rows]


async def test_numbers_come_back_as_they_were(supabase: Supabase) -> None:
    numbers = [1e100, -1e150, 1.5e308, 1e-300, 0.1, 10**99, -(10**98), 2**64, 7]
    row = session()
    payload = msgspec.json.encode({"text": "9" * 200, "output": numbers})
    await ship(supabase, batch(row, event(row, 1, payload=payload)))
    found = await supabase.fetch(row.session_id)
    assert found
    back = json.loads(found[1][0].payload)
    assert back["text"] == "9" * 200
    assert list(map(repr, back["output"])) == list(map(repr, numbers))


async def test_a_session_without_events_or_end(supabase: Supabase) -> None:
    head = session()
    await ship(supabase, batch(head))
    assert await supabase.fetch(head.session_id) == (head, [])


@pytest.mark.parametrize("unknown", [str(UUID(int=1)), "", "no uuid", "'; drop table sessions"])
async def test_fetch_of_what_is_not_there(supabase: Supabase, unknown: str) -> None:
    assert await supabase.fetch(unknown) is None


async def test_fetch_pages_through_a_long_log(supabase: Supabase) -> None:
    head = session()
    rows = [event(head, seq) for seq in range(1, 2502)]
    await ship(supabase, batch(head, *rows))
    fetched = await supabase.fetch(head.session_id)
    assert fetched is not None
    assert [row.seq for row in fetched[1]] == list(range(1, 2502))


async def test_shipping_twice_changes_nothing(supabase: Supabase, project: SupabaseLite) -> None:
    head = session()
    first = batch(head, event(head, 1), token(head, 2), token(head, 3), token(head, 4))
    folded = batch(head, event(head, 5, "done"), token(head, 2, 4), cursor=6)
    for shipped in (first, folded):
        await ship(supabase, shipped)
    before = content_of_database(project, head.session_id)

    for shipped in (folded, first, folded, first):
        assert await ship(supabase, shipped) == []

    assert content_of_database(project, head.session_id) == before
    assert shape(project, head.session_id) == ["1 1..1", "1 2..4", "1 5..5"]


async def test_requests_that_come_late_and_all_at_once(
    supabase: Supabase, project: SupabaseLite
) -> None:
    """A request that timed out may still be at work when its repetition arrives."""
    one, two = session(), session()
    heads = (one, two, two, one)
    tokens = [token(head, seq) for seq in range(1, 40) for head in (one, two)]
    singles = [batch(*heads[n : n + 2], *tokens, cursor=1) for n in (0, 2)]
    folded = [
        batch(*heads[n : n + 2], token(one, 1, 39), token(two, 1, 39), cursor=2) for n in (0, 2)
    ]
    answers = await asyncio.gather(*(ship(supabase, b) for b in (*singles, *folded) * 4))
    assert not any(answers)
    for head in (one, two):
        assert shape(project, head.session_id) == ["1 1..39"]


async def test_folding_takes_only_the_tokens_it_was_made_of(
    supabase: Supabase, project: SupabaseLite
) -> None:
    head = session()
    await ship(
        supabase,
        batch(
            head,
            token(head, 1, kind="reasoning"),
            token(head, 2),
            event(head, 3, "user_message"),
            token(head, 4, run_id="r-2", message_id="m-2"),
            token(head, 5, 7),
            token(head, 8),
        ),
    )
    await ship(supabase, batch(head, token(head, 2, 8)))
    assert shape(project, head.session_id) == ["1 1..1", "1 3..3", "1 4..4", "1 2..8"]


async def test_a_fold_and_its_tokens_in_one_batch(
    supabase: Supabase, project: SupabaseLite
) -> None:
    head = session()
    await ship(supabase, batch(head, token(head, 1), token(head, 2), token(head, 1, 2)))
    assert shape(project, head.session_id) == ["1 1..2"]
    assert (
        project.psql(f"select head_seq from sessions where session_id = '{head.session_id}'") == "2"
    )


async def test_an_older_head_never_undoes_a_newer_one(supabase: Supabase) -> None:
    old = session()
    ended = session(old.session_id, end_time=T0 + 1000, duration_seconds=1.0)
    await ship(supabase, batch(old, event(old, 1), cursor=1))
    await ship(supabase, batch(ended, event(ended, 2), cursor=2))
    await ship(supabase, batch(old, event(old, 1), cursor=1))
    assert (await supabase.fetch(old.session_id) or (None,))[0] == ended

    raised = session(old.session_id, epoch=2, summary="new")
    await ship(supabase, batch(raised, event(raised, 3), cursor=1))
    late = await supabase.ship(batch(ended, event(ended, 2), cursor=9), "worker-1", 60)
    assert late.lost == [Lost(old.session_id, "taken")]
    assert (await supabase.fetch(old.session_id) or (None,))[0] == raised


LISTED = ("title", "pinned", "archived", "active_at", "status", "last_text", "unread")


def ship_as_an_older_server(project: SupabaseLite, head: SessionRow, revision: int) -> None:
    """A head without the fields of the list."""
    sent = encode_head(head_of(head, revision))
    for name in LISTED:
        del sent[name]
    text = json.dumps([sent])
    answer = project.psql(f"select public.ship_batch($head${text}$head$, '[]', 'worker-1', 60)")
    assert json.loads(answer)["refused"] == []


async def test_a_head_of_an_older_server_resets_nothing_of_the_list(
    supabase: Supabase, project: SupabaseLite
) -> None:
    fields = {"title": "Tea", "pinned": True, "archived": True, "active_at": T0 + 9}
    marks = {"status": "failed", "last_text": "Well.", "unread": True}
    head = session(user_id=new_id(), **fields, **marks)
    await ship(supabase, batch(head, event(head, 1), cursor=5))
    ended = msgspec.structs.replace(head, end_time=T0 + 70, summary_status="pending")
    ship_as_an_older_server(project, ended, 6)
    assert await supabase.list_sessions(head.user_id, 5) == [ended]


async def test_what_an_older_server_began_is_listed(
    supabase: Supabase, project: SupabaseLite
) -> None:
    user = new_id()
    said, silent = session(user_id=user), session(user_id=user)
    for head in (said, silent):
        ship_as_an_older_server(project, head, 1)
    await ship(supabase, batch(event(said, 1)))
    for head in (said, silent):
        ship_as_an_older_server(project, msgspec.structs.replace(head, end_time=T0 + 70), 2)
    (row,) = await supabase.find_sessions(Listing(user_id=user, limit=5))
    assert (row.session_id, row.active_at) == (said.session_id, T0 + 70)


async def test_of_two_epochs_the_newer_log_counts(supabase: Supabase) -> None:
    old = session()
    new = session(old.session_id, epoch=2)
    await ship(supabase, batch(old, *(event(old, seq) for seq in range(1, 6))))
    await ship(supabase, batch(new, event(new, 4), event(new, 5), event(new, 6)))
    fetched = await supabase.fetch(old.session_id)
    assert fetched is not None
    assert [(row.epoch, row.seq) for row in fetched[1]] == [
        (1, 1),
        (1, 2),
        (1, 3),
        (2, 4),
        (2, 5),
        (2, 6),
    ]


async def test_what_postgres_cannot_hold_is_replaced(supabase: Supabase) -> None:
    head = session(summary="a\0b")
    row = event(head, 1, content="a\0b", payload=rb'{"t": "a\u0000\u0000b\\u0000c\\\u0000"}')
    assert await ship(supabase, batch(head, row)) == []
    fetched = await supabase.fetch(head.session_id)
    assert fetched is not None
    assert fetched[0].summary == "a\ufffdb"
    assert fetched[1][0].content == "a\ufffdb"
    assert msgspec.json.decode(fetched[1][0].payload) == {"t": "a\ufffd\ufffdb\\u0000c\\\ufffd"}


async def test_a_bad_row_is_named_and_the_others_are_stored(
    supabase: Supabase, project: SupabaseLite
) -> None:
    good, bad = session(), session("no uuid")
    refused = await ship(
        supabase,
        batch(
            good,
            bad,
            event(good, 1),
            event(good, 2, ""),
            event(good, 3, payload=b"{"),
            event(bad, 1),
            event(good, 4),
        ),
    )
    assert [(row.session_id, row.seq, row.code) for row in refused] == [
        ("no uuid", None, "22P02"),
        (good.session_id, 2, "23514"),
        (good.session_id, 3, "22P02"),
        ("no uuid", 1, "22P02"),
    ]
    assert shape(project, good.session_id) == ["1 1..1", "1 4..4"]


async def test_another_event_under_a_taken_seq_is_refused(supabase: Supabase) -> None:
    head = session()
    await ship(supabase, batch(head, event(head, 1)))
    refused = await ship(supabase, batch(head, event(head, 1, "done"), event(head, 2)))
    assert [(row.seq, row.code) for row in refused] == [(1, "23505")]


async def test_list_sessions(supabase: Supabase) -> None:
    owner = new_id()
    heads = [session(user_id=owner, start_time=T0 + n) for n in (0, 2, 1)]
    await ship(supabase, batch(*heads, session()))
    assert await supabase.list_sessions(owner, 10) == [heads[1], heads[2], heads[0]]
    assert await supabase.list_sessions(owner, 1) == [heads[1]]
    assert await supabase.list_sessions("nobody", 10) == []


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00.123+00:00",
        "2026-01-01 00:00:00.123+00",
        "2026-01-01 01:00:00.123000+01:00",
        "2026-01-01T00:00:00.123Z",
        "2026-01-01 00:00:00.123",
    ],
)
def test_both_ways_to_write_a_time(text: str) -> None:
    assert milliseconds(text) == T0


async def test_check_passes(supabase: Supabase) -> None:
    await supabase.check()


async def test_nothing_is_raised_but_supabase_error_after_close(project: SupabaseLite) -> None:
    client = await Supabase.connect(project.url, project.secret_key)
    await client.close()
    with pytest.raises(SupabaseError) as raised:
        await client.fetch(new_id())
    assert raised.value.kind == "internal"
