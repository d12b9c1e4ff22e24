"""The floor: the least that a Python relay with a journal costs on this stack.

A raw aiohttp WebSocket, the upstream's bytes without any client library, and an SQLite
journal with one group commit for all sessions: append, commit in the writing thread, then
send; at once when idle, in rounds of up to 33 ms under load. No Socket.IO, no rooms, no
replay, no identities, no limits: what is above this is what features cost.
"""

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import exp

import msgspec
import uvloop
from aiohttp import ClientSession, TCPConnector, web


class Delta(msgspec.Struct):
    content: str | None = None


class Choice(msgspec.Struct):
    delta: Delta


class Chunk(msgspec.Struct):
    choices: list[Choice]


class Frame(msgspec.Struct):
    event: str
    delta: str = ""


decode = msgspec.json.Decoder(Chunk).decode
encode = msgspec.json.Encoder().encode
Answer = tuple[web.WebSocketResponse, int]


class Journal:
    """Group commit: what is appended is sent once it is stored, never before."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE events (id INTEGER PRIMARY KEY, session INTEGER, seq INTEGER, frame BLOB)"
        )
        self._thread = ThreadPoolExecutor(1)
        self._pending: dict[Answer, list[str]] = {}
        self._seqs: dict[int, int] = {}
        self._wake = asyncio.Event()

    def append(self, answer: Answer, text: str) -> None:
        """`text` joins what waits already; an empty one ends the answer."""
        self._pending.setdefault(answer, []).append(text)
        self._wake.set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        rate = last = 0.0
        while True:
            await self._wake.wait()
            self._wake.clear()
            pending, self._pending = self._pending, {}
            rows, sends = [], []
            for (socket, session), texts in pending.items():
                frames = [Frame("token", delta)] if (delta := "".join(texts)) else []
                if not texts[-1]:
                    frames.append(Frame("done"))
                for frame in map(encode, frames):
                    seq = self._seqs[session] = self._seqs.get(session, 0) + 1
                    rows.append((session, seq, frame))
                    sends.append((socket, frame))
            await loop.run_in_executor(self._thread, self._commit, rows)
            for socket, frame in sends:
                with suppress(ConnectionError, RuntimeError):  # it has gone
                    await socket.send_frame(frame, web.WSMsgType.TEXT)
            now = loop.time()
            passed, last = max(now - last, 1e-3), now
            rate += (1 - exp(-passed / 0.25)) * (len(rows) / passed - rate)
            await asyncio.sleep(min(0.033, rate / 300_000))

    def _commit(self, rows: list[tuple[int, int, bytes]]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO events (session, seq, frame) VALUES (?, ?, ?)", rows
        )
        self._database.execute("COMMIT")


class Relay:
    def __init__(self, http: ClientSession, journal: Journal) -> None:
        self._http = http
        self._journal = journal
        self._sessions = 0
        self._url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"

    async def watch(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self._sessions += 1
        answer = (socket, self._sessions)
        async for message in socket:
            await self._answer(answer, msgspec.json.decode(message.data)["text"])
        return socket

    async def _answer(self, answer: Answer, text: str) -> None:
        asked = {
            "model": "bench",
            "messages": [{"role": "user", "content": text}],
            "stream": True,
        }
        async with self._http.post(self._url, json=asked) as response:
            rest = b""
            async for read in response.content.iter_any():
                *lines, rest = (rest + read).split(b"\n\n")
                chunks = [decode(line[6:]) for line in lines if line != b"data: [DONE]"]
                text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
                if text:
                    self._journal.append(answer, text)
        self._journal.append(answer, "")


async def main() -> None:
    journal = Journal(os.environ["DATABASE_PATH"])
    async with ClientSession(connector=TCPConnector(limit=0)) as http:
        app = web.Application()
        app.router.add_get("/ws", Relay(http, journal).watch)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
        await journal.run()


if __name__ == "__main__":
    uvloop.run(main())
