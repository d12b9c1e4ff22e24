"""Starts aimock, a scripted OpenAI server written by others, as a real process.

async with aimock([{"match": {"userMessage": "hi"}, "response": {"content": "Hello"}}]) as url:
    ...                       # url ends in /v1
    await journal(url)        # what it was asked, oldest first
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.process import ROOT

BINARY = ROOT / "node_modules" / ".bin" / "llmock"


@asynccontextmanager
async def aimock(fixtures: list[dict[str, Any]], *options: str) -> AsyncIterator[str]:
    """Its base URL. A request that no fixture matches fails (`--strict`)."""
    node = shutil.which("node")
    assert node is not None, "the tests need Node 20 or newer"
    assert BINARY.exists(), "aimock is not installed: run `npm ci`"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fixtures.json"
        path.write_text(json.dumps({"fixtures": fixtures}))
        process = await asyncio.create_subprocess_exec(
            *(node, str(BINARY), "-p", "0", "-f", str(path), "--strict", "--validate-on-load"),
            *options,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        drain: asyncio.Task[bytes] | None = None
        try:
            async with asyncio.timeout(20):
                url = await _address(process.stdout)
            # Its log has to be read on, or the full pipe would stop it.
            drain = asyncio.create_task(process.stdout.read())
            yield f"{url}/v1"
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            if drain:
                await drain


async def journal(base_url: str) -> list[dict[str, Any]]:
    """Every model request so far, oldest first: `path`, `headers`, `body`, `response`."""
    control = base_url.removesuffix("/v1") + "/__aimock/journal"
    async with aiohttp.ClientSession() as session, session.get(control) as answer:
        entries: list[dict[str, Any]] = await answer.json()
    return entries


async def _address(output: asyncio.StreamReader) -> str:
    seen = b""
    while line := await output.readline():
        seen += line
        if match := re.search(rb"listening on (http://\S+)", line):
            return match[1].decode()
    raise AssertionError(f"aimock did not start:\n{seen.decode()}")
