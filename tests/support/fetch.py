"""One HTTP request, read to its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


async def fetch(url: str, token: str | None = None, **headers: str) -> Answer:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with aiohttp.ClientSession(headers=headers) as http, http.get(url) as response:
        return Answer(response.status, response.headers, await response.text())
