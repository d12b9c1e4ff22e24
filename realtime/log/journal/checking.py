"""Whether a file is sound that is too large to be looked through at the start: piece by piece.

A running server cannot set its file aside. It notes what it found, and the next start does.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator

from ...core.rows import StorageError
from .database import DAMAGED, Database

ROWS = 200  # a piece

_LARGE = {"log": ("content", "payload"), "texts": ("text",), "outputs": ("data",)}

logger = logging.getLogger(__name__)


def pieces(database: Database) -> Iterator[bool]:
    """Look at a piece with each step, in any reading thread; the end is the end of the file, or
    the first damage. Raises `StorageError` where the file cannot be read for another reason."""
    try:
        for (table,) in database.query("SELECT name FROM sqlite_schema WHERE type = 'table'"):
            for what in _read(database, table) if table in _LARGE else _checked(database, table):
                if what:
                    _note(database, what)
                    return
                yield True
    except StorageError as error:
        cause = error.__cause__
        if not isinstance(cause, sqlite3.Error) or cause.sqlite_errorcode & 0xFF not in DAMAGED:
            raise
        _note(database, str(cause))


def _checked(database: Database, table: str) -> Iterator[str]:
    """A small table and its indexes, at once: what is wrong, or nothing."""
    if table.startswith("sqlite_"):
        return
    ((verdict,),) = database.query(f"PRAGMA quick_check('{table}')")[:1]
    yield "" if verdict == "ok" else verdict


def _read(database: Database, table: str) -> Iterator[str]:
    """The rows of a large table to their last byte."""
    ends = ", ".join(f"max(substr({column}, -1))" for column in _LARGE[table])
    columns = ", ".join(("id", *_LARGE[table]))
    some = f"SELECT {columns} FROM {table} WHERE id > ? ORDER BY id LIMIT {ROWS}"  # noqa: S608
    last: int | None = -(2**62)
    while last is not None:
        ((last, *_),) = database.query(f"SELECT max(id), {ends} FROM ({some})", (last,))  # noqa: S608
        yield ""


def _note(database: Database, what: str) -> None:
    database.note_damage()
    logger.error(
        "%s is damaged (%s). What can be read is still served. Make a copy of it now: the next "
        "start renames it and creates a new one",
        database.path,
        what,
    )
