"""What a day allows, counted over all workers."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from realtime.cluster.limits import SharedBudget
from realtime.limits.budget import NOTHING, Amount
from realtime.log.hot.line import Line
from realtime.log.hot.records import day_of
from realtime.protocol import ProtocolError
from tests.support.cluster import PREFIX, Cluster, cluster
from tests.support.device import Device
from tests.support.engine import Engine
from tests.support.supabase_lite import SupabaseLite

ANSWER = 4096  # tokens that a call may come to, until it is known


async def test_a_budget_is_overspent_by_one_call_at_most(tmp_path: Path) -> None:
    budget = 3 * ANSWER
    async with cluster(tmp_path, BUDGET_SERVER_TOKENS=str(budget), RUNS_PER_USER="0") as world:
        devices = [await world.device("raw", straight=True) for _ in range(30)]

        async def spend(number: int) -> None:
            for turn in range(4):
                ack = await devices[number].send(f"tokens 900 rate 0 turn {turn} of {number}")
                if ack["ok"]:
                    await devices[number].done(ack["run_id"])

        await asyncio.gather(*(spend(number) for number in range(len(devices))))
        logs = (await world.logs()).values()
        done = [entry for log in logs for entry in log if entry["event"] == "done"]
        spent = sum(e["usage"]["input_tokens"] + e["usage"]["output_tokens"] for e in done)
        assert {entry["status"] for entry in done} == {"completed", "quota_exceeded"}
        assert budget / 2 < spent < budget + ANSWER
        assert len({device.url for device in devices}) == 3


async def test_an_engine_that_comes_back_empty_is_told_what_was_spent(tmp_path: Path) -> None:
    async with cluster(tmp_path, BUDGET_USER_TOKENS=str(100 * ANSWER)) as world:
        device = Device(world.url)
        await device.connect()

        async def spent() -> tuple[int, int]:
            """Tokens in all, after one more answer, and what that came to."""
            ack = await device.send("tokens 300 rate 0 and one more")
            usage = (await device.done(ack["run_id"]))["usage"]
            (day,) = world.engine.tell("KEYS", f"{PREFIX}paid:*")
            user = f"{device.session['user_id']} t"
            total = int(world.engine.tell("HGET", day.decode(), user))
            return total, usage["input_tokens"] + usage["output_tokens"]

        (_, _), (known, _), (_, _) = [await spent() for _ in range(3)]
        world.engine.flushall()
        total, last = await spent()
        assert total == known + last  # what was known before the third
        await device.drop()


async def test_what_a_summary_comes_to_is_counted_over_all(tmp_path: Path) -> None:
    async with cluster(tmp_path, BUDGET_USER_TOKENS=str(20 * ANSWER)) as world:
        one = Device(world.url)
        await one.connect()
        done = await one.ask("tokens 3 rate 0")
        await one.call("end")
        (summary,) = await one.durable("summary", status="done")
        both = [event["usage"] for event in (done, summary)]
        spent = [usage["input_tokens"] + usage["output_tokens"] for usage in both]
        user_id = one.session["user_id"]
        async with Line(world.engine.address, "test") as line:
            paid = await line.call("HGET", f"{PREFIX}paid:{day_of(summary['ts'])}", f"{user_id} t")
            held = await line.call("EXISTS", f"{PREFIX}held:{user_id}")
        assert spent[1] > 0
        assert (int(paid), held) == (sum(spent), 0)
        await one.drop()


async def test_new_sessions_of_a_day_are_counted_over_all(tmp_path: Path) -> None:
    async with cluster(tmp_path, SESSIONS_PER_DAY="3") as world:
        made = [Device(world.url)]
        await made[0].connect()
        token = made[0].auth["token"]
        answers = []
        for port in [*world.ports, *world.ports]:
            made.append(Device(f"http://127.0.0.1:{port}", token=token))
            answers.append(await made[-1].connect())
        told = [answer["error"]["code"] if "error" in answer else "ok" for answer in answers]
        assert told == ["ok", "ok", *["rate_limited"] * 4]
        for device in made:
            await device.drop()


async def test_runs_at_once_are_counted_over_all(tmp_path: Path) -> None:
    async with cluster(tmp_path, RUNS_PER_USER="2") as world:
        first = Device(world.url)
        await first.connect()
        token = first.auth["token"]
        devices = [Device(f"http://127.0.0.1:{port}", token=token) for port in world.ports]
        acks = []
        for device in devices:
            await device.connect()
            acks.append(await device.send("tokens 300 rate 100 one of three"))
            if len(acks) < 3:
                await device.wait("token")
        done = [await one.done(ack["run_id"]) for one, ack in zip(devices, acks, strict=True)]
        assert [one["status"] for one in done] == ["completed", "completed", "quota_exceeded"]
        assert done[2]["error"]["message"] == "2 of your answers are running; wait for one"
        ack = await devices[2].send("tokens 5 rate 0 now there is room")
        assert (await devices[2].done(ack["run_id"]))["status"] == "completed"
        for device in (first, *devices):
            await device.drop()


async def test_files_of_a_day_are_counted_over_all(storing: SupabaseLite, tmp_path: Path) -> None:
    given = {
        "SUPABASE_URL": storing.url,
        "SUPABASE_KEY": storing.secret_key,
        "SUPABASE_BUCKET": "files",
    }
    async with cluster(tmp_path, FILES_PER_DAY="2", **given) as world:
        device = Device(world.url)
        await device.connect()
        path = f"/api/sessions/{device.auth['session_id']}/files?name=a.txt"
        headers = {"Authorization": f"Bearer {device.auth['token']}", "Content-Type": "text/plain"}
        sent = []
        async with aiohttp.ClientSession(headers=headers) as http:
            for port in world.ports:
                async with http.post(f"http://127.0.0.1:{port}{path}", data=b"text") as answer:
                    sent.append(answer.status)
        assert sent == [201, 201, 429]
        await device.drop()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.05)


def held(world: Cluster, who: str = "") -> list[str]:
    """What is reserved, of a user or the server."""
    return [one.decode() for one in world.engine.tell("HKEYS", f"{PREFIX}held:{who}")]


def paid(world: Cluster, who: str = "") -> int:
    keys = world.engine.tell("KEYS", f"{PREFIX}paid:*")
    return sum(int(world.engine.tell("HGET", key, f"{who} t") or 0) for key in keys)


async def answering(world: Cluster) -> list[Device]:
    """A device of a session in mid-answer, and one on another worker."""
    one = Device(f"http://127.0.0.1:{world.ports[0]}")
    await one.connect()
    await one.send("tokens 3000 rate 100 to be deleted")
    await one.wait("token")
    other = Device(f"http://127.0.0.1:{world.ports[1]}", **one.place)
    await other.connect()
    assert len(held(world)) == len(held(world, one.session["user_id"])) == 1
    return [one, other]


async def new_answer(world: Cluster, of: Device, port: int) -> str:
    device = Device(f"http://127.0.0.1:{port}", token=of.auth["token"])
    await device.connect()
    ack = await device.send("tokens 3 rate 0 afterwards")
    status = (await device.done(ack["run_id"]))["status"] if ack["ok"] else "refused"
    await device.drop()
    return status


@pytest.mark.parametrize("by", [0, 1], ids=["its worker", "another"])
async def test_an_answer_that_is_deleted_is_paid_for(tmp_path: Path, by: int) -> None:
    limits = {"RUNS_PER_USER": "1", "BUDGET_SERVER_TOKENS": str(2 * ANSWER)}
    async with cluster(tmp_path, **limits) as world:
        devices = await answering(world)
        assert paid(world) == 0
        assert (await devices[by].call("delete", {"session_id": devices[0].auth["session_id"]}))[
            "ok"
        ]
        await until(lambda: not held(world))
        user_id = devices[0].session["user_id"]
        assert paid(world) == paid(world, user_id) > 0
        for port in world.ports:
            assert await new_answer(world, devices[0], port) == "completed"
        for device in devices:
            await device.drop()


async def test_a_deleted_answer_of_a_worker_that_dies_holds_nothing(tmp_path: Path) -> None:
    async with cluster(tmp_path, RUNS_PER_USER="1") as world:
        one, other = await answering(world)
        os.kill(world.workers[world.ports[0]].child.pid, signal.SIGSTOP)
        assert (await other.call("delete", {"session_id": one.auth["session_id"]}))["ok"]
        await world.kill(world.ports[0])
        async with asyncio.timeout(30):
            while await new_answer(world, one, world.ports[2]) != "completed":
                await asyncio.sleep(0.5)
        assert not held(world)
        for device in (one, other):
            await device.drop()


async def test_a_title_that_cannot_be_made_holds_nothing(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    async def refuse(request: web.Request) -> web.Response:
        seen.append(held(world))
        return web.json_response({"error": {"message": "no"}}, status=400)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = {
        "TITLES": "true",
        "SUMMARY_MODEL": f"x@http://127.0.0.1:{runner.addresses[0][1]}/v1 key=KEY_OF_X",
        "KEY_OF_X": "none",
        "BUDGET_SERVER_TOKENS": str(3 * ANSWER),
    }
    async with cluster(tmp_path, **settings) as world:
        device = Device(world.url)
        await device.connect()
        await device.ask("tokens 3 rate 0")
        await until(lambda: bool(seen))
        assert seen[0] == [f"session_updated {device.auth['session_id']}"]
        await until(lambda: not held(world))
        await device.drop()
    await runner.cleanup()


async def test_a_title_of_a_worker_that_died_holds_nothing_for_long(tmp_path: Path) -> None:
    with Engine(tmp_path) as engine:
        async with Line(engine.address, "test") as line:

            async def confirm(name: str) -> None:
                budget = SharedBudget(line, PREFIX, server=Amount(100))
                await budget.confirm(("ada",), "session", name, Amount(100), used=NOTHING)

            await confirm("session_updated session")
            with pytest.raises(ProtocolError, match="may use up"):
                await confirm("run")
            ((name, reserved),) = engine.tell("HGETALL", f"{PREFIX}held:").items()
            amount, till = reserved.rsplit(b" ", 1)
            minutes = (int(till) / 1000 - time.time()) / 60
            assert 9 < minutes <= 10
            engine.tell("HSET", f"{PREFIX}held:", name, amount + b" 1")
            await confirm("run")
            for who in ("", "ada"):
                assert engine.tell("HKEYS", f"{PREFIX}held:{who}") == [b"run"]
