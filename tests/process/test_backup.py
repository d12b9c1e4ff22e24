"""`backup` beside a running server, and `restore`: whole, or refused with nothing changed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.attach import files_of, uploaded
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import process, realtime, server

Devices = Callable[..., Device]


async def command(*words: str, cwd: Path, **environ: str) -> str:
    code, told = await realtime(*words, cwd=cwd, **environ)
    assert code == 0, told
    return told


async def refused(*words: str, cwd: Path, **environ: str) -> str:
    """What is said where a command fails; nothing in the folder changes."""
    before = contents(cwd)
    code, told = await realtime(*words, cwd=cwd, **environ)
    assert code == 1, told
    assert "Traceback" not in told
    assert contents(cwd) == before
    return told


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the lock, which says nothing."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if path.suffix != ".lock"}


async def test_what_devices_saw_since_the_backup_gets_no_second_meaning(
    tmp_path: Path, device: Devices
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    archive = str(tmp_path / "backup.zip")
    async with server(first) as running:
        one = device(running.url)
        await one.connect()
        file = await uploaded(one, b"some words", "a.txt", "text/plain")
        done = await one.ask("hello", files=[file["id"]])
        ack = await one.send("count to 2000")
        await one.wait("token", run_id=ack["run_id"])
        await command("backup", archive, cwd=first)
        assert (os.stat(archive).st_mode & 0o777) == 0o600, "it has the secret"
        await one.call("stop", {"run_id": ack["run_id"]})
        await one.done(ack["run_id"])
        await one.ask("since then")
        seen = dict(one.log)
        await one.drop()

    await command("restore", archive, cwd=second)
    epochs = [one.session["epoch"]]
    for _ in range(2):  # the second time it is as old as the first time
        async with server(second) as running:
            two = device(running.url, **one.auth)
            session = await two.connect()
            assert (session["access"], session["mode"]) == ("owner", "snapshot")
            assert session["epoch"] > epochs[-1]
            epochs.append(session["epoch"])
            assert (await two.durable("done"))[0]["text"] == done["text"]
            assert "since then" not in str(two.log)
            assert (await two.ask("go on"))["status"] == "completed"
            assert any(seen[seq] != two.log[seq] for seq in seen.keys() & two.log.keys())
            two.url = running.url
            got = await fetch(f"{files_of(two)}/{file['id']}", one.auth["token"])
            assert got.status == 200
            one.auth = two.auth
            await two.drop()
        told = await command("restore", archive, "--yes", cwd=second)
    (aside,) = {line.split()[5].rstrip(",") for line in told.splitlines() if "before" in line}
    with closing(sqlite3.connect(aside)) as journal:
        said = "SELECT 1 FROM events WHERE event_type = 'user_message' AND content = 'go on'"
        assert journal.execute(said).fetchone(), "what was replaced is kept"


async def test_a_restored_journal_takes_the_place_of_one_that_a_crash_left(
    tmp_path: Path, device: Devices
) -> None:
    async with server(tmp_path) as running:
        one = device(running.url)
        await one.connect()
        await one.ask("hello")
        await command("backup", "b.zip", cwd=tmp_path)
        await one.ask("only in the write-ahead log")
    assert (tmp_path / "realtime.db-wal").stat().st_size, "it was killed"
    await command("restore", "--yes", "b.zip", cwd=tmp_path)
    user_id = one.session["user_id"]
    told = await command("sessions", "export", "--user", user_id, cwd=tmp_path)
    assert "hello" in told
    assert "write-ahead" not in told


async def test_a_backup_or_restore_that_cannot_be_is_refused(tmp_path: Path) -> None:
    assert "there is no journal" in await refused("backup", "b.zip", cwd=tmp_path)
    async with server(tmp_path):
        await command("backup", "b.zip", cwd=tmp_path)
        told = await refused("restore", "--yes", "b.zip", cwd=tmp_path)
        assert "another server is using" in told
    assert "is there already" in await refused("backup", "b.zip", cwd=tmp_path)
    assert "add --yes" in await refused("restore", "b.zip", cwd=tmp_path)
    assert "No such file" in await refused("restore", "no.zip", cwd=tmp_path)
    engine = {"VALKEY_URL": "redis://127.0.0.1:1", "AUTH_SECRET": "x" * 32}
    for words in (("backup", "c.zip"), ("restore", "--yes", "b.zip")):
        told = await refused(*words, cwd=tmp_path, **engine)
        assert "the engine's own snapshot" in told


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_a_backup_that_is_stopped_leaves_no_copy_behind(
    tmp_path: Path, device: Devices, signum: signal.Signals
) -> None:
    async with server(tmp_path) as running:
        one = device(running.url)
        await one.connect()
        await uploaded(one, b"some words", "a.txt", "text/plain")
    (content,) = (path for path in tmp_path.glob("realtime.db.files/*/*") if path.is_file())
    content.unlink()
    os.mkfifo(content)  # it is read for as long as nobody writes
    words = (sys.executable, "-m", "realtime", "backup", "b.zip")
    async with process(*words, cwd=tmp_path) as running:
        while (writer := reached(content)) is None:
            await asyncio.sleep(0.01)
        assert list(tmp_path.glob(".b.zip-*/journal"))
        running.child.send_signal(signum)
        assert await running.ended() == 128 + signum
        os.close(writer)
    assert running.output == ""
    assert not [path for path in tmp_path.iterdir() if "b.zip" in path.name]


def reached(pipe: Path) -> int | None:
    """What writes to the pipe, once somebody reads it."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


async def test_what_root_restores_belongs_to_the_server(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with server(first):
        await command("backup", "../b.zip", cwd=first)
    if os.geteuid() == 0:
        os.chown(second, 10001, 10001)
    await command("restore", "../b.zip", cwd=second)
    names = {path.name for path in second.iterdir()}
    assert names == {"realtime.db", "realtime.db.lock", "realtime.db.secret"}
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in [second, *second.iterdir()]}
    assert len(owners) == 1


def bent(archive: Path, member: str = "realtime.db") -> None:
    """One bit in the middle of what is packed of it is another one."""
    with zipfile.ZipFile(archive) as whole:
        entry = whole.getinfo(member)
        place = entry.header_offset + 30 + len(member) + entry.compress_size // 2
    with archive.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 4]))


def cut(archive: Path) -> None:
    os.truncate(archive, archive.stat().st_size // 2)


def foreign(archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as other:
        other.writestr("realtime.db", b"")


def text(archive: Path) -> None:
    archive.write_text("this is no archive")


def renamed(archive: Path) -> None:
    """A letter of a name is another one, in the list of all members."""
    data = archive.read_bytes()
    before, list_of_all = data[: (start := data.index(b"PK\1\2"))], data[start:]
    assert list_of_all.count(b"secret") == 1
    archive.write_bytes(before + list_of_all.replace(b"secret", b"secreu"))


def without_secret(archive: Path) -> None:
    """Packed again, without one of its members."""
    with zipfile.ZipFile(archive) as whole:
        members = {name: whole.read(name) for name in whole.namelist() if name != "secret"}
    with zipfile.ZipFile(archive, "w") as other:
        for name, data in members.items():
            other.writestr(name, data)


def rewritten(archive: Path, sql: str) -> None:
    """The same archive around a journal in which something was changed."""
    journal = archive.with_suffix(".db")
    with zipfile.ZipFile(archive) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    journal.write_bytes(members["realtime.db"])
    with closing(sqlite3.connect(journal)) as file:
        file.execute(sql)
    members["realtime.db"] = journal.read_bytes()
    journal.unlink()
    with zipfile.ZipFile(archive, "w") as other:
        for name, data in members.items():
            other.writestr(name, data)


def newer(archive: Path) -> None:
    rewritten(archive, "PRAGMA user_version = 999")


def no_journal(archive: Path) -> None:
    rewritten(archive, "PRAGMA user_version = 0")


async def test_an_archive_that_is_damaged_or_foreign_changes_nothing(tmp_path: Path) -> None:
    async with server(tmp_path):
        await command("backup", "b.zip", cwd=tmp_path)
    for damage, why in (
        (bent, "cannot be restored: "),
        (cut, "cannot be restored: "),
        (text, "not a zip file"),
        (foreign, "no backup of this server"),
        (renamed, "'secreu' does not belong there"),
        (without_secret, "not all that it had is there"),
        (newer, "newer version of this server"),
        (no_journal, "its journal is damaged"),
    ):
        archive = tmp_path / f"{damage.__name__}.zip"
        shutil.copy(tmp_path / "b.zip", archive)
        damage(archive)
        assert why in await refused("restore", "--yes", archive.name, cwd=tmp_path)
