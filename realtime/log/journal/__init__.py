"""The journal: the SQLite file that keeps the log of all sessions.

Every call blocks; `keeper` keeps them off the loop. What concerns one table is in that table's
module; here are the transactions over several, and the notes in `meta`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import msgspec

from ...core.provider_state import keep_provider_state
from ...core.rows import EventRow, Head, StorageError
from ...core.shown import Shown
from ...protocol import Done, Event, Run, ToolCall
from .. import pages
from ..encode import Append
from . import checking, counts, events, followers, heads, leaving, loose, search, slim
from .database import Database
from .files import FileTable
from .migrations import MIGRATIONS
from .outputs import Outputs
from .quarantine import Quarantine
from .reports import Reports
from .shipping import Shipping

NOTE_TRACES = """INSERT INTO meta VALUES ('traces', 1)
    ON CONFLICT (name) DO UPDATE SET value = value + 1"""


class Journal:
    """Every method raises `StorageError`. Those that write are for one thread."""

    def __init__(self, path: str, *, synchronous: str = "NORMAL", owner: bool = True) -> None:
        self._database = Database(path, MIGRATIONS, synchronous=synchronous, owner=owner)
        self.path = path
        self.owned = owner
        self.set_aside = self._database.set_aside
        self.loose = loose.Loose()
        self.events = events.Events(self._database, self.loose)
        self.files = FileTable(self._database, Path(f"{path}.files"), owner=owner)
        self.followers = followers.Followers(self._database, self.events)
        self.heads = heads.Heads(self._database)
        self.outputs = Outputs(self._database)
        self.quarantine = Quarantine(self._database)
        self.reports = Reports(self._database)
        self.search = search.Search(self._database, self.heads)
        self.shipping = Shipping(self._database, self.heads)
        if owner:
            self._database.transaction(self._file_left)

    def close(self) -> None:
        self._database.close()

    # ---------------------------------------------------------------- writing

    def write(self, appends: Sequence[Append], changed: Collection[Head]) -> set[str]:
        """Commit events and the heads of their sessions, all or nothing.

        Tokens stay loose until they are filed, or anything else of their session comes.
        Returns the sessions that somebody has deleted meanwhile; nothing of them is written.
        """
        gone: set[str] = set()
        begun = {one.session_id for one in appends if one.events and one.events[0].seq == 1}
        filed = {one.session_id for one in appends if not one.only_tokens}
        tokens = [one for one in appends if one.events and one.session_id not in filed]
        row_id = 0

        def store(writer: sqlite3.Connection) -> None:
            nonlocal row_id
            if tokens:
                row_id = loose.store(writer, tokens)

        def work(writer: sqlite3.Connection) -> None:
            gone.update(self.heads.save(writer, changed, begun))
            if gone:  # with tokens of theirs that are loose here
                writer.execute(NOTE_TRACES)
            store(writer)
            if filed:
                joined = self.loose.joined(filed)
                joined += [
                    (event, one.epoch)
                    for one in appends
                    if one.session_id in filed and one.session_id not in gone
                    for event in one.events
                ]
                events.store(writer, joined)

        if filed or changed:
            self._database.transaction(work)
        else:
            self._database.statement(store)
        self.loose.add(row_id, tokens)
        self.loose.forget(filed | gone)
        return gone

    def file(self, most: int | None = None) -> None:
        """Make rows of what is loose, and delete it: all of it, or that of the sessions that wait
        longest."""
        sessions, needed = self.loose.oldest(most)

        def work(writer: sqlite3.Connection) -> None:
            events.store(writer, self.loose.joined(sessions))
            loose.drop(writer, needed)

        if self.loose.rows:
            self._database.transaction(work)
            self.loose.forget(sessions)
            self.loose.rows = needed is not None

    def _file_left(self, writer: sqlite3.Connection) -> None:
        try:
            events.store(writer, loose.left(writer))
        except msgspec.DecodeError as error:
            raise StorageError(f"a row in {self.path} cannot be read: {error}") from error
        loose.drop(writer, None)

    def adopt(self, head: Head, rows: Sequence[EventRow]) -> None:
        """Take in a session that was read back from Supabase.

        Its rows get ids below zero, behind the cursor: they are there already.
        """

        def work(writer: sqlite3.Connection) -> None:
            (lowest,) = writer.execute("SELECT min(id) FROM log").fetchone()
            first = min(lowest or 0, 0) - len(rows)
            self.heads.save(writer, [head], {head.row.session_id})
            writer.execute(
                "UPDATE sessions SET shipped = revision WHERE session_id = ?",
                (head.row.session_id,),
            )
            for place, row in enumerate(rows):
                if values := slim.of_row(writer, row):
                    writer.execute(events.INSERT_AT, (first + place, *values))
            counts.recount(writer, head.row.session_id)
            search.rebuild(writer, head.row.session_id)

        self._database.transaction(work)

    def void(self, session_id: str) -> None:
        """Forget a session that others write now. What was not shipped goes into quarantine,
        since it is nowhere else."""

        def work(writer: sqlite3.Connection) -> None:
            self.quarantine.add_unshipped(writer, session_id, self.shipping.cursor())
            leaving.leave(writer, session_id)

        self.file()
        self._database.transaction(work)

    def begin_anew(self, epoch: int) -> None:
        """This is an older copy, whose sessions may have gone on: it becomes another worker, and
        its sessions go on in new epochs, this one or a later one."""

        def work(writer: sqlite3.Connection) -> None:
            writer.execute("DELETE FROM meta WHERE name = 'worker'")
            writer.execute("UPDATE sessions SET epoch = max(epoch + 1, ?)", (epoch,))

        self._database.transaction(work)

    def worker(self) -> str:
        """The identity of this journal among the servers that write to one project."""
        made = str(uuid4())
        self._database.transaction(
            lambda writer: writer.execute(
                "INSERT OR IGNORE INTO meta VALUES ('worker', ?)", (made,)
            )
        )
        return str(self._database.query("SELECT value FROM meta WHERE name = 'worker'")[0][0])

    def probe(self) -> None:
        """Whether anything can be written."""
        self._database.transaction(
            lambda writer: writer.execute("INSERT OR REPLACE INTO meta VALUES ('probe', 1)")
        )

    def showing_early(self, now: bool) -> bool:
        """Note whether this process shows tokens before they are stored; True where the last
        one did, and did not close the journal."""
        before = self._database.query("SELECT value FROM meta WHERE name = 'early'")
        self._database.transaction(
            lambda writer: writer.execute("INSERT OR REPLACE INTO meta VALUES ('early', ?)", (now,))
        )
        return bool(before and before[0][0])

    def delete(self, session_ids: Sequence[str], seconds: float = 1) -> Sequence[str]:
        """Remove sessions for good, with their files and what the search knows of them, for about
        so long: no reader finds them any more. Their rows stay until `tidy` has come to them.
        Returns those that are left."""
        until = time.monotonic() + seconds
        gone: list[str] = []

        def work(writer: sqlite3.Connection) -> None:
            writer.execute(NOTE_TRACES)
            for session_id in session_ids:
                leaving.leave(writer, session_id)
                writer.execute("DELETE FROM quarantine WHERE session_id = ?", (session_id,))
                self.files.delete(writer, [session_id])
                gone.append(session_id)
                if time.monotonic() >= until:
                    return

        self._database.transaction(work)
        self.loose.forget(gone)
        return session_ids[len(gone) :]

    def index(self, seconds: float = 1) -> bool:
        """Have the search follow the log for about so long. Whether there is more."""
        more = False

        def work(writer: sqlite3.Connection) -> None:
            nonlocal more
            more = search.follow(writer, seconds)

        self._database.transaction(work)
        return more

    def merge(self, seconds: float = 1) -> bool:
        """Merge segments of the search index for about so long. Whether there is more to merge."""
        until = time.monotonic() + seconds
        more = True

        def work(writer: sqlite3.Connection) -> None:
            nonlocal more
            more = search.merge(writer)

        while True:
            self._database.transaction(work)
            if not more or time.monotonic() >= until:
                return more

    def tidy(self, seconds: float = 1) -> bool:
        """Do for about so long what could wait: delete rows of deleted sessions, count those of
        an older version. Whether there is more of it."""
        more = False

        def work(writer: sqlite3.Connection) -> None:
            nonlocal more
            more = leaving.sweep(writer, seconds) or counts.count_some(writer, seconds)

        self._database.transaction(work)
        return more

    # What was deleted has left words in older segments of the search index, and all of its text in
    # the write-ahead log. A note of it stays until both are without.

    def traces(self) -> int:
        """What the note says, which changes with each deletion; 0: nothing is left."""
        found = self._database.query("SELECT value FROM meta WHERE name = 'traces'")
        return int(found[0][0]) if found else 0

    def merge_all(self, found: str) -> None:
        """Have `merge` make one segment of the search index, and of these words of nobody's."""
        self._database.transaction(lambda writer: search.begin_segment(writer, found))
        self._database.transaction(search.merge_all)

    def empty_wal(self) -> bool:
        """Leave nothing in the write-ahead log; False where a reader is in the way."""
        return self._database.empty_wal()

    def forget_traces(self, noted: int) -> None:
        """They are gone that were noted so."""
        self._database.transaction(
            lambda writer: writer.execute(
                "DELETE FROM meta WHERE name = 'traces' AND value = ?", (noted,)
            )
        )

    # ---------------------------------------------------------------- reading

    def checkpoint(self) -> None:
        """Tidy the file, beside the writing thread."""
        self._database.checkpoint()

    def checking(self) -> Iterator[bool]:
        """Look through a file that was too large for it at the start, with each step at a piece."""
        return iter(()) if self._database.checked else checking.pieces(self._database)

    def replay(self, session_id: str, after_seq: int) -> list[Event]:
        """The next page behind `after_seq`, tokens merged."""
        return pages.made(
            pages.replay(after_seq),
            lambda after: self.events.after(session_id, after, pages.CHUNK),
        )

    def page(
        self, session_id: str, before_seq: int, limit: int, shown: Shown | None = None
    ) -> pages.Found:
        """The newest folded events before `before_seq`, of those that are `shown`."""
        with self.events.reading():
            return pages.made(
                pages.page(before_seq, limit, shown),
                lambda before: self.events.before(session_id, before, pages.CHUNK),
            )

    def session(self, session_id: str) -> tuple[Head, list[Event]] | None:
        """A whole session, oldest event first. Here alone events come with their provider
        state: whatever else is read goes to devices."""
        head = self.heads.find(session_id)
        if not head:
            return None
        found = self.events.after(session_id, 0)
        states = self.events.provider_states(session_id)
        for event in found:
            if isinstance(event, ToolCall | Done | Run):
                keep_provider_state(event, states.get(event.seq))
        return head, found
