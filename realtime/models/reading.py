"""The reads of one answer, and what they decode to: the path of every token."""

from __future__ import annotations

import asyncio
import unicodedata
from contextlib import suppress
from typing import Any, Protocol

import aiohttp
import httpx2

from . import ModelError, ModelEvent, TextDelta, chat, responses
from .body import Read
from .bookmark import Bookmark
from .errors import failure
from .sse import EventDecoder

BROKEN = (httpx2.HTTPError, aiohttp.ClientError, OSError, UnicodeError)
"""What the client raises where no answer came; `UnicodeError` for a name that no host can have."""


class Decoder(Protocol):
    """What both APIs give: payloads in, events out."""

    thinking: bool
    broken: ModelError | None

    @property
    def answered(self) -> bool: ...
    @property
    def finished(self) -> bool: ...
    def feed(self, payload: bytes) -> list[ModelEvent]: ...
    def finish(self) -> list[ModelEvent]: ...
    def done(self) -> list[ModelEvent]: ...


class Received:
    """An answer as its bytes come. `lines` belongs to one connection; the decoder spans several
    where an answer is taken up again."""

    def __init__(self, api: str, *, tools: bool = False) -> None:
        self._tools = tools
        self._last: ModelEvent | None = None
        self._tail = ""  # of the text
        self.lines = EventDecoder()
        self.decoder: Decoder = (
            chat.ChatDecoder() if api == "chat" else responses.ResponsesDecoder()
        )
        self.bookmark: Bookmark | None = None
        self.error: ModelError | None = None

    @property
    def over(self) -> bool:
        """Nothing more is to be read."""
        return self.lines.done or self.decoder.finished or self.error is not None

    @property
    def whole(self) -> bool:
        """It came to its end, and nothing went wrong on the way."""
        return self.over and self.error is None

    @property
    def silent(self) -> bool:
        """Nothing was said yet."""
        return self._last is None

    @property
    def thinking(self) -> bool:
        """Whether silence is no stall: the model has said nothing yet, reasons or writes a call;
        or it has said what it would do, and may write a call that comes in one piece."""
        last = self._last
        if last is None or self.decoder.thinking:
            return True
        return self._tools and (last.__class__ is not TextDelta or ends_sentence(self._tail))

    def take(self, data: bytes) -> list[ModelEvent]:
        """The events of one read, or of the end, which is a read of nothing. `error` is then
        what went wrong after them."""
        events: list[ModelEvent] = []
        try:
            payloads = self.lines.feed(data) if data else self.lines.end()
            for payload in payloads:
                events += self.decoder.feed(payload)
                if self.decoder.broken:
                    raise self.decoder.broken
            if self.lines.done:
                events += self.decoder.done()
            if self.bookmark:
                self.bookmark.move(payloads)
        except ModelError as error:
            self.error = error
        if events:
            events = merged(events)
            self._last = last = events[-1]
            if last.__class__ is TextDelta:
                self._tail = (self._tail + last.text)[-16:]
        return events


def ends_sentence(text: str) -> bool:
    """Whether a text that has stopped ends after a sentence, and not inside one."""
    said = text.rstrip()
    if "\n" in text[len(said) :]:
        return True
    last = said.rstrip(_QUOTES)[-1:]
    if not last or last.isspace() or last in _GOES_ON:
        return False  # a quote behind a space is opened
    return unicodedata.category(last)[0] not in "LMN"


_QUOTES = "\"'’”“»"
_GOES_ON = frozenset(",，、،-–—([{<‘«„&+=/%$#@")


def merged(events: list[ModelEvent]) -> list[ModelEvent]:
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


class Reads:
    """The reads of one answer, by one task, each with a deadline. There is one timer for
    all of them: a timer for each would cost more than the read."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._deadline = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._reading = False
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Reads:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_timer()

    async def next(self, deadline: float) -> bytes:
        """The next bytes of the answer, none at its end. Raises `ModelError`."""
        self._deadline = deadline
        if self._task is None:
            self._task = asyncio.current_task()
        self._reading = True
        if self._timer is None or deadline < self._timer.when():
            self._stop_timer()
            self._timer = asyncio.get_running_loop().call_at(deadline, self._check)
        try:
            return await self._read()
        except asyncio.CancelledError:
            if self._expired and self._task and self._task.uncancel() == 0:
                raise failure("timeout") from None
            raise
        except BROKEN:
            raise failure("cut") from None
        finally:
            self._reading = False

    async def drain(self, deadline: float) -> None:
        """Read what is left, so that the connection can be used again."""
        with suppress(ModelError):
            while await self.next(deadline):
                pass

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        if self._reading and self._task and self._deadline <= loop.time():
            self._expired = True
            self._task.cancel()
        else:
            self._timer = loop.call_at(max(self._deadline, loop.time() + 1.0), self._check)
