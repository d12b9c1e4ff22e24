"""What people are called, by the page, by each other and by tools, and who is here."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from realtime.auth.supabase import name_of
from realtime.models import Finished, TextDelta, ToolCallReady
from realtime.protocol import MAX_NAME, clean_name, shows
from realtime.tools import ToolContext, User, tool
from tests.support.device import Device
from tests.support.scripted import Script, ScriptedModel, says
from tests.support.serving import Running, Serve

Devices = Callable[..., Device]
SHOWS_NOTHING = (
    *("\u3164", "\u2800", "\ufe0f", "\u0301", "\u115f", "\u1160", "\u034f", "\uffa0", "\u20e3"),
    *(
        "\U000e0100",
        "\U000e0fff",
        "\u2065",
        "\u180b",
        "\u200b",
        "\u200d",
        "\xa0",
        "\u3000",
        "\u2028",
    ),
)
"""Fillers and blanks, marks without anything below them, spaces, and what is to be ignored."""


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Ada", "Ada"),
        ("  Ada \n\t Lovelace\u2028", "Ada Lovelace"),
        ("\u202eevil\u2066\u200f\u061c", "evil"),
        ("Ada\0\x07\x1b[31m", "Ada[31m"),
        ("\udc80Ada\ud800", "Ada"),
        ("\ufeff\u200b \u00ad\u200d", None),
        *((c * 3, None) for c in SHOWS_NOTHING),
        (" ".join(SHOWS_NOTHING) * 99 + "Ada", "Ada"),
        (" " * 1950 + "Ada", "Ada"),
        ("e\u0301", "e\u0301"),
        ("\u0301\u0301e\u0301", "e\u0301"),
        ("1\ufe0f\u20e3", "1\ufe0f\u20e3"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("\U0001fae8", "\U0001fae8"),  # newer than some Pythons know
        ("", None),
        (None, None),
        (7, None),
        ("x" * 500, "x" * 64),
        ("x" * 63 + " y", "x" * 63),
        ("👩\u200d💻 نام\u200cها", "👩\u200d💻 نام\u200cها"),
    ],
)
def test_a_name_is_one_short_line(given: Any, shown: str | None) -> None:
    assert clean_name(given) == shown
    assert User("u", name=given).name == shown, "whoever made the user"


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_a_cleaned_name_is_clean(text: str) -> None:
    name = clean_name(text)
    if name is not None:
        assert 0 < len(name) <= MAX_NAME
        assert clean_name(name) == name == name.strip()
        assert shows(name)
        unseen = {c for c in name if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
        assert unseen <= set("\u200c\u200d")


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"user_metadata": {"full_name": "Ada Lovelace", "name": "ada"}}, "Ada Lovelace"),
        ({"user_metadata": {"full_name": " ", "name": "ada"}}, "ada"),
        ({"user_metadata": {"full_name": 7, "name": {"first": "Ada"}}}, None),
        ({"user_metadata": ["Ada"]}, None),
        ({"user_metadata": {"email": "ada@example.org"}, "email": "ada@example.org"}, None),
        ({}, None),
    ],
)
def test_a_name_from_supabase_is_never_the_address(
    claims: dict[str, Any], name: str | None
) -> None:
    assert name_of(claims) == name


# -------------------------------------------------------------------- guests


async def guests(running: Running, device: Devices, *names: str | None) -> list[Device]:
    """An owner and others who take part, each with a name."""
    first, *others = names
    owner = device(running.url, name=first)
    await owner.connect()
    found = [owner]
    for name in others:
        share = (await owner.call("share"))["share"]
        one = device(running.url, session_id=owner.auth["session_id"], share=share, name=name)
        await one.connect()
        found.append(one)
    return found


def person(one: Device, name: str | None) -> dict[str, str]:
    return {"user_id": one.session["you"], **({"name": name} if name else {})}


async def here(one: Device, *people: dict[str, str]) -> dict[str, Any]:
    """The `presence` that says so, once there is one."""
    return (await one.wait("presence", people=list(people)))[1]


async def test_who_is_here_in_the_order_of_arrival_each_once(serve: Serve, device: Devices) -> None:
    running = await serve()
    owner, guest = await guests(running, device, "Ada", None)
    both = [person(owner, "Ada"), person(guest, None)]
    assert owner.session["people"] == both[:1]
    assert guest.session["people"] == both
    assert (await here(owner, *both))["devices"] == 2
    second = device(running.url, token=owner.auth["token"], session_id=owner.auth["session_id"])
    await second.connect()
    _, told = await guest.wait("presence", devices=3)
    assert told["people"] == both, "another device of hers, which says no name"
    before = len(guest.record)
    await owner.drop()
    _, told = await guest.wait("presence", since=before, devices=2)
    assert told["people"] == [both[1], person(owner, None)]


async def test_a_guest_is_called_anew_on_all_their_devices(serve: Serve, device: Devices) -> None:
    running = await serve()
    owner, guest = await guests(running, device, "Ada", " \u202eBob\n")
    second = device(running.url, token=guest.auth["token"], session_id=guest.auth["session_id"])
    second.auth["share"] = guest.auth["share"]
    await second.connect()
    told = [person(owner, "Ada"), person(guest, "Bob")]
    await here(owner, *told)
    ack = await second.call("auth", {"token": guest.auth["token"], "name": "Bobby"})
    assert ack["ok"]
    await here(owner, told[0], person(guest, "Bobby"))
    await guest.done((await guest.send("hello"))["run_id"])
    ack = await guest.call("auth", {"token": guest.auth["token"]})
    assert ack["ok"], "a fresh token alone changes no name"
    await guest.done((await guest.send("again"))["run_id"])
    await guest.call("auth", {"token": guest.auth["token"], "name": ""})
    await guest.done((await guest.send("nameless"))["run_id"])
    await owner.durable("user_message", 3)
    names = [event.get("name") for event in owner.events("user_message")]
    assert names == ["Bobby", "Bobby", None]
    late = device(running.url, token=owner.auth["token"], session_id=owner.auth["session_id"])
    await late.connect()
    names = [event.get("name") for event in late.events("user_message")]
    assert names == ["Bobby", "Bobby", None], "as it was shown then"


# ---------------------------------------------------- those who signed in; tools


async def by_name(token: str | None, request: web.Request) -> User | None:
    return User(token, name=f" {token.title()}\n") if token else None


def calls() -> Script:
    return [[ToolCallReady("1", "look", "{}"), Finished("tool_calls")]]


async def test_who_signed_in_has_the_name_of_the_sign_in_and_tools_know_it(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[User] = []

    @tool
    def look(context: ToolContext) -> str:
        """Look something up."""
        seen.append(context.user)
        return "seen"

    module = ModuleType("desk")
    module.look = look  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "desk", module)
    script: Script = [[TextDelta("so ")], [Finished("length")]]
    model = ScriptedModel(calls(), script, calls(), says("seen"))
    running = await serve(model, auth=f"{__name__}.by_name", tools=("desk",))
    ada = device(running.url, token="ada", name="Somebody else")
    await ada.connect()
    run_id = (await ada.send("look"))["run_id"]
    await ada.done(run_id)
    ack = await ada.call("auth", {"token": "ada", "name": "Somebody else"})
    assert ack["ok"]
    assert ada.events("user_message")[0]["name"] == "Ada"
    assert ada.session["people"] == [{"user_id": "ada", "name": "Ada"}]
    again = await ada.call("continue", {"run_id": run_id})
    await ada.done(again["run_id"])
    assert seen == [User("ada", name="Ada")] * 2
