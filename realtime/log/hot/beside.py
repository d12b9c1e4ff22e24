"""What the hot log keeps beside the events of sessions: outputs of tools, the names of files."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import msgspec

from ...protocol import File
from .line import Line
from .scripts import Script

MAX_OUTPUTS = 4 * 1024 * 1024
"""Bytes of tools' outputs that a session may keep."""


class KeptFile(msgspec.Struct, array_like=True):
    file: File
    digest: str


class KeptOutput(msgspec.Struct, array_like=True):
    kind: str
    data: bytes


_encode = msgspec.msgpack.Encoder().encode
_add_output, _add_file = Script("add_output"), Script("add_file")


class Beside:
    """Every method raises `StorageError`."""

    def __init__(self, line: Line, prefix: str) -> None:
        self._line = line
        self._prefix = prefix

    async def identity(self) -> str:
        """The name of this log among the servers that write to one project."""
        key = f"{self._prefix}identity"
        await self._line.call("SET", key, str(uuid4()), "NX")
        found: bytes = await self._line.call("GET", key)
        return found.decode()

    async def add_output(self, session_id: str, output_ref: str, kind: str, data: bytes) -> None:
        """Store a tool's output. A session keeps its newest, up to `MAX_OUTPUTS` bytes."""
        output = _encode(KeptOutput(kind, data))
        await _add_output(self._line, self._prefix, session_id, output_ref, output, MAX_OUTPUTS)

    async def output(self, session_id: str, output_ref: str) -> tuple[str, bytes] | None:
        found = await self._line.call("HGET", f"{self._prefix}o:{session_id}", output_ref)
        if found is None:
            return None
        output = msgspec.msgpack.decode(found, type=KeptOutput)
        return output.kind, output.data

    async def add_file(self, session_id: str, file: File, digest: str) -> bool:
        kept = _encode(KeptFile(file, digest))
        return bool(await _add_file(self._line, self._prefix, session_id, file.id, kept))

    async def files(self, session_id: str, file_ids: Sequence[str]) -> list[tuple[File, str]]:
        """Those of these files that the session has, each with the hash of its content."""
        key = f"{self._prefix}f:{session_id}"
        found = await self._line.call("HMGET", key, *file_ids) if file_ids else []
        kept = [msgspec.msgpack.decode(one, type=KeptFile) for one in found if one]
        return [(one.file, one.digest) for one in kept]

    async def note_strays(self, session_ids: Sequence[str]) -> None:
        if session_ids:
            await self._line.call("SADD", f"{self._prefix}strays", *session_ids)

    async def forget_strays(self, session_ids: Sequence[str]) -> None:
        if session_ids:
            await self._line.call("SREM", f"{self._prefix}strays", *session_ids)

    async def strays(self) -> list[str]:
        found = await self._line.call("SMEMBERS", f"{self._prefix}strays")
        return sorted(one.decode() for one in found)
