"""What a tool is given of the call, and how it says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from aiohttp import web

from ..core.user import User
from ..protocol import MAX_FILES, Error, clean_text


class Figures(Protocol):
    """What the server's store can tell a tool."""

    async def figures(self, user_id: str | None, since: int) -> dict[str, float]:
        """Counts over the sessions begun at or after `since` (ms); of those that one user
        owns, or of all."""
        ...


class NewFile(msgspec.Struct, frozen=True):
    """A file that a tool made; `type` is what it says of it."""

    name: str
    type: str
    data: bytes


class ToolContext(msgspec.Struct, frozen=True):
    """Who asks, and where. A tool gets it by a parameter annotated with this class.

    A call is made for `user`, who asked: check what that user may do. The session may be
    another's, who shared it: `owner_id`. `tool_call_id` is the same when a call is made
    again: use it as idempotency key. `app` has what a `lifespan` put into it.
    """

    session_id: str
    run_id: str
    user: User
    owner_id: str
    tool_call_id: str
    store: Figures
    report: Callable[[float | None, str | None], None] = lambda fraction, message: None
    files: list[NewFile] = []
    app: web.Application = msgspec.field(default_factory=web.Application)

    @property
    def user_id(self) -> str:
        """Of the user who asked."""
        return self.user.user_id

    def progress(self, fraction: float | None = None, message: str | None = None) -> None:
        """Show every device how far the call is: `fraction` from 0 to 1, and a line of text.

        From async tools and from threads alike, as often as you like: devices are told five
        times a second at most, and always of the last. Raises `TypeError`, `ValueError`.
        """
        self.report(
            None if fraction is None else float(fraction),
            None if message is None else str(message),
        )

    def add_file(self, name: str, type: str, data: bytes) -> None:
        """Show a file to everybody in the session, such as an image; once the call is completed.

        `type` is its media type; its content counts where that says something else. The model
        is not given it: say in your result what it shows. Works in async tools and in threads.
        Raises `TypeError`, `ValueError`.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError("the data of a file must be bytes")
        if len(self.files) >= MAX_FILES:
            raise ValueError(f"a call may add {MAX_FILES} files at most")
        self.files.append(NewFile(str(name), str(type), bytes(data)))


class ToolError(Exception):
    """Raise it in a tool to tell the model, and the user, what is wrong."""

    def __init__(self, message: str, code: str = "tool_error") -> None:
        super().__init__(message)
        self.code = code


def error_value(error: ToolError) -> Error:
    """The error as events and models get it, whatever the tool put in."""
    try:
        return Error(clean_text(str(error.code))[:64], clean_text(str(error))[:2000])
    except BaseException as odd:
        return Error("tool_error", f"the tool failed, and its error too: {type(odd).__name__}")
