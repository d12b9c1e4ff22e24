"""Files of a conversation on their way to a model: as media where it takes them, as text where
they are text, as a note otherwise."""

from __future__ import annotations

import asyncio
import logging
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Collection

from msgspec.structs import replace

from ..core.rows import StorageError
from ..models import Item, Media, Request, UserText
from ..models.notes import TEXT_BYTES, joined, note
from ..protocol import File, Kind, clean_text

Read = Callable[[File], Awaitable[bytes]]
"""The bytes of a file. Raises `StorageError`."""

STEP = 3 * 64 * 1024  # a multiple of three

logger = logging.getLogger(__name__)


class Attached:
    """The files of one run's conversation. Each is read once, for as long as the run goes on."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._known: dict[str, str] = {}

    async def given(self, request: Request, takes: Collection[Kind]) -> Request:
        """The request for a model that takes these kinds beside text."""
        if not any(isinstance(item, UserText) and item.files for item in request.context):
            return request
        context = [await self._item(item, takes) for item in request.context]
        return replace(request, context=tuple(context))

    async def _item(self, item: Item, takes: Collection[Kind]) -> Item:
        if not isinstance(item, UserText) or not item.files:
            return item
        media, notes = [], []
        for file in item.files:
            part = await self._part(file, takes) if isinstance(file, File) else file
            if isinstance(part, Media):
                media.append(part)
            else:
                notes.append(part)
        return replace(item, text=joined(item.text, notes), files=tuple(media))

    async def _part(self, file: File, takes: Collection[Kind]) -> Media | str:
        if file.kind != "text" and file.kind not in takes:
            return note(file)
        try:
            if file.id not in self._known:
                data = await self._read(file)
                written = in_text if file.kind == "text" else in_base64
                self._known[file.id] = await asyncio.to_thread(written, file, data)
        except StorageError as error:
            logger.warning("a file cannot be read: %s", error, extra={"file": file.id})
            return note(file, "which is no longer there")
        known = self._known[file.id]
        return known if file.kind == "text" else Media(file.name, file.type, known)


def in_base64(file: File, data: bytes) -> str:
    """In pieces, since one call over megabytes would hold up every thread."""
    starts = range(0, len(data), STEP)
    return "".join([b64encode(data[start : start + STEP]).decode() for start in starts])


def in_text(file: File, data: bytes) -> str:
    """The name of a file and its text between fences, which are longer than any inside of it."""
    text = clean_text(data[:TEXT_BYTES].decode("utf-8-sig", "ignore"))
    if len(data) > TEXT_BYTES:
        text += f"\u2026 [cut: {len(data)} bytes in all]"
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    ending = file.name.rpartition(".")[2] if "." in file.name else ""
    named = ending if ending.isascii() and ending.isalnum() else ""
    return f"{note(file)}\n{fence}{named}\n{text.rstrip()}\n{fence}"
