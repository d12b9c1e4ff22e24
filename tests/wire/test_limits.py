"""Limits over real sockets: what is refused, what is not, and that nothing else happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
import socketio

from realtime.limits.buckets import DAY_S, SWEPT, Buckets
from realtime.limits.budget import ANSWER_TOKENS, Amount, Budget, payers
from realtime.limits.memory import FULL, LOOK_S, Memory
from realtime.models import Finished, TextDelta, ToolCallReady, ToolCallStarted, Usage
from realtime.protocol import ProtocolError
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import server
from tests.support.scripted import Script, ScriptedModel, says
from tests.support.serving import Serve

Devices = Callable[..., Device]
DAY_MS = DAY_S * 1000


def costs(tokens: int, gate: asyncio.Event | None = None) -> Script:
    """An answer that is said to have come to so many tokens, at the gate where there is one."""
    end: Script = [[Usage(tokens // 2, tokens - tokens // 2), Finished("stop")]]
    return [[TextDelta("so ")], *([gate] if gate else []), *end]


def limited(ack: dict, most_ms: float) -> bool:
    error = ack["error"]
    assert (error["code"], error["retryable"]) == ("rate_limited", True)
    assert 0 < error["retry_after_ms"] <= most_ms
    return True


# ------------------------------------------------------------------ buckets


def test_a_bucket_is_full_at_first_refills_evenly_and_is_forgotten() -> None:
    now = [0.0]
    buckets = Buckets(3, 60, "tries", clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, pytest.approx(20)]
    assert buckets.take("b") == 0, "each has its own"
    now[0] = 15
    assert buckets.take("a") == pytest.approx(5), "what was refused cost nothing"
    now[0] = 20
    assert buckets.take("a") == 0
    assert buckets.take("a") == pytest.approx(20)
    now[0] = 200
    assert [buckets.take("a") for _ in range(4)][2:] == [0, pytest.approx(20)], "never fuller"
    for number in range(100_000):
        now[0] += 0.1  # each key is full again after 20 s
        buckets.take(str(number))
    assert len(buckets) <= SWEPT + 200
    free = Buckets(0, 60, "tries")
    assert not any(free.take("a") for _ in range(1000))
    assert not len(free)


# ----------------------------------------------------------------- commands


async def test_commands_are_counted_by_socket_and_by_user(serve: Serve, device: Devices) -> None:
    running = await serve(commands_per_minute=5)
    one = device(running.url)
    await one.connect()
    acks = [await one.call("history") for _ in range(5)]
    assert all(ack["ok"] for ack in acks)
    assert limited(await one.call("history"), 12_000)
    assert limited(await one.call("no_such_command"), 12_000)
    assert one.client.connected, "the socket survives"
    others = [device(running.url, **one.auth) for _ in range(4)]
    for other in others[:3]:
        await other.connect()
        for _ in range(5):
            assert (await other.call("history"))["ok"]
    await others[3].connect()
    assert limited(await others[3].call("history"), 3_000), "four times as many of one user"
    listed = await fetch(f"{running.url}/api/sessions", one.auth["token"])
    assert (listed.status, listed.json()["error"]["code"]) == (429, "rate_limited")
    assert 1 <= int(listed.headers["Retry-After"]) <= 3
    stranger = device(running.url)
    await stranger.connect()
    assert (await stranger.call("history"))["ok"]


async def test_new_sessions_are_counted_by_user(serve: Serve, device: Devices) -> None:
    running = await serve(sessions_per_day=2)
    one = device(running.url)
    first = (await one.connect())["session_id"]
    assert (await one.call("create"))["ok"]
    assert limited(await one.call("create"), DAY_MS / 2)
    again = device(running.url, token=one.auth["token"])
    assert limited(await again.connect(), DAY_MS / 2)
    assert (await again.call("join", {"session_id": first}))["ok"], "older ones are open"
    assert "error" not in await device(running.url).connect()


async def test_sizes_of_messages_and_queues_are_settings(serve: Serve, device: Devices) -> None:
    gate = asyncio.Event()
    running = await serve(ScriptedModel(costs(1, gate)), text_kb=1, queued_messages=1)
    one = device(running.url)
    await one.connect()
    assert (await one.send("x" * 1025))["error"]["code"] == "too_large"
    assert [(await one.send("ü" * 512))["status"] for _ in range(2)] == ["started", "queued"]
    assert (await one.send("more"))["error"]["code"] == "queue_full"
    gate.set()


# --------------------------------------------------------------------- runs


async def test_a_user_has_so_many_runs_at_once(serve: Serve, device: Devices) -> None:
    gate = asyncio.Event()
    running = await serve(ScriptedModel(costs(1, gate)), runs_per_user=2)
    one = device(running.url)
    await one.connect()
    token = one.auth["token"]
    two, three = device(running.url, token=token), device(running.url, token=token)
    for other in (two, three):
        await other.connect()
    runs = [(await each.send("hello"))["run_id"] for each in (one, two)]
    assert limited(await three.send("hello"), 60_000)
    assert sorted(three.log) == [1], "nothing was stored"
    assert (await one.send("more"))["status"] == "queued", "behind one that runs"
    swapped = await two.send("instead", if_busy="interrupt")
    assert swapped["status"] == "started", "in the place of one that runs"
    stranger = device(running.url)
    await stranger.connect()
    assert (await stranger.send("hello"))["ok"]
    gate.set()
    await two.done(swapped["run_id"])
    assert (await two.done(runs[1]))["status"] == "cancelled"
    assert (await three.send("hello"))["status"] == "started"


# ------------------------------------------------------------------ budgets


async def test_fifty_sockets_of_one_user_overspend_by_one_request(
    serve: Serve, device: Devices
) -> None:
    gate, costly = asyncio.Event(), ANSWER_TOKENS
    budget = 3 * costly
    running = await serve(
        ScriptedModel(costs(costly, gate)), budget_user_tokens=budget, runs_per_user=0
    )
    first = device(running.url)
    await first.connect()
    devices = [device(running.url, token=first.auth["token"]) for _ in range(50)]
    await asyncio.gather(*(each.connect() for each in devices))
    acks = await asyncio.gather(*(each.send("hello") for each in devices))
    started = [(each, ack) for each, ack in zip(devices, acks, strict=True) if ack["ok"]]
    refused = [(each, ack) for each, ack in zip(devices, acks, strict=True) if not ack["ok"]]
    assert 1 <= len(started) < 50
    assert all(limited(ack, 60_000) for _, ack in refused), "they may become cheaper"
    gate.set()
    spent = 0
    for each, ack in started:
        usage = (await each.done(ack["run_id"]))["usage"]
        spent += usage["input_tokens"] + usage["output_tokens"]
    assert budget - costly < spent <= budget + costly
    for each, _ in refused:
        assert sorted(each.log) == [1], "nothing was stored"
        ack = await each.send("again")
        if not ack["ok"]:
            break
        usage = (await each.done(ack["run_id"]))["usage"]
        spent += usage["input_tokens"] + usage["output_tokens"]
    assert limited(ack, DAY_MS), "until midnight"
    assert budget <= spent <= budget + costly


async def test_what_was_spent_outlives_the_server(serve: Serve, device: Devices) -> None:
    limits = {"budget_user_tokens": 1000, "budget_server_tokens": 1500}
    running = await serve(ScriptedModel(costs(600)), **limits)
    one, two = device(running.url), device(running.url)
    for each in (one, two):
        await each.connect()
    said = await one.send("hello", client_msg_id="1")
    await one.done(said["run_id"])
    await one.done((await one.send("again"))["run_id"])
    assert limited(await one.send("no more"), DAY_MS), "its own 1000"
    again = await one.send("hello", client_msg_id="1")
    assert (again["status"], again["run_id"]) == ("duplicate", said["run_id"])
    share = (await one.call("share"))["share"]
    joined = await two.call("join", {"session_id": one.session["session_id"], "share": share})
    assert limited(await two.send("on you", session_id=joined["session_id"]), DAY_MS)
    own = two.session["session_id"]
    await two.done((await two.send("hello", session_id=own))["run_id"])
    assert limited(await two.send("again", session_id=own), DAY_MS), "the server's 1500"
    await running.stop()

    running = await serve(ScriptedModel(costs(600)), **limits)
    one.url = running.url
    await one.connect()
    assert limited(await one.send("anew"), DAY_MS)
    await running.stop()

    running = await serve(ScriptedModel(costs(600)), budget_user_tokens=1000)
    one.url = two.url = running.url
    for each in (one, two):
        await each.connect()
    assert limited(await one.send("anew"), DAY_MS)
    assert (await two.send("anew", session_id=own))["ok"]


async def test_a_message_that_waited_until_the_budget_was_gone_says_so(
    serve: Serve, device: Devices
) -> None:
    gate = asyncio.Event()
    running = await serve(ScriptedModel(costs(600, gate)), budget_user_tokens=500)
    one = device(running.url)
    await one.connect()
    first = await one.send("first")
    waiting = [await one.send(text) for text in ("second", "third")]
    assert [ack["status"] for ack in waiting] == ["queued", "queued"]
    assert limited(await one.send("now", if_busy="interrupt"), 60_000)
    gate.set()
    assert (await one.done(first["run_id"]))["status"] == "completed"
    for ack in waiting:
        done = await one.done(ack["run_id"])
        assert (done["status"], done["finish_reason"]) == ("quota_exceeded", "limit")
        assert limited(done, DAY_MS)
        assert done["usage"] == {"input_tokens": 0, "output_tokens": 0}


async def test_a_run_with_tools_stops_where_the_budget_does(serve: Serve, device: Devices) -> None:
    call: Script = [
        [
            ToolCallStarted("1", "fetch_user_analytics"),
            ToolCallReady("1", "fetch_user_analytics", "{}"),
        ],
        [Usage(300, 0), Finished("tool_calls")],
    ]
    running = await serve(ScriptedModel(call), budget_user_tokens=500)
    one = device(running.url)
    await one.connect()
    done = await one.done((await one.send("again and again"))["run_id"])
    assert (done["status"], done["finish_reason"]) == ("quota_exceeded", "limit")
    assert done["usage"]["input_tokens"] == 600, "one call beyond it"
    assert limited(done, DAY_MS)


async def test_a_run_that_a_crash_cut_off_was_paid_for(tmp_path: Path, device: Devices) -> None:
    limits = {"BUDGET_USER_TOKENS": "1"}
    async with server(tmp_path, **limits) as running:
        one = device(running.url)
        await one.connect()
        assert (await one.send("fetch internal user analytics"))["ok"]
        await one.wait("token")
        running.child.kill()
        await running.ended()
    async with server(tmp_path, **limits) as running:
        one.url = running.url
        await one.connect()
        assert (await one.durable("done"))[0]["status"] == "interrupted"
        assert limited(await one.send("again"), DAY_MS)


async def test_a_deleted_answer_was_paid_for(serve: Serve, device: Devices) -> None:
    gate = asyncio.Event()
    running = await serve(ScriptedModel(costs(2, gate)), budget_user_tokens=1)
    one = device(running.url)
    await one.connect()
    assert (await one.send("never read to its end"))["ok"]
    await one.wait("token")
    assert (await one.call("delete", {"session_id": one.auth["session_id"]}))["ok"]
    again = device(running.url, token=one.auth["token"])
    await again.connect()
    assert limited(await again.send("again"), DAY_MS)


async def test_a_budget_in_dollars_is_kept_and_outlives_the_server(
    serve: Serve, device: Devices
) -> None:
    """An answer of 600 tokens costs 60 cents; one is begun while anything is left."""
    settings = {
        "prices": {"scripted": {"input": 1000, "output": 1000}},
        "budget_user_dollars": 1.0,
    }
    running = await serve(ScriptedModel(costs(600)), **settings)
    one, other = device(running.url), device(running.url)
    for each in (one, other):
        await each.connect()
    for text in ("first", "second"):
        done = await one.done((await one.send(text))["run_id"])
        assert done["usage"]["cost"] == pytest.approx(0.6)
    assert limited(await one.send("third"), DAY_MS)
    await other.done((await other.send("my own dollar"))["run_id"])
    await running.stop()
    running = await serve(ScriptedModel(costs(600)), **settings)
    one.url = running.url
    await one.connect()
    assert limited(await one.send("anew"), DAY_MS)


def test_a_new_day_is_a_new_budget() -> None:
    now = [DAY_S * 10 - 5.0]
    budget = Budget(user=Amount(100), clock=lambda: now[0])
    ada, bob = payers("ada", "ada"), payers("bob", "bob")
    budget.spend(ada, Amount(99))
    budget.check_spending(ada)
    budget.reserve(ada, "r1", Amount(10))
    budget.settle(ada, "r1", Usage(1, 0))
    with pytest.raises(ProtocolError) as refused:
        budget.check_spending(ada)
    assert refused.value.retry_after_ms == 5000
    budget.check_spending(bob)
    budget.reserve(bob, "r2", Amount(4106))
    now[0] += 6
    budget.check_spending(ada)
    with pytest.raises(ProtocolError):
        budget.check_spending(bob)
    budget.settle(bob, "r2", Usage(99, 0))
    budget.check_spending(bob)


# ----------------------------------------------------------------- connects


URL = "{}/socket.io/?EIO=4&transport=polling"


async def test_connects_are_counted_by_the_real_address(serve: Serve) -> None:
    running = await serve(connects_per_minute=2, trusted_proxies=1, spare_loopback=False)

    async def connect(*forwarded: str) -> int:
        headers = [("X-Forwarded-For", entry) for entry in forwarded]
        async with (
            aiohttp.ClientSession() as http,
            http.get(URL.format(running.url), headers=headers) as response,
        ):
            if response.status == 429:
                assert 1 <= int(response.headers["Retry-After"]) <= 30
                assert (await response.json())["error"]["code"] == "rate_limited"
            return response.status

    assert [await connect("203.0.113.1") for _ in range(3)] == [200, 200, 429]
    assert await connect("198.51.100.7, 203.0.113.1") == 429, "what a client wrote is not asked"
    assert await connect("198.51.100.7", "203.0.113.1:8080") == 429
    assert await connect("203.0.113.1, 198.51.100.7") == 200
    six = [f"[2001:db8:1:2::{n}]:443" for n in range(3)]
    assert [await connect(one) for one in six] == [200, 200, 429], "a subscriber has a /64"
    assert await connect("2001:db8:1:3::1") == 200
    assert [await connect("garbage") for _ in range(3)] == [200, 200, 429], "the proxy's own"


async def test_forwarded_headers_count_only_behind_a_proxy(serve: Serve, device: Devices) -> None:
    evil = {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"}
    front = {"Origin": "https://app.example", "X-Forwarded-Host": "evil.example, app.example"}
    running = await serve(connects_per_minute=2, spare_loopback=False)
    assert (await fetch(URL.format(running.url), **front)).status == 403
    for number in range(2):
        spoofed = {"X-Forwarded-For": f"203.0.113.{number}"}
        status = (await fetch(URL.format(running.url), **spoofed)).status
        assert status == (200 if number == 0 else 429), "one connect was the refused page's"
    await running.stop()
    behind = await serve(trusted_proxies=1)
    assert (await fetch(URL.format(behind.url), **front)).status == 200
    evil["X-Forwarded-Host"] += ", app.example"
    assert (await fetch(URL.format(behind.url), **evil)).status == 403
    for transports in (["websocket"], ["polling"], ["polling", "websocket"]):
        one = device(behind.url)
        await one.connect(headers={"X-Forwarded-For": "203.0.113.1"}, transports=transports)
        await one.done((await one.send("hello"))["run_id"])


async def test_a_stock_client_comes_back_after_a_refused_connect(serve: Serve) -> None:
    running = await serve(connects_per_minute=60, spare_loopback=False)
    while (await fetch(URL.format(running.url))).status == 200:
        pass
    client = socketio.AsyncClient(reconnection_delay=0.5)
    async with asyncio.timeout(15):
        await client.connect(running.url, retry=True, transports=["websocket"])
    assert client.connected
    await client.disconnect()


# ------------------------------------------------------------------- memory


async def test_short_of_memory_new_connections_wait_and_old_ones_are_served(
    serve: Serve, device: Devices
) -> None:
    page = 4096
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("needs /proc")
    used_mb = int(statm.read_text().split()[1]) * page / 2**20
    limit_mb = round((used_mb + 60) / FULL)
    running = await serve(ScriptedModel(says("still", " here")), memory_limit_mb=limit_mb)
    one = device(running.url)
    await one.connect()

    async def status(wanted: int) -> int:
        async with asyncio.timeout(LOOK_S + 5):
            while (answer := await fetch(URL.format(running.url))).status != wanted:
                await asyncio.sleep(0.05)
        if wanted == 503:
            assert answer.json()["error"]["code"] == "overloaded"
            assert int(answer.headers["Retry-After"]) >= 1
        return answer.status

    assert await status(200)
    ballast = b"x" * (100 * 2**20)
    assert await status(503)
    await one.done((await one.send("hello?"))["run_id"])
    assert (await fetch(f"{running.url}/healthz")).status == 200
    del ballast
    assert await status(200)


def test_the_limit_is_the_tightest_of_the_containers(tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    now = [0.0]
    assert not Memory(root=tmp_path).tight, "no control groups at all"
    write("proc/self/cgroup", "4:cpu,memory:/docker/x\n0::/app/web\n")
    write("sys/fs/cgroup/memory.max", "max\n")
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert not Memory(root=tmp_path).tight, "no limit"
    write("sys/fs/cgroup/app/memory.max", "1000\n")
    write("sys/fs/cgroup/app/memory.current", "951\n")
    write("sys/fs/cgroup/app/memory.stat", "anon 5\ninactive_file 100\n")
    write("sys/fs/cgroup/app/web/memory.max", "2000\n")
    memory = Memory(root=tmp_path, clock=lambda: now[0])
    assert memory.tight
    write("sys/fs/cgroup/app/memory.current", "950\n")
    assert memory.tight, "it is not looked at all the time"
    now[0] += LOOK_S
    assert not memory.tight
    write("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "100\n")
    write("sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes", "86\n")
    assert Memory(root=tmp_path).tight, "the first version"
