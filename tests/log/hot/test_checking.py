"""An engine that servers may share is tried on real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.log.hot.address import Address
from realtime.log.hot.checking import examine, judge
from realtime.log.hot.line import Away
from tests.support.engine import KINDS, Engine
from tests.support.proxy import proxy

PREFIX = "{rt1}:"
GOOD = {
    "redis_version": "7.2.4",
    "server_name": "valkey",
    "valkey_version": "8.1.0",
    "maxmemory_policy": "noeviction",
    "aof_enabled": "1",
    "maxclients": "20",
    "connected_clients": "17",
}


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path, request.param, appendonly="yes") as running:
        yield running


async def test_a_good_engine_has_nothing_wrong_and_nothing_stays_in_it(engine: Engine) -> None:
    found = await examine(engine.address, PREFIX)
    assert found.name.startswith(("Valkey 9.", "Redis 7.0."))
    assert not found.wrong
    assert not [note for note in found.notes if "append" in note or "policy" in note]
    assert engine.tell("DBSIZE") == 0


async def test_what_it_may_lose_is_told_with_the_remedy(engine: Engine) -> None:
    engine.tell("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    engine.tell("CONFIG", "SET", "appendonly", "no")
    found = await examine(engine.address, PREFIX)
    assert [one for one in found.wrong if "allkeys-lru" in one and "set it to noeviction" in one]
    assert [note for note in found.notes if "set appendonly to yes" in note]


@pytest.mark.parametrize(
    ("denied", "why"),
    [
        (("-eval", "-evalsha"), "it must allow EVALSHA"),
        (("resetkeys",), "keys and channels that begin with {rt1}:"),
        (("resetchannels",), "channels that begin with {rt1}:"),
        (("-subscribe",), "it must allow HELLO 3, SUBSCRIBE"),
        (("-info",), "allow INFO"),
    ],
)
async def test_what_it_must_allow_is_told(
    engine: Engine, denied: tuple[str, ...], why: str
) -> None:
    engine.tell("ACL", "SETUSER", "default", *denied)
    found = await examine(engine.address, PREFIX)
    assert [problem for problem in found.wrong if why in problem], found.wrong


async def test_a_replica_is_told(engine: Engine) -> None:
    engine.tell("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(Away, match="use the primary's URL"):
        await examine(engine.address, PREFIX)


async def test_one_user_with_its_own_keys_and_channels_is_enough(engine: Engine) -> None:
    engine.tell("ACL", "SETUSER", "rt", "on", ">secret", "~{rt1}:*", "&{rt1}:*", "+@all")
    found = await examine(Address.parse(f"redis://rt:secret@127.0.0.1:{engine.port}"), PREFIX)
    assert not found.wrong


async def test_too_few_connections_are_told(engine: Engine) -> None:
    engine.tell("CONFIG", "SET", "maxclients", "3")
    found = await examine(engine.address, PREFIX)
    assert [problem for problem in found.wrong if "of its 3 connections" in problem]


async def test_a_far_engine_is_told(engine: Engine) -> None:
    async with proxy(engine.port) as between:
        between.slow_s = 0.02
        found = await examine(Address.parse(between.url.replace("http", "redis")), PREFIX)
    assert [note for note in found.notes if "another region" in note]


async def test_a_wrong_password_and_no_engine_are_told_apart(engine: Engine) -> None:
    place = f"127.0.0.1:{engine.port}"
    with pytest.raises(Away, match="take it out of the URL"):
        await examine(Address.parse(f"redis://:hidden@{place}"), PREFIX)
    engine.tell("CONFIG", "SET", "requirepass", "right")
    engine.password = "right"
    for user in (":hidden@", "nobody:hidden@"):
        with pytest.raises(Away, match="correct the user and the password") as refused:
            await examine(Address.parse(f"redis://{user}{place}"), PREFIX)
        assert "hidden" not in str(refused.value)
    with pytest.raises(Away, match="put the user and the password"):
        await examine(Address.parse(f"redis://{place}"), PREFIX)
    with pytest.raises(Away, match="such as /0"):
        await examine(Address.parse(f"redis://:right@{place}/99"), PREFIX)
    assert not (await examine(engine.address, PREFIX)).wrong
    engine.stop()
    with pytest.raises(Away, match="the engine runs"):
        await examine(engine.address, PREFIX)


async def test_tls_that_does_not_fit_is_told_with_the_remedy(tmp_path: Path) -> None:
    with Engine(tmp_path / "tls", "redis", tls=True) as engine:
        assert not (await examine(engine.address, PREFIX)).wrong
        with pytest.raises(Away, match="VALKEY_TLS=insecure"):
            await examine(Address.parse(engine.url), PREFIX)
        with pytest.raises(Away, match="that it speaks no TLS"):
            await examine(Address.parse(engine.url.replace("rediss", "redis")), PREFIX)
    with Engine(tmp_path / "plain") as engine, pytest.raises(Away, match="that it speaks TLS"):
        await examine(Address.parse(engine.url.replace("redis", "rediss")), PREFIX)


def test_what_info_tells_is_judged() -> None:
    found = judge(GOOD)
    assert (found.name, found.wrong, found.notes) == ("Valkey 8.1.0", [], [])
    for old in ({"valkey_version": "7.0.9"}, {"server_name": "redis", "redis_version": "6.2.14"}):
        assert "is too old: upgrade" in judge(GOOD | old).wrong[0]
    assert not judge(GOOD | {"server_name": "redis", "redis_version": "7.0.15"}).wrong
    assert "taken" in judge(GOOD | {"connected_clients": "18"}).wrong[0]


def test_an_eviction_policy_that_is_not_told_is_not_taken_for_a_good_one() -> None:
    lacking = {name: value for name, value in GOOD.items() if name != "maxmemory_policy"}
    assert "is not told" in judge(lacking).notes[0]
    assert "volatile-lru" in judge(GOOD | {"maxmemory_policy": "volatile-lru"}).notes[0]
