"""Where the server listens, what it says of it, and what it says where it cannot start."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tests.support.fetch import fetch
from tests.support.process import free_port, process, realtime, server

EVERYWHERE = "on every address of this machine; HOST=127.0.0.1: for itself alone"


async def reached(host: str, port: str) -> bool:
    try:
        async with asyncio.timeout(20):
            return (await fetch(f"http://{host}:{port}/healthz")).status == 200
    except OSError:
        return False


@pytest.mark.parametrize(
    ("host", "said", "reachable"),
    [
        ("127.0.0.1", "localhost", ["127.0.0.1"]),
        ("0.0.0.0", "localhost", ["127.0.0.1"]),
        ("::", "localhost", ["127.0.0.1", "[::1]"]),
        ("[::]", "localhost", ["127.0.0.1", "[::1]"]),
        ("::1", "[::1]", ["[::1]"]),
    ],
)
async def test_the_address_that_it_says_works(
    tmp_path: Path, host: str, said: str, reachable: list[str]
) -> None:
    if ":" in host and not socket.has_dualstack_ipv6():
        async with process(cwd=tmp_path, HOST=host) as running:
            await running.says(f"on HOST={host.strip('[]')} cannot be used")
        return
    async with server(tmp_path, HOST=host) as running:
        await running.says("Store")
        place, _, port = running.url.removeprefix("http://").rpartition(":")
        assert place == said
        assert (EVERYWHERE in running.output) == (host in ("0.0.0.0", "::", "[::]"))
        for each in ("127.0.0.1", "[::1]"):
            assert await reached(each, port) == (each in reachable), each


async def test_a_port_alone_is_said_to_be_open_to_all(tmp_path: Path) -> None:
    port = free_port()
    async with process(cwd=tmp_path, PORT=str(port)) as running:
        await running.says(EVERYWHERE)
        assert f"http://localhost:{port}\n" in running.output
        assert await reached("127.0.0.1", str(port))


async def test_settings_without_effect_are_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ALLOWED_ORIGIN=https://app.example\n")
    async with server(tmp_path, OPENAI_MODEL="large") as running:
        assert "WARNING realtime: OPENAI_MODEL has no effect with MODEL=demo" in running.output
        assert "did you mean ALLOWED_ORIGINS?" in running.output


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("PORT=0".encode("utf-16"), "  - .env is UTF-16"),
        ("INSTRUCTIONS=höflich".encode("latin-1"), "  - .env is not UTF-8, in line 1: save it"),
        (b"DATABASE_PATH=:memory:", "  - DATABASE_PATH=:memory: must be a file"),
        (b"DATABASE_PATH=none/such/x.db", "  - DATABASE_PATH=none/such/x.db needs the folder none"),
        (b"OPENAI_BASE_URL=http://127.0.0.1:9/v1", "  - OPENAI_MODEL is missing"),
    ],
)
@pytest.mark.parametrize("option", [[], ["--check"]])
async def test_what_cannot_be_used_is_told_in_a_sentence(
    tmp_path: Path, settings: bytes, says: str, option: list[str]
) -> None:
    (tmp_path / ".env").write_bytes(settings)
    code, told = await realtime(*option, cwd=tmp_path)
    assert code == 2
    assert says in told
    assert "Traceback" not in told


async def test_an_address_that_is_not_of_this_machine_is_told(tmp_path: Path) -> None:
    code, told = await realtime(cwd=tmp_path, HOST="192.0.2.1")
    assert code == 2
    assert "  - PORT=8000 on HOST=192.0.2.1 cannot be used" in told
    assert "Traceback" not in told
