"""OPENAI_BACKGROUND over kill -9: the rest of an answer that the provider keeps is read there, and
nothing is asked twice."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from realtime.models.fitting import CONTINUE
from tests.support.keeping import (
    SECRET_ID,
    USAGE,
    WORDS,
    call,
    keeping,
    kept_rows,
    said,
    shows,
    text,
    thought,
    whole,
)
from tests.support.process import process


async def test_the_rest_is_read_after_each_kill(tmp_path: Path) -> None:
    first, second = WORDS[:10], WORDS[10:]
    answer = [*thought("Hm. ", "So."), *said(first, 1), *said(second, 2)]
    async with keeping(tmp_path, answer) as (scene, keeper):
        one = await scene.device("raw")
        two = await scene.device("stock", of=one)
        run_id = (await one.send("go"))["run_id"]
        kills = [(3, "Hm. ", "reasoning"), (9, first[2], "text"), (24, second[6], "text")]
        for count, shown, kind in kills:
            await keeper.make(count)
            await shows(one, shown, kind)
            assert {kind for _, kind in kept_rows(scene)} == {"run"}
            assert min(seq for seq, _ in kept_rows(scene)) < one.events("token")[0]["seq"]
            await scene.restart()
        await keeper.make(100)
        await whole(keeper, (one, two), run_id, first, second)
        session_id = one.auth["session_id"]
        export = (sys.executable, "-m", "realtime", "sessions", "export", session_id)
        async with process(*export, cwd=tmp_path) as command:
            await command.ended()
            assert "word29" in command.output
            assert SECRET_ID not in command.output


async def test_killed_before_the_first_word(tmp_path: Path) -> None:
    async with keeping(tmp_path, said(WORDS)) as (scene, keeper):
        one = await scene.device("raw")
        run_id = (await one.send("go"))["run_id"]
        await keeper.make(1)
        await one.until(lambda: one.events("run", status="resumed") or None)
        await scene.restart()
        await keeper.make(100)
        done = await one.done(run_id)
        assert (done["status"], done["text"]) == ("completed", "".join(WORDS))
        assert len(keeper.asked) == 1


DESK = """
from pathlib import Path
from realtime.tools import tool

@tool
def look(a: int) -> str:
    "Look something up."
    with Path("calls.txt").open("a") as effects:
        effects.write(f"{a}\\n")
    return "seen"
"""


@pytest.mark.parametrize("count", [5, 6, 8])
async def test_a_call_that_was_being_written_is_made_once(tmp_path: Path, count: int) -> None:
    """Killed when it has begun, inside its arguments, and when it is whole."""
    (tmp_path / "desk.py").write_text(DESK)
    answers = ([*said(["I look. "]), *call("look", 1)], said(["Seen."]))
    async with keeping(tmp_path, *answers, TOOLS="desk") as (scene, keeper):
        one = await scene.device("raw")
        run_id = (await one.send("go"))["run_id"]
        status = "ready" if count == 8 else "streaming"
        await keeper.make(min(count, 7))
        await one.until(lambda: one.events("tool_call", status=status) or None)
        await scene.restart()
        await keeper.make(100)
        done = await one.done(run_id)
        assert (done["status"], done["text"]) == ("completed", "I look. \n\nSeen.")
        assert done["usage"] == {name: 2 * count for name, count in USAGE.items()}
        assert (tmp_path / "calls.txt").read_text() == "1\n"
        calls = {event["tool_call_id"] for event in one.events("tool_call")}
        assert len(calls) == 1
        assert [event["status"] for event in one.events("tool_call")] == [
            "streaming",
            "ready",
            "running",
            "completed",
        ]
        assert len(keeper.asked) == 2


def search(index: int) -> list[dict[str, Any]]:
    """A search of the provider's own."""
    item = {"type": "web_search_call", "id": "ws", "status": "in_progress"}
    done = {**item, "status": "completed", "action": {"type": "search", "query": "words"}}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": item},
        {"type": "response.output_item.done", "output_index": index, "item": done},
    ]


def citing(words: list[str], index: int) -> list[dict[str, Any]]:
    """One message item that cites a page for its first word."""
    begun = said(words, index)
    note = {"type": "url_citation", "url": "https://a.example", "title": "A"}
    whole = "".join(words)
    part = {
        "type": "output_text",
        "text": whole,
        "annotations": [{**note, "start_index": 0, "end_index": len(words[0])}],
    }
    item = {**begun[0]["item"], "content": [part]}
    return [*begun, {"type": "response.output_item.done", "output_index": index, "item": item}]


@pytest.mark.parametrize("count", [2, 3, 5, 14, 15, 16])
async def test_searches_and_sources_stand_there_once(tmp_path: Path, count: int) -> None:
    """Killed in the search, behind it, in the text, at its end, behind its sources, and later."""
    answer = [*search(0), *citing(WORDS[:10], 1), *said(WORDS[10:], 2)]
    async with keeping(tmp_path, answer, HOSTED_TOOLS="web_search") as (scene, keeper):
        one = await scene.device("raw")
        run_id = (await one.send("go"))["run_id"]
        await keeper.make(count)
        if count in (5, 14):
            await shows(one, WORDS[count - 5])
        else:
            kind, least = ("tool_call", count - 1) if count < 5 else ("sources", 1)
            await one.until(lambda: len(one.events(kind)) >= least or None)
        await scene.restart()
        await keeper.make(100)
        done = await one.done(run_id)
        assert (done["status"], len(keeper.asked)) == ("completed", 1)
        assert done["text"] == text(one) == "".join(WORDS[:10]) + "\n\n" + "".join(WORDS[10:])
        calls = [(call["tool_call_id"], call["status"]) for call in one.events("tool_call")]
        assert [status for _, status in calls] == ["running", "completed"]
        assert len({call_id for call_id, _ in calls}) == 1
        cited = [source for event in one.events("sources") for source in event["sources"]]
        length = len(WORDS[0].encode("utf-16-le")) // 2
        page = {"url": "https://a.example", "title": "A", "start": 0, "end": length}
        assert cited == [page]


async def test_an_answer_that_is_lost_there_is_continued(tmp_path: Path) -> None:
    async with keeping(tmp_path, said(WORDS[:20]), said(WORDS[20:])) as (scene, keeper):
        one = await scene.device("raw")
        run_id = (await one.send("go"))["run_id"]
        await keeper.make(12)
        await shows(one, WORDS[9])
        keeper.lost = True
        keeper.answers[1] = said(WORDS[10:])
        await scene.restart()
        await keeper.make(100)
        first = await one.done(run_id)
        assert (first["status"], first["text"]) == ("interrupted", "".join(WORDS[:10]))
        done = await one.done(first["continued_by"])
        assert (done["status"], done["text"]) == ("completed", "".join(WORDS))
        assert keeper.asked[-1]["input"][-1]["content"] == CONTINUE


async def test_a_stop_after_the_crash_cancels_it_there(tmp_path: Path) -> None:
    async with keeping(tmp_path, said(WORDS)) as (scene, keeper):
        one = await scene.device("raw")
        run_id = (await one.send("go"))["run_id"]
        await keeper.make(12)
        await shows(one, WORDS[9])
        await scene.restart()
        await keeper.make(14)
        await shows(one, WORDS[11])
        ack = await one.call("stop")
        assert ack["status"] == "cancelled"
        assert (await one.done(run_id))["status"] == "cancelled"
        async with asyncio.timeout(10):
            while not keeper.cancelled:
                await asyncio.sleep(0.01)
        assert keeper.cancelled == [SECRET_ID]
