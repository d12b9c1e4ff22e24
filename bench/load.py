"""What is done to a relay, and what is then known about it.

`streams` holds a number of sessions at a rate and looks at a window in the middle of it;
`burst` asks for everything at once; `idle` opens connections and leaves them alone.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from bench.measure import Bench, Process, Usage, free_port, listens, process, rss
from bench.peers import Relay
from bench.websocket import Client, Tally

STARTS_PER_S = 50
SETTLE_S = 1.5
TAIL_S = 0.5
FINISH_S = 6.0
CONNECT_S = 60.0
CONNECTING = 20  # at a time
WARM_UP_TOKENS = 20

Row = dict[str, Any]


def percentile(ordered: list[float], part: float) -> float:
    """Of sorted values, by nearest rank; 0 of none."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


@asynccontextmanager
async def started(
    bench: Bench, relay: Relay, core: int | None = None
) -> AsyncIterator[tuple[Process, str]]:
    """The relay as a fresh process that listens, and its address. `core`: another than its own."""
    port = free_port()
    environ = relay.environment(port, bench.upstream_port)
    command = [part.replace("{port}", str(port)) for part in relay.command]
    async with process(command, environ, bench.relay_core if core is None else core) as running:
        await listens(running, port)
        await asyncio.sleep(0.5)
        yield running, f"http://127.0.0.1:{port}"


async def connected(relay: Relay, url: str, tally: Tally, number: int) -> list[Client]:
    """So many clients, each ready to ask."""
    loop = asyncio.get_running_loop()
    at = urlsplit(url)
    turn = asyncio.Semaphore(CONNECTING)

    async def one() -> Client:
        async with turn:
            _, client = await loop.create_connection(
                lambda: relay.client(tally), at.hostname, at.port
            )
            await client.ready
            return client

    async with asyncio.timeout(CONNECT_S):
        return await asyncio.gather(*(one() for _ in range(number)))


async def asked(clients: list[Client], text: str, starts_per_s: float) -> None:
    """Let them ask one after the other, at a steady pace."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number, client in enumerate(clients):
        await asyncio.sleep(begin + number / starts_per_s - loop.time())
        client.ask(text)


async def answered(clients: list[Client], within_s: float) -> int:
    """Wait for the answers; how many did not end in time."""
    _, late = await asyncio.wait({client.finished for client in clients}, timeout=within_s)
    return len(late)


async def warmed_up(relay: Relay, url: str) -> None:
    """One short answer for each of a few sessions, so that nothing is done for the first time."""
    clients = await connected(relay, url, Tally(), 5)
    await asked(clients, f"rate=0 tokens={WARM_UP_TOKENS}", STARTS_PER_S)
    late = await answered(clients, FINISH_S)
    received = [client.received_tokens for client in clients]
    for client in clients:
        client.close()
    if late or set(received) != {WARM_UP_TOKENS}:
        raise RuntimeError(f"{relay.name} does not relay: {received} of {WARM_UP_TOKENS} tokens")


async def streams(bench: Bench, relay: Relay, sessions: int, rate: int, seconds: float) -> Row:
    """`sessions` answers at `rate` tokens a second each; a window of `seconds` is measured."""
    tally = Tally()
    async with started(bench, relay) as (running, url):
        idle = rss(running.pid)
        await warmed_up(relay, url)
        clients = await connected(relay, url, tally, sessions)
        row = await answers(bench, running, clients, tally, rate, seconds)
        for client in clients:
            client.close()
    return {**row, "rss_idle_mb": round(idle / 1e6, 1)}


async def answers(
    bench: Bench,
    running: Process,
    clients: list[Client],
    tally: Tally,
    rate: int,
    seconds: float,
    settle_s: float = SETTLE_S,
) -> Row:
    """One answer for each of the clients, which share the tally. A window of it is measured,
    that begins so long after the last question."""
    loop = asyncio.get_running_loop()
    ramp = len(clients) / STARTS_PER_S
    tokens = int(rate * (ramp + settle_s + seconds + TAIL_S))
    gc.collect()
    gc.freeze()
    begin = loop.time()
    await asked(clients, f"rate={rate} tokens={tokens}", STARTS_PER_S)
    await asyncio.sleep(settle_s)
    before, first = bench.usage(running), len(tally.latencies)
    frames = tally.frames
    await asyncio.sleep(seconds)
    after, last = bench.usage(running), len(tally.latencies)
    frames = tally.frames - frames
    busy = rss(running.pid)
    rest = ramp + tokens / rate - (loop.time() - begin)
    late = await answered(clients, max(0.0, rest) + FINISH_S)
    ends = endings(clients, tokens)
    gc.unfreeze()
    window = sorted(value / 1000 for value in tally.latencies[first:last])
    firsts = sorted(tally.first)
    return {
        **costs(before, after, len(window)),
        "tokens_per_frame": round(len(window) / max(1, frames), 2),
        "latency_p50_ms": round(percentile(window, 0.50), 2),
        "latency_p99_ms": round(percentile(window, 0.99), 2),
        "latency_max_ms": round(window[-1], 2) if window else 0.0,
        "first_token_p50_ms": round(percentile(firsts, 0.50), 2),
        "first_token_p99_ms": round(percentile(firsts, 0.99), 2),
        "held": round(len(window) / (after.at - before.at) / (len(clients) * rate), 3),
        "rss_busy_mb": round(busy / 1e6, 1),
        **integrity(tally, ends, late),
    }


async def burst(bench: Bench, relay: Relay, sessions: int, tokens: int, within_s: float) -> Row:
    """`sessions` answers of `tokens` tokens, as fast as they come; from first ask to last end."""
    tally = Tally()
    async with started(bench, relay) as (running, url):
        await warmed_up(relay, url)
        clients = await connected(relay, url, tally, sessions)
        before = bench.usage(running)
        for client in clients:
            client.ask(f"rate=0 tokens={tokens}")
        late = await answered(clients, within_s)
        after = bench.usage(running)
        ends = endings(clients, tokens)
        for client in clients:
            client.close()
    received = len(tally.latencies)
    return {
        **costs(before, after, received),
        "tokens_per_frame": round(received / max(1, tally.frames), 2),
        **integrity(tally, ends, late),
    }


async def idle(bench: Bench, relay: Relay, connections: int, seconds: float) -> Row:
    """What it costs to open connections, and to hold them."""
    async with started(bench, relay) as (running, url):
        await warmed_up(relay, url)
        await asyncio.sleep(1)
        empty, before = rss(running.pid), bench.usage(running)
        clients = await connected(relay, url, Tally(), connections)
        await asyncio.sleep(0.5)
        opened, full = bench.usage(running), rss(running.pid)
        await asyncio.sleep(seconds)
        held = bench.usage(running)
        dropped = sum(client.finished.done() for client in clients)
        for client in clients:
            client.close()
    return {
        "bytes_per_connection": int((full - empty) / connections),
        "connect_cpu_ms": round((opened.relay - before.relay) * 1000 / connections, 3),
        "idle_cpu_percent": round(100 * (held.relay - opened.relay) / (held.at - opened.at), 2),
        "dropped": dropped,
    }


def costs(before: Usage, after: Usage, tokens: int) -> Row:
    """CPU and throughput of a window, and how much to trust them."""
    took = after.at - before.at
    relay = after.relay - before.relay
    return {
        "tokens": tokens,
        "tokens_per_s": round(tokens / took),
        "cpu_us_per_token": round(relay * 1e6 / max(1, tokens), 1),
        "relay_cpu_percent": round(100 * relay / took, 1),
        "foreign_cpu_percent": round(
            max(0.0, 100 * (after.relay_core - before.relay_core - relay) / took), 1
        ),
        "load_cpu_percent": round(
            100 * (after.load - before.load + after.upstream - before.upstream) / took, 1
        ),
    }


def endings(clients: list[Client], tokens: int) -> tuple[int, int]:
    """Tokens that answers ended without, and connections that the relay dropped."""
    over = [client for client in clients if client.finished.done()]
    whole = [client for client in over if client.finished.exception() is None]
    return sum(tokens - client.received_tokens for client in whole), len(over) - len(whole)


def integrity(tally: Tally, ends: tuple[int, int], late: int) -> Row:
    """What went wrong with tokens and answers, and whether the relay compressed its frames."""
    missing, dropped = ends
    return {
        "lost": tally.lost + missing,
        "doubled": tally.doubled,
        "dropped": dropped,
        "unfinished": late,
        "compressed": tally.compressed > 0,
    }
