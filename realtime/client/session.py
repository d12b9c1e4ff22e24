"""The client: it follows one session at a time, over every loss of its connection."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from .commands import SessionCommands
from .errors import (
    CommandError,
    CommandRefused,
    NotSent,
    ServerUnreachable,
    offline,
    refused,
    timed_out,
    unreachable,
)
from .link import ServerLink
from .message import Json
from .reply import Reply
from .state import SessionState, load
from .tools import ClientTool, ClientTools

T = TypeVar("T")
logger = logging.getLogger(__name__)
Token = str | Callable[[], str | Awaitable[str]]
Connected = Literal["offline", "connecting", "live", "error"]
ACK_S = 8.0
PROBE_S = 3.0
MOST_S = 10.0  # between two attempts to connect
LONGEST_WAIT_MS = 60_000  # until a message is sent again that the server cannot take now
BREAKS = 3


@dataclass
class _Place:
    """Where something is said: a session, or one with these `options` that has not begun yet."""

    session_id: str | None
    options: Json | None = None


class SessionClient(SessionCommands):
    """Connects to a session and stays with it: it resumes after every loss of the connection, and
    loses and doubles nothing.

        async with SessionClient("http://localhost:8000") as session:
            async for delta in await session.send("hello"):
                print(delta, end="")

    `session_id`: the one to join, by default a new one; `share`: opens that of another identity.
    `token`: who you are, or a function that says it at each connection; without one the server
    makes a guest, whose token is then in `token`. `name`: what a guest is called. `tools`: that run
    here, by name, see `ClientTool`.

    `state` is the session, as far as it is known. `connection` is "offline", "connecting", "live"
    or "error", and `error` says why it is not live. `access`, `model` and `user_id` are as the
    server said; `progress` has the last `progress` of each running call, `presence` who watches the
    session, `notice` the last `server` event.
    """

    def __init__(
        self,
        url: str,
        *,
        session_id: str | None = None,
        share: str | None = None,
        token: Token | None = None,
        name: str | None = None,
        tools: Mapping[str, ClientTool | Callable[..., Any]] | None = None,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(
                f"{url!r} is no address of a server: it begins with http:// or https://"
            )
        self.url = url.rstrip("/")
        self.state = SessionState()
        self.connection: Connected = "offline"
        self.error: CommandError | None = None
        self.model = ""
        self.access: str = "owner"
        self.user_id: str | None = None
        self.progress: dict[str, Json] = {}
        self.presence: Json = {}
        self.notice: Json | None = None
        self.pending: list[Json] = []
        """Messages that the server has not acked yet."""
        self._own = token
        self._guest: str | None = None
        self._name = name
        self._place = _Place(session_id)
        self._shares = {session_id: share} if session_id and share else {}
        self._tools = ClientTools(tools or {}, self)
        self._link: ServerLink | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._change = asyncio.Event()
        self._order = asyncio.Lock()
        self._jobs: set[asyncio.Task[Any]] = set()
        self._list_listeners: list[Callable[[Json], None]] = []

    # -------------------------------------------------------------- the view

    @property
    def session_id(self) -> str | None:
        return self.state.session_id

    @property
    def token(self) -> str | None:
        """The guest token, to come back as the same guest; or the token that was given."""
        return self._own if isinstance(self._own, str) else self._guest

    @property
    def approvals(self) -> list[Json]:
        """The `tool_call`s that wait for a person."""
        run = self.state.active_run
        calls = run.message.calls if run else []
        return [call for call in calls if call["status"] == "awaiting_approval"]

    async def until(self, find: Callable[[], T | None]) -> T:
        """What `find` gives once that is not None; it is asked again at each change. Raises
        `CommandError` where there will be no more changes: refused for good, or closed."""
        while (found := find()) is None:
            if self.connection in ("error", "offline") and self.error:
                raise self.error
            await self._change.wait()
        return found

    async def changes(self) -> AsyncIterator[SessionState]:
        """The state now, and after each change; changes that come at once are one. Raises as
        `until` does."""
        while True:
            change = self._change
            yield self.state
            await self.until(lambda change=change: change.is_set() or None)  # type: ignore[misc]

    def on_list(self, listener: Callable[[Json], None]) -> None:
        """Hear what changes in the user's list of sessions: `{sessions, deleted}`."""
        self._list_listeners.append(listener)

    # ----------------------------------------------------------- connecting

    async def __aenter__(self) -> Self:
        try:
            await self.connect(timeout=30)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self, timeout: float | None = None) -> None:
        """Connect, and wait until the session is live. It is tried again and again for `timeout`
        seconds, by default for ever. Raises `CommandRefused` where the server will not have us,
        `ServerUnreachable` after that time; the attempts go on then."""
        if self._keeping is None or self._keeping.done():
            self._become("connecting")
            self._keeping = asyncio.create_task(self._keep())
        try:
            async with asyncio.timeout(timeout):
                await self.until(lambda: self.connection == "live" or None)
        except TimeoutError:
            raise self.error or timed_out() from None

    async def close(self) -> None:
        """Disconnect. `connect` comes back to the same session."""
        self._become(
            "offline", NotSent("dropped", "The client was closed: connect() opens it again.")
        )
        await self._cease()
        for job in [*self._jobs]:
            job.cancel()
        await self._tools.close()

    async def create(self, **options: Any) -> str:
        """Begin a new session with these `options`, and leave the other one; its id."""
        return await self._enter(_Place(None, options or None))

    async def join(self, session_id: str, share: str | None = None) -> str:
        """Watch another session; `share` opens one of another identity."""
        if share:
            self._shares[session_id] = share
        return await self._enter(_Place(session_id))

    async def _enter(self, place: _Place) -> str:
        link, left = self._link, self.state.session_id
        if link is None or self.connection != "live":
            self.state = SessionState()
            if place.session_id or self._place.session_id:
                self._place = place
            else:  # what was said there goes along
                self._place.options = place.options
            await self._cease()
            await self.connect()
            return str(self.state.session_id)
        if place.session_id:
            command, where = "join", self._whereabouts(place.session_id)
        else:
            command, where = "create", _begun_with(place)
        page = await link.request(command, where | self._tools.offer, ACK_S, enters=True)
        entered = str(page["session_id"])
        await self.until(
            lambda: (self.connection == "live" and self.state.session_id == entered) or None
        )
        if left != entered:
            with contextlib.suppress(CommandError):  # a lost socket has left anyway
                await self.request("leave", {"session_id": left})
        return entered

    async def _cease(self) -> None:
        if self._keeping:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    # --------------------------------------------------------------- saying

    async def send(self, text: str, *, client_msg_id: str | None = None, **options: Any) -> Reply:
        """Say something, now or as soon as there is a connection. It returns once the server has
        stored the message, once, however often the connection broke meanwhile. Messages arrive in
        the order of their `send`s; one that is cancelled is not sent again.

        `client_msg_id`: yours, where another process may repeat the message. `options`: as in
        PROTOCOL.md (`files`, `if_busy`, `on_abandon`, `replaces`, `schema`). Raises
        `CommandRefused`, or `NotSent` where the message was given up.
        """
        message = {"text": text, "client_msg_id": client_msg_id or str(uuid4()), **options}
        self.pending.append(message)
        try:
            posting = await self._in_turn(message, self._place)
            return self._reply(await posting)
        finally:
            self.pending.remove(message)

    async def _in_turn(self, message: Json, place: _Place) -> asyncio.Task[Json]:
        """The delivery of a message, once the next one may follow."""
        async with self._order:
            posting = self._do(self._deliver(message, place))
            steps = {posting}
            if message.get("if_busy") == "steer":  # its ack may take long, and holds up nothing
                steps.add(self._do(self.until(lambda: self._heard(message))))
            try:
                await asyncio.wait(steps, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                posting.cancel()
                raise
            finally:
                for step in steps - {posting}:
                    step.cancel()
        return posting

    async def _deliver(self, message: Json, place: _Place) -> Json:
        """The ack. The same `client_msg_id` makes a repetition harmless."""
        steers = message.get("if_busy") == "steer"
        breaks = tries = 0
        while True:
            await self.until(lambda: self.connection == "live" or None)
            if place.session_id != self.state.session_id:
                raise NotSent("dropped", "The session was left before this message was sent.")
            if breaks and not steers and (known := self._heard(message)):
                return known
            try:
                return await self.request("send", message, None if steers else ACK_S)
            except CommandError as error:
                breaks += "broke" in error.details
                if not error.retryable or (error.retry_after_ms or 0) > LONGEST_WAIT_MS:
                    raise
                if breaks >= BREAKS:
                    raise NotSent(
                        "broken", f"The connection broke {BREAKS} times while this was sent."
                    ) from error
                if error.code != "offline":
                    await self._pause(_delay(tries, error))
                    tries += 1

    async def _pause(self, seconds: float) -> None:
        """Raises `CommandError` where the client is closed meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.until(lambda: None)

    def _heard(self, message: Json) -> Json | None:
        """What the log says of a message, as the ack of a repetition would."""
        wanted = (message["client_msg_id"], self.user_id)
        for run in [*self.state.runs, *self.state.aside]:
            for user in (run.user, *(part.user for part in run.message.taken)):
                if user and (user["client_msg_id"], user["user_id"]) == wanted:
                    return {**user, "status": "duplicate"}
        return None

    def _reply(self, ack: Json) -> Reply:
        return Reply(self, ack)

    async def request(
        self, name: str, payload: Json | None = None, timeout: float | None = ACK_S
    ) -> Json:
        """Any command on the open session; its ack. `timeout` in seconds. Raises `CommandError`."""
        link = self._link
        if link is None:
            raise offline()
        try:
            return await link.request(
                name, {"session_id": self.state.session_id} | (payload or {}), timeout
            )
        except ServerUnreachable as error:
            if error.code == "timeout":
                self._do(self._probe(link))
            raise

    async def _probe(self, link: ServerLink) -> None:
        """Is the connection only half open? A question whose answer does not come closes it."""
        try:
            await link.request("join", self._cursor(), PROBE_S)
        except ServerUnreachable:
            await link.close()
        except CommandError:
            pass  # an answer, too

    async def history(self, limit: int = 100) -> None:
        """Put the next older page, if there is one, in front of `state`."""
        state = self.state
        if before := state.next_before_seq:
            page = await self.request("history", {"before_seq": before, "limit": limit})
            if state is self.state and state.next_before_seq == before:
                state.prepend(page)
                self._tell()

    # ------------------------------------------------------------ following

    async def _keep(self) -> None:
        """Connect, follow, and connect again, until that is refused for good."""
        tries = 0
        while True:
            try:
                await self._one_connection()
            except CommandError as error:
                if not error.retryable:
                    self._become("error", error)
                    return
                tries = 0 if self.connection == "live" else tries + 1
                self._become("connecting", error)
                await asyncio.sleep(_delay(tries, error))
            except Exception as error:
                logger.exception("The client failed")
                self._become("error", CommandError("internal", f"The client failed: {error!r}"))
                return

    async def _one_connection(self) -> None:
        """Raises `CommandError` at its end."""
        link = ServerLink(self.url)
        try:
            token = await self._bearer()
            known = {"token": token, "name": self._name, **self._cursor(), **self._tools.offer}
            await link.open({name: value for name, value in known.items() if value is not None})
            self._link = link
            async with asyncio.timeout(ACK_S):
                name, page = await link.receive()
                while name != "session":
                    name, page = await link.receive()
            self._guest = page.get("guest_token") or self._guest
            if self._place.options and not (self._place.session_id or page.get("error")):
                left, where = page["session_id"], _begun_with(self._place)  # a handshake has none
                page = await link.request("create", where | self._tools.offer, ACK_S)
                with contextlib.suppress(CommandRefused):
                    await link.request("leave", {"session_id": left}, ACK_S)
            await self._enter_page(link, page)
            while True:
                name, payload = await link.receive()
                if name == "session":
                    await self._enter_page(link, payload)
                elif "seq" in payload:
                    await self._take(link, {"event": name, **payload})
                else:
                    self._take_passing(name, payload)
        except TimeoutError:
            raise timed_out() from None
        finally:
            self._link = None
            await link.close()

    async def _bearer(self) -> str | None:
        """Raises `ServerUnreachable` where the user's function does: it is asked again."""
        try:
            token: Any = self._own() if callable(self._own) else self._own
            if inspect.isawaitable(token):
                token = await token
        except Exception as error:
            raise unreachable(f"There is no token: {error!r}", code="no_token") from error
        return token or self._guest

    def _cursor(self) -> Json:
        """What to join, from what is known of it on."""
        state = self.state
        if state.session_id is None:
            target = self._place.session_id
            return self._whereabouts(target) if target else {}
        cursor = {"epoch": state.epoch, "after_seq": state.last_seq}
        return self._whereabouts(state.session_id) | cursor

    def _whereabouts(self, session_id: str) -> Json:
        share = self._shares.get(session_id)
        return {"session_id": session_id} | ({"share": share} if share else {})

    async def _enter_page(self, link: ServerLink, page: Json) -> None:
        """Take a `session` payload and the pages behind it. Live events wait meanwhile."""
        while True:
            if error := page.get("error"):
                raise refused(error)
            self.state, verdict = load(self.state, page)
            self.model, self.access = page["model"], page.get("access", "owner")
            self.user_id = page.get("you", self.user_id)
            for call in page.get("pending_client_calls", ()):
                self._tools.take(call)
            whole = verdict == "applied" and page["seq"] >= page["head"]
            if whole and (self.state.known or page["mode"] == "snapshot"):
                break
            self._become("connecting")
            anew = whole or verdict == "gap"
            where = self._whereabouts(page["session_id"]) if anew else self._cursor()
            page = await link.request("join", where, ACK_S)
        self.notice = None
        entered = self.state.session_id
        if self._place.session_id not in (None, entered):
            self._place = _Place(entered)
        self._place.session_id = entered
        self._become("live")

    async def _take(self, link: ServerLink, event: Json) -> None:
        verdict = self.state.apply(event)
        if verdict == "gap":
            await self._enter_page(link, await link.request("join", self._cursor(), ACK_S))
        elif verdict == "applied":
            if event["event"] == "tool_call":
                self.progress.pop(event["tool_call_id"], None)
                self._tools.take(event)
            if not self.state.known:  # the branch that is active now was on none of the pages
                where = self._whereabouts(str(self.state.session_id))
                await self._enter_page(link, await link.request("join", where, ACK_S))
            self._tell()

    def _take_passing(self, name: str, payload: Json) -> None:
        if name == "presence" and payload["session_id"] == self.state.session_id:
            self.presence = payload
        elif name == "progress":
            self.progress[payload["tool_call_id"]] = payload
        elif name == "server":
            self.notice = payload
            if payload["type"] == "token_expiring" and callable(self._own):
                self._do(self._renew())
        elif name == "sessions":
            for listener in self._list_listeners:
                listener(payload)
        self._tell()

    async def _renew(self) -> None:
        """Give the server a fresh token; where that fails, the next connection does."""
        with contextlib.suppress(CommandError):
            await self.request("auth", {"token": await self._bearer(), "session_id": None})
            self.notice = None

    def _become(self, connection: Connected, error: CommandError | None = None) -> None:
        self.connection, self.error = connection, error
        self._tell()

    def _tell(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    def _do(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._jobs.add(task)
        task.add_done_callback(self._did)
        return task

    def _did(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it has it


def _begun_with(place: _Place) -> Json:
    return {"options": place.options} if place.options else {}


def _delay(tries: int, error: CommandError) -> float:
    """Seconds until the next attempt; not all clients come at the same moment."""
    asked = error.retry_after_ms
    seconds = asked / 1000 if asked is not None else min(0.25 * 2**tries, MOST_S)
    return seconds * (1 + random.random() / 2)  # noqa: S311
