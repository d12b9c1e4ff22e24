"""The table of files, and the folder beside the journal that holds what is in them.

A content lies there once, under its hash, for as long as a row names it. Rows and contents are
changed inside of one transaction, so that no other process can come between them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...core.rows import StorageError
from ...protocol import File
from .database import Database

ADD = """INSERT INTO files (file_id, session_id, user_id, name, type, size, digest, created_at)
    SELECT ?2, ?1, ?3, ?4, ?5, ?6, ?7, ?8 FROM sessions WHERE session_id = ?1"""
STRAY = "stray "
"""Before the id of a deleted session, in `meta`: its files may still be in the bucket."""


def place(folder: Path, digest: str) -> Path:
    """Where in the folder the content of this hash lies."""
    return folder / digest[:2] / digest[2:]


class FileTable:
    """Every method raises `StorageError`. Those that write are for the writing thread.

    `incoming` is where a content is written before it is `add`ed.
    """

    def __init__(self, database: Database, folder: Path, *, owner: bool) -> None:
        self._database = database
        self._folder = folder
        self.incoming = folder / "incoming"
        if owner and folder.is_dir():
            self._tidy()

    def path(self, digest: str) -> Path:
        """Where the content of this hash lies."""
        return place(self._folder, digest)

    def add(
        self, session_id: str, user_id: str, file: File, digest: str, content: Path | None, now: int
    ) -> bool:
        """Keep a file; `content` is moved, or None where the bytes are kept elsewhere. False
        where the session is gone: then nothing is kept."""
        added = False

        def work(writer: sqlite3.Connection) -> None:
            nonlocal added
            row = (session_id, file.id, user_id, file.name, file.type, file.size, digest, now)
            added = bool(writer.execute(ADD, row).rowcount)
            if added and content:
                self._move(content, self.path(digest))

        self._database.transaction(work)
        return added

    def find(self, session_id: str, file_ids: Sequence[str]) -> list[tuple[File, str]]:
        """Those of these files that the session has, each with the hash of its content."""
        marks = ", ".join("?" * len(file_ids))
        rows = self._database.query(
            f"SELECT file_id, name, type, size, digest FROM files "  # noqa: S608
            f"WHERE session_id = ? AND file_id IN ({marks})",
            (session_id, *file_ids),
        )
        return [(File(*row[:4]), row[4]) for row in rows]

    def delete(self, writer: sqlite3.Connection, session_ids: Iterable[str]) -> None:
        """Remove the files of sessions, and the contents that no other session has. Inside of a
        transaction."""
        for session_id in session_ids:
            found = writer.execute(
                "DELETE FROM files WHERE session_id = ? RETURNING digest", (session_id,)
            ).fetchall()
            for (digest,) in set(found):
                known = "SELECT 1 FROM files WHERE digest = ? LIMIT 1"
                if not writer.execute(known, (digest,)).fetchone():
                    _remove(self.path(digest))

    def note_strays(self, session_ids: Iterable[str]) -> None:
        """Deleted sessions whose files may still be where no journal is."""
        names = [(STRAY + session_id,) for session_id in session_ids]
        self._database.transaction(
            lambda writer: writer.executemany("INSERT OR IGNORE INTO meta VALUES (?, 1)", names)
        )

    def strays(self) -> list[str]:
        """The sessions that are noted so."""
        rows = self._database.query(
            "SELECT name FROM meta WHERE name > ? AND name < ?", (STRAY, STRAY + "~")
        )
        return [name.removeprefix(STRAY) for (name,) in rows]

    def forget_strays(self, session_ids: Iterable[str]) -> None:
        """Nothing of these is left."""
        names = [(STRAY + session_id,) for session_id in session_ids]
        self._database.transaction(
            lambda writer: writer.executemany("DELETE FROM meta WHERE name = ?", names)
        )

    def _tidy(self) -> None:
        """Remove what a dead process left: contents half written, or that no row names."""
        named = {digest for (digest,) in self._database.query("SELECT digest FROM files")}
        for folder in self._folder.iterdir():
            for path in folder.iterdir() if folder.is_dir() else ():
                if folder.name + path.name not in named:
                    _remove(path)

    def _move(self, content: Path, target: Path) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(content, target)
        except OSError as error:
            raise StorageError(f"cannot write {target}: {error.strerror}") from error


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
