"""Files that tools make: a function's of ours, and what MCP servers answer with."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from realtime.tools import ToolContext, ToolError, tool
from tests.support.attach import PDF, Got, ask, files_of, png
from tests.support.device import Device
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Running, Serve
from tests.tools.plain_mcp import entry

MakeDevice = Callable[..., Device]


@tool
async def chart(context: ToolContext) -> str:
    context.add_file("../Chart 1.png", "image/png", png())
    context.add_file("report", "", bytearray(PDF))
    return "a chart of last week"


@tool
def from_a_thread(context: ToolContext) -> str:
    context.add_file("a.csv", "text/csv", b"a,b\n")
    return "made"


@tool
def odd_ones(context: ToolContext) -> list[str]:
    context.add_file("script.png", "image/png", b"<script>")
    context.add_file("large", "", bytes(2**20 + 1))
    context.add_file("empty", "", b"")
    context.add_file("fine.txt", "text/plain", b"fine")
    said = []
    for data, count in (("a text", 1), (b"x", 7)):
        try:
            for _ in range(count):
                context.add_file("more", "", data)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            said.append(str(error))
    return said


@tool
def fails(context: ToolContext) -> str:
    context.add_file("lost.png", "image/png", png())
    raise ToolError("no")


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("file_tools")
    for function in (chart, from_a_thread, odd_ones, fails):
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "file_tools", module)


async def called(
    serve: Serve, device: MakeDevice, name: str, **settings: Any
) -> tuple[Running, Device, dict[str, Any]]:
    """The server, a device, and the call as it ended."""
    model = ScriptedModel(asks((name, "{}")), says("done"))
    running = await serve(model, tools=("file_tools",), file_mb=1, **settings)
    one = device(running.url)
    await one.connect()
    assert (await one.done((await one.send("go"))["run_id"]))["status"] == "completed"
    return running, one, one.events("tool_call")[-1]


async def read(one: Device, file: dict[str, Any]) -> Got:
    return await ask("GET", f"{files_of(one)}/{file['id']}", one.auth["token"])


async def test_a_call_lists_the_files_that_it_made(serve: Serve, device: MakeDevice) -> None:
    running, one, call = await called(serve, device, "chart")
    assert (call["status"], call["output"]) == ("completed", "a chart of last week")
    picture, report = call["files"]
    assert (picture["name"], picture["type"]) == ("Chart 1.png", "image/png")
    assert (report["name"], report["type"]) == ("report", "application/pdf")
    got = await read(one, picture)
    assert (got.status, got.body) == (200, png())
    assert got.headers["Content-Disposition"].startswith("inline")
    assert (await read(one, report)).body == PDF

    late = device(running.url, token=one.auth["token"], session_id=one.session["session_id"])
    await late.connect()
    assert late.events("tool_call")[-1]["files"] == call["files"]
    stranger = device(running.url)
    await stranger.connect()
    got = await ask("GET", f"{files_of(one)}/{picture['id']}", stranger.auth["token"])
    assert got.status == 404


async def test_a_tool_in_a_thread_adds_files_too(serve: Serve, device: MakeDevice) -> None:
    _, one, call = await called(serve, device, "from_a_thread")
    assert [file["type"] for file in call["files"]] == ["text/csv"]
    assert (await read(one, call["files"][0])).body == b"a,b\n"
    said = await one.send("and this", files=[call["files"][0]["id"]])  # as a file of the user's
    assert said["ok"]


async def test_what_cannot_be_kept_is_left_out(serve: Serve, device: MakeDevice) -> None:
    _, _, call = await called(serve, device, "odd_ones")
    assert call["output"] == ["the data of a file must be bytes", "a call may add 10 files at most"]
    assert [file["name"] for file in call["files"]] == ["fine.txt", *["more"] * 6]


async def test_a_call_that_failed_lists_none(serve: Serve, device: MakeDevice) -> None:
    _, _, call = await called(serve, device, "fails")
    assert call["status"] == "failed"
    assert "files" not in call


async def test_images_and_blobs_of_an_mcp_server(
    serve: Serve, device: MakeDevice, tmp_path: Path
) -> None:
    image, pdf = (base64.b64encode(data).decode() for data in (png(), PDF))
    blob = {"uri": "file:///tmp/paper.pdf", "mimeType": "application/pdf", "blob": pdf}
    listed = {"uri": "file:///x.txt", "mimeType": "text/plain", "blob": "aGk="}
    content = [
        {"type": "text", "text": "two pictures"},
        {"type": "image", "mimeType": "image/png", "data": image},
        {"type": "resource", "resource": blob},
        {"type": "resource", "resource": listed},  # which the model reads
        {"type": "image", "mimeType": "image/png", "data": "no Base64!"},
    ]
    code = f"serve([described('draw')], lambda name, _: {{'content': {content!r}}})"
    path = tmp_path / "mcp.json"
    path.write_text(json.dumps({"mcpServers": {"art": entry(tmp_path, code)}}))
    _, one, call = await called(serve, device, "art__draw", mcp_config=str(path))
    assert call["status"] == "completed"
    assert call["output"][0] == "two pictures"
    assert call["output"][1] == {"type": "image", "mimeType": "image/png", "bytes": len(png())}
    names = [(file["name"], file["type"]) for file in call["files"]]
    assert names == [("image-2.png", "image/png"), ("paper.pdf", "application/pdf")]
    assert [(await read(one, file)).body for file in call["files"]] == [png(), PDF]
