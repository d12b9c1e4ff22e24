"""What comes of a message that was sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from .errors import CommandRefused, NotSent
from .message import Json
from .state import Exchange

if TYPE_CHECKING:
    from .session import SessionClient


class Reply:
    """The answer to a message that the server has stored. Iterate over it for the text as it comes.

    `ack`: that of the command; `status` is `started`, `queued`, `consumed` or `duplicate`. A
    message that another answer took in (`if_busy="steer"`) is answered by that one.
    """

    def __init__(self, client: SessionClient, ack: Json) -> None:
        self.ack = ack
        self.status: str = ack["status"]
        self.run_id: str = ack["run_id"]
        self.message_id: str = ack["message_id"]
        self.session_id = client.state.session_id
        self._client = client

    @property
    def run(self) -> Exchange:
        """The exchange as far as it is known; `run.message.text` is the text of the answer.
        Raises `CommandRefused` where it is not known."""
        run = self._client.state.run(self.run_id)
        if run is None:
            raise CommandRefused("not_found", "The session has nothing of this run.")
        return run

    async def done(self) -> Exchange:
        """The exchange, once it has ended: `run.done` says how, `run.message.text` is the answer.
        Raises `CommandError` where the session cannot be followed to that end."""
        await self._client.until(lambda: self._news(None))
        await self._whole()
        return self.run

    async def __aiter__(self) -> AsyncIterator[str]:
        """The text of the answer, piece by piece, over reconnects and restarts. Where another model
        begins the answer anew, the pieces go on from where it was cut. Raises as `done` does."""
        given = ""
        while True:
            await self._client.until(lambda given=given: self._news(given))  # type: ignore[misc]
            await self._whole()
            run = self.run
            text = run.message.text
            if fresh := text[common(given, text) :]:
                yield fresh
            given = text
            if run.done and not self._news(given, ended=False):
                return

    def _news(self, given: str | None, *, ended: bool = True) -> bool | None:
        """Whether the answer is another one than was given, or has ended; None: not yet."""
        state = self._client.state
        if state.session_id not in (None, self.session_id):
            raise NotSent("dropped", "The session was left before the answer ended.")
        run = state.run(self.run_id)
        if run is None:  # on an older page, if anywhere
            return bool(state.last_seq >= self.ack["seq"]) or None
        other = given is not None and run.message.text != given
        return other or (ended and run.done is not None) or None

    async def _whole(self) -> None:
        """Read older pages until the beginning of the answer is known."""
        while (state := self._client.state).next_before_seq:
            run = state.run(self.run_id)
            if run and not run.message.text_from:
                return
            await self._client.history()


def common(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    if other.startswith(one):
        return len(one)
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), len(other))
