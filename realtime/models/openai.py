"""OpenAI and every compatible server, over the `openai` package's client.

The client builds the request, signs it and holds the connections. The answer is
read as raw bytes and decoded here: its typed stream costs several times the CPU, and
says nothing when a stream ends early.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import aiohttp
import httpx2
import msgspec
from openai import (
    APIConnectionError,
    APIStatusError,
    AsyncAPIResponse,
    AsyncOpenAI,
    AsyncStream,
    DefaultAioHttpClient,
    OpenAIError,
    omit,
)

from ..protocol import Kind
from . import (
    AnswerKept,
    AssistantText,
    ModelError,
    ModelEvent,
    Request,
    ToolRequest,
    ToolResult,
    UserText,
    chat,
    responses,
)
from .body import reader
from .bookmark import Bookmark
from .errors import (
    causes_of,
    connection_failure,
    failure,
    from_payload,
    from_status,
    unquoted,
)
from .manners import Manners
from .reading import BROKEN, Reads, Received
from .sse import MAX_EVENT_BYTES, EventDecoder
from .upload import Payload

OPENAI_URL = "https://api.openai.com/v1"
IMAGE_EVENT_BYTES = 64 * 1024 * 1024
"""The longest event where the provider makes images: its last one has all of them."""
NO_KEY = "none"  # the client insists on one
_DRAIN_S = 0.1
"""How long to wait for the end of a finished answer, so that its connection can be kept."""
_END_S = 0.5
"""How long to wait for usage and the end of the stream once the model has said it is done."""
Answer = AbstractAsyncContextManager[AsyncAPIResponse[Any], bool | None]
Create = Callable[[], Answer]
logger = logging.getLogger(__name__)


class OpenAIModel:
    """A model behind an OpenAI-compatible server.

    `base_url` None is OpenAI itself. `options` are fields for the body of each request,
    such as `{"temperature": 0}`. `background` (Responses only): an answer whose connection
    breaks is taken up again where it broke. `hosted` (Responses only): tools that the provider
    runs, as it takes them in `tools`. `schemas`: whether it takes one for its answer, which is
    asked for in words otherwise. `extras`: whether to use fields that are OpenAI's
    own, for reasoning items and their summaries, caching and abuse; by default with OpenAI and
    Azure, since the others do not agree on them.

    Times are in seconds: `connect_s` to a connection, `first_byte_s` from the call to the
    first byte of the answer, `think_s` from one byte to the next while the model has said
    nothing yet, reasons, or may write a call, `stall_s` the same inside a sentence, `total_s`
    for all of it.

    It may be built outside an event loop, and belongs to the first that uses it.
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
        background: bool = False,
        hosted: Sequence[dict[str, Any]] = (),
        show_reasoning: bool = True,
        schemas: bool = True,
        extras: bool | None = None,
        connect_s: float = 10,
        first_byte_s: float = 30,
        think_s: float = 120,
        stall_s: float = 20,
        total_s: float = 600,
    ) -> None:
        url = base_url or OPENAI_URL
        self.name = model
        self.label = label or f"{model} at {place(url)} ({api})"
        self.server = place(url)
        self._api = api
        self._options = dict(options or {})
        self._background = background and api == "responses"
        self._schemas = schemas
        self._hosted = tuple(hosted) if api == "responses" else ()
        draws = any(tool.get("type") == "image_generation" for tool in self._hosted)
        self._longest = IMAGE_EVENT_BYTES if draws else MAX_EVENT_BYTES
        self._extras = is_openai(url) if extras is None else extras
        self._manners = Manners(() if show_reasoning else ("reasoning.summary",))
        self._cancelling: set[asyncio.Task[None]] = set()
        self._first_byte_s = first_byte_s
        self._think_s = max(think_s, first_byte_s)
        self._stall_s = stall_s
        self._total_s = total_s
        self._key = api_key
        self._client = AsyncOpenAI(
            api_key=api_key,
            base_url=url,
            # Whether to try again is for the run to decide: it knows what was streamed.
            max_retries=0,
            # Reads are timed here, where the first one differs from the others.
            timeout=httpx2.Timeout(None, connect=connect_s, pool=connect_s),
            http_client=DefaultAioHttpClient(),
        )

    @property
    def refuses(self) -> Collection[Kind]:
        """The kinds of files that it has been found not to take."""
        return self._manners.blind

    async def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
        """Answer once. Raises `ModelError`."""
        now = asyncio.get_running_loop().time
        end = now() + self._total_s
        hosted = request.hosted and bool(self._hosted)
        answer = Received(self._api, tools=hosted or bool(request.tools))
        body: dict[str, Any] = {}
        keeps = self._background or request.kept
        bookmark = answer.bookmark = Bookmark(request.kept) if keeps else None
        told = bookmark is None or bool(request.kept)
        try:
            while True:
                deadline = min(end, now() + self._first_byte_s)
                broke: ModelError | None = None
                async with AsyncExitStack() as stack:
                    if bookmark and bookmark.id:
                        response = await self._resume(stack, bookmark, end)
                    else:
                        response, body = await self._open(stack, request, deadline)
                    reads = stack.enter_context(Reads(reader(response)))
                    answer.lines = EventDecoder(self._longest)
                    document = b""  # where it may be one, and no stream
                    try:
                        while not answer.over:
                            data = await reads.next(deadline)
                            if not answer.lines.count and not _is_stream(response):
                                document += data
                            events = answer.take(data)
                            if not told and bookmark and bookmark.id:
                                told = True
                                yield [AnswerKept(bookmark.id)]
                            if events:
                                yield events
                            if not data:
                                break
                            deadline = self._next_deadline(answer, now(), deadline, end)
                    except ModelError as error:
                        broke = error
                    if answer.whole:
                        await reads.drain(now() + _DRAIN_S)
                        return
                if not answer.lines.count and not broke and not _is_stream(response):
                    answer.error = from_json_answer(document)
                if answer.error:
                    if not (self._learned(answer.error, request, body) and answer.silent):
                        raise answer.error
                    answer.error = None
                    continue
                if bookmark and bookmark.id and now() < end:
                    continue
                if events := answer.decoder.finish():
                    yield events
                if broke and not answer.decoder.answered:
                    raise broke  # else the answer is whole, only its usage may be lost
                return
        finally:
            if bookmark and bookmark.id and not answer.decoder.finished and not request.stays():
                self._cancel(bookmark.id)

    def _next_deadline(self, answer: Received, now: float, last: float, end: float) -> float:
        """Until when the next bytes may come; `last` was the deadline of those before."""
        if answer.decoder.answered:
            return min(last, now + _END_S)
        return min(end, now + (self._think_s if answer.thinking else self._stall_s))

    async def check(self) -> str | None:
        """List the models. A server that has no such list is reached all the same."""
        try:
            async with asyncio.timeout(self._first_byte_s):
                listed = await self._client.models.with_raw_response.list()
        except APIStatusError as error:
            if error.status_code in (404, 405, 501):
                return None
            failed = self._refusal(error)
            failed.detail = unquoted(failed.detail, [self._key])
            raise failed from None
        except (OpenAIError, TimeoutError, *BROKEN) as error:
            raise connection_failure(error) from None
        return shutdown_notice(self.name, listed.content)

    async def close(self) -> None:
        if self._cancelling:
            await asyncio.wait(self._cancelling, timeout=self._first_byte_s)
        await self._client.close()

    async def _open(
        self, stack: AsyncExitStack, request: Request, deadline: float
    ) -> tuple[AsyncAPIResponse[Any], dict[str, Any]]:
        """Send the request. Returns the head of the answer, and the body that was sent."""
        while True:
            body = self._body(request)
            files = any(isinstance(item, UserText) and item.media for item in request.context)
            create = partial(self._create, body, request.headers, files=files)
            try:
                return await self._enter(stack, create, deadline), body
            except ModelError as error:
                if not self._learned(error, request, body):
                    raise

    def _learned(self, error: ModelError, request: Request, body: dict[str, Any]) -> bool:
        """Whether a refused request can be sent in another form, as all will be from now on."""
        error.detail = unquoted(error.detail, [*texts_of(request), self._key])
        learned = self._manners.learn(error, request, body)
        if learned:
            logger.warning("%s %s. %s", self.label, learned, error.detail)
            return True
        return self._body(request) != body  # another request learned it meanwhile

    async def _enter(
        self, stack: AsyncExitStack, create: Create, deadline: float
    ) -> AsyncAPIResponse[Any]:
        """Send a request. Returns once the head of the answer says that a stream follows."""
        response: AsyncAPIResponse[Any]
        try:
            async with asyncio.timeout_at(deadline):
                try:
                    response = await stack.enter_async_context(create())
                except APIConnectionError as error:
                    if not _was_stale(error):
                        raise
                    response = await stack.enter_async_context(create())
                kind = response.headers.get("content-type", "")
                if kind.startswith("text/html"):
                    raise failure("malformed")
        except APIStatusError as error:
            raise self._refusal(error) from None
        except (OpenAIError, TimeoutError, *BROKEN) as error:
            raise connection_failure(error) from None
        return response

    def _refusal(self, error: APIStatusError) -> ModelError:
        refusal = from_status(error.status_code, error.response.headers, error.body)
        if refusal.kind == "unauthorized" and self._key == NO_KEY:
            hint = "No key is set: OPENAI_API_KEY, or key= in FALLBACKS and MODELS."
        elif refusal.kind == "not_found" and self._client.base_url.path == "/":
            hint = "The base URL has no path; with most servers it ends in /v1."
        else:
            return refusal
        refusal.detail = f"{hint} {refusal.detail}"
        return refusal

    def _body(self, request: Request) -> dict[str, Any]:
        request = self._manners.shape(
            request, self.label, in_field=self._schemas, words=not self._extras
        )
        if self._api == "chat":
            body = chat.body(self.name, request, openai=self._extras)
        else:
            body = responses.body(
                self.name,
                request,
                background=self._background,
                extras=self._extras,
                hosted=self._manners.hosted(self._hosted) if request.hosted else (),
            )
        if self._extras:
            body |= identifiers(request)
        return self._manners.trim({**self._options, **body})

    def _create(
        self, body: dict[str, Any], headers: Mapping[str, str], *, files: bool = False
    ) -> Answer:
        if files:
            return self._upload(Payload(body), headers)
        # As `extra_body`: the client inspects every message in its own parameters, at 0.1 ms
        # each, and holds up all sessions meanwhile.
        if self._api == "chat":
            return self._client.chat.completions.with_streaming_response.create(
                model=self.name, messages=[], stream=True, extra_body=body, extra_headers=headers
            )
        return self._client.responses.with_streaming_response.create(
            model=self.name, input=[], stream=True, extra_body=body, extra_headers=headers
        )

    @asynccontextmanager
    async def _upload(
        self, body: Payload, more: Mapping[str, str]
    ) -> AsyncGenerator[AsyncAPIResponse[Any], None]:
        """The same with files, which the client would encode all at once."""
        headers = {"Content-Type": "application/json", "Content-Length": str(body.length), **more}
        response = await self._client.post(
            "/chat/completions" if self._api == "chat" else "/responses",
            cast_to=cast(type[AsyncAPIResponse[Any]], object),
            content=body.pieces(),
            options={"headers": {**headers, "X-Stainless-Raw-Response": "stream"}},
            stream=True,
            stream_cls=AsyncStream[Any],
        )
        answer = cast(AsyncAPIResponse[Any], response)
        try:
            yield answer
        finally:
            await answer.close()

    async def _resume(
        self, stack: AsyncExitStack, bookmark: Bookmark, end: float
    ) -> AsyncAPIResponse[Any]:
        """Take a background answer up again from where it broke off."""
        after = bookmark.sequence_number
        rest = partial(
            self._client.responses.with_streaming_response.retrieve,
            bookmark.id or "",
            stream=True,
            starting_after=omit if after < 0 else after,
        )
        while await bookmark.pause():
            try:
                deadline = asyncio.get_running_loop().time() + self._first_byte_s
                return await self._enter(stack, rest, min(end, deadline))
            except ModelError as error:
                if error.kind not in ("unavailable", "timeout", "rate_limited"):
                    break
        raise failure("cut")

    def _cancel(self, response_id: str) -> None:
        """Cancel an answer that nobody waits for: it would go on, and be billed."""

        async def cancel() -> None:
            try:
                async with asyncio.timeout(self._first_byte_s):
                    await self._client.responses.with_raw_response.cancel(response_id)
            except (OpenAIError, TimeoutError, *BROKEN) as error:
                logger.warning("%s: an answer could not be cancelled (%s)", self.name, type(error))

        task = asyncio.create_task(cancel())
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)


def place(url: str) -> str:
    """Where a server is, without the credentials that an URL may hold."""
    return urlsplit(url).netloc.rpartition("@")[2]


def is_openai(url: str) -> bool:
    """Whether the server is OpenAI's own, or Azure's."""
    host = urlsplit(url).hostname or ""
    return host.endswith((".azure.com", ".openai.com"))


def identifiers(request: Request) -> dict[str, str]:
    """What tells OpenAI which requests share a beginning, and which come from one person."""
    found = {}
    if request.session_id:
        found["prompt_cache_key"] = request.session_id
    if request.user_id:
        found["safety_identifier"] = hashlib.sha256(request.user_id.encode()).hexdigest()
    return found


def shutdown_notice(model: str, listed: bytes) -> str | None:
    """What the list of models says about the end of this one, if anything."""
    try:
        data = msgspec.json.decode(listed)["data"]
        found = next(item for item in data if item.get("id") == model)
        date = found.get("shutdown_date")
    except (msgspec.DecodeError, LookupError, StopIteration, TypeError, AttributeError):
        return None
    return (
        f"{model} will be switched off on {str(date)[:40]}: choose another model" if date else None
    )


def texts_of(request: Request) -> list[str]:
    """All that was said in a conversation, which a provider's words may quote."""
    texts = [request.instructions]
    for item in request.context:
        match item:
            case UserText(text) | AssistantText(text) | ToolResult(_, text):
                texts.append(text)
            case ToolRequest(arguments=text):
                texts.append(text)
    return texts


def from_json_answer(data: bytes) -> ModelError:
    """A success that is one JSON document: an error that forgot its status, or nonsense."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return failure("malformed")
    if isinstance(document, dict) and document.get("error"):
        return from_payload(document)
    return failure("malformed")


def _is_stream(response: AsyncAPIResponse[Any]) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.startswith("text/event-stream")


def _was_stale(error: BaseException) -> bool:
    """Whether the server may just have closed a kept connection while we took it again:
    then it has not seen the request, and a new connection is the answer."""
    stale = (ConnectionResetError, BrokenPipeError, aiohttp.ServerDisconnectedError)
    return any(isinstance(cause, stale) for cause in causes_of(error))
