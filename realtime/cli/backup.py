"""`backup` and `restore`: the journal, its files and its secret in one archive, a zip."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import msgspec

from ..config import Settings
from ..core.rows import StorageError
from ..log.journal import copies
from ..log.journal.database import lock
from ..log.journal.files import place
from ..package import VERSION
from .admin import when
from .operate import Refusal, ask, journal_path

MANIFEST, JOURNAL, SECRET, FILES = "realtime-backup.json", "realtime.db", "secret", "files/"
FORMAT = 1
DAMAGED = (BadZipFile, zlib.error, EOFError, RuntimeError)


class Manifest(msgspec.Struct):
    """By which an archive is known. `made_at`: ms since the Unix epoch; `version`: the server's;
    `members`: how many there are beside this one, where that was noted."""

    made_at: int
    version: str
    format: int = FORMAT
    members: int | None = None


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    saved = commands.add_parser("backup", help="put journal, files and secret into one archive")
    saved.add_argument("file", type=Path, help="the archive, a zip that is not there yet")
    restored = commands.add_parser("restore", help="put back what an archive has")
    restored.add_argument("file", type=Path)
    restored.add_argument("--yes", action="store_true", help="do not ask first")


def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Raises `Refusal`, `StorageError`."""
    if settings.engine_url:
        raise Refusal(
            f"{arguments.command} is for a journal, and with VALKEY_URL there is none: back up the "
            "engine's own snapshot or append-only file, and your Supabase project"
        )
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stopped)
    try:
        if arguments.command == "backup":
            backup(journal_path(settings), arguments.file)
        else:
            restore(settings, arguments.file, yes=arguments.yes)
    except OSError as error:
        raise Refusal(f"{error.filename or arguments.file}: {error.strerror or error}") from error
    return 0


def stopped(signum: int, frame: FrameType | None) -> None:
    """Leave by way of what cleans up: a copy of everything that was said must not stay behind."""
    sys.exit(128 + signum)


def backup(path: Path, target: Path) -> None:
    """Raises `Refusal`, `StorageError`, `OSError`."""
    if target.exists():
        raise Refusal(f"{target} is there already: name a new file")
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        made, journal = Path(folder, "archive"), Path(folder, "journal")
        digests = copies.copy(path, journal)
        with ZipFile(made, "x", strict_timestamps=False) as archive:
            made_at = time.time_ns() // 1_000_000
            archive.write(journal, JOURNAL, ZIP_DEFLATED, compresslevel=1)
            with suppress(FileNotFoundError):  # AUTH_SECRET takes its place
                archive.write(f"{path}.secret", SECRET)
            for digest in digests:
                with suppress(FileNotFoundError):  # its session was deleted meanwhile
                    archive.write(place(Path(f"{path}.files"), digest), FILES + digest)
            manifest = Manifest(made_at, VERSION, members=len(archive.namelist()))
            archive.writestr(MANIFEST, msgspec.json.encode(manifest))
        made.chmod(0o600)
        os.replace(made, target)
    print(f"{target} has all of {path}")


def restore(settings: Settings, source: Path, *, yes: bool) -> None:
    """Raises `Refusal`, `StorageError`, `OSError`; then nothing has changed."""
    path = Path(settings.database_path).absolute()
    try:
        with ZipFile(source) as archive, lock(str(path)):
            made = when(manifest_of(archive).made_at)
            if path.exists() and not yes:
                ask(f"Replace {path} by the backup of {made}?", "nothing was restored")
            with TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.restoring-") as folder:
                copy = Path(folder, "realtime.db")
                unpack(archive, copy)
                copies.renew(copy)
                give(path, [*Path(folder).rglob("*"), Path(f"{path}.lock")])
                aside = copies.replace(path, copy)
            if not settings.auth_secret and SECRET not in archive.namelist():
                print("note: the archive has no secret; set AUTH_SECRET to what it was then")
    except (*DAMAGED, StorageError, msgspec.MsgspecError) as error:
        raise Refusal(f"{source} cannot be restored: {error}") from error
    print(f"{path} is as it was at {made}")
    if aside:
        print(f"What was there before is {aside}, with what lies beside it: delete that in time")


def manifest_of(archive: ZipFile) -> Manifest:
    """Raises `Refusal` where it is no archive of ours."""
    names = [name for name in archive.namelist() if not name.endswith("/")]
    if not {MANIFEST, JOURNAL} <= set(names):
        raise Refusal(f"{archive.filename} is no backup of this server")
    manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
    if manifest.format != FORMAT:
        raise Refusal(f"{archive.filename} needs version {manifest.version} of this server")
    if manifest.members not in (None, len(names) - 1):
        raise BadZipFile("not all that it had is there")
    return manifest


def unpack(archive: ZipFile, copy: Path) -> None:
    """The journal, and beside it what else there is."""
    for entry in archive.infolist():
        kind, digest = entry.filename[: len(FILES)], entry.filename[len(FILES) :]
        if entry.filename == MANIFEST or entry.filename.endswith("/"):
            continue
        if entry.filename == JOURNAL:
            target = copy
        elif entry.filename == SECRET:
            target = Path(f"{copy}.secret")
        elif kind == FILES and digest.isalnum():
            target = place(Path(f"{copy}.files"), digest)
            target.parent.mkdir(parents=True, exist_ok=True)
        else:
            raise BadZipFile(f"{entry.filename!r} does not belong there")
        target.touch(0o600 if entry.filename == SECRET else 0o666)
        with archive.open(entry) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, 1024 * 1024)


def give(path: Path, restored: Iterable[Path]) -> None:
    """What root restores belongs to whom the journal at `path` belongs, else its folder: the
    server runs as another user."""
    if sys.platform == "win32" or os.geteuid():
        return
    owner = (path if path.exists() else path.parent).stat()
    for one in restored:
        os.chown(one, owner.st_uid, owner.st_gid)
