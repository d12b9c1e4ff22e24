"""What runs use: tokens as the providers count them, estimates where they do not say, and
what it costs. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from ..models import (
    AssistantText,
    Item,
    Request,
    Thought,
    ToolRequest,
    ToolResult,
    UserText,
)
from ..models.notes import TEXT_BYTES
from ..protocol import File, Usage
from .state import RunState, State

IMAGE_TOKENS = 1_100
PDF_BYTES_A_TOKEN = 40
PDF_TOKENS = 50_000


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars for a million tokens; `cached` is that of input read from a cache, `cache_write`
    that of input written to it. Both are part of the input, at its price where they have none."""

    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None

    def of(self, usage: Usage) -> float:
        cached = min(usage.cached_tokens or 0, usage.input_tokens)
        written = min(usage.cache_write_tokens or 0, usage.input_tokens - cached)
        total = (
            (usage.input_tokens - cached - written) * self.input
            + cached * (self.input if self.cached is None else self.cached)
            + written * (self.input if self.cache_write is None else self.cache_write)
            + usage.output_tokens * self.output
        )
        return round(total / 1_000_000, 9)


Prices = Mapping[str, Price]


def tokens(size: int) -> int:
    """About how many tokens so much text is, in bytes: near for English, and on the safe side for
    scripts that take several bytes a character. Nothing else here estimates tokens."""
    return -(-size // 4)


def tokens_of(item: Item) -> int:
    """About how many tokens an item of the context takes, with what frames it."""
    match item:
        case ToolRequest(name=name, arguments=text):
            return tokens(_bytes(name) + _bytes(text)) + 9
        case ToolResult(output=text):
            return tokens(_bytes(text)) + 9
        case Thought(data=data):
            return tokens(_bytes(str(data)))
        case UserText(text, files=files):
            sent = sum(file_tokens(file) for file in files if isinstance(file, File))
            return tokens(_bytes(text)) + 4 + sent
        case AssistantText(text):
            return tokens(_bytes(text)) + 4


def tokens_in(request: Request) -> int:
    """About how many tokens a model reads when it is asked this."""
    tools = sum(_bytes(str(tool.parameters)) for tool in request.tools)
    read = tokens(_bytes(request.instructions) + tools)
    return read + sum(map(tokens_of, request.context))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def file_tokens(file: File) -> int:
    """About how many tokens a file takes: an image as much as providers count for a large one, a
    PDF by its size, since nobody has counted its pages, a text as a text."""
    match file.kind:
        case "image":
            return IMAGE_TOKENS
        case "pdf":
            return min(max(file.size // PDF_BYTES_A_TOKEN, IMAGE_TOKENS), PDF_TOKENS)
        case "text":
            return min(file.size, TEXT_BYTES) // 4 + 8
        case _:
            return 8


def add(total: Usage | None, more: Usage) -> Usage:
    """Both together; without a cost where one of them has none."""
    if total is None:
        return more

    def both(a: int | None, b: int | None) -> int | None:
        return None if a is None and b is None else (a or 0) + (b or 0)

    cost = None
    if total.cost is not None and more.cost is not None:
        cost = round(total.cost + more.cost, 9)
    return Usage(
        input_tokens=total.input_tokens + more.input_tokens,
        output_tokens=total.output_tokens + more.output_tokens,
        reasoning_tokens=both(total.reasoning_tokens, more.reasoning_tokens),
        cached_tokens=both(total.cached_tokens, more.cached_tokens),
        cache_write_tokens=both(total.cache_write_tokens, more.cache_write_tokens),
        estimated=total.estimated or more.estimated,
        cost=cost,
    )


def estimate(run: RunState, session: State) -> Usage:
    """What a run has used, by the size of all texts, where nobody counted: each of its model
    calls read all that was there before it."""
    if run.started_at is None:
        return Usage(input_tokens=0, output_tokens=0, estimated=True)
    written = run.answer.size() - run.size_before
    given = run.size_before
    for question, answer in session.exchanges(run.answer.message_id):
        for message in (question, *answer.steered):
            given += len(message.text) + 4 * sum(map(file_tokens, message.files))
        given += 0 if answer is run.answer else answer.size()
    calls = run.answer.steps + (not run.answer.last_step())
    return Usage(
        input_tokens=tokens(given * calls + written * (calls - 1) // 2),
        output_tokens=tokens(written),
        estimated=True,
    )


def priced(usage: Usage, model: str, prices: Prices) -> Usage:
    """With its cost, where the model's price is known."""
    price = prices.get(model)
    return msgspec.structs.replace(usage, cost=price.of(usage)) if price else usage


class Meter:
    """What one run has used: every model call, whoever answered and however it ended.

    `written`: characters that the model of the call under way wrote so far, shown or not; whoever
    reads them counts them. `used` is told what each call came to, with the name of its model.
    """

    def __init__(
        self,
        prices: Prices,
        before: Usage | None = None,
        *,
        used: Callable[[str, Usage], None] = lambda model, usage: None,
    ) -> None:
        self.written = 0
        self._prices = prices
        self._used = used
        self._total = before
        self._call: tuple[str, Request] | None = None

    def begin(self, model: str, request: Request) -> None:
        """A model is called."""
        self._call = (model, request)
        self.written = 0

    def counted(self, usage: Usage) -> None:
        """The provider's count of the call."""
        if self._call:
            self._close(self._call[0], usage)

    def end(self, *, billed: bool = True) -> None:
        """The call is over. One that nobody counted is estimated, unless it was refused."""
        if billed and self._call:
            self._close(self._call[0], self._guess(self._call[1]))
        self._call = None

    def _close(self, model: str, usage: Usage) -> None:
        usage = priced(usage, model, self._prices)
        self._total = add(self._total, usage)
        self._call = None
        self._used(model, usage)

    def usage(self) -> Usage:
        """All so far, the call under way included."""
        if self._call is None:
            return self._total or Usage(0, 0)
        model, request = self._call
        return add(self._total, priced(self._guess(request), model, self._prices))

    def _guess(self, request: Request) -> Usage:
        return Usage(tokens_in(request), tokens(self.written), estimated=True)
