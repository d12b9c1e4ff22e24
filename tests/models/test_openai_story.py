"""The whole server before an OpenAI-compatible server that is not ours (aimock), on both APIs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from realtime.build.providers import make_chain
from realtime.config import Settings
from realtime.models.fitting import wire_id
from realtime.models.openai import OpenAIModel
from tests.support.aimock import aimock, journal
from tests.support.device import Device
from tests.support.serving import Serve

TOOL = "fetch_internal_user_analytics"
FIXTURES: list[dict[str, Any]] = [
    {"match": {"hasToolResult": True}, "response": {"content": "Both looked up. 😀"}},
    {
        "match": {"userMessage": "two figures"},
        "response": {
            "content": "One moment.",
            "toolCalls": [
                {"name": TOOL, "arguments": {"query": "how many messages there are today"}},
                {"name": TOOL, "arguments": {"query": "tokens"}},
            ],
        },
        "chunkSize": 3,
    },
    {
        "match": {"userMessage": "money"},
        "response": {
            "error": {
                "message": "You exceeded your current quota.",
                "type": "insufficient_quota",
                "code": "insufficient_quota",
            },
            "status": 429,
        },
    },
    {
        "match": {"userMessage": "break"},
        "response": {"content": "half an answer and no more " * 40},
        "truncateAfterChunks": 9,
    },
    {"match": {"userMessage": "hello"}, "response": {"content": "Hello **there**, 😀. " * 20}},
]
both = pytest.mark.parametrize("api", ["responses", "chat"])
Devices = Callable[..., Device]


@both
async def test_stream_tools_quota_and_cut(serve: Serve, device: Devices, api: str) -> None:
    async with aimock(FIXTURES, "--latency", "2") as base_url:
        model = OpenAIModel(api_key="sk-test", base_url=base_url, model="gpt-6.1-terra", api=api)
        one = device((await serve(model)).url)
        await one.connect()

        ack = await one.send("hello")
        done = await one.done(ack["run_id"])
        assert (done["status"], done["finish_reason"]) == ("completed", "stop")
        assert done["text"] == one.text(ack["run_id"]) == "Hello **there**, 😀. " * 20
        assert done["model"] == "gpt-6.1-terra"

        ack = await one.send("two figures, please")
        done = await one.done(ack["run_id"])
        assert done["text"] == "One moment.\n\nBoth looked up. 😀"
        calls: dict[str, list[dict[str, Any]]] = {}
        for event in one.events("tool_call", run_id=ack["run_id"]):
            calls.setdefault(event["tool_call_id"], []).append(event)
        assert len(calls) == 2
        for states in calls.values():
            assert [s["status"] for s in states] == ["streaming", "ready", "running", "completed"]
        asked = [states[1]["arguments"]["query"] for states in calls.values()]
        assert asked == ["how many messages there are today", "tokens"]
        sent = str((await journal(base_url))[-1]["body"])
        assert all(wire_id(call_id) in sent for call_id in calls), "results go back under their ids"

        ack = await one.send("money?")
        done = await one.done(ack["run_id"])
        assert (done["status"], done["text"]) == ("quota_exceeded", "")
        asked_before = len(await journal(base_url))

        ack = await one.send("break off")
        done = await one.done(ack["run_id"])
        assert (done["status"], done["error"]["code"]) == ("interrupted", "interrupted")
        assert done["text"] == one.text(ack["run_id"])
        assert done["text"].startswith("half an answer")

        done = await one.done((await one.send("hello again"))["run_id"])
        assert done["status"] == "completed", "the session is still usable"
        entries = await journal(base_url)
        assert len(entries) == asked_before + 2, "a quota error is not tried again"
        body = str(entries[-1]["body"])
        assert "money?" in body
        assert "quota" not in body, "nothing invented is in the history"
        await model.close()


@both
async def test_the_settings_choose_the_server(
    serve: Serve, device: Devices, settings: Settings, api: str
) -> None:
    async with aimock(FIXTURES) as base_url:
        chosen = Settings.load(
            {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": base_url, "OPENAI_API": api}, None
        )
        chain = await make_chain(chosen)
        one = device((await serve(chain)).url)
        session = await one.connect()
        assert session["model"] == chosen.openai_model
        await one.done((await one.send("hello"))["run_id"])
        (entry,) = await journal(base_url)
        assert entry["path"].endswith("/responses" if api == "responses" else "/chat/completions")
        await chain.close()


@both
async def test_a_chain_by_settings(
    serve: Serve, device: Devices, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without quota, one that fails and breaks off, and one that answers."""
    monkeypatch.setattr("realtime.runs.chain.PAUSE_S", 0.01)
    broken: list[dict[str, Any]] = [
        {
            "match": {"userMessage": "break"},
            "response": {"content": "half an answer " * 40},
            "truncateAfterChunks": 9,
        },
        {
            "match": {"userMessage": "hello"},
            "response": {
                "error": {"message": "no", "type": "rate_limit_error"},
                "status": 429,
                "retryAfter": 600,
            },
        },
    ]
    no_money = [{**FIXTURES[2], "match": {"userMessage": word}} for word in ("break", "hello")]
    whole = [
        {"match": {"userMessage": word}, "response": {"content": f"{word}, whole"}}
        for word in ("break", "hello")
    ]
    async with aimock(no_money) as one_url, aimock(broken) as two_url, aimock(whole) as three_url:
        chain = await make_chain(
            Settings.load(
                {
                    "OPENAI_API_KEY": "sk-one",
                    "OPENAI_BASE_URL": one_url,
                    "OPENAI_API": api,
                    "OPENAI_MODEL": "one",
                    "KEY_TWO": "sk-two",
                    "FALLBACKS": f"two@{two_url} key=KEY_TWO api={api},three@{three_url} api={api}",
                },
                None,
            )
        )
        running = await serve(chain)
        for word in ("break", "hello"):
            client = device(running.url)
            await client.connect()
            ack = await client.send(f"{word} it")
            done = await client.done(ack["run_id"])
            assert (done["status"], done["model"]) == ("completed", "three")
            assert done["text"] == f"{word}, whole"
            steps = [
                (event["from_model"], event["model"], event["reason"])
                for event in client.events("run", status="fallback")
            ]
            assert steps[0] == ("one", "two", "quota")
            assert steps[-1][:2] == ("two", "three")
            assert all(event["reset_to"] == 0 for event in client.events("run", status="fallback"))
        assert len(await journal(one_url)) == 1, "its breaker is open"
        await chain.close()
