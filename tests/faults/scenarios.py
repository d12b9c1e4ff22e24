"""The faults, as often as asked. Each scenario gives the oracle's verdict over all of it.

The tests play few rounds of each, `python -m tests.faults` many.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from uuid import uuid4

from tests.support.oracle import Verdict
from tests.support.proxy import Link
from tests.support.recorder import Lost, Recorder
from tests.support.world import World

CUTS = ("close", "reset", "hole", "bytes")
SESSION = 40  # rounds in one session, whose context every run is sent whole


async def cut(world: World, link: Link, how: str) -> None:
    """Spoil one connection for good."""
    match how:
        case "close":
            link.close()
        case "reset":
            link.reset()
        case "bytes":  # somewhere in a frame
            link.cut_after(world.random.randint(1, 2000))
        case "hole":  # for a while, until somebody gives it up
            link.hole()
            await asyncio.sleep(world.random.uniform(0.01, 0.15))
            link.reset()
    async with asyncio.timeout(15):
        await link.gone.wait()


async def cuts(world: World, rounds: int) -> Verdict:
    """Random cuts of random devices while answers stream."""
    first = await world.device("raw")
    await world.device("stock", of=first)
    await world.device("node", of=first)
    stop = asyncio.Event()

    async def talk() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            ack = await first.say(f"tokens {world.random.randint(100, 900)} rate 700 turn {turn}")
            await first.done(ack["run_id"], 60)

    talking = asyncio.create_task(talk())
    tried = 0
    while tried < rounds and not talking.done():
        links = [link for link in world.proxy.links if not link.gone.is_set()]
        if not links:
            await asyncio.sleep(0.01)
            continue
        how = CUTS[tried % len(CUTS)]
        world.proxy.slices = world.random.choice((0, 0, 7, 200))
        several = world.random.sample(links, world.random.randint(1, len(links)))
        tried += len(several)
        await asyncio.gather(*(cut(world, link, how) for link in several))
        known = first.last_seq
        await first.reaches(known + world.random.randint(0, 30))
    stop.set()
    await talking
    verdict = await world.verdict()
    verdict.tried = tried
    return verdict


async def kills(world: World, rounds: int) -> Verdict:
    """kill -9 at random moments with answers running and waiting, and a start on what is left."""
    owners = [await world.device("raw"), await world.device("stock")]
    await world.device("raw", of=owners[0])
    await world.device("stock", of=owners[1])
    await world.device("node", of=owners[0])
    for turn in range(rounds):
        acked: list[str] = []

        async def talk(owner: Recorder, turn: int = turn, acked: list[str] = acked) -> None:
            with contextlib.suppress(Lost):
                for part in range(3):
                    wish = f"tokens {world.random.randint(1, 400)} rate 800 turn {turn}.{part}"
                    ack = await owner.send(f"{wish} of {owner.name}")
                    if ack["ok"]:
                        acked.append(ack["run_id"])

        talking = [asyncio.create_task(talk(owner)) for owner in owners]
        await asyncio.sleep(world.random.uniform(0, 0.6))
        await world.kill()
        await asyncio.gather(*talking)
        began = time.monotonic()
        await world.start()
        for owner in owners:
            ids = {
                e["run_id"] for e in (await world.logs())[owner.auth["session_id"]] if "run_id" in e
            }
            for run_id in ids:
                await owner.done(run_id, max(1, 12 - (time.monotonic() - began)))
        stored = {e.get("run_id") for log in (await world.logs()).values() for e in log}
        assert set(acked) <= stored, "what was acked is stored"
    verdict = await world.verdict()
    verdict.tried = rounds
    return verdict


async def stop_races(world: World, rounds: int) -> Verdict:
    """`stop` against the natural end: one `done`, and both sides agree on which it was."""
    verdict = Verdict()
    for turn in range(rounds):
        if turn % SESSION == 0:
            first = await world.device("raw", straight=True)
            other = await world.device("stock", of=first, straight=True)
        count = world.random.randint(1, 12)
        ack = await first.send(f"tokens {count} rate 0 turn {turn}")
        run_id = ack["run_id"]
        if delay := world.random.choice((0, 0, world.random.uniform(0, 0.012))):
            await asyncio.sleep(delay)
        stopped = await world.random.choice((first, other)).call("stop", run_id=run_id)
        done = await first.done(run_id)
        said = {"cancelled": "cancelled", "already_done": "completed"}.get(
            stopped.get("status", "")
        )
        if done["status"] != said:
            verdict.problems.append(f"stop said {stopped}, done says {done['status']}")
    verdict += await world.verdict()
    verdict.tried = rounds
    return verdict


async def storms(world: World, rounds: int) -> Verdict:
    """`send, stop, send`, pipelined: in the order sent, whatever the speed."""
    verdict = Verdict()
    for turn in range(rounds):
        if turn % SESSION == 0:
            first = await world.device("raw", straight=True)
            await world.device("stock", of=first, straight=True)
        sent = [
            ("send", {"text": f"tokens 200 rate 0 gate never at 200 storm {turn} a"}),
            ("stop", {}),
            ("send", {"text": f"tokens 2 rate 0 storm {turn} b"}),
        ]
        acks = await asyncio.gather(
            *(
                first.call(name, **payload, **({"client_msg_id": str(uuid4())} if payload else {}))
                for name, payload in sent
            )
        )
        if not all(ack["ok"] for ack in acks) or acks[1]["run_id"] != acks[0]["run_id"]:
            verdict.problems.append(f"storm {turn}: {acks}")
            continue
        dones = [await first.done(acks[0]["run_id"]), await first.done(acks[2]["run_id"])]
        if [done["status"] for done in dones] != ["cancelled", "completed"]:
            verdict.problems.append(f"storm {turn}: {[d['status'] for d in dones]}")
        if not acks[0]["seq"] < dones[0]["seq"] < acks[2]["seq"]:
            verdict.problems.append(f"storm {turn}: not in the order sent")
    verdict += await world.verdict()
    verdict.tried = 3 * rounds
    return verdict


async def joins(world: World, rounds: int) -> Verdict:
    """Devices that join between any two tokens of a fast stream."""
    first = await world.device("raw", straight=True)
    turn = 0
    run_id = ""
    for tried in range(rounds):
        if not run_id or first.events("done", run_id=run_id):
            turn += 1
            run_id = (await first.say(f"tokens 2500 rate 1000 turn {turn}"))["run_id"]
        seq = first.last_seq + world.random.randint(0, 20)
        await first.until(
            lambda seq=seq, run_id=run_id: (
                first.last_seq >= seq or bool(first.events("done", run_id=run_id)) or None
            )
        )
        joined = await world.device(("raw", "stock")[tried % 2], of=first, straight=True)
        if tried % 8 == 7:  # as many as fit on two cores beside a fast stream
            for device in world.devices[1:-3]:
                if device is not joined:
                    await device.close()
    await first.done(run_id)
    for device in world.devices:
        if isinstance(device, Recorder) and not device.live:
            await device.back()
    verdict = await world.verdict()
    verdict.tried = rounds
    return verdict


async def retries(world: World, rounds: int) -> Verdict:
    """Ten concurrent retries over several sockets: one message, one run, one upstream call."""
    first = await world.device("raw", straight=True)
    devices = [first] + [
        await world.device(make, of=first, straight=True) for make in ("stock", "raw", "raw")
    ]
    verdict = Verdict()
    for turn in range(rounds):
        text, key = f"tokens 5 rate 0 retry {turn}", str(uuid4())
        acks = await asyncio.gather(
            *(devices[n % 4].send(text, client_msg_id=key) for n in range(10))
        )
        same = {(ack.get("message_id"), ack.get("run_id"), ack.get("seq")) for ack in acks}
        started = [ack.get("status") for ack in acks].count("duplicate")
        await first.done(acks[0]["run_id"])
        again = await devices[turn % 4].send(text, client_msg_id=key)
        same.add((again["message_id"], again["run_id"], again["seq"]))
        asked = len(world.upstream.asked(text))
        if len(same) != 1 or started != 9 or asked != 1 or again["status"] != "duplicate":
            verdict.problems.append(f"retry {turn}: {len(same)} identities, {asked} upstream calls")
        other = await first.send("another text", client_msg_id=key)
        if other["ok"] or other["error"]["code"] != "conflict":
            verdict.problems.append(f"retry {turn} with another text: {other}")
    verdict += await world.verdict()
    verdict.tried = 10 * rounds
    return verdict
