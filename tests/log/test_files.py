"""The journal's table of files and the folder beside it: they never say different things."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from realtime.core.rows import Head, StorageError
from realtime.core.session import Session
from realtime.log.encode import encoded
from realtime.log.journal import Journal
from realtime.log.journal.database import Database
from realtime.log.journal.migrations import MIGRATIONS
from realtime.protocol import File

VERSION_BEFORE = next(n for n, step in enumerate(MIGRATIONS) if "CREATE TABLE files" in step)
DIGEST = "ab" + "0" * 62


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "j.db")


def begun(journal: Journal) -> str:
    session = Session(str(uuid4()))
    session.begin("u", 1)
    events = session.take()
    head = Head(session.row(), False, None)
    journal.write([encoded(session.session_id, 1, events)], [head])
    return session.session_id


def add(journal: Journal, session_id: str, data: bytes = b"data", digest: str = DIGEST) -> File:
    file = File(str(uuid4()), "a", "text/plain", len(data))
    journal.files.incoming.mkdir(parents=True, exist_ok=True)
    content = journal.files.incoming / file.id
    content.write_bytes(data)
    added = journal.files.add(session_id, "u", file, digest, content, 1)
    assert added == (not content.exists())
    return file


def lies(path: str) -> list[str]:
    folder = Path(f"{path}.files")
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


def test_a_content_lies_there_while_a_session_has_it(path: str) -> None:
    with closing(Journal(path)) as journal:
        one, two = begun(journal), begun(journal)
        file = add(journal, one)
        again, other = add(journal, one), add(journal, two)
        place = f"ab/{DIGEST[2:]}"
        assert lies(path) == [place]
        assert journal.files.find(one, [file.id, again.id, other.id, "none"]) == [
            (found, DIGEST) for found in sorted((file, again), key=lambda found: found.id)
        ]
        assert journal.files.path(DIGEST).read_bytes() == b"data"
        journal.delete([one])
        assert lies(path) == [place]
        assert journal.files.find(one, [file.id]) == []
        journal.delete([two, "none"])
        assert lies(path) == []


def test_another_process_may_delete_too(path: str) -> None:
    with closing(Journal(path)) as journal:
        session_id = begun(journal)
        add(journal, session_id)
        with closing(Journal(path, owner=False)) as other:
            other.delete([session_id])
        assert lies(path) == []


def test_nothing_is_kept_for_a_session_that_is_gone(path: str) -> None:
    with closing(Journal(path)) as journal:
        file = add(journal, "gone")
        assert journal.files.find("gone", [file.id]) == []
        assert lies(path) == [f"incoming/{file.id}"]
    with closing(Journal(path)):
        assert lies(path) == []


def test_a_content_that_cannot_be_moved_leaves_no_row(path: str) -> None:
    with closing(Journal(path)) as journal:
        session_id = begun(journal)
        journal.files.incoming.mkdir(parents=True)
        (journal.files.incoming.parent / "ab").write_text("no folder")
        with pytest.raises(StorageError):
            add(journal, session_id)
        with closing(sqlite3.connect(path)) as reader:
            assert reader.execute("SELECT count(*) FROM files").fetchone() == (0,)


def test_the_start_removes_what_no_row_names_and_nothing_else(path: str) -> None:
    with closing(Journal(path)) as journal:
        add(journal, begun(journal))
        for name in ("incoming/half", "cd/orphan"):
            orphan = Path(f"{path}.files") / name
            orphan.parent.mkdir(exist_ok=True)
            orphan.write_text("x")
        with closing(Journal(path, owner=False)):
            assert len(lies(path)) == 3, "only the owner tidies up"
    with closing(Journal(path)):
        assert lies(path) == [f"ab/{DIGEST[2:]}"]


def test_a_damaged_journal_is_set_aside_with_its_files(path: str) -> None:
    with closing(Journal(path)) as journal:
        add(journal, begun(journal))
    Path(path).write_bytes(b"no database" * 1000)
    with closing(Journal(path)) as journal:
        assert journal.set_aside
        assert lies(journal.set_aside) == [f"ab/{DIGEST[2:]}"]
        assert lies(path) == []


def test_an_older_journal_gets_the_table_once(path: str) -> None:
    Database(path, MIGRATIONS[:VERSION_BEFORE]).close()
    for _ in range(2):
        with closing(Journal(path)) as journal:
            session_id = begun(journal)
            file = add(journal, session_id)
            assert journal.files.find(session_id, [file.id]) == [(file, DIGEST)]
