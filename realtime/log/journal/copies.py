"""Copies of a journal: made beside whoever writes it, and put back later."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from ...core.rows import StorageError
from . import Journal
from .database import SUFFIXES
from .migrations import MIGRATIONS

EPOCHS_FROM = 1_767_225_600  # in 2026: seconds since then fit into 32 bits until 2094


def copy(path: Path, target: Path) -> list[str]:
    """Copy the journal at `path` into a new file, without what was deleted. Returns the hashes of
    the contents that the copy's files have. Raises `StorageError`."""
    try:
        with closing(sqlite3.connect(path)) as database:
            database.execute("VACUUM INTO ?", (str(target),))
        with closing(sqlite3.connect(target)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
            if "sessions" not in tables:
                raise StorageError(f"{path} is not a journal of this server")
            files = "SELECT DISTINCT digest FROM files ORDER BY digest"
            return [one for (one,) in database.execute(files)] if "files" in tables else []
    except sqlite3.Error as error:
        raise StorageError(f"{path} cannot be copied: {error}") from error


def renew(path: Path) -> None:
    """Make a copy ready to be served. Its sessions may have gone on since, on devices and in
    Supabase: it becomes a worker of its own, and its sessions get epochs that nobody has seen.
    Raises `StorageError`."""
    try:
        with closing(sqlite3.connect(path)) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        version = 0
    if version > len(MIGRATIONS):
        raise StorageError("it is of a newer version of this server; restore it with that one")
    if not version:
        raise StorageError("its journal is damaged")
    with closing(Journal(str(path))) as journal:
        if journal.set_aside:
            raise StorageError("its journal is damaged")
        journal.begin_anew(int(time.time()) - EPOCHS_FROM)


def replace(path: Path, copy: Path) -> str | None:
    """Put a copy, with what lies beside it, in the place of a journal that nobody uses. Returns the
    new name of what was there, if anything was. Raises `OSError`; then all is as it was."""
    aside = f"{path}.replaced-{time.strftime('%Y%m%d-%H%M%S')}"
    coming = [suffix for suffix in (".files", ".secret", "") if Path(f"{copy}{suffix}").exists()]
    going = [*SUFFIXES, *({".secret"} & {*coming})]
    going = [suffix for suffix in going if Path(f"{path}{suffix}").exists()]
    moves = [(f"{path}{suffix}", f"{aside}{suffix}") for suffix in going]
    moves += [(f"{copy}{suffix}", f"{path}{suffix}") for suffix in coming]
    done: list[tuple[str, str]] = []
    try:
        for before, after in moves:
            os.rename(before, after)
            done.append((before, after))
    except BaseException:  # a signal, too
        for before, after in reversed(done):
            os.rename(after, before)
        raise
    return aside if going else None
