"""The rows of both stores as they were appended, however each keeps them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from realtime.log.journal import slim
from tests.support.supabase_lite import SupabaseLite

Rows = list[dict[str, Any]]


def journalled(path: str | Path) -> Rows:
    """Of the journal, by session and `seq`."""
    with closing(sqlite3.connect(path)) as database:
        found = slim.rows(database.execute(f"{slim.SELECT} TRUE ORDER BY session_id, seq"))
    return [plain(msgspec.structs.asdict(row)) for row in found]


def stored(project: SupabaseLite, session_ids: list[str]) -> Rows:
    """Of the sessions in the database, by session and `seq`."""
    found: Rows = []
    for session_id in sorted(session_ids):
        events = f"public.read_session('{session_id}', 0, 1000000) -> 'events'"
        found += [plain(row) for row in json.loads(project.psql(f"select {events}"))]
    return found


def plain(row: dict[str, Any]) -> dict[str, Any]:
    names = ("session_id", "epoch", "seq", "first_seq", "run_id", "event_type", "content")
    payload = json.loads(row["payload"])
    return {name: row[name] for name in names} | {
        "payload": payload,
        "created_at": row["created_at"],
    }
