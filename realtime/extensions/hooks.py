"""All extensions of a server, asked one after the other in the order of EXTENSIONS."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ..core.plan import Limits
from ..core.rows import SessionRow
from ..core.user import User
from ..protocol import ProtocolError, clean_text
from .extension import Extension, HookFailed
from .message import MessageRefused, NewMessage

RETRY_MS = 2000
REFUSED = "the message was refused"


class Extensions:
    """A method that fails is logged, and what it was asked about does not happen."""

    def __init__(self, items: Sequence[Extension] = ()) -> None:
        self.items = tuple(items)

    def having(self, method: str) -> list[Extension]:
        return [one for one in self.items if one.has(method)]

    async def instructions(self, user: User, session: SessionRow) -> list[str]:
        """What is added to the system prompt. Raises `internal`."""
        found = []
        for one in self.having("instructions"):
            try:
                text = await one.call(
                    "instructions", user, session, about=_about(user, session), returns=str | None
                )
            except HookFailed:
                raise _passing("the answer cannot be prepared") from None
            if text:
                found.append(text)
        return found

    async def limits(self, user: User) -> Limits | None:
        """Of the first extension that has some for this user. Raises `internal`."""
        about = {"user_id": user.user_id}
        for one in self.having("limits"):
            try:
                limits: Limits | None = await one.call(
                    "limits", user, about=about, returns=Limits | None
                )
            except HookFailed:
                raise _passing("your limits cannot be looked up") from None
            if limits:
                return limits
        return None

    async def before_message(self, message: NewMessage, user: User, session: SessionRow) -> str:
        """The text that is said. Raises `forbidden` where one of them refuses it, `internal`."""
        for one in self.having("before_message"):
            try:
                said = await one.call(
                    "before_message",
                    *(message, user, session),
                    about=_about(user, session),
                    returns=str | NewMessage | None,
                )
            except MessageRefused as refused:
                raise ProtocolError("forbidden", clean_text(str(refused)) or REFUSED) from None
            except HookFailed:
                raise _passing("the message cannot be checked") from None
            if isinstance(said, str):
                message = replace(message, text=said)
            elif said:
                message = said
        return message.text


def _about(user: User, session: SessionRow) -> dict[str, str]:
    return {"session_id": session.session_id, "user_id": user.user_id}


def _passing(what: str) -> ProtocolError:
    return ProtocolError(
        "internal",
        f"{what} right now; try again shortly",
        retryable=True,
        retry_after_ms=RETRY_MS,
    )
