"""A conversation taken elsewhere: all of its active branch, for whoever may read it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from realtime.models import Finished, TextDelta, ToolCallReady
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.fold import fold
from tests.support.scripted import Script, ScriptedModel, says
from tests.support.serving import Running, Serve

Devices = Callable[..., Device]
ASKS: Script = [
    [TextDelta("I look."), ToolCallReady("1", "no_such_tool", "{}"), Finished("tool_calls")]
]


async def spoken(serve: Serve, device: Devices) -> tuple[Running, Device, list[str]]:
    """A session with two branches: its questions' ids, the edited one last."""
    running = await serve(ScriptedModel(says("A"), ASKS, says("found."), says("C **c**")))
    one = device(running.url)
    await one.connect()
    asked = []
    for text, replaces in (("one", None), ("two", None), ("two, better", 1)):
        more = {} if replaces is None else {"replaces": asked[replaces]}
        ack = await one.send(text, **more)
        asked.append(ack["message_id"])
        await one.done(ack["run_id"])
    return running, one, asked


async def test_the_active_branch_or_another(serve: Serve, device: Devices) -> None:
    running, one, asked = await spoken(serve, device)
    url = f"{running.url}/api/sessions/{one.auth['session_id']}/export"
    answer = await fetch(url, one.auth["token"])
    assert answer.headers["Content-Disposition"] == 'attachment; filename="conversation.json"'
    said = [(run["user_text"], run["text"]) for run in fold(answer.json()["events"])]
    assert said == [("one", "A"), ("two, better", "C **c**")]
    assert answer.json()["session"]["session_id"] == one.auth["session_id"]

    text = (await fetch(f"{url}?format=markdown", one.auth["token"])).text
    lines = [line for line in text.splitlines() if line and not line.startswith("## User, 20")]
    assert lines == ["one", "## Assistant", "A", "two, better", "## Assistant", "C **c**"]
    await one.call("rename", {"title": "A title"})
    other = await fetch(f"{url}?format=markdown&leaf={asked[1]}", one.auth["token"])
    assert other.text.startswith("# A title\n\n## User, 20")
    assert other.text.endswith(
        "two\n\n## Assistant\n\nI look.\n\n*Tool no_such_tool: failed*\n\nfound.\n"
    )


async def test_a_long_one_is_whole(serve: Serve, device: Devices) -> None:
    running = await serve(ScriptedModel(says(*(f"{n} " * 500 for n in range(60)))))
    one = device(running.url)
    await one.connect()
    for _ in range(3):
        await one.done((await one.send("go on"))["run_id"])
    url = f"{running.url}/api/sessions/{one.auth['session_id']}/export"
    events = (await fetch(url, one.auth["token"])).json()["events"]
    whole = "".join(f"{n} " * 500 for n in range(60))
    assert [run["text"] for run in fold(events)] == [whole] * 3


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [("?format=pdf", 400, "bad_request"), ("?leaf=x", 404, "not_found")],
)
@pytest.mark.parametrize("format_", ["json", "markdown"])
async def test_what_cannot_be_exported(
    serve: Serve, device: Devices, query: str, status: int, code: str, format_: str
) -> None:
    running, one, _ = await spoken(serve, device)
    url = f"{running.url}/api/sessions/{one.auth['session_id']}/export{query}"
    answer = await fetch(url if "format" in query else f"{url}&format={format_}", one.auth["token"])
    assert (answer.status, answer.json()["error"]["code"]) == (status, code)


async def test_who_may(serve: Serve, device: Devices) -> None:
    running, one, _ = await spoken(serve, device)
    url = f"{running.url}/api/sessions/{one.auth['session_id']}/export"
    guest = device(running.url)
    await guest.connect()
    share = (await one.call("share", {"access": "read"}))["share"]
    assert (await fetch(url)).status == 401
    assert (await fetch(url, guest.auth["token"])).status == 404
    assert (await fetch(url, guest.auth["token"], Share=share)).status == 200
