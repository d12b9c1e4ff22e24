"""A list from two stores has each session once, however many each of them gives at a time."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from realtime.core.rows import Listing, SessionRow, StorageError
from realtime.live.listing import as_place, as_text, listed, place_of
from realtime.log.keeper import Keeper


class Shelf:
    """A store of rows."""

    def __init__(self, rows: list[SessionRow], *, away: bool = False) -> None:
        self.rows = rows
        self.away = away

    async def find_sessions(self, wanted: Listing) -> list[SessionRow]:
        if self.away:
            raise StorageError("away")
        rows = sorted(self.rows, key=place_of, reverse=True)
        behind = [row for row in rows if not wanted.before or place_of(row) < wanted.before]
        return behind[: wanted.limit]

    async def known(self, session_ids: list[str]) -> set[str]:
        return {row.session_id for row in self.rows} & set(session_ids)


def row(number: int, at: int, pinned: bool = False) -> SessionRow:
    return SessionRow(
        session_id=f"s{number}", user_id="u", start_time=0, active_at=at, pinned=pinned
    )


rows = st.lists(
    st.builds(row, st.integers(0, 30), st.integers(0, 9), st.booleans()),
    unique_by=lambda one: one.session_id,
)


@given(rows, rows, st.integers(1, 7), st.booleans())
async def test_pages_have_each_session_once_in_order(
    mine: list[SessionRow], theirs: list[SessionRow], limit: int, away: bool
) -> None:
    names = {one.session_id for one in mine}
    expected = mine + [one for one in ([] if away else theirs) if one.session_id not in names]
    found: list[SessionRow] = []
    before = None
    while True:
        wanted = Listing(user_id="u", limit=limit, before=before)
        shelves = cast("Keeper", Shelf(mine)), Shelf(theirs, away=away)
        page = await listed(shelves[0], shelves[1], wanted)  # type: ignore[arg-type]
        found += page.rows
        if page.before is None:
            break
        before = as_place(as_text(page.before))
    assert found == sorted(expected, key=place_of, reverse=True)
