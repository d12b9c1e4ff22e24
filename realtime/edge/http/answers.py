"""Answers of the API: JSON, downloads, and a session's row as its users see it."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from ...core.rows import SessionRow
from ...protocol import to_json


def as_json(data: Any, status: int = 200) -> web.Response:
    return web.json_bytes_response(data, dumps=to_json, status=status)


def as_download(body: bytes, name: str, content_type: str) -> web.Response:
    """A text, in UTF-8."""
    return web.Response(
        body=body,
        content_type=content_type,
        charset="utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


def public(row: SessionRow) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(row)
    return data
