"""What the server asks of a language model, and the few things a model answers.

A model streams lists of these: all that one read from its socket held, in
order. A stream that ends without `Finished` was cut: the run ends `interrupted`.
Everything that goes wrong is a `ModelError` whose `kind` says what to do.
Closing the stream (`aclose`, or cancelling the task that reads it) closes the
upstream request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Literal, Protocol, get_args

import msgspec

from ..protocol import File, Kind, Options, TextKind, Usage, kind_of

ErrorKind = Literal[
    "quota",  # the account is out of money or over its limit: waiting does not help
    "rate_limited",  # passing trouble: try again after `retry_after_s`
    "unauthorized",  # the key is wrong: the operator must act
    "not_found",  # no such model
    "context_overflow",  # the conversation is longer than the model can read
    "content_filter",  # the provider's filter refused what the user, or a tool, said
    "bad_request",  # the provider refused the request
    "unavailable",  # refused, DNS, TLS, 5xx: the provider cannot be reached
    "timeout",  # no byte for too long
    "cut",  # the stream broke off
    "malformed",  # the answer was not what the API promises
]


class ModelError(Exception):
    """A model call that failed. `message` never holds a key or a user's text.

    `detail` is the provider's own words, at most 300 characters and without keys, or the cause
    of a failed connection, perhaps with what to do: for the log and `--check` only. `param` is the
    field of the request that the provider does not take, as a path in the body: `temperature`,
    `reasoning.summary`, `max_tokens`; `tools` where it takes no tools at all, `tools[3]` or
    `tools.NAME` where it refuses one of them; `messages.reasoning_content` for a field of a
    message; `files.image` or `files.pdf` where it takes no such files, `files` if it may be either.
    Raises `ValueError` for a kind that there is not.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        retry_after_s: float | None = None,
        code: str | None = None,
        param: str | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        if kind not in (kinds := get_args(ErrorKind)):
            raise ValueError(f"a ModelError has no kind {kind!r}: it is one of {', '.join(kinds)}")
        self.kind: ErrorKind = kind
        self.message = message
        self.retry_after_s = retry_after_s
        self.code = code
        self.param = param
        self.detail = detail

    @property
    def report(self) -> str:
        """All that is known, for the operator."""
        return f"{self.message} {self.detail}".rstrip()


# ----------------------------------------------------------------- the request


class Media(msgspec.Struct, frozen=True):
    """A file as a model takes it, or makes it: an image or a PDF. `data`: its bytes in Base64."""

    name: str
    type: str
    data: str

    @property
    def kind(self) -> Kind:
        return kind_of(self.type)


class UserText(msgspec.Struct, frozen=True):
    """`ours`: the server says it in the user's place, to have an answer go on. `files`: as the
    conversation lists them; to a model they go as `Media`, or in the text. `steers`: said while
    the answer was under way, and a part of it."""

    text: str
    ours: bool = False
    files: tuple[File | Media, ...] = ()
    steers: bool = False

    @property
    def media(self) -> list[Media]:
        return [file for file in self.files if isinstance(file, Media)]


class AssistantText(msgspec.Struct, frozen=True):
    text: str


class ToolRequest(msgspec.Struct, frozen=True):
    """A call the model made earlier; `arguments` is the JSON text of an object. `extra`: what
    its provider put beside it and wants back; `by`: the label of the model that wrote it."""

    tool_call_id: str
    name: str
    arguments: str
    extra: dict[str, Any] | None = None
    by: str = ""


class ToolResult(msgspec.Struct, frozen=True):
    tool_call_id: str
    output: str


class Thought(msgspec.Struct, frozen=True):
    """A part of a model's answer as its provider wants it back. It is opaque, and of use only to
    the model that wrote it, whose label is `by`. It belongs to what follows it in the answer."""

    data: dict[str, Any]
    by: str = ""


Item = UserText | AssistantText | ToolRequest | ToolResult | Thought


class ToolSpec(msgspec.Struct, frozen=True):
    """A function offered to the model; `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]


class Request(msgspec.Struct, frozen=True):
    """One model call. `context` is the conversation, oldest first; the consecutive
    `ToolRequest`s of one step are followed by their `ToolResult`s in the same order. Of the
    `options` a model heeds those that it knows; `model` and `instructions` are not for it.
    `schema`: what the answer is held to, a JSON Schema.
    `hosted`: the model may use the tools that its provider runs, if it has some.
    `session_id`, `run_id` and `user_id` (the user who asked) say whose request it is, `attributes`
    what the sign-in knows of that user; they are empty in a request that belongs to no run, such as
    one for a summary. `kept`: nothing is asked,
    but the answer that the provider keeps under this id is read from its beginning. `stays` is
    asked when the stream is closed before its end: whether the provider is to go on with an
    answer that it keeps, for whoever reads it next. `headers` go with the HTTP requests that are
    made for it."""

    instructions: str
    context: tuple[Item, ...]
    tools: tuple[ToolSpec, ...] = ()
    options: Options = Options()
    session_id: str = ""
    run_id: str = ""
    user_id: str = ""
    attributes: dict[str, Any] = {}
    hosted: bool = False
    schema: dict[str, Any] | None = None
    kept: str = ""
    stays: Callable[[], bool] = lambda: False
    headers: Mapping[str, str] = {}


# ------------------------------------------------------------------ the answer


class TextDelta(msgspec.Struct, frozen=True, gc=False):
    text: str
    kind: TextKind = "text"


class ToolCallStarted(msgspec.Struct, frozen=True):
    """The model began a call; `key` tells the calls of one answer apart. Told again where the
    name turns out to be longer."""

    key: str
    name: str


class ToolCallReady(msgspec.Struct, frozen=True):
    """The call is whole; `arguments` is the text the model gave, valid JSON or not. `id` is the
    model's own name for it, `extra` what its provider put beside it and wants back."""

    key: str
    name: str
    arguments: str
    id: str | None = None
    extra: dict[str, Any] | None = None


class HostedCall(msgspec.Struct, frozen=True):
    """A call that the provider makes itself, each time its state is known; `key` tells the calls
    of one answer apart. `error`: in the provider's words. `made`: files that came of it."""

    key: str
    name: str
    status: Literal["running", "completed", "failed"]
    arguments: Any = None
    output: Any = None
    error: str | None = None
    made: tuple[Media, ...] = ()


class Citation(msgspec.Struct, frozen=True):
    """`start` and `end` count the code points of the text that cites it."""

    url: str | None = None
    title: str | None = None
    file_id: str | None = None
    start: int | None = None
    end: int | None = None


class Cited(msgspec.Struct, frozen=True):
    """What the answer cites. `text` is the newest of its text, in which the places are; None: in
    all that this call of the model has said."""

    citations: tuple[Citation, ...]
    text: str | None = None


class AnswerKept(msgspec.Struct, frozen=True):
    """The provider keeps the answer under this id, and can give it again. It comes before all else,
    in a list of its own."""

    id: str


class Finished(msgspec.Struct, frozen=True):
    """The model said that it is done, and why."""

    reason: Literal["stop", "tool_calls", "length", "content_filter"]


ModelEvent = (
    AnswerKept
    | TextDelta
    | ToolCallStarted
    | ToolCallReady
    | Thought
    | HostedCall
    | Cited
    | Usage
    | Finished
)


class Model(Protocol):
    """`name` is what users see in `run.model`; `label` one line for the operator, which tells
    this model of this server from all others. One that finds out which files it does not take
    has them in `refuses`; one that asks a server over the network has its host, and port, in
    `server`."""

    name: str
    label: str

    def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
        """Answer once. A list for each thing that is news; an empty one says that the model is at
        work. Raises `ModelError`."""
        ...

    async def check(self) -> str | None:
        """Reach the model without spending anything; perhaps a sentence that the operator should
        read. Raises `ModelError`."""
        return None

    async def close(self) -> None:
        """Let go of connections and child processes."""
        return
