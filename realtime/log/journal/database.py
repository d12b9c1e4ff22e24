"""The SQLite file under the journal: who owns it, whether it is sound, how it is reached.

One connection writes, from one thread. Readers have a connection each: under WAL they
see every committed row and hold nobody up.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from ...core.rows import StorageError

BUSY_S = 2.0
CHECKED_BYTES = 64 * 1024 * 1024  # a larger file would hold up the start
WAL_PAGES = 8000
"""Where a commit moves the write-ahead log into the file itself, at 32 MB: `checkpoint` in
another thread has done most of it before, for a commit that does it all waits long."""
SUFFIXES = ("", "-wal", "-shm", ".damage", ".files")
"""Of the journal, and of what lies beside it but the secret."""

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

T = TypeVar("T")
logger = logging.getLogger(__name__)


def insert(table: str, columns: Sequence[str]) -> str:
    """The statement that inserts a row of these columns."""
    places = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608


class InUse(StorageError):
    """Another process owns the journal."""


def lock(path: str) -> IO[bytes]:
    """Hold the journal for this process until the file is closed. Raises `StorageError`."""
    try:
        held = open(f"{path}.lock", "ab")  # noqa: SIM115
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror}") from error
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(held.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise InUse(
            f"another server is using {path}; stop it, or set DATABASE_PATH to another file"
        ) from None
    return held


def put_aside(path: str) -> str:
    """Move a damaged journal out of the way, with what lies beside it; the new name."""
    aside = f"{path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    for suffix in SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + suffix, aside + suffix)
    return aside


class Database:
    """One file with a schema that grows by `migrations`. Every method raises `StorageError`.

    The `owner` writes, and there is one: a second server on the same file is refused. A
    file that is damaged is set aside, never overwritten; `set_aside` then says where. A large
    one is not looked through (`checked`).
    """

    def __init__(
        self,
        path: str,
        migrations: Sequence[str],
        *,
        synchronous: str = "NORMAL",
        owner: bool = True,
    ) -> None:
        self.path = path
        self._migrations = migrations
        self.set_aside: str | None = None
        self._synchronous = synchronous
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._lock = lock(path) if owner else None
        try:
            try:
                self._open(check=owner)
            except sqlite3.DatabaseError as error:
                if not owner or error.sqlite_errorcode & 0xFF not in DAMAGED:
                    raise
                self._close_connections()
                self.set_aside = put_aside(path)
                self._open(check=False)
        except sqlite3.Error as error:
            self.close()
            raise StorageError(f"cannot open {path}: {error}") from error
        except BaseException:
            self.close()
            raise

    def _open(self, *, check: bool) -> None:
        self._writer = self._connect()
        self._writer.execute("PRAGMA journal_mode=WAL")
        self.checked = check and (
            Path(self.path).stat().st_size < CHECKED_BYTES or self._damage.exists()
        )
        if self.checked:
            (verdict,) = self._writer.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                damaged = sqlite3.DatabaseError(verdict)
                damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise damaged
            self._damage.unlink(missing_ok=True)
        self._migrate()

    @property
    def _damage(self) -> Path:
        """It is there where damage was found."""
        return Path(f"{self.path}.damage")

    def note_damage(self) -> None:
        """The next start is to look through the file, however large it is."""
        with contextlib.suppress(OSError):
            self._damage.touch()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_S
        )
        self._opened.append(connection)
        connection.execute(f"PRAGMA synchronous={self._synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        connection.execute("PRAGMA secure_delete=ON")
        return connection

    def _migrate(self) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version > len(self._migrations):
            raise StorageError(
                f"{self.path} was written by a newer version of this server; "
                "run that one, or set DATABASE_PATH to another file"
            )
        if version == len(self._migrations):
            return
        if version:
            logger.info(
                "%s is brought from version %d to %d", self.path, version, len(self._migrations)
            )
        # an older server must not find another schema under its hands
        alone = lock(self.path) if version and not self._lock else contextlib.nullcontext()
        with alone:
            for number, script in enumerate(self._migrations[version:], version + 1):
                self._writer.executescript(
                    f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT;"
                )

    def close(self) -> None:
        self._close_connections()
        if self._lock:
            self._lock.close()

    def _close_connections(self) -> None:
        for connection in self._opened:
            connection.close()
        self._opened.clear()

    def transaction(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Carry out all of `work`, or nothing of it. For the writing thread only."""
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                work(self._writer)
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._unwritten(error) from error

    def statement(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Carry out `work`, a single statement: it is a transaction by itself, and in a third of
        the calls. For the writing thread only."""
        try:
            return work(self._writer)
        except sqlite3.Error as error:
            raise self._unwritten(error) from error

    def _unwritten(self, error: sqlite3.Error) -> StorageError:
        return StorageError(f"cannot write {self.path}: {error}")

    def checkpoint(self) -> None:
        """Move what was committed from the write-ahead log into the file. Commits go on."""
        self.query("PRAGMA wal_checkpoint(PASSIVE)")

    def empty_wal(self) -> bool:
        """Leave nothing in the write-ahead log. False where somebody is reading what is in it. For
        the writing thread only."""
        try:
            self._writer.execute("PRAGMA busy_timeout=0")  # else commits would wait for readers
            try:
                ((busy, _, _),) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                self._writer.execute(f"PRAGMA busy_timeout={BUSY_S * 1000:.0f}")
        except sqlite3.Error as error:
            raise self._unwritten(error) from error
        return not busy

    def query(self, sql: str, values: Any = ()) -> list[Any]:
        """Rows, as any thread sees them that is not writing."""
        try:
            return self._reader().execute(sql, values).fetchall()
        except (sqlite3.Error, OverflowError) as error:
            raise StorageError(f"cannot read {self.path}: {error}") from error

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """The queries of this thread inside see one state of the file."""
        self.query("BEGIN")
        try:
            yield
        finally:
            self.query("COMMIT")

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection
