"""A file on its way in: written to disk as it comes, measured, hashed and looked at.

What breaks off, or is too large, leaves nothing.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import hashlib
import os
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, TypeVar, TypeVarTuple

import msgspec

from ..core.rows import StorageError
from ..protocol import ProtocolError
from .sniff import HEAD

WRITTEN_AT_ONCE = 256 * 1024
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_NO_TEXT = re.compile("[\0-\x08\x0b\x0e-\x1a\x1c-\x1f]")


class Intake(msgspec.Struct):
    """A file that is whole, at `path` until the caller moves it. `is_text`: all of it is UTF-8
    without control characters."""

    path: Path
    size: int
    digest: str
    head: bytes
    is_text: bool


@asynccontextmanager
async def received(chunks: AsyncIterable[bytes], folder: Path, most: int) -> AsyncIterator[Intake]:
    """Take in at most `most` bytes. Raises `too_large`, `bad_request` for no bytes at all, and
    `StorageError`."""
    file = await _on_disk(_opened, folder)
    path = Path(file.name)
    try:
        yield await _all(chunks, file, path, most)
    finally:
        with contextlib.suppress(OSError):
            file.close()
        with contextlib.suppress(OSError):
            os.unlink(path)


async def _all(chunks: AsyncIterable[bytes], file: IO[bytes], path: Path, most: int) -> Intake:
    look = _Look()
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if look.size + len(waiting) > most:
            raise too_large(most)
        if len(waiting) >= WRITTEN_AT_ONCE:
            await _on_disk(look.write, file, bytes(waiting))
            waiting.clear()
    await _on_disk(look.write, file, bytes(waiting))
    if not look.size:
        raise empty()
    await _on_disk(look.close, file)
    return Intake(path, look.size, look.digest.hexdigest(), look.head, look.is_text)


def empty() -> ProtocolError:
    return ProtocolError("bad_request", "the file is empty")


def too_large(most: int) -> ProtocolError:
    return ProtocolError("too_large", f"a file may have {most} bytes at most; send a smaller one")


class _Look:
    """What is seen of a file while it is written."""

    def __init__(self) -> None:
        self.size = 0
        self.head = b""
        self.digest = hashlib.sha256()
        self.is_text = True
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def write(self, file: IO[bytes], data: bytes) -> None:
        file.write(data)
        self.size += len(data)
        self.digest.update(data)
        if len(self.head) < HEAD:
            self.head += data[: HEAD - len(self.head)]
        self._read(data)

    def close(self, file: IO[bytes]) -> None:
        """All of it is on the disk."""
        self._read(b"", last=True)
        file.flush()
        os.fsync(file.fileno())
        file.close()

    def _read(self, data: bytes, *, last: bool = False) -> None:
        if not self.is_text:
            return
        try:
            self.is_text = not _NO_TEXT.search(self._decoder.decode(data, last))
        except UnicodeDecodeError:
            self.is_text = False


def _opened(folder: Path) -> IO[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return NamedTemporaryFile(dir=folder, delete=False)


async def _on_disk(work: Callable[[*Ts], T], *args: *Ts) -> T:
    try:
        return await asyncio.to_thread(work, *args)
    except OSError as error:
        raise StorageError(f"a file cannot be stored: {error.strerror}") from error
