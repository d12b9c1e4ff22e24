"""Questions that are edited, answers that are made again, and going from one branch to another."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from realtime.models import AssistantText, TextDelta, UserText
from realtime.protocol import to_json
from realtime.runs.chain import Chain, Link
from tests.support.device import Device
from tests.support.fold import fold
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Serve

Devices = Callable[..., Device]
Shown = list[tuple[str, str]]


def shown(device: Device) -> Shown:
    """The conversation as a device shows it: questions and answers."""
    entries = [payload | {"event": name} for _, (name, payload) in sorted(device.log.items())]
    return [(run["user_text"], run["text"]) for run in fold(entries)]


def asked(model: ScriptedModel) -> list[str]:
    """What was said in the newest request."""
    context = model.requests[-1].context
    return [item.text for item in context if isinstance(item, UserText | AssistantText)]


async def ask(device: Device, text: str, **more: Any) -> dict[str, Any]:
    """Say something, and wait for the answer; the ack."""
    ack = await device.send(text, **more)
    assert ack["ok"], ack
    await device.done(ack["run_id"])
    return ack


async def again(device: Device, run_id: str, **more: Any) -> dict[str, Any]:
    ack = await device.call("regenerate", {"run_id": run_id, **more})
    assert ack["ok"], ack
    await device.done(ack["run_id"])
    return ack


async def fresh(devices: Devices, one: Device) -> Device:
    """Another device of the same user, which knows nothing yet."""
    other = devices(one.url, token=one.auth["token"], session_id=one.auth["session_id"])
    await other.connect()
    return other


async def test_an_edited_question_begins_a_branch(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(says("A"), says("B"), says("C"), says("D"))
    one = device((await serve(model)).url)
    await one.connect()
    other = await fresh(device, one)
    first = await ask(one, "one")
    await ask(one, "two")
    edited = await ask(one, "one, better", replaces=first["message_id"])
    assert asked(model) == ["one, better"]
    (said,) = one.events("user_message", message_id=edited["message_id"])
    assert (said["parent"], said["replaces"]) == (None, first["message_id"])
    await ask(one, "three")
    assert asked(model) == ["one, better", "C", "three"]
    conversation = [("one, better", "C"), ("three", "D")]
    await other.until(lambda: shown(other) == conversation or None)
    assert shown(one) == conversation

    late = await fresh(device, one)
    assert shown(late) == conversation
    questions = [first["message_id"], edited["message_id"]]
    assert late.session["siblings"] == {edited["message_id"]: questions}
    assert not late.events("user_message", message_id=first["message_id"])

    ack = await late.call("select", {"message_id": first["message_id"]})
    assert ack["ok"]
    before = [("one", "A"), ("two", "B")]
    await one.until(lambda: shown(one) == before or None)
    assert shown(await fresh(device, one)) == before
    (run,) = one.events("run", message_id=ack["leaf"], status="started")
    assert run["parent"] == one.events("user_message", text="two")[0]["message_id"]


async def test_an_answer_is_made_again_by_the_model_that_is_asked_for(
    serve: Serve, device: Devices
) -> None:
    models = {name: ScriptedModel(says(f"{name}.")) for name in ("small", "large")}
    for name, model in models.items():
        model.name = name
    offered = {"session_options": ("temperature",)}
    one = device((await serve(Chain([Link(m, m.name) for m in models.values()]), **offered)).url)
    await one.connect()
    first = await ask(one, "hello")
    for command, code in (
        ({"run_id": first["run_id"], "model": "huge"}, "bad_request"),
        ({"run_id": first["run_id"], "options": {"reasoning_effort": "high"}}, "bad_request"),
        ({"run_id": "no such"}, "not_found"),
    ):
        ack = await one.call("regenerate", command)
        assert ack["error"]["code"] == code
    choice = {"model": "large", "options": {"temperature": 0.5}, "client_msg_id": "again"}
    ack = await again(one, first["run_id"], **choice)
    assert ack["status"] == "started"
    assert shown(one) == [("hello", "large.")]
    assert [item.text for item in models["large"].requests[0].context] == ["hello"]
    assert models["large"].requests[0].options.temperature == 0.5
    assert (await one.done(ack["run_id"]))["model"] == "large"
    (begun,) = one.events("run", run_id=ack["run_id"], status="started")
    assert begun["message_id"] == ack["message_id"] != first["message_id"]
    assert begun["parent"] == first["message_id"]

    retry = await one.call("regenerate", {"run_id": first["run_id"], **choice})
    assert (retry["status"], retry["run_id"]) == ("duplicate", ack["run_id"])
    await ask(one, "and now?")
    assert asked(models["small"]) == ["hello", "large.", "and now?"], "the session's own model"
    assert models["small"].requests[-1].options.temperature is None

    late = await fresh(device, one)
    assert shown(late) == [("hello", "large."), ("and now?", "small.")]
    answers = late.session["siblings"][ack["message_id"]]
    assert answers[1] == ack["message_id"]
    assert (await late.call("select", {"message_id": answers[0]}))["leaf"] == answers[0]
    assert shown(await fresh(device, one)) == [("hello", "small.")]


async def test_a_large_family_is_told_in_part(serve: Serve, device: Devices) -> None:
    """Every other one is reached from the ones that are listed."""
    count = 80
    model = ScriptedModel(*(says(str(number)) for number in range(count)))
    one = device((await serve(model, commands_per_minute=10_000)).url)
    await one.connect()
    first = await ask(one, "hello")
    for _ in range(count - 1):
        await again(one, first["run_id"])
    answers = [run["message_id"] for run in one.events("run", status="started")]

    late = await fresh(device, one)
    newest = answers[-1]
    assert late.session["siblings"] == {newest: answers[-50:]}
    assert late.session["sibling_counts"] == {newest: {"place": count, "count": count}}
    reached, at = set(answers[-50:]), answers[-50]
    while at != answers[0]:
        page = await late.call("history", {"leaf": at})
        place = answers.index(at)
        assert page["sibling_counts"] == {at: {"place": place + 1, "count": count}}
        listed = page["siblings"][at]
        assert (len(listed), listed) == (50, answers[answers.index(listed[0]) :][:50])
        reached |= {*listed}
        at = listed[0]
    assert reached == {*answers}

    away = device(one.url, token=one.auth["token"], session_id=one.auth["session_id"])
    away.auth |= {"epoch": 1, "after_seq": 1}
    away.last_seq = 1  # a replay has all of them on few pages
    page = await away.connect()
    assert page["mode"] == "replay"
    begun = {run["message_id"] for run in page["events"] if run["event"] == "run"}
    assert len(begun) > 50
    assert {message_id for message_id, family in page["siblings"].items()} == begun
    assert len(to_json([page["siblings"], page["sibling_counts"]])) < 32 * 1024


async def test_while_an_answer_runs_branches_are_read_and_not_changed(
    serve: Serve, device: Devices
) -> None:
    gate = asyncio.Event()
    model = ScriptedModel(says("A"), says("B"), [[TextDelta("C")], gate, *says("!")])
    running = await serve(model)
    one = device(running.url)
    await one.connect()
    first = await ask(one, "one")
    await ask(one, "better", replaces=first["message_id"])
    run_id = (await one.send("two"))["run_id"]
    await one.durable("token", run_id=run_id)
    for name, command in (
        ("regenerate", {"run_id": first["run_id"]}),
        ("select", {"message_id": first["message_id"]}),
        ("send", {"text": "x", "client_msg_id": "x", "replaces": first["message_id"]}),
    ):
        ack = await one.call(name, command)
        assert (ack["error"]["code"], ack["error"]["retryable"]) == ("busy", True)
    page = await one.call("history", {"leaf": first["message_id"]})
    assert [(run["user_text"], run["text"]) for run in fold(page["events"])] == [("one", "A")]
    assert first["message_id"] in page["siblings"]
    unknown = await one.call("history", {"leaf": "no such"})
    assert unknown["error"]["code"] == "not_found"
    gate.set()
    await one.done(run_id)
    assert (await one.call("select", {"message_id": first["message_id"]}))["ok"]

    headers = {"Authorization": f"Bearer {one.auth['token']}"}
    url = f"{one.url}/api/sessions/{one.auth['session_id']}"
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.get(url) as answer:
            assert "better" not in await answer.text()
        leaf = one.events("user_message", text="two")[0]["message_id"]
        async with http.get(url, params={"leaf": leaf}) as answer:
            runs = fold((await answer.json())["events"])
            assert [(run["user_text"], run["text"]) for run in runs] == [
                ("better", "B"),
                ("two", "C!"),
            ]


async def test_what_cannot_be_edited(serve: Serve, device: Devices) -> None:
    one = device((await serve(ScriptedModel(says("A")))).url)
    await one.connect()
    first = await ask(one, "one")
    answer = one.events("done")[0]["message_id"]
    for replaces in (answer, "no such", ""):
        ack = await one.send("x", replaces=replaces)
        assert ack["error"]["code"] == "not_found"
    for message_id in ("no such", ""):
        ack = await one.call("select", {"message_id": message_id})
        assert ack["error"]["code"] == "not_found"
    edit = {"text": "x", "client_msg_id": "e", "replaces": first["message_id"]}
    assert (await one.call("send", edit))["status"] == "started"
    retry = await one.call("send", edit)
    assert retry["status"] == "duplicate"
    other = await one.call("send", {"text": "x", "client_msg_id": "e"})
    assert other["error"]["code"] == "conflict"


@pytest.mark.parametrize("access", ["full", "read", None])
async def test_who_may(serve: Serve, device: Devices, access: str | None) -> None:
    one = device((await serve(ScriptedModel(says("A"), says("B"), says("C")))).url)
    await one.connect()
    first = await ask(one, "one")
    guest = device(one.url)
    await guest.connect()
    session_id = one.auth["session_id"]
    if access:
        share = (await one.call("share", {"access": access}))["share"]
        assert (await guest.call("join", {"session_id": session_id, "share": share}))["ok"]
    code = {"full": None, "read": "forbidden", None: "not_found"}[access]
    for name, command in (
        ("send", {"text": "x", "client_msg_id": "x", "replaces": first["message_id"]}),
        ("regenerate", {"run_id": first["run_id"]}),
        ("select", {"message_id": first["message_id"]}),
    ):
        ack = await guest.call(name, {"session_id": session_id, **command})
        assert ack.get("error", {}).get("code") == code
        if ack["ok"] and "run_id" in ack:
            await one.done(ack["run_id"])
    history = await guest.call("history", {"session_id": session_id, "leaf": first["message_id"]})
    assert history["ok"] == (access is not None)


async def test_a_summary_is_of_the_active_branch(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(says("A"), says("B"), says("They spoke."))
    one = device((await serve(model)).url)
    await one.connect()
    first = await ask(one, "a secret plan")
    await ask(one, "the weather", replaces=first["message_id"])
    await one.call("end")
    await one.durable("summary", status="done")
    (transcript,) = asked(model)
    assert "weather" in transcript
    assert "secret" not in transcript


@pytest.mark.parametrize("seed", range(6))
async def test_every_device_and_a_fresh_snapshot_agree(
    serve: Serve, device: Devices, seed: int
) -> None:
    """Over random edits, answers made again, selections and restarts."""
    dice = random.Random(seed)
    numbers = iter(range(10_000))

    class Counting(ScriptedModel):
        async def stream(self, request: Any) -> Any:
            self.scripts = [says(*(f"{next(numbers)} " for _ in range(dice.randint(1, 4))))]
            async for batch in super().stream(request):
                yield batch

    model = Counting(says("x"))
    running = await serve(model)
    one = device(running.url)
    await one.connect()
    two = await fresh(device, one)
    runs = [await ask(one, "0")]
    for number in range(1, 25):
        who = dice.choice([one, two])
        match dice.choice(["say", "edit", "again", "select", "restart"]):
            case "say":
                runs.append(await ask(who, str(number)))
            case "edit":
                old = dice.choice(one.events("user_message"))["message_id"]
                runs.append(await ask(who, f"{number}, better", replaces=old))
            case "again":
                runs.append(await again(who, dice.choice(runs)["run_id"]))
            case "select":
                messages = [*one.events("user_message"), *one.events("done")]
                chosen = dice.choice(messages)["message_id"]
                assert (await who.call("select", {"message_id": chosen}))["ok"]
            case "restart" if dice.random() < 0.5:
                await running.stop()
                running = await serve(model)
                for known in (one, two):
                    known.url = running.url
                    await known.connect()
        head = max(one.last_seq, two.last_seq)
        for known in (one, two):
            await caught_up(known, head)
        late = await fresh(device, one)
        assert shown(one) == shown(two) == shown(late)
        said = [text for pair in shown(late) for text in pair]
        actor_says = [item["text"] for item in await context(running, one)]
        assert actor_says == said
        pages = await whole(late)
        assert [(run["user_text"], run["text"]) for run in fold(pages)] == shown(one)
        await late.drop()


async def caught_up(device: Device, seq: int) -> None:
    await device.until(lambda: device.last_seq >= seq or None)


async def context(running: Any, one: Device) -> list[dict[str, Any]]:
    """What a model would be asked now."""
    async with running.server.hub.hold(one.auth["session_id"]) as actor:
        return [{"text": item.text} for item in actor.session.context()]


async def whole(device: Device) -> list[dict[str, Any]]:
    """The active branch, page by page."""
    entries: list[dict[str, Any]] = []
    before: int | None = None
    while True:
        page = await device.call("history", {"before_seq": before, "limit": 3})
        assert len(to_json(page)) < 128 * 1024
        entries = [*page["events"], *entries]
        before = page["next_before_seq"]
        if before is None:
            return entries
