"""Tools that the provider runs, and what its answers cite: of both APIs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from realtime.cli import admin
from realtime.core.rows import SessionRow
from realtime.models.openai import OpenAIModel
from realtime.protocol import decode_event, to_json
from tests.dialects.conftest import Meet
from tests.dialects.hosted_tools import FOUND, IN_UTF16, PAGE, HostedTools
from tests.dialects.outcomes import agreed, calls, completes, whole
from tests.dialects.responses import OpenAIResponses
from tests.dialects.responses_streams import completed, event, said
from tests.dialects.rules import Fault
from tests.dialects.streams import DONE, sse
from tests.support.device import Device
from tests.support.serving import Serve


async def test_a_search_is_told_and_goes_back_as_it_was(meet: Meet) -> None:
    talk = await meet(HostedTools())
    (upstream,) = talk.upstreams
    done = await talk.ask("What is the weather?", "search")
    run_id = done["run_id"]
    assert (done["status"], done["text"]) == ("completed", FOUND)
    begun, ended = talk.events("tool_call", run_id)
    assert [begun["status"], ended["status"]] == ["running", "completed"]
    assert begun["tool_call_id"] == ended["tool_call_id"]
    assert (ended["name"], ended["hosted"]) == ("web_search", True)
    assert ended["arguments"] == {"action": {"type": "search", "query": "weather"}}
    (cited,) = talk.events("sources", run_id)
    assert cited["sources"] == [{**PAGE, **IN_UTF16}]
    utf16 = FOUND.encode("utf-16-le")
    assert utf16[2 * IN_UTF16["start"] : 2 * IN_UTF16["end"]].decode("utf-16-le") == "It rains"
    row = SessionRow(session_id="s", user_id="u", start_time=0)
    events = [decode_event("sources", to_json(cited))]
    assert f"- Berlin: {PAGE['url']}" in admin.as_markdown(row, events)
    tools = upstream.bodies[0]["tools"]
    assert [tool["type"] for tool in tools[-2:]] == ["web_search", "image_generation"]

    await completes(talk, "Thanks.", "All is well.", "say")
    await calls(talk, "How many messages today?", 2, "call", "search")
    await completes(talk, "And now?", "All is well.", "say")
    await talk.close()
    await talk.open()
    await completes(talk, "Still there?", "All is well.", "say")
    agreed(talk)
    whole(talk)
    assert len(upstream.provider.searched) == 2  # type: ignore[attr-defined]
    assert (await talk.end())["status"] == "done"
    assert "tools" not in upstream.bodies[-1], "a summary needs none"


async def test_a_place_counts_from_the_beginning_of_the_message(meet: Meet) -> None:
    talk = await meet(HostedTools())
    done = await talk.ask("How many messages today? And the weather?", "call", "search")
    assert done["text"] == f"One moment.\n\n{FOUND}"
    (cited,) = talk.events("sources", done["run_id"])
    before = len("One moment.\n\n")
    assert cited["sources"][0]["start"] == before + IN_UTF16["start"]


async def test_calls_of_the_provider_do_not_count(
    meet: Meet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.runs.execute.MAX_CALLS", 0)
    talk = await meet(HostedTools())
    assert (await talk.ask("What is the weather?", "search"))["status"] == "completed"
    assert (await talk.ask("How many messages today?", "call"))["status"] == "limit"


@pytest.mark.parametrize("how", ["stop", "end of the server"])
async def test_a_search_ends_with_its_run(meet: Meet, how: str) -> None:
    talk = await meet(HostedTools(), drain_seconds=0)
    run_id = await talk.send("What is the weather?", "search that lasts")
    await talk.called(run_id, "running")
    if how == "stop":
        done = await talk.stop(run_id)
        assert done["status"] == "cancelled"
        assert talk.events("tool_call", run_id)[-1]["status"] == "cancelled"
    else:
        await talk.close()
        await talk.open()
        done = await talk.done(run_id)
        assert done["status"] == "interrupted"
        last = talk.events("tool_call", run_id)[-1]
        assert (last["status"], last["error"]["code"]) == ("failed", "unknown_outcome")
    await completes(talk, "Again.", FOUND, "search")
    agreed(talk)


async def test_one_that_a_model_refuses_is_left_out(meet: Meet) -> None:
    provider = HostedTools()
    provider.refuses = "image_generation"
    talk = await meet(provider)
    await completes(talk, "What is the weather?", FOUND, "search")
    await completes(talk, "Thanks.", "All is well.", "say")
    agreed(talk)
    kinds = [tool["type"] for tool in talk.upstreams[0].bodies[-1]["tools"]]
    assert kinds == ["function", "web_search"]


async def test_another_model_gets_neither_the_tools_nor_their_calls(meet: Meet) -> None:
    plain = OpenAIResponses()
    talk = await meet(HostedTools(), plain)
    first, second = talk.upstreams
    await completes(talk, "What is the weather?", FOUND, "search")
    first.failing = Fault("gone", 500)
    await completes(talk, "And tomorrow?", "All is well.")
    assert second.refused == []
    assert [tool["type"] for tool in second.bodies[-1]["tools"]] == ["function"]


# ------------------------------------------------------------------ streams as they come

CODE = {"type": "code_interpreter_call", "id": "ci_1", "status": "in_progress", "code": "1+1"}
RAN = {**CODE, "status": "completed", "outputs": [{"type": "logs", "logs": "2"}]}
FILES = {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["a"]}
IMAGE = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AAAA"}
MCP = {"type": "mcp_call", "id": "mcp_1", "server_label": "wiki", "name": "read"}
READ = {**MCP, "arguments": '{"page": "a"}', "output": "text", "error": None}
FAILED = {**MCP, "arguments": "{}", "output": None, "error": {"message": "no such page"}}
FILE = {"type": "file_citation", "file_id": "file-1", "filename": "a.txt", "index": 5}
SCRIPT = {"type": "url_citation", "url": "javascript:alert(1)", "start_index": 0, "end_index": 1}
FAR = {"type": "url_citation", "url": "https://a.example", "start_index": 3, "end_index": 99}


def item(index: int, *states: dict[str, Any]) -> bytes:
    names = ["added", "done"] if len(states) > 1 else ["added"]
    return b"".join(
        event(f"output_item.{name}", item=state, output_index=index)
        for name, state in zip(names, states, strict=True)
    )


def message(*annotations: dict[str, Any]) -> bytes:
    part = {"type": "output_text", "text": "Hello.", "annotations": list(annotations)}
    whole = {"type": "message", "id": "msg_1", "content": [part]}
    return said("Hello.", index=9) + event("output_item.done", item=whole, output_index=9)


def chunk(**fields: Any) -> bytes:
    return sse({"object": "chat.completion.chunk", **fields})


def choice(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def annotated(url: str, start: int, end: int) -> dict[str, Any]:
    about = {"url": url, "title": "A", "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": about}


URLS = ["https://a.example", "https://b.example", "ftp://c.example"]
PLACED = {"url": "https://a.example", "title": "A", "start": 0, "end": 2}
STREAMS: dict[str, tuple[str, tuple[bytes, ...], list[Any], list[Any]]] = {
    "code, and what it printed": (
        "responses",
        (item(0, CODE, RAN), message(), completed()),
        [("code_interpreter", "completed", {"code": "1+1"}, RAN["outputs"])],
        [],
    ),
    "files": (
        "responses",
        (item(0, {**FILES, "status": "in_progress"}, FILES), message(FILE), completed()),
        [("file_search", "completed", {"queries": ["a"]}, None)],
        [{"title": "a.txt", "file_id": "file-1", "start": 5, "end": 5}],
    ),
    "an image": (
        "responses",
        (item(0, IMAGE, IMAGE), message(), completed()),
        [("image_generation", "completed", {}, {"image_bytes": 3})],
        [],
    ),
    "a server": (
        "responses",
        (item(0, MCP, READ), message(), completed()),
        [("wiki__read", "completed", {"page": "a"}, "text")],
        [],
    ),
    "a server that fails": (
        "responses",
        (item(0, MCP, FAILED), message(), completed()),
        [("wiki__read", "failed", {}, "no such page")],
        [],
    ),
    "a call of which no end is told": (
        "responses",
        (item(0, CODE), message(), completed()),
        [("code_interpreter", "completed", {"code": "1+1"}, None)],
        [],
    ),
    "no links, and places that are none": (
        "responses",
        (message(SCRIPT, FAR), completed()),
        [],
        [{"url": "https://a.example"}],
    ),
    "what only the end lists": (
        "responses",
        (
            completed(
                {
                    "type": "message",
                    "content": [{"type": "output_text", "text": "Hello.", "annotations": [FAR]}],
                }
            ),
        ),
        [],
        [{"url": "https://a.example"}],
    ),
    "annotations of a message": (
        "chat",
        (
            chunk(**choice(content="Hel")),
            chunk(**choice(content="lo.")),
            chunk(**choice(content="", annotations=[annotated("https://a.example", 0, 2)])),
            chunk(**choice("stop")),
            DONE,
        ),
        [],
        [PLACED],
    ),
    "citations in each piece": (
        "chat",
        (
            chunk(**choice(content="Hello."), citations=URLS[:1]),
            chunk(
                **choice("stop"),
                citations=URLS,
                search_results=[{"title": "B", "url": URLS[1], "date": None}],
            ),
            DONE,
        ),
        [],
        [{"url": URLS[0]}, {"url": URLS[1], "title": "B"}],
    ),
    "citations beside usage": (
        "chat",
        (
            chunk(**choice("stop", content="Hello.")),
            chunk(choices=[], citations=URLS[:1], usage={"prompt_tokens": 1}),
            DONE,
        ),
        [],
        [{"url": URLS[0]}],
    ),
}


class Plays:
    """Answers each request with one stream."""

    def __init__(self) -> None:
        self.url = ""
        self.parts: tuple[bytes, ...] = ()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in self.parts:
            await response.write(part)
        return response


@pytest.fixture
async def plays() -> AsyncIterator[Plays]:
    upstream = Plays()
    app = web.Application()
    app.router.add_post("/v1/{path:.*}", upstream.handle)
    async with TestServer(app) as site:
        upstream.url = str(site.make_url("/v1"))
        yield upstream


@pytest.mark.parametrize("name", STREAMS)
async def test_what_a_stream_comes_to(
    serve: Serve, device: Callable[..., Device], plays: Plays, name: str
) -> None:
    api, plays.parts, made, cited = STREAMS[name]
    model = OpenAIModel(api_key="sk-test", base_url=plays.url, model="some-model", api=api)  # type: ignore[arg-type]
    one = device((await serve(model)).url)
    await one.connect()
    for _ in range(2):  # the second is asked with what the first said
        run_id = (await one.send("Good morning."))["run_id"]
        done = await one.done(run_id)
        assert (done["status"], done["text"]) == ("completed", "Hello.")
        last = {call["tool_call_id"]: call for call in one.events("tool_call", run_id=run_id)}
        assert [
            (call["name"], call["status"], call["arguments"], call.get("output", why(call)))
            for call in last.values()
        ] == made
        sources = one.events("sources", run_id=run_id)
        assert [source for event in sources for source in event["sources"]] == cited
    await model.close()


def why(call: dict[str, Any]) -> str | None:
    return call["error"]["message"] if "error" in call else None
