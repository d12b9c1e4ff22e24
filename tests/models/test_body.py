"""The short way to the bytes of an answer: an upgrade that moves its private names shows here."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from openai import AsyncOpenAI, DefaultAioHttpClient

from realtime.models.body import Read, reader
from realtime.models.reading import BROKEN
from tests.models.conftest import Upstream


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        api_key="key", base_url=upstream.url, max_retries=0, http_client=DefaultAioHttpClient()
    ) as made:
        yield made


async def ask(client: AsyncOpenAI) -> Any:
    return await client.chat.completions.with_streaming_response.create(
        model="m", messages=[{"role": "user", "content": "q"}], stream=True
    ).__aenter__()


async def rest(read: Read) -> bytes:
    found = bytearray()
    while data := await read():
        found += data
    return bytes(found)


async def test_it_reads_from_aiohttp_and_asks_a_flowing_connection_for_nothing(
    upstream: Upstream, client: AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed: list[bool] = []
    original = ResponseHandler.resume_reading

    def counting(self: ResponseHandler, resume_parser: bool = True) -> None:
        resumed.append(resume_parser)
        original(self, resume_parser)

    monkeypatch.setattr(ResponseHandler, "resume_reading", counting)
    upstream.answer(*(b"data: %d\n\n" % number for number in range(50)))
    response = await ask(client)
    read = reader(response)
    assert read.__qualname__ == "Body.readany"
    assert await rest(read) == b"".join(b"data: %d\n\n" % number for number in range(50))
    assert resumed == [False]  # by the parser, at the end
    await response.close()


async def test_what_is_read_too_slowly_waits_at_the_sender(
    upstream: Upstream, client: AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was paused is resumed, and nothing of the answer is lost."""
    paused = asyncio.Event()
    original = ResponseHandler.pause_reading

    def noting(self: ResponseHandler) -> None:
        paused.set()
        original(self)

    monkeypatch.setattr(ResponseHandler, "pause_reading", noting)
    parts = [bytes([65 + number % 26]) * 50_000 for number in range(200)]
    upstream.answer(*parts)
    response = await ask(client)
    read = reader(response)
    async with asyncio.timeout(10):
        await paused.wait()
        assert await rest(read) == b"".join(parts)
    await response.close()


async def test_what_came_before_a_cut_is_read_before_its_error(
    upstream: Upstream, client: AsyncOpenAI
) -> None:
    async def script(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: kept\n\n")
        assert request.transport
        request.transport.abort()
        return response

    upstream.script = script
    response = await ask(client)
    read = reader(response)
    await asyncio.sleep(0.1)
    assert await read() == b"data: kept\n\n"
    with pytest.raises(BROKEN):
        await read()
    await response.close()


async def test_a_compressed_answer_is_read_by_the_client(
    upstream: Upstream, client: AsyncOpenAI
) -> None:
    async def script(request: web.Request) -> web.StreamResponse:
        body = gzip.compress(b"data: squeezed\n\n")
        kind = {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}
        return web.Response(body=body, headers=kind)

    upstream.script = script
    response = await ask(client)
    assert await rest(reader(response)) == b"data: squeezed\n\n"
    await response.close()
