"""The files of all sessions: what comes in is told apart and kept, and read again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Sequence,
)
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from ..core.rows import Missing, StorageError
from ..log.keeper import Keeper
from ..protocol import File, ProtocolError
from .intake import Intake, received
from .names import clean_file_name
from .sniff import sniffed

logger = logging.getLogger(__name__)

FILE_BYTES = 20 * 1024 * 1024
TIDY_S = 600.0


class Bucket(Protocol):
    """Where bytes are kept that no disk of ours keeps. Every method raises `StorageError`."""

    async def put(self, session_id: str, file_id: str, content: Path, media_type: str) -> None: ...

    def read(self, session_id: str, file_id: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file, in pieces. Raises `Missing` before the first of them."""
        ...

    async def delete(self, session_ids: Sequence[str]) -> None:
        """Remove every file of these sessions."""
        ...


class Content(msgspec.Struct):
    """Where the bytes of a file are: a path on the disk, or pieces from the bucket."""

    path: Path | None
    pieces: AsyncGenerator[bytes, None] | None = None


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """Bytes that are there already, as what comes in."""
    yield data


class Files:
    """`most`: bytes of one file; 0: none is kept. With a `bucket`, bytes go there and nothing stays
    on the disk. `count`: a user has one more file in it by a copy; it may raise `rate_limited`."""

    def __init__(
        self,
        keeper: Keeper,
        *,
        most: int = FILE_BYTES,
        bucket: Bucket | None = None,
        count: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.most = most
        self._keeper = keeper
        self._bucket = bucket
        self._count = count

    def check_kept(self) -> None:
        """Raises `forbidden` where no file is kept."""
        if not self.most:
            raise ProtocolError(
                "forbidden",
                "this server keeps no files: servers that share an engine need SUPABASE_BUCKET "
                "for them",
            )

    async def add(
        self, session_id: str, user_id: str, name: str, declared: str, chunks: AsyncIterable[bytes]
    ) -> File:
        """Keep a file of this session. `declared`: its type, as whoever sent it says.

        Raises `forbidden`, `bad_request`, `too_large`, `not_found`, and `StorageError`; then
        nothing is kept.
        """
        self.check_kept()
        name = clean_file_name(name)
        async with received(chunks, self._keeper.incoming, self.most) as got:
            kind = sniffed(declared, name, got.head, is_text=got.is_text)
            file = File(str(uuid4()), name, kind, got.size)
            await self._keep(session_id, user_id, file, got)
        return file

    async def _keep(self, session_id: str, user_id: str, file: File, got: Intake) -> None:
        if self._bucket:
            await self._bucket.put(session_id, file.id, got.path, file.type)
        content = None if self._bucket else got.path
        now = time.time_ns() // 1_000_000
        if not await self._keeper.add_file(session_id, user_id, file, got.digest, content, now):
            await self.forget([session_id])
            raise ProtocolError("not_found", "the session was deleted meanwhile")

    async def copy(
        self, session_id: str, new_session_id: str, user_id: str, files: Sequence[File]
    ) -> dict[str, str]:
        """Copy files of one session into another: the ids of the copies, by the id before. Nothing
        is stored under that of a file whose content is gone. Raises `rate_limited`,
        `StorageError`."""
        copies = {file.id: str(uuid4()) for file in files}
        for file in files:
            with contextlib.suppress(Missing):
                data = await self.read(session_id, file.id)
                if self._bucket and self._count:  # on the disk a content is stored once
                    await self._count(user_id)
                async with received(pieces(data), self._keeper.incoming, len(data)) as got:
                    new = replace(file, id=copies[file.id])
                    await self._keep(new_session_id, user_id, new, got)
        return copies

    async def find(self, session_id: str, file_ids: Sequence[str]) -> list[File]:
        """Those of these files that the session has. Raises `StorageError`."""
        if not file_ids:
            return []
        return [file for file, _ in await self._keeper.files(session_id, file_ids)]

    async def content(self, session_id: str, file_id: str) -> Content:
        """The bytes of a file of this session. Raises `Missing`, `StorageError`."""
        for _, path in await self._keeper.files(session_id, [file_id]):
            if await asyncio.to_thread(path.is_file):
                return Content(path)
        if not self._bucket:
            raise Missing
        return Content(None, self._bucket.read(session_id, file_id))

    async def read(self, session_id: str, file_id: str) -> bytes:
        """The same, all at once."""
        content = await self.content(session_id, file_id)
        if content.pieces:
            return b"".join([piece async for piece in content.pieces])
        assert content.path
        try:
            return await asyncio.to_thread(content.path.read_bytes)
        except OSError as error:
            raise Missing from error

    async def forget(self, session_ids: Sequence[str]) -> None:
        """These sessions are deleted everywhere. What the journal keeps of them goes with their
        rows; what cannot be removed from the bucket now is tried again. Raises `StorageError` of
        the journal."""
        if not self._bucket or not session_ids:
            return
        await self._keeper.note_strays(session_ids)
        try:
            await self._bucket.delete(session_ids)
        except StorageError as error:
            logger.warning(
                "the files of %d deleted sessions stay in Supabase Storage for now: %s",
                len(session_ids),
                error,
            )
        else:
            await self._keeper.forget_strays(session_ids)

    async def tidy(self, *, pause_s: float = TIDY_S) -> None:
        """Remove what was left in the bucket, now and again until cancelled."""
        while True:
            try:
                await self.forget(await self._keeper.strays())
            except StorageError as error:
                logger.warning("files of deleted sessions were not looked for: %s", error)
            await asyncio.sleep(pause_s)
