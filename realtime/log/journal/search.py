"""Which words stand in which session: the table `said_fts`, with a document for each session.

It follows the log behind a cursor, in the writing thread, so no commit waits for it; whoever
searches has it brought up first. A session's document grows by the words of each text, and is made
anew where a text no longer stands: an older title, or a message that was edited or dropped while it
waited. With `detail=none` and no content it holds nothing but the words. Deleting takes the words
from the texts, so it goes before the texts do.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from hashlib import sha256

import msgspec
from msgspec import UNSET

from ...core.rows import Listing, SessionRow, StorageError
from ...protocol import Done, Event, SessionUpdated, UserMessage
from ..words import OWNER, of_owner, question, words
from . import heads, slim
from .database import Database

ROWS = 50  # that are read at once
BEFORE_ALL = -(2**62)  # rows
NOBODY = 0  # the document of no session
MERGED = 16  # pages at once, which take a few milliseconds

_SAID = "event_type IN ('user_message', 'done', 'session_updated')"
_CURSOR = "SELECT value FROM meta WHERE name = 'indexed'"
_BEHIND = f"SELECT 1 FROM log WHERE id > coalesce(({_CURSOR}), {BEFORE_ALL}) AND {_SAID} LIMIT 1"  # noqa: S608
_LAST = f"SELECT max(id) FROM (SELECT id FROM log WHERE id > ? ORDER BY id LIMIT {ROWS})"  # noqa: S608
_TOKENS = """SELECT content FROM events WHERE session_id = ? AND run_id = ?
    AND event_type = 'token' AND CAST(payload AS TEXT) ->> 'kind' = 'text' ORDER BY seq"""
_OF_RUN = """SELECT 1 FROM log JOIN sessions ON key = session
    WHERE session_id = ? AND run_id = ? AND event_type = ?"""
_SAID_BEFORE = f"{_OF_RUN} AND seq < ?"
_BEGAN = f"{_OF_RUN} AND content = 'started'"
_DOC = "SELECT doc, user_id FROM sessions WHERE session_id = ?"
_NEW_DOC = """UPDATE sessions SET doc =
    (SELECT coalesce(max(doc), 0) + 1 FROM sessions WHERE doc IS NOT NULL)
    WHERE session_id = ? RETURNING doc"""
_ADD = "INSERT INTO said_fts (rowid, words) VALUES (?, ?)"
_MERGE = "INSERT INTO said_fts (said_fts, rank) VALUES ('merge', ?)"
WITHOUT_TRACES = (" ".join(sha256(bytes([n])).hexdigest() for n in range(250)), OWNER)
"""Nobody's words, a segment of them before each time that all is merged: then nothing is left in
the index of what was deleted. FTS5 drops its marks of what is deleted only where it writes the
deepest of its levels, and it does that only where segments stand on several. The first are more
than a page, so that the second, which are less, find what was merged on a deeper level."""
_DELETE = "INSERT INTO said_fts (said_fts, rowid, words) VALUES ('delete', ?, ?)"


class Search:
    """Every method raises `StorageError`."""

    def __init__(self, database: Database, table: heads.Heads) -> None:
        self._database = database
        self._heads = table

    def find(self, wanted: Listing) -> list[SessionRow]:
        """A page of those of a user's sessions in which all the words stand."""
        asked = question(wanted.wanted, wanted.user_id)
        if not asked:
            return []
        where, values = heads.placed(wanted)
        found = self._heads.where(
            f"""session_id IN (
                SELECT session_id FROM said_fts CROSS JOIN sessions ON doc = said_fts.rowid
                WHERE said_fts MATCH ? AND archived = ?{where} {heads.IN_ORDER})
                {heads.IN_ORDER}""",  # noqa: S608
            *(asked, wanted.archived, *values, wanted.limit, wanted.limit),
        )
        return [head.row for head in found if head.row.user_id == wanted.user_id]

    def behind(self) -> bool:
        """Whether something was said that is not known yet."""
        return bool(self._database.query(_BEHIND))


def follow(writer: sqlite3.Connection, seconds: float) -> bool:
    """Take in what was said since, for about so long; whether there is more. Inside of a
    transaction."""
    until = time.monotonic() + seconds
    anew: set[str] = set()
    ((cursor,),) = writer.execute(_CURSOR).fetchall() or [(BEFORE_ALL,)]
    while True:
        (last,) = writer.execute(_LAST, (cursor,)).fetchone()
        if last is None:
            return False
        found = f"id > ? AND id <= ? AND {_SAID} ORDER BY id"
        for row in writer.execute(slim.SELECT + found, (cursor, last)).fetchall():
            (event,) = _events([row])
            if event.session_id in anew:
                pass  # all that there is was read then
            elif _replaces(writer, event):
                anew.add(event.session_id)
                rebuild(writer, event.session_id)
            else:
                _add(writer, event.session_id, _words(writer, event))
            if time.monotonic() >= until:
                last = row[0]
                break
        cursor = last
        writer.execute("INSERT OR REPLACE INTO meta VALUES ('indexed', ?)", (cursor,))
        if time.monotonic() >= until:
            return True


def merge(writer: sqlite3.Connection) -> bool:
    """Merge a few pages of the index's segments; whether there was anything to merge. Inside of a
    transaction. By default FTS5 merges inside any write, for as long as it takes."""
    before = writer.total_changes
    writer.execute(_MERGE, (MERGED,))
    return writer.total_changes > before + 1


def begin_segment(writer: sqlite3.Connection, found: str) -> None:
    """Add a segment of nobody's words. Inside of a transaction."""
    writer.execute(_ADD, (NOBODY, found))


def merge_all(writer: sqlite3.Connection) -> None:
    """Begin to merge all segments into one; `merge` goes on with it. Inside of a transaction."""
    writer.execute(_MERGE, (-MERGED,))


def rebuild(writer: sqlite3.Connection, session_id: str) -> None:
    """Make the document of a session anew, from what stands in its rows and counts. Inside of a
    transaction."""
    said = _said(writer, session_id)
    forget(writer, session_id)
    found = set().union(*(_words(writer, event) for event in _standing(writer, said)))
    _add(writer, session_id, found)


def _standing(writer: sqlite3.Connection, said: list[Event]) -> Iterator[Event]:
    """Without what was replaced or dropped."""
    titles = [event for event in said if isinstance(event, SessionUpdated) and event.title]
    newest = {event.run_id: event for event in said if isinstance(event, UserMessage)}
    dropped = {event.run_id for event in said if _drops(writer, event)}
    for event in said:
        match event:
            case SessionUpdated():
                stands = event in titles[-1:]
            case UserMessage():
                stands = event is newest[event.run_id] and event.run_id not in dropped
            case _:
                stands = True
        if stands:
            yield event


def forget(writer: sqlite3.Connection, session_id: str) -> None:
    """Take a session out, whose rows are there still. Inside of a transaction."""
    found = writer.execute(_DOC, (session_id,)).fetchone()
    if found is None or found[0] is None:
        return
    doc, user_id = found
    every = set().union(*(_words(writer, event) for event in _said(writer, session_id)))
    every.add(of_owner(user_id))
    # FTS5 counts words, and takes itself for damaged where it loses more than it was given. Not all
    # of these may be in it: what came last is not, nor is an older title. It is given as many
    # elsewhere: given to this document, they would cancel the deletion.
    writer.execute(_ADD, (NOBODY, f"{OWNER} " * len(every)))
    writer.execute(_DELETE, (doc, " ".join(sorted(every))))
    writer.execute("UPDATE sessions SET doc = NULL WHERE session_id = ?", (session_id,))


def _replaces(writer: sqlite3.Connection, event: Event) -> bool:
    """Whether something that was said before does not stand any more."""
    titles = isinstance(event, SessionUpdated) and bool(event.title)
    return titles or _edits(writer, event) or _drops(writer, event)


def _edits(writer: sqlite3.Connection, event: Event) -> bool:
    """Whether it replaces a message that waited."""
    if not isinstance(event, UserMessage) or event.parent is not UNSET:
        return False
    of_run = (event.session_id, event.run_id, "user_message", event.seq)
    return writer.execute(_SAID_BEFORE, of_run).fetchone() is not None


def _drops(writer: sqlite3.Connection, event: Event) -> bool:
    """Whether it ends a message that waited, and was never asked."""
    if not isinstance(event, Done) or event.status != "cancelled" or event.text_len:
        return False
    return writer.execute(_BEGAN, (event.session_id, event.run_id, "run")).fetchone() is None


def _add(writer: sqlite3.Connection, session_id: str, found: set[str]) -> None:
    if not found:
        return
    doc, user_id = writer.execute(_DOC, (session_id,)).fetchone()
    if doc is None:
        (doc,) = writer.execute(_NEW_DOC, (session_id,)).fetchone()
        found = found | {of_owner(user_id)}
    writer.execute(_ADD, (doc, " ".join(sorted(found))))


def _words(writer: sqlite3.Connection, event: Event) -> set[str]:
    match event:
        case UserMessage():
            return words(event.text)
        case SessionUpdated():
            return words(event.title or "")
        case Done(text=None, text_len=length) if length:  # too long to be repeated
            pieces = writer.execute(_TOKENS, (event.session_id, event.run_id))
            return words("".join(piece for (piece,) in pieces))
        case Done():
            return words(event.text or "")
    return set()


def _said(writer: sqlite3.Connection, session_id: str) -> list[Event]:
    where = f"session_id = ? AND {_SAID} ORDER BY seq"
    return _events(writer.execute(slim.SELECT + where, (session_id,)))


def _events(found: Iterable[slim.Values]) -> list[Event]:
    try:
        return slim.events(found)
    except msgspec.DecodeError as error:
        raise StorageError(f"a row cannot be read: {error}") from error
