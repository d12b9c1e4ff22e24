"""A worker that alone is cut off from the engine: others write its sessions, its devices move."""

from __future__ import annotations

from pathlib import Path

from tests.support.cluster import Cluster, cluster
from tests.support.fetch import fetch
from tests.support.proxy import Proxy, proxy
from tests.support.supabase_lite import SupabaseLite
from tests.workers.test_owners import LEASE_S, elsewhere


async def behind(line: Proxy, world: Cluster) -> int:
    """A worker that reaches the engine over this line alone."""
    port = world.ports[0]
    await world.kill(port)
    engine = world.engine.url.replace(str(world.engine.port), line.url.rpartition(":")[2])
    await world.start(VALKEY_URL=engine)
    return port


async def test_its_devices_move(tmp_path: Path) -> None:
    async with cluster(tmp_path) as world, proxy(world.engine.port) as line:
        alone = await behind(line, world)
        cut_off = await world.device("raw", url=f"http://127.0.0.1:{alone}")
        other = await elsewhere(world, cut_off)
        ack = await cut_off.say("tokens 3000 rate 150 here")
        await other.reaches(ack["seq"] + 50)
        line.cut()
        done = await other.done(ack["run_id"], LEASE_S + 4)
        assert done["status"] == "interrupted"
        later = await other.say("tokens 10 rate 0 elsewhere")
        await other.done(later["run_id"])
        await cut_off.until(
            lambda: ("server", {"type": "storage_away"}) in cut_off.notices or None, 10
        )
        cut_off.url = world.proxy.url
        await cut_off.done(later["run_id"], 75)
        (await world.verdict()).hold()
        assert all(page["recovered"] for page in cut_off.pages[1:])
        assert other.connects == 1


async def test_supabase_tells_that_it_is_alone(project: SupabaseLite, tmp_path: Path) -> None:
    given = {"SUPABASE_URL": project.url, "SUPABASE_KEY": project.secret_key}
    async with cluster(tmp_path, **given) as world, proxy(world.engine.port) as line:
        alone = f"http://127.0.0.1:{await behind(line, world)}"
        owner = await world.device("raw", url=f"http://127.0.0.1:{world.ports[1]}")
        watching = await world.device("raw", of=owner, url=alone)
        line.cut()
        ack = await owner.say("tokens 10 rate 0 unseen over there")
        await watching.until(
            lambda: ("server", {"type": "storage_away"}) in watching.notices or None, 10
        )
        watching.url = world.proxy.url
        await watching.done(ack["run_id"], 40)  # without Supabase it is a minute
        assert (await fetch(f"{alone}/readyz")).status == 503
        assert watching.pages[-1]["recovered"]
