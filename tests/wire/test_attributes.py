"""What a sign-in knows of a user: tools and log lines have it, devices and the log of a session
do not."""

from __future__ import annotations

import logging
import sqlite3
import sys
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web

from realtime.auth import AuthError, User
from realtime.auth.guests import Guests
from realtime.auth.supabase import SupabaseTokens
from realtime.auth.tokens import signed
from realtime.cli.logs import fields
from realtime.core.user import MAX_ATTRIBUTES, BadAttributes
from realtime.tools import ToolContext, tool
from tests.support.process import SECRET
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Serve
from tests.wire.issuer import REQUEST, Issuer
from tests.wire.people import Devices

KNOWN = {
    "plan": "pro",
    "seats": 3,
    "odd": "a\nline",
    "token": "a-secret-of-another-service",
    "teams": ["a"],
}


async def with_a_plan(token: str | None, request: web.Request) -> User | None:
    if token == "large":
        return User(token, attributes={"all": "x" * MAX_ATTRIBUTES})
    return User(token, name="Ada", attributes=KNOWN if token == "ada" else {}) if token else None


@pytest.fixture
def asked_by(monkeypatch: pytest.MonkeyPatch) -> list[User]:
    """The users for whom the tools `look` and, with approval, `pay` were called."""
    users: list[User] = []

    @tool
    def look(context: ToolContext) -> str:
        """Look something up."""
        users.append(context.user)
        return "seen"

    @tool(approval=True)
    def pay(context: ToolContext) -> str:
        """Pay somebody."""
        users.append(context.user)
        return "paid"

    module = ModuleType("desk")
    module.look, module.pay = look, pay  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "desk", module)
    return users


async def test_a_tool_and_the_log_know_them_and_nobody_else(
    serve: Serve, device: Devices, asked_by: list[User], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "realtime")
    model = ScriptedModel(asks(("look", "{}")), says("seen"))
    running = await serve(model, auth=f"{__name__}.with_a_plan", tools=("desk",))
    one = device(running.url, token="ada")
    await one.connect()
    await one.ask("look")
    assert asked_by == [User("ada", name="Ada", attributes=KNOWN)]
    (line,) = (fields(line) for line in caplog.records if line.message.startswith("run ended"))
    assert line["attributes"] == {"plan": "pro", "seats": 3}
    assert "another service" not in str(one.record)
    with sqlite3.connect(running.server.settings.database_path) as journal:
        assert "pro" not in str(journal.execute("SELECT payload FROM events").fetchall())
    journal.close()


async def test_who_signs_in_again_has_the_new_ones(
    serve: Serve, device: Devices, asked_by: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = [asks(("look", "{}")), says("seen")]
    running = await serve(
        ScriptedModel(*scripts * 2), auth=f"{__name__}.with_a_plan", tools=("desk",)
    )
    one = device(running.url, token="ada")
    await one.connect()
    await one.ask("look")
    monkeypatch.setitem(KNOWN, "plan", "free")
    assert (await one.call("auth", {"token": "ada"}))["ok"]
    await one.ask("look")
    assert [user.attributes["plan"] for user in asked_by] == ["pro", "free"]


async def test_who_comes_back_after_a_restart_has_them_in_what_waited(
    serve: Serve, device: Devices, asked_by: list[User]
) -> None:
    settings = {"auth": f"{__name__}.with_a_plan", "tools": ("desk",)}
    running = await serve(ScriptedModel(asks(("pay", "{}"))), **settings)
    one = device(running.url, token="ada")
    await one.connect()
    await one.send("pay")
    (call,) = await one.durable("tool_call", status="awaiting_approval")
    await one.drop()
    await running.stop()
    again = await serve(ScriptedModel(says("paid")), **settings)
    one.url = again.url
    await one.connect()
    decision = {"tool_call_id": call["tool_call_id"], "decision": "approve"}
    assert (await one.call("approve", decision))["ok"]
    await one.durable("done")
    assert asked_by == [User("ada", name="Ada", attributes=KNOWN)]


async def test_a_guest_has_those_of_the_token(
    serve: Serve, device: Devices, asked_by: list[User]
) -> None:
    running = await serve(ScriptedModel(asks(("look", "{}")), says("seen")), tools=("desk",))
    claims = {"sub": "guest-1", "aud": "guest", "exp": 2**33, "attributes": {"plan": "pro"}}
    one = device(running.url, token=signed(claims, [SECRET]))
    await one.connect()
    await one.ask("look")
    assert (asked_by[0].user_id, asked_by[0].attributes) == ("guest-1", {"plan": "pro"})


async def test_a_token_of_another_secret_is_renewed_with_them() -> None:
    guests = Guests("the-secret-of-today-32-characters", SECRET)
    claims = {"sub": "guest-1", "aud": "guest", "exp": 2**33, "attributes": {"plan": "pro"}}
    old = signed(claims, [SECRET])
    renewed = guests.renewed(old, await guests.user(old, REQUEST))
    assert renewed != old
    assert (await guests.user(renewed, REQUEST)).attributes == {"plan": "pro"}


async def test_supabase_gives_what_users_cannot_write(issuer: Issuer) -> None:
    token = issuer.token(app_metadata={"plan": "pro"}, user_metadata={"plan": "all", "name": "Ada"})
    user = await SupabaseTokens(issuer.url).user(token, REQUEST)
    assert (user.attributes, user.name) == ({"plan": "pro"}, "Ada")
    for bad in ("pro", {"all": "x" * MAX_ATTRIBUTES}):
        with pytest.raises(AuthError, match="the token cannot be used: the attributes"):
            await SupabaseTokens(issuer.url).user(issuer.token(app_metadata=bad), REQUEST)


async def test_attributes_that_are_too_large_are_told_to_the_operator(
    serve: Serve, device: Devices, caplog: pytest.LogCaptureFixture
) -> None:
    running = await serve(auth=f"{__name__}.with_a_plan")
    for _ in range(2):
        assert (await device(running.url, token="large").connect())["error"]["retryable"]
    (line,) = (line for line in caplog.records if line.levelno == logging.ERROR)
    assert f"of {MAX_ATTRIBUTES} that they may have" in line.message


@pytest.mark.parametrize("given", [None, [], "plan", {"plan": object()}, {1: object()}])
def test_attributes_are_a_json_object(given: Any) -> None:
    with pytest.raises(BadAttributes, match="must be a JSON object"):
        User("ada", attributes=given)


def test_attributes_are_copied() -> None:
    given = {"teams": ["a"]}
    user = User("ada", attributes=given)
    given["teams"].append("b")
    assert user.attributes == {"teams": ["a"]}
