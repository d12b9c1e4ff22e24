"""What devices offer, how their users are called, and what was read: the same on any worker."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from realtime.core.user import User
from realtime.live.presence import Presence
from tests.support.cluster import PREFIX, Cluster, cluster
from tests.support.fetch import fetch
from tests.support.recorder import Recorder
from tests.workers.test_owners import at, elsewhere

NOBODY = b"\x90"
"""An empty list, as workers tell the engine who watches."""


async def offer(device: Recorder, name: str) -> None:
    tools = [{"name": name, "description": "A tool of this device."}]
    cursor = {"epoch": device.epoch, "after_seq": device.last_seq}
    assert (await device.call("join", **cursor, tools=tools))["ok"]


async def models_know(world: Cluster, device: Recorder, *names: str) -> None:
    """Ask until the model is given these tools."""
    known: set[str] = set()
    async with asyncio.timeout(30):
        while not known.issuperset(names):
            ack = await device.say("tokens 1 rate 0 which tools?")
            await device.done(ack["run_id"])
            body = world.upstream.asked("tokens 1 rate 0 which tools?")[-1].body
            known = {tool["function"]["name"] for tool in body.get("tools", ())}


async def test_the_next_owner_knows_the_tools_of_devices_that_stay(tmp_path: Path) -> None:
    async with cluster(tmp_path, CLIENT_TOOLS="true") as world:
        owner = await world.device("raw", straight=True)
        second = await elsewhere(world, owner)
        (port,) = {*world.ports} - {at(owner), at(second)}
        third: Any = await world.device("raw", of=owner, url=f"http://127.0.0.1:{port}")
        await offer(second, "of_the_second")
        await offer(third, "of_the_third")
        await models_know(world, second, "of_the_second", "of_the_third")
        await world.kill(at(owner))
        await models_know(world, second, "of_the_second", "of_the_third")
        assert second.connects == third.connects == 1, "one of their workers writes it now"
        owner.url = second.url
        (await world.verdict()).hold()


async def test_integers_of_any_length_reach_the_owner(tmp_path: Path) -> None:
    async with cluster(tmp_path, CLIENT_TOOLS="true") as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)
        long = {"type": "integer", "minimum": -(10**98), "maximum": 10**99}
        schema = {"type": "object", "properties": {"n": long}}
        tools = [{"name": "long", "description": "Takes a number.", "parameters": schema}]
        cursor = {"epoch": other.epoch, "after_seq": other.last_seq}
        assert (await other.call("join", **cursor, tools=tools))["ok"]
        await models_know(world, other, "long")
        ack = await other.say('tool long {"n": 1}')
        (call,) = await other.until(
            lambda: other.events("tool_call", status="awaiting_client") or None
        )
        given = {"tool_call_id": call["tool_call_id"], "output": [10**99, -(2**64)]}
        assert (await other.call("tool_result", **given))["ok"]
        await other.done(ack["run_id"])
        assert other.events("tool_call")[-1]["output"] == given["output"]
        (await world.verdict()).hold()


async def test_a_guest_is_called_anew_on_every_worker(tmp_path: Path) -> None:
    async with cluster(tmp_path) as world:
        owner = await world.device("raw", straight=True)
        other = await elsewhere(world, owner)
        for name in ("Grace", "Ada", ""):
            assert (await owner.ask("auth", {"token": owner.auth["token"], "name": name}))["ok"]
            async with asyncio.timeout(30):
                while True:
                    ack = await other.say("tokens 1 rate 0 who am I?")
                    await other.done(ack["run_id"])
                    if other.events("user_message")[-1].get("name", "") == name:
                        break
            for device in (owner, other):
                await device.until(lambda device=device, name=name: called(device) == name or None)


def called(device: Recorder) -> str | None:
    """The one who is here, as the device was told last."""
    told = [payload["people"] for kind, payload in device.notices if kind == "presence"]
    return told[-1][0].get("name", "") if told else None


def test_every_worker_tells_the_same_name() -> None:
    here, there = Presence(), Presence()
    ada, grace, nameless = (User("u", name=name) for name in ("Ada", "Grace", None))
    for sid, user in enumerate((grace, ada, nameless)):
        here.enter(str(sid), user)
    assert [one.name for one in here.people()] == ["Ada"], "the newest"
    there.enter("1", grace)
    there.told("here", [*here.devices.values()])
    here.told("there", [grace])
    assert [one.name for one in here.people()] == [one.name for one in there.people()]


async def test_the_owner_has_read_it_on_any_worker(tmp_path: Path) -> None:
    async with cluster(tmp_path, GRACE_SECONDS="120") as world:
        owner = await world.device("raw", straight=True)
        ack = await owner.say("tokens 20 gate read at 10")
        await owner.close()
        guest = await elsewhere(world, owner)
        await guest.close()
        token = owner.auth["token"]

        async def unread(wanted: bool) -> None:
            async with asyncio.timeout(30):
                while True:
                    page = (await fetch(f"{owner.url}/api/sessions", token)).json()
                    if page["sessions"][0]["unread"] is wanted:
                        break
                    await asyncio.sleep(0.1)

        watching = f"{PREFIX}d:{owner.auth['session_id']}"
        async with asyncio.timeout(30):
            while any(users != NOBODY for users in world.engine.tell("HVALS", watching)):
                await asyncio.sleep(0.1)
        world.upstream.gate("read").set()
        await unread(True)
        await guest.back()
        await unread(False)
        assert guest.events("done", run_id=ack["run_id"])
