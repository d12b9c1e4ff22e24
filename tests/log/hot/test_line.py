"""Connections to real engines: in order, in time, and made anew."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from realtime.log.hot.address import Address
from realtime.log.hot.line import Away, Ear, EngineError, Line
from realtime.log.hot.scripts import Script
from tests.support.engine import KINDS, Engine
from tests.support.postgres_server import free_port
from tests.support.proxy import proxy

PATIENCE_S = 30


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path, request.param, appendonly="yes", appendfsync="always") as running:
        yield running


def line(address: Address) -> Line:
    """One that is connected inside of `async with`."""
    return Line(address, "test")


class Ups:
    """The connects of a line after the first."""

    def __init__(self) -> None:
        self.up = asyncio.Event()

    def __call__(self) -> None:
        self.up.set()

    async def again(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.up.wait()
        self.up.clear()


class Heard(asyncio.Queue[bytes]):
    async def next(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.get()


async def test_answers_come_in_the_order_of_the_calls(engine: Engine) -> None:
    async with line(engine.address) as one:
        counted = await asyncio.gather(*(one.call("INCR", "n") for _ in range(1000)))
        assert counted == list(range(1, 1001))
        echoed = await asyncio.gather(*(one.call("ECHO", f"{n}") for n in range(1000)))
        assert echoed == [b"%d" % n for n in range(1000)]


async def test_several_commands_are_answered_in_their_order(engine: Engine) -> None:
    async with line(engine.address) as one:
        many = one.call_all(("INCR", "n") for _ in range(1000))
        counted = await asyncio.gather(one.call("INCR", "n"), many, one.call("INCR", "n"))
        assert counted == [1, list(range(2, 1002)), 1002]
        assert await one.call_all([]) == []


async def test_one_of_several_that_fails_does_not_shift_the_answers(engine: Engine) -> None:
    async with line(engine.address) as one:
        with pytest.raises(EngineError):
            await one.call_all((("SET", "text", "a"), ("INCR", "text"), ("ECHO", "b")))
        assert await one.call("ECHO", "mine") == b"mine"


async def test_bytes_stay_bytes_however_many(engine: Engine) -> None:
    large = os.urandom(4 << 20)
    odd = b"\x00\r\n$-1\r\n\xff"
    async with line(engine.address) as one:
        assert await one.call("SET", odd, large) == b"OK"
        assert await one.call("GET", odd) == large
        assert await one.call("MGET", odd, "none") == [large, None]
        assert await one.call("ECHO", "größer") == "größer".encode()
        assert await one.call("RPUSH", "list", 1, -2) == 2


async def test_a_caller_that_gives_up_does_not_shift_the_answers(engine: Engine) -> None:
    async with line(engine.address) as one:
        blocked = asyncio.create_task(one.call("BLPOP", "list", 1))
        asked = asyncio.create_task(one.call("ECHO", "mine"))
        await asyncio.sleep(0)
        blocked.cancel()
        assert await asked == b"mine"


async def test_it_comes_back_after_the_engine_was_killed(engine: Engine) -> None:
    async with line(engine.address) as one:
        one.on_up = ups = Ups()
        before = one.run_id
        assert before == engine.tell("INFO", "server")["run_id"]
        await one.call("SET", "kept", "yes")
        waiting = asyncio.create_task(one.call("BLPOP", "list", 0))
        await asyncio.sleep(0)
        engine.kill()
        with pytest.raises(Away, match=f"127.0.0.1:{engine.port}"):
            await waiting
        with pytest.raises(Away):
            await one.call("PING")
        engine.start()
        await ups.again()
        assert await one.call("GET", "kept") == b"yes"
        assert one.run_id == engine.tell("INFO", "server")["run_id"] != before


async def test_a_frozen_engine_is_away_until_it_goes_on(engine: Engine) -> None:
    async with line(engine.address) as one:
        one.on_up = ups = Ups()
        engine.freeze()
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(Away, match="did not answer within 2 s"):
                await one.call("PING")
        with pytest.raises(Away):
            await one.call("PING")
        engine.thaw()
        await ups.again()
        assert await one.call("ECHO", "back") == b"back"


async def test_a_frozen_engine_lets_nobody_start(engine: Engine) -> None:
    engine.freeze()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(Away, match="did not answer within 1 s"):
            await Line(engine.address, "test").start()


def test_the_loop_of_the_server_does_as_well(engine: Engine) -> None:
    async def story() -> None:
        heard, ups = Heard(), Ups()
        async with line(engine.address) as one, ear(engine.address, heard, Ups()):
            one.on_up = ups
            large = os.urandom(4 << 20)
            assert await one.call("PUBLISH", "channel", large) == 1
            assert await heard.next() == large
            engine.kill()
            engine.start()
            await ups.again()
            assert await one.call("ECHO", "back") == b"back"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story())


async def test_closing_ends_what_waits(engine: Engine) -> None:
    async with line(engine.address) as one:
        waiting = asyncio.create_task(one.call("BLPOP", "list", 0))
        await asyncio.sleep(0)
        await one.close()
        with pytest.raises(Away, match="was closed"):
            await waiting
        with pytest.raises(Away, match="was closed"):
            await one.call("PING")


async def test_nobody_there_is_told_at_once_and_the_start_may_be_tried_again(
    tmp_path: Path,
) -> None:
    engine = Engine(tmp_path)
    one = Line(engine.address, "test")
    with pytest.raises(Away, match=f"127.0.0.1:{engine.port} cannot be reached"):
        await one.start()
    with pytest.raises(Away):
        await one.call("PING")
    with engine:
        await one.start()
        assert await one.call("PING") == b"PONG"
        await one.close()


async def test_it_signs_in_chooses_the_database_and_has_a_name(tmp_path: Path) -> None:
    with Engine(tmp_path, requirepass="p@ss/word %") as engine:
        engine.tell("ACL", "SETUSER", "worker", "on", ">sec:ret", "~*", "&*", "+@all")
        place = f"127.0.0.1:{engine.port}"
        async with line(Address.parse(f"redis://:p%40ss%2Fword%20%25@{place}/3")) as one:
            mine = await one.call("CLIENT", "LIST", "ID", await one.call("CLIENT", "ID"))
            assert b" name=test " in mine
            assert b" db=3 " in mine
        engine.tell("ACL", "SETUSER", "open", "on", "nopass", "~*", "&*", "+@all")
        for user, who in (("worker:sec%3Aret", b"worker"), ("open", b"open")):
            async with line(Address.parse(f"redis://{user}@{place}")) as one:
                assert await one.call("ACL", "WHOAMI") == who
        for wrong in (":hidden@", "worker:hidden@"):
            with pytest.raises(Away, match="WRONGPASS") as refused:
                await Line(Address.parse(f"redis://{wrong}{place}"), "test").start()
            assert "hidden" not in str(refused.value)
        with pytest.raises(Away, match="NOAUTH"):
            await Line(Address.parse(f"redis://{place}"), "test").start()
        with pytest.raises(Away, match="DB index is out of range"):
            await Line(Address.parse(f"redis://worker:sec%3Aret@{place}/99"), "test").start()


async def test_an_engine_that_tells_nothing_of_itself_has_no_run_id(engine: Engine) -> None:
    engine.tell("ACL", "SETUSER", "default", "-info", "-client")
    async with line(engine.address) as one:
        assert one.run_id == ""
        with pytest.raises(EngineError, match="NOPERM") as refused:
            await one.call("INFO")
        assert refused.value.code == "NOPERM"


async def test_tls_is_checked_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(tmp_path, "redis", tls=True) as engine:
        async with line(engine.address) as one:
            assert await one.call("PING") == b"PONG"
        with pytest.raises(Away, match="CERTIFICATE_VERIFY_FAILED"):
            await Line(Address.parse(engine.url), "test").start()
        monkeypatch.setenv("SSL_CERT_FILE", str(engine.certificate))
        async with line(Address.parse(engine.url)) as one:
            assert await one.call("PING") == b"PONG"
        with pytest.raises(Away):
            await Line(Address.parse(engine.url.replace("rediss", "redis")), "test").start()


# ----------------------------------------------------------------- what passes


async def test_an_engine_without_memory_is_away(engine: Engine) -> None:
    async with line(engine.address) as one:
        engine.tell("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Away, match="OOM"):
            await one.call("SET", "key", "value")
        with pytest.raises(Away, match="OOM"):
            await one.call("EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "key")
        engine.tell("CONFIG", "SET", "maxmemory", "0")
        assert await one.call("SET", "key", "value") == b"OK"


async def test_a_replica_is_away_and_looked_up_anew(engine: Engine) -> None:
    async with line(engine.address) as one:
        one.on_up = ups = Ups()
        engine.tell("REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(Away, match="READONLY"):
            await one.call("SET", "key", "value")
        engine.tell("REPLICAOF", "NO", "ONE")
        await ups.again()
        assert await one.call("SET", "key", "value") == b"OK"


async def test_an_engine_that_reads_its_data_is_away(engine: Engine) -> None:
    engine.tell("EVAL", "for n = 1, 20000 do redis.call('SET', n, n) end", 0)
    engine.tell("BGREWRITEAOF")
    async with asyncio.timeout(PATIENCE_S):
        while engine.tell("INFO", "persistence")["aof_rewrite_in_progress"]:
            await asyncio.sleep(0.02)
    async with line(engine.address) as one:
        one.on_up = ups = Ups()
        engine.stop()
        slow = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
        engine.start(*slow, until_loaded=False)
        with pytest.raises(Away, match="LOADING"):
            await Line(engine.address, "other").start()
        assert not ups.up.is_set()
        engine.tell("CONFIG", "SET", "key-load-delay", "0")
        await ups.again()
        assert await one.call("GET", "20000") == b"20000"


# ----------------------------------------------------------------- scripts


async def test_a_script_that_the_engine_forgot_is_told_to_it_again(engine: Engine) -> None:
    script = Script("check")
    async with line(engine.address) as one:
        assert await script(one, "{rt1}:", "word", "channel") == b"word"
        engine.tell("SCRIPT", "FLUSH")
        assert await script(one, "{rt1}:", "word", "channel") == b"word"
        known = engine.tell("INFO", "memory")["number_of_cached_scripts"]
        assert known == 1
        with pytest.raises(EngineError):
            await script(one, "{rt1}:")


# ----------------------------------------------------------------- ears


@asynccontextmanager
async def ear(address: Address, heard: Heard, ups: Ups) -> AsyncIterator[Ear]:
    one = Ear(address, "test-ear", ["channel"], heard.put_nowait, ups)
    await one.start()
    try:
        yield one
    finally:
        await one.close()


async def test_an_ear_hears_whole_frames_and_no_probe(engine: Engine) -> None:
    heard, large = Heard(), os.urandom(4 << 20)
    async with ear(engine.address, heard, Ups()), line(engine.address) as one:
        for frame in (large, b"", b"\x00\r\n"):
            assert await one.call("PUBLISH", "channel", frame) == 1
            assert await heard.next() == frame
        await one.call("PUBLISH", "channel", "?")
        await one.call("PUBLISH", "channel", "last")
        assert await heard.next() == b"last"


async def test_an_ear_that_was_cut_off_hears_again(engine: Engine) -> None:
    heard, ups = Heard(), Ups()
    async with ear(engine.address, heard, ups):
        assert engine.tell("CLIENT", "KILL", "TYPE", "pubsub") == 1
        await ups.again()
        assert engine.tell("PUBLISH", "channel", "again") == 1
        assert await heard.next() == b"again"


async def test_a_deaf_ear_connects_anew(engine: Engine) -> None:
    """The engine answers it, but what is published does not arrive."""
    heard, ups = Heard(), Ups()
    async with proxy(engine.port) as between:
        between.rewrites = (b"SUBSCRIBE\r\n$7\r\nchannel", b"SUBSCRIBE\r\n$7\r\nanother")
        async with ear(Address.parse(between.url.replace("http", "redis")), heard, ups):
            assert engine.tell("PUBLISH", "channel", "lost") == 0
            between.rewrites = (b"", b"")
            await ups.again()
            assert engine.tell("PUBLISH", "channel", "again") == 1
            assert await heard.next() == b"again"


async def test_an_ear_behind_a_black_hole_connects_anew(engine: Engine) -> None:
    heard, ups = Heard(), Ups()
    async with proxy(engine.port) as between:
        address = Address.parse(between.url.replace("http", "redis"))
        async with ear(address, heard, ups):
            for link in between.links:
                link.hole()
            await ups.again()
            assert engine.tell("PUBLISH", "channel", "again") >= 1
            assert await heard.next() == b"again"


async def test_an_ear_that_may_not_listen_is_told(engine: Engine) -> None:
    engine.tell("ACL", "SETUSER", "default", "resetchannels")
    with pytest.raises(Away, match="NOPERM"):
        await Ear(engine.address, "test-ear", ["channel"], lambda said: None).start()
