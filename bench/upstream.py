"""A Chat Completions upstream that streams numbered, timestamped tokens.

    python -m bench.upstream [--port 0]        # prints the port that it listens on

The newest user message says what is streamed: `rate=50 tokens=400` is 400 tokens at 50 a
second, the first at once; `rate=0` is as fast as the connection takes them. A token is
always `TOKEN` characters: 11 hexadecimal digits of the monotonic clock in microseconds at
its write, 4 of its number in the stream, and a blank. On Linux that clock is the same in
every process, so a client knows how long a token was under way.

It has to cost little beside what it feeds: nothing but prebuilt bytes, and one timer for
all streams of a rate.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time

import uvloop

TOKEN = 16
BURST_TOKENS = 32  # written at a time where the rate is 0
ASKED = re.compile(rb"rate=(\d+) tokens=(\d+)")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
MODELS = (
    b'{"object":"list","data":[{"id":"bench","object":"model","created":1,"owned_by":"bench"}]}'
)


def chunk(body: bytes) -> bytes:
    """One piece of a chunked HTTP body."""
    return b"%x\r\n%s\r\n" % (len(body), body)


def event(choices: bytes, usage: bytes = b"null") -> bytes:
    """A server-sent event as OpenAI writes it, with the fields that it has."""
    return chunk(
        b'data: {"id":"chatcmpl-bench00000000000000000000000","object":"chat.completion.chunk",'
        b'"created":1763800000,"model":"bench","service_tier":"default",'
        b'"system_fingerprint":"fp_0000000000","choices":[%s],"usage":%s}\n\n' % (choices, usage)
    )


def choice(delta: bytes, finish: bytes = b"null") -> bytes:
    return b'{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}' % (delta, finish)


ROLE = event(choice(b'{"role":"assistant","content":"","refusal":null}'))
BEFORE, AFTER = event(choice(b'{"content":"%s"}' % (b"@" * TOKEN))).split(b"@" * TOKEN)
FINISH = event(choice(b"{}", b'"stop"'))
END = chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def token(number: int) -> bytes:
    return b"%s%011x%04x %s" % (BEFORE, time.monotonic_ns() // 1000, number, AFTER)


class Wheel:
    """The streams of one rate: each has its millisecond in the period, and one token there."""

    def __init__(self, rate: int) -> None:
        self.slots: list[set[Stream]] = [set() for _ in range(max(1, 1000 // rate))]
        self._step = 1 / rate / len(self.slots)
        self._next = 0
        self._joined = 0
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time()
        self._tick()

    def add(self, stream: Stream) -> set[Stream]:
        """A place for it; neighbours are spread over the period."""
        self._joined += 1
        slot = self.slots[self._joined * 7 % len(self.slots)]
        slot.add(stream)
        return slot

    def _tick(self) -> None:
        now = self._loop.time()
        while self._due <= now:
            for stream in tuple(self.slots[self._next]):
                stream.step()
            self._next = (self._next + 1) % len(self.slots)
            self._due += self._step
        self._loop.call_later(max(0.001, self._due - now), self._tick)  # uvloop counts in ms


class Stream(asyncio.Protocol):
    """One connection: a request, its stream, and then perhaps another request."""

    wheels: dict[int, Wheel] = {}  # noqa: RUF012  one process serves one benchmark

    def __init__(self) -> None:
        self._received = b""
        self._number = self._tokens = 0
        self._slot: set[Stream] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._burst: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()
        if self._burst:
            self._burst.cancel()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = LENGTH.search(head)
        if length and len(body) < int(length[1]):
            return
        self._received = b""
        if head.startswith(b"POST"):
            self._answer(body)
        else:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(MODELS), MODELS)
            )

    def _answer(self, body: bytes) -> None:
        asked = ASKED.findall(body)
        rate, self._tokens = (int(asked[-1][0]), int(asked[-1][1])) if asked else (0, 1)
        self._number = 0
        self._transport.write(HEAD + ROLE)
        if rate == 0:
            self._burst = asyncio.get_running_loop().create_task(self._all_at_once())
            return
        if rate not in self.wheels:
            self.wheels[rate] = Wheel(rate)
        self._slot = self.wheels[rate].add(self)
        self.step()

    def step(self) -> None:
        """Write the next token, or what ends the stream."""
        self._transport.write(token(self._number))
        self._number += 1
        if self._number == self._tokens:
            self._leave()
            self._finish()

    async def _all_at_once(self) -> None:
        while self._number < self._tokens:
            await self._may_write.wait()
            last = min(self._number + BURST_TOKENS, self._tokens)
            self._transport.write(b"".join(token(n) for n in range(self._number, last)))
            self._number = last
            await asyncio.sleep(0)
        self._finish()

    def _finish(self) -> None:
        usage = (
            b'{"prompt_tokens":20,"completion_tokens":%d,"total_tokens":%d,'
            b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
            b'"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}'
        ) % (self._tokens, self._tokens + 20)
        self._transport.write(FINISH + event(b"", usage) + END)

    def _leave(self) -> None:
        if self._slot is not None:
            self._slot.discard(self)
            self._slot = None


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stream, "127.0.0.1", port, backlog=1024)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(serve(parser.parse_args().port))
