"""Files for the tests, and how one is uploaded."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp

from tests.support.device import Device


def png(width: int = 2, height: int = 2, red: int = 255) -> bytes:
    """A picture that every viewer takes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    rows = b"".join(b"\0" + bytes((red, 0, 0)) * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(40) + b"\xff\xd9"


class Got(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


async def ask(
    method: str, url: str, token: str | None = None, data: Any = None, **headers: str
) -> Got:
    data = io.BytesIO(data) if isinstance(data, bytes) else data
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.request(
            method, url, data=data, headers={k.replace("_", "-"): v for k, v in headers.items()}
        ) as response,
    ):
        return Got(response.status, response.headers, await response.read())


def files_of(device: Device) -> str:
    """Where the files of a device's session are."""
    return f"{device.url}/api/sessions/{device.session['session_id']}/files"


async def upload(
    device: Device, data: Any, name: str = "a.png", kind: str = "image/png", **headers: str
) -> Got:
    url = f"{files_of(device)}?name={quote(name, '')}"
    return await ask("POST", url, device.auth["token"], data, Content_Type=kind, **headers)


async def uploaded(
    device: Device, data: bytes, name: str = "a.png", kind: str = "image/png"
) -> dict[str, Any]:
    """The file, which was taken."""
    got = await upload(device, data, name, kind)
    assert got.status == 201, got.body
    file: dict[str, Any] = got.json["file"]
    return file
