"""The client over cut connections and restarted servers: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from realtime.client import CommandError, CommandRefused, NotSent, ServerUnreachable, SessionClient
from tests.faults.scenarios import CUTS, cut
from tests.python_client.conftest import Connect
from tests.python_client.test_client_vectors import shape
from tests.support.fold import fold
from tests.support.oracle import journal
from tests.support.upstream import numbered
from tests.support.world import World, world


async def whole(client: SessionClient) -> list[dict[str, Any]]:
    """The runs as the client has them, older pages included."""
    while client.state.next_before_seq:
        await client.history(200)
    return shape(client.state)


def log(scene: World, client: SessionClient) -> list[dict[str, Any]]:
    return journal(scene.path)[str(client.session_id)]


async def test_random_cuts_lose_nothing_and_double_nothing(
    tmp_path: Path, connect: Connect
) -> None:
    """One device talks, another one watches, and their connections are cut all the while."""
    async with world(tmp_path, seed=11) as scene:
        one = await connect(scene.proxy.url)
        other = await connect(scene.proxy.url, session_id=one.session_id, token=one.token)
        over = asyncio.Event()

        async def spoil() -> int:
            count = 0
            while not over.is_set():
                links = [link for link in scene.proxy.links if not link.gone.is_set()]
                if not links:
                    await asyncio.sleep(0.01)
                    continue
                scene.proxy.slices = scene.random.choice((0, 0, 7, 200))
                await cut(scene, scene.random.choice(links), CUTS[count % len(CUTS)])
                count += 1
                known = one.state.last_seq + scene.random.randint(0, 30)
                await one.until(
                    lambda known=known: over.is_set() or one.state.last_seq >= known or None
                )
            return count

        spoiling = asyncio.create_task(spoil())
        said = [f"tokens {100 * turn} rate 700 turn {turn}" for turn in range(1, 9)]
        streamed = []
        for text in said:
            streamed.append("".join([delta async for delta in await one.send(text)]))
        over.set()
        cuts = await spoiling
        assert cuts >= 10
        assert streamed == [numbered(100 * turn) for turn in range(1, 9)]
        entries = log(scene, one)
        truth = fold(entries)
        assert [run["user_text"] for run in truth] == said
        assert await whole(one) == truth
        await other.until(lambda: other.state.last_seq >= entries[-1]["seq"] or None)
        assert await whole(other) == truth


async def test_a_server_that_is_killed_and_started_again(tmp_path: Path, connect: Connect) -> None:
    async with world(tmp_path, CONTINUE_AUTOMATICALLY="true") as scene:
        session = await connect(scene.url)
        text = "tokens 300 rate 500"
        deltas: list[str] = []
        async for delta in await session.send(text):
            before = len(deltas)
            deltas.append(delta)
            if before < 5 <= len(deltas):
                await scene.restart()
        assert "".join(deltas) == numbered(300)
        assert await whole(session) == fold(log(scene, session))


async def test_messages_said_while_there_is_no_server(tmp_path: Path, connect: Connect) -> None:
    """They wait, keep their order and are taken once; also those of a first connection."""
    async with world(tmp_path) as scene:
        await scene.kill()
        session = SessionClient(scene.url)
        try:
            coming = asyncio.create_task(session.connect())
            said = [f"tokens 5 message {number}" for number in range(3)]
            sends = [asyncio.create_task(session.send(text)) for text in said]
            given_up = asyncio.create_task(session.send("never mind"))
            await session.until(lambda: session.error)
            assert session.error.code == "unreachable"
            assert [message["text"] for message in session.pending] == [*said, "never mind"]
            given_up.cancel()
            await scene.start()
            await coming
            replies = await asyncio.gather(*sends)
            await replies[-1].done()
            assert session.pending == []
            assert [run["user_text"] for run in fold(log(scene, session))] == said
            assert Counter(r.ack["status"] for r in replies) == {"started": 1, "queued": 2}
        finally:
            await session.close()


async def test_what_was_said_in_one_session_goes_to_no_other(
    tmp_path: Path, connect: Connect
) -> None:
    async with world(tmp_path) as scene, asyncio.timeout(60):
        other = await connect(scene.url)
        await scene.kill()
        session = SessionClient(scene.url, token=other.token)
        try:
            coming = asyncio.create_task(session.connect())
            new = [asyncio.create_task(session.send(text)) for text in ("one", "two")]
            await session.until(lambda: session.error)
            joining = asyncio.create_task(session.join(other.session_id))
            await asyncio.sleep(0)
            known = [asyncio.create_task(session.send(text)) for text in ("three", "four")]
            await scene.start()
            assert await joining == other.session_id
            await coming
            for task in new:
                with pytest.raises(NotSent) as error:
                    await task
                assert error.value.code == "dropped"
            for task in known:
                await (await task).done()
            assert [run.user["text"] for run in session.state.runs] == ["three", "four"]
        finally:
            await session.close()


async def test_a_session_with_options_takes_along_what_was_said_before_it_began(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, SESSION_OPTIONS="instructions") as scene, asyncio.timeout(60):
        session = SessionClient(scene.url)
        try:
            sent = asyncio.create_task(session.send("hi"))
            await asyncio.sleep(0)
            began = await session.create(instructions="Answer as a pirate.")
            await (await sent).done()
            assert (await sent).session_id == began == session.session_id
        finally:
            await session.close()


async def test_what_waits_when_the_client_is_closed_is_told_so(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        async with SessionClient(scene.url) as session:
            holding = await session.send("tokens 20 gate more at 5")
            sent = asyncio.create_task(session.send("at once", if_busy="reject"))
            steering = asyncio.create_task(session.send("in blue", if_busy="steer"))
            await session.until(lambda: session.state.run(holding.run_id).message.text or None)
            await scene.kill()
            waiting = asyncio.create_task(session.send("later"))
            await session.until(lambda: session.error)
        for task in (sent, steering, waiting):
            with pytest.raises(CommandError) as error:
                await task
            assert error.value.code in ("busy", "dropped")


async def test_an_ack_that_is_lost_does_not_make_a_second_message(
    tmp_path: Path, connect: Connect
) -> None:
    """The connection is cut in the ack, once the message is stored."""
    async with world(tmp_path) as scene:
        session = await connect(scene.proxy.url)
        for number in range(3):
            for link in scene.proxy.links:
                link.cut_after(20)
            reply = await session.send(f"tokens 5 message {number}")
            assert (await reply.done()).status == "completed"
        texts = [e["text"] for e in log(scene, session) if e["event"] == "user_message"]
        assert texts == [f"tokens 5 message {number}" for number in range(3)]


async def test_a_server_that_drains(tmp_path: Path, connect: Connect) -> None:
    """It says so and goes; the client comes back to the next one, and the answer goes on."""
    async with world(tmp_path, CONTINUE_AUTOMATICALLY="true", DRAIN_SECONDS="0") as scene:
        session = await connect(scene.url)
        reply = await session.send("tokens 200 rate 200")
        async for _ in reply:
            break
        scene.process.child.send_signal(signal.SIGTERM)
        notice = await session.until(lambda: session.notice)
        assert notice["type"] == "draining"
        await scene.process.ended()
        await scene.end()
        await scene.start()
        assert (await reply.done()).message.text == numbered(200)
        assert session.notice is None


async def test_a_disconnect_by_the_server_is_no_end(tmp_path: Path, connect: Connect) -> None:
    """Stock clients give up there; whoever loses a share comes back, and is told why it is over."""
    async with world(tmp_path) as scene:
        owner = await connect(scene.url)
        guest = await connect(scene.url)
        await (await owner.send("tokens 5")).done()
        await guest.join(owner.session_id, await owner.share())
        await owner.unshare()
        with pytest.raises(CommandRefused) as refused:
            await guest.until(lambda: None)
        assert (refused.value.code, guest.connection) == ("not_found", "error")
        await guest.create()
        assert (await (await guest.send("tokens 5")).done()).status == "completed"


async def test_a_half_open_connection_is_given_up(tmp_path: Path, connect: Connect) -> None:
    async with world(tmp_path) as scene:
        session = await connect(scene.proxy.url)
        (link,) = scene.proxy.links
        link.hole()
        with pytest.raises(ServerUnreachable) as error:
            await session.request("history", timeout=0.2)
        assert error.value.code == "timeout"
        assert (await (await session.send("tokens 5")).done()).status == "completed"


async def test_closing_and_coming_back(tmp_path: Path, connect: Connect) -> None:
    async with world(tmp_path) as scene:
        session = await connect(scene.url)
        session_id = session.session_id
        reply = await session.send("tokens 50 rate 200")
        await session.close()
        with pytest.raises(NotSent, match="closed"):
            await reply.done()
        assert session.connection == "offline"
        await session.connect()
        assert session.session_id == session_id
        assert (await reply.done()).message.text == numbered(50)


async def test_a_token_that_is_asked_for_at_each_connection(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        async with SessionClient(scene.url) as guest:
            token = guest.token
            first = guest.session_id
        asked = 0

        async def fetch() -> str:
            nonlocal asked
            asked += 1
            if asked == 2:
                raise OSError("no sign-in at the moment")
            return token

        async with SessionClient(scene.proxy.url, session_id=first, token=fetch) as session:
            assert (session.session_id, session.access) == (first, "owner")
            scene.proxy.links[0].reset()
            await session.until(lambda: asked == 3 or None)
            assert (await (await session.send("tokens 5")).done()).status == "completed"
