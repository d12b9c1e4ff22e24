"""`chat`: a conversation in the terminal, on the client in Python.

The terminal has the main thread, where a Ctrl-C at the prompt can end the waiting for a line; the
client has a loop of its own beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..client import CommandError, Exchange, Reply, ServerUnreachable, SessionClient
from ..package import NAME

if TYPE_CHECKING:
    from .terminal import Terminal

T = TypeVar("T")
Json = dict[str, Any]
DEFAULT_URL = "http://localhost:8000"
CONNECT_S = 3.0
FAILED = 1


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "chat",
        help="talk to a server in the terminal; a question from a pipe is answered and that is it",
    )
    parser.add_argument("url", nargs="?", default=DEFAULT_URL, help=f"by default {DEFAULT_URL}")
    parser.add_argument("--session", metavar="ID", help="go on with this session")
    parser.add_argument("--token", help="who you are; without one you are a guest")


def run(arguments: argparse.Namespace) -> int:
    """The exit code: 0 when the user leaves or the answer is whole, else 1."""
    url = arguments.url if "://" in arguments.url else f"http://{arguments.url}"
    guests = KnownGuests(url)
    token = arguments.token or guests.token()
    with Background() as background:
        client = SessionClient(url, session_id=arguments.session, token=token)
        try:
            background.call(client.connect(CONNECT_S))
            if not arguments.token:
                guests.keep(client.token)
            if sys.stdin.isatty() and sys.stdout.isatty():
                return Chat(client, background).run()
            return background.call(answer_once(client, sys.stdin.read()))
        except KeyboardInterrupt:
            return FAILED
        except CommandError as error:
            print(explained(error), file=sys.stderr)
            return FAILED
        finally:
            background.call(client.close())


def explained(error: CommandError) -> str:
    if isinstance(error, ServerUnreachable):
        return f"{error}\nStart one with `make run`, or say where it is: {command('URL')}"
    return str(error)


def command(*words: str) -> str:
    return " ".join(["python -m", NAME, "chat", *words])


class Background:
    """An event loop in a thread."""

    def __enter__(self) -> Background:
        begun: Future[None] = Future()

        async def serve() -> None:
            self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
            begun.set_result(None)
            await self._over.wait()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        self._thread.start()
        begun.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What it returns or raises. A Ctrl-C cancels it."""
        future = self.begin(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise


class KnownGuests:
    """The guest's token of each server, so that a guest comes back as the same one."""

    def __init__(self, url: str) -> None:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        self._file = Path(state) / "realtime-sessions" / "guests.json"
        self._url = url.rstrip("/")

    def token(self) -> str | None:
        token = self._read().get(self._url)
        return token if isinstance(token, str) else None

    def keep(self, token: str | None) -> None:
        known = self._read()
        if token is None or known.get(self._url) == token:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new = self._file.with_suffix(f".{os.getpid()}")
            new.touch(mode=0o600)
            new.write_text(json.dumps({**known, self._url: token}, indent=1), "utf-8")
            new.replace(self._file)
        except OSError as error:
            print(f"This session cannot be resumed later: {error}", file=sys.stderr)

    def _read(self) -> Json:
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._file.read_text("utf-8"))
            if isinstance(known, dict):
                return known
        return {}


async def answer_once(client: SessionClient, question: str) -> int:
    """The answer to one question, on standard output and nothing else there."""
    from .terminal import plain

    if not question.strip():
        print("There is no question: write one to standard input.", file=sys.stderr)
        return FAILED
    reply = await client.send(question.strip())
    writing = asyncio.create_task(write(reply))
    asking = asyncio.create_task(client.until(lambda: client.approvals or None))
    await asyncio.wait({writing, asking}, return_when=asyncio.FIRST_COMPLETED)
    if not writing.done():
        writing.cancel()
        (call, *_) = await asking
        print(
            f"\n{plain(call['name'])} waits for your approval: decide in "
            f"{command(client.url, '--session', str(client.session_id))}",
            file=sys.stderr,
        )
        return FAILED
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await writing
    run = reply.run
    if run.status == "completed":
        return 0
    print(ending(run), file=sys.stderr)
    return FAILED


async def write(reply: Reply) -> None:
    from .terminal import plain

    async for delta in reply:
        print(plain(delta), end="", flush=True)
    print(flush=True)


def ending(run: Exchange) -> str:
    """How an answer ended that is not whole."""
    error = (run.done or {}).get("error") or {}
    said = f": {error['message']}" if error.get("message") else ""
    return f"The answer ended {run.status.replace('_', ' ')}{said}"


class Chat:
    """The conversation of a person at a terminal."""

    def __init__(self, client: SessionClient, background: Background) -> None:
        from .terminal import Terminal

        self._client = client
        self._background = background
        self._terminal: Terminal = Terminal()
        self._shown: set[str] = set()  # runs
        self._asked: set[str] = set()  # calls

    def run(self) -> int:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # `input` edits its line then
        client, terminal = self._client, self._terminal
        terminal.note(
            f"{client.model}. Ctrl-C stops an answer; Ctrl-C or Ctrl-D at the prompt leaves."
        )
        try:
            while True:
                self._show_news()
                question = input("› ").strip()
                if question:
                    self._ask(question)
        except (EOFError, KeyboardInterrupt):
            terminal.note(
                f"\nGo on later: {command(client.url, '--session', str(client.session_id))}"
            )
        return 0

    def _show_news(self) -> None:
        """What was said that is not on the screen: before, and on other devices."""
        for run in list(self._client.state.runs):
            if run.begun and run.run_id not in self._shown:
                self._terminal.question(run.user["text"] if run.user else "…")
                self._follow(run.run_id)

    def _ask(self, question: str) -> None:
        """Raises KeyboardInterrupt where the user leaves."""
        sending = self._background.begin(self._client.send(question))
        try:
            with self._terminal.waiting(lambda: connection(self._client)):
                reply = sending.result()
        except KeyboardInterrupt:
            sending.cancel()
            self._terminal.note("Not sent.")
        except CommandError as error:
            if self._client.connection == "error":
                raise
            self._terminal.problem(str(error))
        else:
            self._follow(reply.run_id)

    def _follow(self, run_id: str) -> None:
        """Show an answer to its end. Raises KeyboardInterrupt at the second Ctrl-C."""
        stopping: Future[None] | None = None
        with self._terminal.answer() as view:
            while True:
                try:
                    call = self._background.call(self._draw(run_id, view))
                    if call is None:
                        break
                    with view.paused():
                        self._decide(call)
                except KeyboardInterrupt:
                    if stopping:
                        raise
                    stopping = self._background.begin(self._stop(run_id))
        run = self._client.state.run(run_id)
        if run:
            self._shown.update(run.run_ids)
            if run.status == "cancelled":
                self._terminal.note("Stopped.")
            elif run.status not in ("completed", "consumed"):
                self._terminal.problem(ending(run))

    async def _stop(self, run_id: str) -> None:
        """Now, or as soon as there is a connection."""
        await self._client.until(lambda: self._client.connection == "live" or None)
        await self._client.stop(run_id)

    async def _draw(self, run_id: str, view: Any) -> Json | None:
        """Until the answer has ended, or one of its calls waits for a decision: that one."""
        client = self._client
        async for state in client.changes():
            run = state.run(run_id)
            if run is None:
                continue
            view.draw(run, client.progress, connection(client))
            if run.done:
                return None
            for call in run.message.calls:
                fresh = call["tool_call_id"] not in self._asked
                if call["status"] == "awaiting_approval" and fresh and client.access != "read":
                    return call
        return None

    def _decide(self, call: Json) -> None:
        """Ask the person. Raises KeyboardInterrupt, and EOFError."""
        self._asked.add(call["tool_call_id"])
        self._terminal.approval(call)
        answer = ""
        while answer not in ("y", "yes", "n", "no"):
            answer = input("Allow it? [y/n] ").strip().lower()
        reason = input("Why not? (may be empty) ").strip() if answer.startswith("n") else ""
        decision = "deny" if answer.startswith("n") else "approve"
        work = self._client.approve(call["tool_call_id"], decision, reason or None)
        try:
            self._background.call(work)
        except CommandError as error:
            self._terminal.problem(str(error))


def connection(client: SessionClient) -> str:
    """Why nothing goes on; empty where that is not for want of a connection."""
    if client.connection != "connecting":
        return ""
    return f"No connection, trying again. {client.error or ''}".strip()
