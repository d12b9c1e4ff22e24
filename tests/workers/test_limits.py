"""What a day allows, counted over all workers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from realtime.log.hot.line import Line
from realtime.log.hot.records import day_of
from tests.support.cluster import PREFIX, cluster
from tests.support.device import Device

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
