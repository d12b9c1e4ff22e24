"""OPENAI_BACKGROUND over kill -9: the rest of an answer that the provider keeps is read there, and
nothing is asked twice."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from realtime.models.fitting import CONTINUE
from tests.support.process import process
from tests.support.recorder import Recorder
from tests.support.world import World, world

SECRET_ID = "resp_of_the_provider"
USAGE = {"input_tokens": 9, "output_tokens": 24}
WORDS = [f"word{number} 😀 " for number in range(30)]


def said(words: list[str], index: int = 0) -> list[dict[str, Any]]:
    """One message item."""
    item = {"type": "message", "id": f"m{index}"}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": item},
        *(
            {"type": "response.output_text.delta", "output_index": index, "delta": word}
            for word in words
        ),
    ]


def thought(*parts: str) -> list[dict[str, Any]]:
    item = {"type": "reasoning", "id": "rs", "encrypted_content": "sealed", "summary": []}
    return [
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "id": "rs"}},
        *(
            {
                "type": "response.reasoning_summary_text.delta",
                "output_index": 0,
                "summary_index": place,
                "delta": part,
            }
            for place, part in enumerate(parts)
        ),
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]


def call(name: str, index: int, arguments: str = '{"a": 1}') -> list[dict[str, Any]]:
    item = {"type": "function_call", "id": "fc", "call_id": "call_1", "name": name}
    half = {"type": "response.function_call_arguments.delta", "output_index": index}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": item},
        {**half, "delta": arguments[:4]},
        {**half, "delta": arguments[4:]},
        {
            "type": "response.output_item.done",
            "output_index": index,
            "item": {**item, "arguments": arguments},
        },
    ]


class Keeper:
    """A provider that goes on with its answers whoever listens. Of the newest there are `made`
    events so far. It takes nothing that the API does not allow."""

    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self.answers = list(answers)
        self.kept: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[dict[str, Any]] = []
        self.read: list[int | None] = []
        self.cancelled: list[str] = []
        self.lost = False
        self.url = ""
        self._made = 0
        self._more = asyncio.Condition()

    async def make(self, count: int) -> None:
        """So many events of the newest answer are there now."""
        async with self._more:
            self._made = count
            self._more.notify_all()

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "m"}]})

    async def create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if "Summarise" in str(body.get("instructions")):
            return web.Response(status=400)
        if not (body["background"] and body["store"] and body["stream"]):
            return web.json_response({"error": {"message": "not kept"}}, status=400)
        self.asked.append(body)
        name = SECRET_ID if len(self.asked) == 1 else f"{SECRET_ID}_{len(self.asked)}"
        done = {"id": name, "usage": USAGE, "output": []}
        events = [
            {"type": "response.created", "response": {"id": name}},
            *self.answers[min(len(self.asked), len(self.answers)) - 1],
            {"type": "response.completed", "response": done},
        ]
        self.kept[name] = [{**event, "sequence_number": at} for at, event in enumerate(events)]
        return await self._stream(request, name, 0)

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        name, after = request.match_info["id"], request.query.get("starting_after")
        if self.lost or name not in self.kept:
            return web.json_response({"error": {"message": "no such response"}}, status=404)
        if request.query.get("stream") != "true" or (after and int(after) < 0):
            return web.json_response({"error": {"message": "bad query"}}, status=400)
        self.read.append(None if after is None else int(after))
        return await self._stream(request, name, int(after) + 1 if after else 0)

    async def cancel(self, request: web.Request) -> web.Response:
        self.cancelled.append(request.match_info["id"])
        return web.json_response({})

    async def _stream(self, request: web.Request, name: str, at: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in self.kept[name][at:]:
            async with self._more:
                while self._made <= event["sequence_number"]:
                    await self._more.wait()
            await response.write(b"data: %s\n\n" % json.dumps(event).encode())
        return response


@asynccontextmanager
async def keeping(
    folder: Path, *answers: list[dict[str, Any]], **environ: str
) -> AsyncIterator[tuple[World, Keeper]]:
    keeper, app = Keeper(*answers), web.Application()
    app.router.add_get("/v1/models", keeper.models)
    app.router.add_post("/v1/responses", keeper.create)
    app.router.add_get("/v1/responses/{id}", keeper.retrieve)
    app.router.add_post("/v1/responses/{id}/cancel", keeper.cancel)
    async with TestServer(app, handler_cancellation=True) as server:
        keeper.url = str(server.make_url("/v1"))
        settings = {
            "OPENAI_BASE_URL": keeper.url,
            "OPENAI_MODEL": "m",
            "OPENAI_API": "responses",
            "OPENAI_BACKGROUND": "true",
            "CONTINUE_AUTOMATICALLY": "true",
            **environ,
        }
        async with world(folder, **settings) as scene:
            yield scene, keeper


def text(one: Recorder, kind: str = "text") -> str:
    """Put together, and nothing doubled: each delta begins where the last one ended."""
    whole = ""
    for token in one.events("token", kind=kind):
        assert token["offset"] == len(whole.encode("utf-16-le")) // 2
        whole += token["delta"]
    return whole


async def shows(one: Recorder, wanted: str, kind: str = "text") -> None:
    await one.until(lambda: text(one, kind).endswith(wanted) or None)


def kept_rows(scene: World) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(scene.path)) as journal:
        return journal.execute(
            "SELECT seq, event_type FROM events WHERE CAST(provider_state AS TEXT) LIKE ?",
            [f"%{SECRET_ID}%"],
        ).fetchall()


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
        for device in (one, two):
            done = await device.done(run_id)
            assert done["status"] == "completed"
            assert done["text"] == text(device) == "".join(first) + "\n\n" + "".join(second)
            assert text(device, "reasoning") == "Hm. \n\nSo."
            assert done["usage"] == USAGE, "counted once"
            assert len(device.events("done")) == 1
        assert len(keeper.asked) == 1
        assert keeper.read == [None] * 3
        assert keeper.cancelled == []
        assert SECRET_ID not in json.dumps([one.seen, two.seen, one.pages, one.notices])
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
