"""The list of a user's conversations: what it shows, changed and searched by commands and over
HTTP, and told to every device of the user."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest

from realtime.models import ModelError, TextDelta
from realtime.protocol import ProtocolError
from tests.support.attach import ask
from tests.support.device import Device
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Running, Serve
from tests.wire.people import Devices

Row = dict[str, Any]


async def listed(one: Device, **query: str) -> list[Row]:
    return (await page(one, **query))["sessions"]


async def page(one: Device, **query: str) -> dict[str, Any]:
    asked = "&".join(f"{name}={quote(value)}" for name, value in query.items())
    got = await ask("GET", f"{one.url}/api/sessions?{asked}", one.auth["token"])
    assert got.status == 200, got.body
    return got.json


async def change(one: Device, session_id: str, method: str = "PATCH", **what: Any) -> Any:
    url = f"{one.url}/api/sessions/{session_id}"
    body = json.dumps(what).encode() if method == "PATCH" else None
    return await ask(method, url, one.auth["token"], body)


async def said(one: Device, *texts: str) -> list[str]:
    """New sessions, each with an answered question; their ids."""
    ids = []
    for text in texts:
        ids.append(await fresh(one))
        await one.ask(text, session_id=ids[-1])
        await one.call("leave", {"session_id": ids[-1]})
    return ids


async def fresh(one: Device) -> str:
    """A new session, which the device watches."""
    one.adopt(await one.call("create"))
    return one.session["session_id"]


async def two_devices(running: Running, device: Devices) -> tuple[Device, Device]:
    one = device(running.url)
    await one.connect()
    await one.call("leave", {"session_id": one.session["session_id"]})
    two = device(running.url, token=one.auth["token"])
    await two.connect()
    return one, two


async def told(one: Device, since: int, **fields: Any) -> Row:
    """The first such row that a device was told of."""

    def find() -> Row | None:
        for name, payload in one.record[since:]:
            for row in payload["sessions"] if name == "sessions" else ():
                if all(row[key] == value for key, value in fields.items()):
                    return row
        return None

    return await one.until(find)


async def test_each_device_of_the_user_is_told_what_the_list_shows(
    serve: Serve, device: Devices
) -> None:
    gate = asyncio.Event()
    running = await serve(ScriptedModel([[TextDelta("An ")], gate, *says("answer")]))
    one, two = await two_devices(running, device)
    stranger = device(running.url)
    await stranger.connect()
    session_id = await fresh(one)
    assert not [name for name, _ in two.record if name == "sessions"], "nothing was said yet"
    assert await listed(one) == []
    ack = await one.send("What is it?", session_id=session_id)
    row = await told(two, 0, session_id=session_id, status="running")
    assert (row["last_text"], row["title"], row["unread"]) == ("What is it?", None, False)
    assert (await listed(two))[0] == row
    gate.set()
    await one.done(ack["run_id"])
    row = await told(two, 0, session_id=session_id, status="idle")
    assert (row["last_text"], row["unread"]) == ("An answer", False)
    assert row["active_at"] >= row["start_time"]

    since = len(two.record)
    assert (await one.call("rename", {"session_id": session_id, "title": " A\n ti\u202etle\x07 "}))[
        "ok"
    ]
    await told(two, since, title="A title")
    assert (await one.call("pin", {"session_id": session_id, "pinned": True}))["ok"]
    await told(two, since, pinned=True)
    assert (await one.call("archive", {"session_id": session_id, "archived": True}))["ok"]
    row = await told(two, since, archived=True)
    assert (await listed(one), await listed(one, archived="true")) == ([], [row])
    told_so = len([1 for name, _ in two.record if name == "sessions"])
    for command in ({"title": "A title"}, {"pinned": True}, {"archived": True}):
        name = {"title": "rename", "pinned": "pin", "archived": "archive"}[next(iter(command))]
        assert (await one.call(name, {"session_id": session_id, **command}))["ok"]
    assert told_so == len([1 for name, _ in two.record if name == "sessions"]), "nothing changed"
    assert (await one.call("delete", {"session_id": session_id}))["ok"]
    _, gone = await two.wait("sessions", deleted=[session_id])
    assert gone["sessions"] == []
    assert await listed(one, archived="true") == []
    joined = await one.call("join", {"session_id": session_id})
    assert joined["error"]["code"] == "not_found"
    assert not [name for name, _ in stranger.record if name == "sessions"]


async def test_a_row_is_told_when_it_has_changed_and_only_then(
    serve: Serve, device: Devices
) -> None:
    one = device((await serve()).url)
    await one.connect()
    await one.ask("fetch internal user analytics")
    assert len(one.events("tool_call")) > 2, "each with a new head"
    rows = [payload["sessions"] for name, payload in one.record if name == "sessions"]
    assert all(before != after for before, after in pairwise(rows))


async def test_it_shows_what_waits_what_failed_and_what_is_unread(
    serve: Serve, device: Devices
) -> None:
    running = await serve(ScriptedModel(says("fine"), [ModelError("bad_request", "no")]))
    one, two = await two_devices(running, device)
    (session_id,) = await said(one, "well?")
    assert (await listed(one))[0]["status"] == "idle"
    assert not (await listed(one))[0]["unread"]
    two.adopt(await two.call("join", {"session_id": session_id}))
    share = (await two.call("share", {"session_id": session_id}))["share"]
    guest = device(running.url)
    await guest.connect()
    await two.call("leave", {"session_id": session_id})
    guest.adopt(await guest.call("join", {"session_id": session_id, "share": share}))
    await guest.send("And now?", session_id=session_id)
    row = await told(two, 0, session_id=session_id, status="failed")
    assert row["unread"], "its owner did not watch"
    assert (await listed(guest)) == [], "it is another's list"
    since = len(one.record)
    two.adopt(await two.call("join", {"session_id": session_id}))
    row = await told(one, since, session_id=session_id)
    assert (row["status"], row["unread"]) == ("failed", False)


async def test_a_message_that_is_dropped_is_nothing_to_read(serve: Serve, device: Devices) -> None:
    gate = asyncio.Event()
    running = await serve(ScriptedModel([gate, *says("fine")]))
    one, two = await two_devices(running, device)
    session_id = await fresh(one)
    await one.send("well?")
    waiting = await one.send("And now?")
    share = (await one.call("share", {"session_id": session_id}))["share"]
    guest = device(running.url, session_id=session_id, share=share)
    await guest.connect()
    await one.call("leave", {"session_id": session_id})
    drop = {"run_id": waiting["run_id"]}
    assert (await guest.call("queue", {"session_id": session_id, "drop": drop}))["ok"]
    (row,) = await listed(two)
    assert (row["unread"], row["last_text"]) == (False, "well?")
    gate.set()
    assert (await told(two, 0, session_id=session_id, status="idle"))["unread"]


async def test_pages_hold_each_session_once_pinned_ones_first(
    serve: Serve, device: Devices
) -> None:
    running = await serve(ScriptedModel(says("yes")))
    one, _ = await two_devices(running, device)
    ids = await said(one, *map(str, range(7)))
    await one.call("pin", {"session_id": ids[2], "pinned": True})
    expected = [ids[2], *(key for key in reversed(ids) if key != ids[2])]
    found: list[str] = []
    before: dict[str, str] = {}
    while True:
        got = await page(one, limit="3", **before)
        found += [row["session_id"] for row in got["sessions"]]
        if got["next_before"] is None:
            break
        before = {"before": got["next_before"]}
    assert found == expected
    for wrong in (
        {"before": "x"},
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "000200500"},
        {"archived": "maybe"},
    ):
        asked = "&".join(f"{name}={value}" for name, value in wrong.items())
        got = await ask("GET", f"{one.url}/api/sessions?{asked}", one.auth["token"])
        assert (got.status, got.code) == (400, "bad_request"), wrong


async def test_over_http_it_is_changed_and_deleted_alike(serve: Serve, device: Devices) -> None:
    running = await serve(ScriptedModel(says("yes")))
    one, two = await two_devices(running, device)
    (session_id,) = await said(one, "hello")
    got = await change(one, session_id, title="Named", pinned=True, archived=False)
    assert (got.status, got.json["session"]["title"]) == (200, "Named")
    row = await told(two, 0, session_id=session_id, pinned=True)
    assert row["title"] == "Named"
    for wrong in ({"title": " \n"}, {"pinned": "yes"}, {"titel": "x"}):
        assert (await change(one, session_id, **wrong)).status == 400, wrong
    assert (await change(one, session_id, title="x" * 5000)).status == 413
    assert (await change(one, session_id, "DELETE")).status == 204
    await two.wait("sessions", deleted=[session_id])
    assert (await change(one, session_id, "DELETE")).status == 404
    assert (await change(one, session_id, title="x")).status == 404


async def test_deleting_ends_what_runs_and_those_who_watch_are_told(
    serve: Serve, device: Devices
) -> None:
    model = ScriptedModel([[TextDelta("An endless ")], asyncio.Event()])
    running = await serve(model)
    one = device(running.url)
    await one.connect()
    session_id = one.session["session_id"]
    other = device(running.url, token=one.auth["token"], session_id=session_id)
    await other.connect()
    await one.send("go on")
    await other.durable("token")
    assert (await one.call("delete", {"session_id": session_id}))["ok"]
    assert one.client.connected
    async with asyncio.timeout(20):
        while other.client.connected or not model.closed:
            await asyncio.sleep(0.01)
    assert (await other.connect())["error"]["code"] == "not_found"
    assert (await one.call("create"))["ok"], "the socket that asked goes on"


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


async def test_who_asks_at_the_moment_of_a_deletion_is_told_that_it_is_gone(
    serve: Serve, device: Devices
) -> None:
    running = await serve()
    one = device(running.url)
    await one.connect()
    hub, session_id, user_id = running.server.hub, one.session["session_id"], one.session["user_id"]

    async def ask_for_it() -> str:
        try:
            async with hub.open(session_id, user_id):
                return "there"
        except ProtocolError as error:
            return error.code

    deleting = asyncio.create_task(one.call("delete", {"session_id": session_id}))
    asking = []
    with within(20):  # at each turn of the event loop, which the fault would stop
        while not deleting.done():
            asking.append(asyncio.create_task(ask_for_it()))
            await asyncio.sleep(0)
        answers = await asyncio.gather(*asking)
    assert deleting.result()["ok"]
    assert set(answers) == {"there", "not_found"}


TEXTS = {
    "umlauts": ("Über die Größe der Bäume", ["größe", "uber", "GRÖSSE bäu"], ["strauch"]),
    "accents": ("Le café près du musée", ["cafe", "MUSÉE", "mus"], ["the"]),
    "chinese": (
        "今天天气怎么样？北京下雨吗",
        ["天气", "北京", "雨", "吗", "样 京"],
        ["上海", "上 京"],
    ),
    "japanese": (
        "東京タワーの高さは何メートルですか",
        ["東京", "タワー", "高さ", "か", "か 東"],
        ["大阪"],
    ),
    "thai": ("สวัสดีครับ วันนี้อากาศดี", ["อากาศ", "สวัสดี"], ["ฝนตก"]),
    "korean": ("오늘 날씨가 어때요", ["날씨", "오늘"], ["내일"]),
    "letters": ("№5 costs ① and Ⅷ", ["no5", "costs viii cost", "№5"], ["no6"]),
    "hindi": ("आज मौसम कैसा है", ["मौसम", "आज"], ["बारिश"]),
    "code": ("call get_user_by_id(42) twice", ["get_user_by_id", "user 42", "twi"], ["get_usr"]),
}


@pytest.mark.parametrize("script", TEXTS)
async def test_words_are_found_in_any_script(serve: Serve, device: Devices, script: str) -> None:
    text, found, missing = TEXTS[script]
    running = await serve(ScriptedModel(says("An ", "unrelated ", "reply")))
    one, two = await two_devices(running, device)
    (session_id, _) = await said(one, text, "something else")
    stranger = device(running.url)
    await stranger.connect()
    await stranger.ask(text)
    for words in found:
        rows = await listed(two, q=words)
        assert [row["session_id"] for row in rows] == [session_id], words
    for words in [*missing, "?!", '"', "* OR *"]:
        assert await listed(two, q=words) == [], words


async def test_a_search_that_is_too_long_finds_by_its_whole_words(
    serve: Serve, device: Devices
) -> None:
    running = await serve(ScriptedModel(says("An ", "unrelated ", "reply")))
    one, _ = await two_devices(running, device)
    text = "hello " * 33 + "is it me"
    assert text[198:200] == "is"
    (session_id,) = await said(one, text)
    for words in (text, "hello " * 33 + "heavens", "hello" + " " * 200 + "none"):
        assert [row["session_id"] for row in await listed(one, q=words)] == [session_id], words
    assert await listed(one, q="x" * 300) == []


async def test_it_searches_answers_and_titles_and_forgets_what_is_deleted(
    serve: Serve, device: Devices
) -> None:
    running = await serve(ScriptedModel(says("A pelican ", "eats fish")))
    one, _ = await two_devices(running, device)
    first, second = await said(one, "birds?", "boats?")
    ids = [row["session_id"] for row in await listed(one, q="pelican")]
    assert ids == [second, first]
    assert [r["session_id"] for r in await listed(one, q="fish birds")] == [first]
    got = await page(one, q="pelican", limit="1")
    assert [row["session_id"] for row in got["sessions"]] == [second]
    got = await page(one, q="pelican", limit="1", before=got["next_before"])
    assert [row["session_id"] for row in got["sessions"]] == [first]
    await one.call("rename", {"session_id": first, "title": "Ornithology"})
    assert [r["session_id"] for r in await listed(one, q="ornitho")] == [first]
    await one.call("rename", {"session_id": first, "title": "Feathers"})
    assert await listed(one, q="ornithology") == []
    assert [r["session_id"] for r in await listed(one, q="feathers pelican")] == [first]
    await one.call("archive", {"session_id": first, "archived": True})
    assert [r["session_id"] for r in await listed(one, q="pelican")] == [second]
    assert [r["session_id"] for r in await listed(one, q="pelican", archived="true")] == [first]
    await one.call("delete", {"session_id": first})
    assert await listed(one, q="feathers", archived="true") == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"title": "\xff"}', "utf-8"),
        (b'{"title": "a', "not JSON"),
        (b"", "not JSON"),
        (b"[" * 200 + b"]" * 200, "nested"),
        (b'{"title": 7}', "Expected `str"),
        (b'{"name": "a"}', "unknown field"),
        (b"[]", "Expected `object`"),
    ],
)
async def test_a_change_that_cannot_be_read_is_told_why(
    serve: Serve, device: Devices, body: bytes, words: str
) -> None:
    one = device((await serve()).url)
    session_id = (await one.connect())["session_id"]
    url = f"{one.url}/api/sessions/{session_id}"
    got = await ask("PATCH", url, one.auth["token"], body)
    assert (got.status, got.code) == (400, "bad_request")
    assert words in got.json["error"]["message"]


async def test_half_a_character_in_a_title_is_a_replacement_over_http_too(
    serve: Serve, device: Devices
) -> None:
    one = device((await serve()).url)
    session_id = (await one.connect())["session_id"]
    url = f"{one.url}/api/sessions/{session_id}"
    got = await ask("PATCH", url, one.auth["token"], b'{"title": "a \\ud800 b"}')
    assert (got.status, got.json["session"]["title"]) == (200, "a \ufffd b")
    assert (await one.call("rename", {"title": "b \ud800 a"}))["ok"]
    (told,) = (await one.durable("session_updated", 2))[1:]
    assert told["title"] == "b \ufffd a"
