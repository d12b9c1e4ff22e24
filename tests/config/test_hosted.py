"""HOSTED_TOOLS: names, JSON, what is refused, and where it has no effect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime.config import ConfigError, Settings

OPENAI = {"OPENAI_API_KEY": "sk-test"}
WIKI = {"type": "mcp", "server_label": "wiki", "server_url": "https://wiki.example/mcp"}
FILES = {"type": "file_search", "vector_store_ids": ["vs_1"]}


def test_names_and_objects() -> None:
    named = Settings.load({**OPENAI, "HOSTED_TOOLS": "web_search, code_interpreter"}, None)
    assert named.hosted_tools == (
        {"type": "web_search"},
        {"type": "code_interpreter", "container": {"type": "auto"}},
    )
    given = [FILES, {**WIKI, "require_approval": "never"}, "image_generation"]
    listed = Settings.load({**OPENAI, "HOSTED_TOOLS": json.dumps(given)}, None)
    assert listed.hosted_tools == (*given[:2], {"type": "image_generation"})
    assert Settings.load(OPENAI, None).hosted_tools == ()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("web_serch", "web_search"),
        ("file_search", "vector_store_ids"),
        ("mcp", "server_label"),
        ([{**WIKI, "server_url": ""}], "server_url"),
        ([WIKI], "require_approval"),
        ([{**WIKI, "require_approval": "always"}], "MCP_CONFIG"),
        ([7], "7"),
        ("[", "JSON"),
    ],
)
def test_what_is_refused(given: Any, words: str) -> None:
    raw = given if isinstance(given, str) else json.dumps(given)
    with pytest.raises(ConfigError, match="HOSTED_TOOLS") as caught:
        Settings.load({**OPENAI, "HOSTED_TOOLS": raw}, None)
    assert words in str(caught.value)


def test_a_secret_in_it_is_not_repeated() -> None:
    tool = {**WIKI, "authorization": "tok-3141592653"}
    with pytest.raises(ConfigError) as caught:
        Settings.load({**OPENAI, "HOSTED_TOOLS": json.dumps([tool])}, None)
    assert "3141592653" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "idle"),
    [
        (OPENAI, False),
        ({**OPENAI, "OPENAI_API": "chat"}, True),
        ({"MODEL": "demo"}, True),
        ({**OPENAI, "OPENAI_API": "chat", "FALLBACKS": "a@https://b.example api=responses"}, False),
    ],
)
def test_where_it_has_no_effect(environ: dict[str, str], idle: bool) -> None:
    notes = Settings.load({**environ, "HOSTED_TOOLS": "web_search"}, None).notes()
    assert any("HOSTED_TOOLS has no effect" in note for note in notes) == idle
