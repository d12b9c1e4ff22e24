"""OpenAI and every compatible server, over the `openai` package's client.

The client builds the request, signs it and holds the connections. The answer is
read as raw bytes and decoded here: its typed stream costs several times the CPU, and
says nothing when a stream ends early.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import aiohttp
import httpx2
import msgspec
from openai import (
    APIConnectionError,
    APIStatusError,
    AsyncAPIResponse,
    AsyncOpenAI,
    DefaultAioHttpClient,
    OpenAIError,
)

from realtime.models import ModelError, ModelEvent, Request, TextDelta, chat, responses
from realtime.models.body import Read, reader
from realtime.models.errors import failure, from_payload, from_status
from realtime.models.sse import EventDecoder

OPENAI_URL = "https://api.openai.com/v1"
_DRAIN_S = 0.1
"""How long the end of a finished answer is waited for, so that its connection is kept."""
_BROKEN = (httpx2.HTTPError, aiohttp.ClientError, OSError)


class Decoder(Protocol):
    """What both APIs give: payloads in, events out."""

    @property
    def answered(self) -> bool: ...
    @property
    def finished(self) -> bool: ...
    def feed(self, payload: bytes) -> list[ModelEvent]: ...
    def finish(self) -> list[ModelEvent]: ...


class OpenAIModel:
    """A model behind an OpenAI-compatible server.

    `base_url` None is OpenAI itself. `options` are fields for the body of each request,
    such as `{"temperature": 0}`. Times are in seconds: `connect_s` to a connection,
    `first_byte_s` from the call to the first byte of the answer, `stall_s` between two
    reads of it. May be built outside of an event loop; belongs to the first that uses it.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None,
        model: str,
        api: Literal["responses", "chat"],
        label: str | None = None,
        options: Mapping[str, Any] | None = None,
        connect_s: float = 10,
        first_byte_s: float = 30,
        stall_s: float = 20,
    ) -> None:
        url = base_url or OPENAI_URL
        self.name = model
        self.label = label or f"{model} at {urlsplit(url).hostname} ({api})"
        self._api = api
        self._options = dict(options or {})
        self._first_byte_s = first_byte_s
        self._stall_s = stall_s
        self._client = AsyncOpenAI(
            api_key=api_key,
            base_url=url,
            # Whether to try again is for the run to decide: it knows what was streamed.
            max_retries=0,
            # Reads are timed here, where the first one differs from the others.
            timeout=httpx2.Timeout(None, connect=connect_s, pool=connect_s),
            http_client=DefaultAioHttpClient(),
        )

    async def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
        """Answer once. Raises `ModelError`."""
        now = asyncio.get_running_loop().time
        deadline = now() + self._first_byte_s
        decoder: Decoder = (
            chat.ChatDecoder() if self._api == "chat" else responses.ResponsesDecoder()
        )
        lines = EventDecoder()
        async with AsyncExitStack() as stack:
            response = await self._open(stack, request, deadline)
            reads = stack.enter_context(_Reads(reader(response)))
            while not (lines.done or decoder.finished):
                try:
                    data = await reads.next(deadline)
                except ModelError:
                    if not decoder.answered:
                        raise
                    break  # the answer is whole, only its usage may be lost
                if not data:
                    break
                events: list[ModelEvent] = []
                error: ModelError | None = None
                try:
                    for payload in lines.feed(data):
                        events += decoder.feed(payload)
                    if lines.done:
                        events += decoder.finish()
                except ModelError as problem:
                    error = problem
                if events:
                    yield _merged(events)
                if error:
                    raise error
                deadline = now() + self._stall_s
            if not lines.count and not _is_stream(response):
                raise failure("malformed")
            if not lines.done and (events := decoder.finish()):
                yield events
            if lines.done or decoder.finished:
                deadline = now() + _DRAIN_S
                with suppress(ModelError):
                    while await reads.next(deadline):
                        pass

    async def check(self) -> None:
        """List the models. A server without that list is there all the same."""
        try:
            async with asyncio.timeout(self._first_byte_s):
                await self._client.models.with_raw_response.list()
        except APIStatusError as error:
            if error.status_code not in (404, 405, 501):
                raise _status_error(error) from None
        except (OpenAIError, TimeoutError, *_BROKEN) as error:
            raise _connection_error(error) from None

    async def close(self) -> None:
        await self._client.close()

    async def _open(
        self, stack: AsyncExitStack, request: Request, deadline: float
    ) -> AsyncAPIResponse[Any]:
        """Send the request; the answer's head is there and says that a stream follows."""
        response: AsyncAPIResponse[Any]
        try:
            async with asyncio.timeout_at(deadline):
                try:
                    response = await stack.enter_async_context(self._create(request))
                except APIConnectionError as error:
                    if not _was_stale(error):
                        raise
                    response = await stack.enter_async_context(self._create(request))
                kind = response.headers.get("content-type", "")
                if kind.startswith("application/json"):
                    raise from_json_answer(await response.read())
                if kind.startswith("text/html"):
                    raise failure("malformed")
        except APIStatusError as error:
            raise _status_error(error) from None
        except (OpenAIError, TimeoutError, *_BROKEN) as error:
            raise _connection_error(error) from None
        return response

    def _create(self, request: Request) -> AbstractAsyncContextManager[AsyncAPIResponse[Any], None]:
        if self._api == "chat":
            return self._client.chat.completions.with_streaming_response.create(
                **chat.body(self.name, request), **self._options
            )
        return self._client.responses.with_streaming_response.create(
            **responses.body(self.name, request), **self._options
        )


def from_json_answer(data: bytes) -> ModelError:
    """A success that is one JSON document: an error that forgot its status, or nonsense."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return failure("malformed")
    if isinstance(document, dict) and document.get("error"):
        return from_payload(document)
    return failure("malformed")


class _Reads:
    """The reads of one answer, by one task, each with a deadline. There is one timer for
    all of them: a timer for each would cost more than the read."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._deadline = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._reading = False
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> _Reads:
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()

    async def next(self, deadline: float) -> bytes:
        """The next bytes of the answer, none at its end. Raises `ModelError`."""
        self._deadline = deadline
        if self._task is None:
            self._task = asyncio.current_task()
        self._reading = True
        if self._timer is None or deadline < self._timer.when():
            self.__exit__()
            self._timer = asyncio.get_running_loop().call_at(deadline, self._check)
        try:
            return await self._read()
        except asyncio.CancelledError:
            if self._expired and self._task and self._task.uncancel() == 0:
                raise failure("timeout") from None
            raise
        except _BROKEN:
            raise failure("cut") from None
        finally:
            self._reading = False

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        if self._reading and self._task and self._deadline <= loop.time():
            self._expired = True
            self._task.cancel()
        else:
            self._timer = loop.call_at(max(self._deadline, loop.time() + 1.0), self._check)


def _merged(events: list[ModelEvent]) -> list[ModelEvent]:
    """The events with neighbouring texts of one kind joined."""
    if len(events) == 1:
        return events
    merged: list[ModelEvent] = []
    texts: list[str] = []
    for index, event in enumerate(events):
        if not isinstance(event, TextDelta):
            merged.append(event)
            continue
        texts.append(event.text)
        following = events[index + 1] if index + 1 < len(events) else None
        if not isinstance(following, TextDelta) or following.kind != event.kind:
            merged.append(TextDelta("".join(texts), event.kind))
            texts.clear()
    return merged


def _is_stream(response: AsyncAPIResponse[Any]) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.startswith("text/event-stream")


def _status_error(error: APIStatusError) -> ModelError:
    return from_status(error.status_code, error.response.headers, error.body)


def _connection_error(error: BaseException) -> ModelError:
    """What kept us from an answer. The client calls a refused connection a time-out, so
    what it was caused by decides."""
    causes = _causes(error)
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return failure("timeout")
    if any(isinstance(cause, aiohttp.ClientResponseError) for cause in causes):
        return failure("malformed")  # whatever answered does not speak HTTP
    return failure("unavailable")


def _was_stale(error: BaseException) -> bool:
    """Whether the server may just have closed a kept connection while we took it again:
    then it has not seen the request, and a new connection is the answer."""
    stale = (ConnectionResetError, BrokenPipeError, aiohttp.ServerDisconnectedError)
    return any(isinstance(cause, stale) for cause in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    return causes
