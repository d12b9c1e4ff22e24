"""Resuming: whatever was missed, in order, once; and never a silent gap."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.faults import scenarios
from tests.support.fold import fold
from tests.support.oracle import journal
from tests.support.recorder import Recorder
from tests.support.upstream import numbered
from tests.support.world import world

PAGE = 128 * 1024


def size(page: dict[str, Any]) -> int:
    return len(json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode())


def text_length(device: Recorder) -> int:
    """Of the newest answer, as far as the device has seen it."""
    last = device.entries[-1]
    return last["offset"] + len(last["delta"]) if last["event"] == "token" else 0


async def test_random_cuts_lose_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, seed=1) as scene:
        (await scenarios.cuts(scene, 40)).hold()


async def test_devices_join_between_any_two_tokens(tmp_path: Path) -> None:
    async with world(tmp_path, seed=2) as scene:
        (await scenarios.joins(scene, 24)).hold()


async def test_a_line_of_single_bytes_and_a_slow_one(tmp_path: Path) -> None:
    async with world(tmp_path, seed=3) as scene:
        first = await scene.device("raw", straight=True)
        scene.proxy.slices = 1
        await scene.device("stock", of=first)
        scene.proxy.slices, scene.proxy.slow_s = 400, 0.003
        await scene.device("raw", of=first)
        ack = await first.say("tokens 300 rate 1000")
        await first.done(ack["run_id"])
        (await scene.verdict()).hold()


async def test_a_gap_of_10000_tokens_comes_in_one_round_trip(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        first = await scene.device("raw", straight=True)
        away = await scene.device("stock", of=first, straight=True)
        ack = await first.say("tokens 10000 rate 0")
        await away.until(lambda: away.events("token") or None)
        await away.close()
        await first.done(ack["run_id"], 60)
        known, pages = away.last_seq, len(away.pages)
        await away.back()
        missed = away.pages[pages:]
        assert [page["mode"] for page in missed] == ["replay"]
        assert all(page["recovered"] and size(page) < PAGE for page in missed)
        page = await first.call("join", epoch=first.epoch, after_seq=known)
        assert page["seq"] == page["head"]
        (await scene.verdict()).hold()


async def test_a_long_gap_comes_in_pages_while_the_answer_goes_on(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        first = await scene.device("raw", straight=True)
        away = await scene.device("raw", of=first, straight=True)
        late = await scene.device("stock", of=first, straight=True)
        await asyncio.gather(away.close(), late.close())
        ack = await first.say("tokens 60000 gate more at 55000 rate 0")
        await first.until(lambda: (text_length(first) >= 8 * 55000) or None, 60)
        pages = len(away.pages)
        coming = asyncio.create_task(away.back())
        scene.upstream.gate("more").set()
        await coming
        await first.done(ack["run_id"], 60)
        await late.back()
        missed = away.pages[pages:]
        assert len(missed) > 2
        assert {page["mode"] for page in missed} == {"replay"}
        assert all(size(page) < PAGE for page in away.pages + late.pages)
        (await scene.verdict()).hold()


async def test_every_cursor_leads_to_the_same_state(tmp_path: Path) -> None:
    """Also inside of rows that were folded meanwhile, and by a process that has only the file."""
    async with world(tmp_path, seed=4) as scene:
        first = await scene.device("raw", straight=True)
        for turn in range(3):
            ack = await first.say(f"tokens 120 rate 2000 turn {turn}")
            await first.done(ack["run_id"])
        whole, live = first.entries, fold(first.entries)
        for restarted in (False, True):
            if restarted:
                await scene.restart()
                await first.reaches(whole[-1]["seq"])
            for cursor in range(0, first.last_seq + 1, 7):
                entries = [entry for entry in whole if entry["seq"] <= cursor]
                page = await first.call("join", epoch=first.epoch, after_seq=cursor)
                assert page["mode"] == ("replay" if cursor < page["head"] else "live")
                known = cursor
                for entry in page["events"]:
                    assert entry.get("first_seq", entry["seq"]) <= known + 1 <= entry["seq"]
                    known = entry["seq"]
                assert known == page["seq"] == page["head"]
                assert fold(entries + page["events"]) == live, cursor
            snapshot = await first.call("join")
            assert fold(snapshot["events"]) == live
        (await scene.verdict()).hold()


async def test_a_cursor_that_cannot_be_honoured_gets_the_snapshot(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        first = await scene.device("raw", straight=True)
        ack = await first.say("tokens 50 rate 0")
        await first.done(ack["run_id"])
        head, epoch = first.last_seq, first.epoch
        for cursor in (
            {"epoch": epoch, "after_seq": head + 1},
            {"epoch": epoch, "after_seq": 2**40},
            {"epoch": epoch + 1, "after_seq": 3},
            {"epoch": 0, "after_seq": 3},
            {"epoch": epoch},
        ):
            page = await first.call("join", **cursor)
            assert (page["mode"], page["recovered"]) == ("snapshot", False), cursor
            assert page["seq"] == page["head"] == head
            assert fold(page["events"])[0]["text"] == numbered(50)
        edge = await first.call("join", epoch=epoch, after_seq=head)
        assert (edge["mode"], edge["recovered"], edge["events"]) == ("live", True, [])


async def test_an_unknown_session_leaves_the_socket_usable(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        owner = await scene.device("raw", straight=True)
        for session_id in (str(uuid4()), owner.auth["session_id"], "no such thing"):
            stranger = scene.stranger(session_id=session_id, epoch=1, after_seq=4)
            task = asyncio.create_task(stranger.start())
            await stranger.until(lambda device=stranger: device.notices or None)
            assert stranger.notices[0][1]["error"]["code"] == "not_found"
            made = await stranger.ask("create", {})
            assert made["ok"]
            assert made["session_id"] != session_id
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_second_device_sees_the_partial_answer_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as scene:
        first = await scene.device("raw", straight=True)
        ack = await first.say("tokens 3000 rate 1000 gate end at 3000")
        await first.until(lambda: first.last_seq > 300 or None)
        for _ in range(5):
            said = scene.upstream.tapes[-1].written
            second = await scene.device("raw", of=first, straight=True)
            assert len(fold(second.entries)[0]["text"]) >= 8 * (said - 100)
        scene.upstream.gate("end").set()
        await first.done(ack["run_id"])
        (await scene.verdict()).hold()


async def test_the_journal_is_folded_and_still_whole(tmp_path: Path) -> None:
    """After `done` neighbouring tokens are one row; what was streamed is what is stored."""
    async with world(tmp_path) as scene:
        first = await scene.device("raw", straight=True)
        ack = await first.say("tokens 400 rate 1000")
        await first.done(ack["run_id"])
        async with asyncio.timeout(10):
            while len(log := journal(scene.path)[first.auth["session_id"]]) > 5:
                await asyncio.sleep(0.02)
        assert [e["event"] for e in log] == [
            "session_started", "user_message", "run", "token", "done",
        ]  # fmt: skip
        assert log[3]["delta"] == numbered(400)
        (await scene.verdict()).hold()
