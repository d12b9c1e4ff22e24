"""A stand-in for a language model: no key, no network, the same answer every time.

It says that it is one. It remembers the conversation, calls tools and streams word by
word, so that everything around a model can be tried and tested without one.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator
from itertools import pairwise
from typing import Any

from ..protocol import Usage
from . import (
    AssistantText,
    Finished,
    Item,
    ModelEvent,
    Request,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    ToolRequest,
    ToolResult,
    ToolSpec,
    UserText,
)
from .fitting import CONTINUE

MAX_COUNT = 2000

_INTRODUCTION = "I am the **demo model**: a small script without any AI in it, so you need no key. "
_TITLE = re.compile(r"\ba title of\b")
_SUMMARY = re.compile(r"\bsummari[sz]e\b", re.IGNORECASE)
_COUNT = re.compile(r"\bcount (?:up )?to (\d{1,9})\b", re.IGNORECASE)
_NAME = re.compile(r"\bmy name is ([^\W\d_][\w'’-]*)", re.IGNORECASE)
_ASKS_NAME = re.compile(r"\bmy name\b.*\?|\bwho am i\b", re.IGNORECASE)
_ASKS_FIRST = re.compile(r"\bwhat did i (?:say|ask|write)\b.*\bfirst\b", re.IGNORECASE)
_STORY = re.compile(r"\b(story|tale)\b", re.IGNORECASE)
_HELLO = re.compile(r"^\W*(hi|hello|hey|good (morning|evening|afternoon))\b", re.IGNORECASE)
_WORDS = re.compile(r"\S+\s*|\s+")
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


class DemoModel:
    """The stand-in. One word per list, `delay_s` seconds apart."""

    name = "demo"
    label = "demo (a demonstration that needs no key; its answers are scripted)"

    def __init__(self, delay_s: float = 0.03) -> None:
        self._delay_s = delay_s

    async def stream(self, request: Request) -> AsyncGenerator[list[ModelEvent], None]:
        """Answer once. Never raises `ModelError`."""
        written = 0
        text, call = _answer(request)
        for word in _WORDS.findall(text):
            yield [TextDelta(word)]
            written += 1
            await asyncio.sleep(self._delay_s)
        if call:
            yield [ToolCallStarted("0", call[0].name)]
            await asyncio.sleep(self._delay_s)
            yield [ToolCallReady("0", call[0].name, call[1])]
            written += len(call[1].split())
        usage = Usage(_size(request), written, estimated=True)
        yield [usage, Finished("tool_calls" if call else "stop")]

    async def check(self) -> None:
        """There is nothing to reach."""

    async def close(self) -> None:
        """There is nothing to let go of."""


def _answer(request: Request) -> tuple[str, tuple[ToolSpec, str] | None]:
    """The text of the answer, and the call that follows it."""
    context = request.context
    if context and context[-1] == UserText(CONTINUE):
        context = context[:-1]
    said = [item.text for item in context if isinstance(item, UserText)]
    newest = said[-1] if said else ""
    if _TITLE.search(request.instructions):
        return _title(newest), None
    if _SUMMARY.search(request.instructions) or _is_summary_request(newest):
        return _summary(context), None
    question = _newest_question(context)
    before, since = context[:question], context[question:]
    results = [item for item in since if isinstance(item, ToolResult)]
    first = not any(isinstance(item, AssistantText) for item in before)
    introduction = _INTRODUCTION if first and not results else ""
    if results:
        text = _report(results[-1].output)
    elif tool := _tool(newest, request.tools):
        arguments = json.dumps(_arguments(newest, tool), ensure_ascii=False)
        return f"{introduction}Let me fetch that with `{tool.name}`.", (tool, arguments)
    elif match := _COUNT.search(newest):
        numbers = range(1, min(int(match[1]), MAX_COUNT) + 1)
        text = introduction + " ".join(map(str, numbers))
    else:
        text = introduction + _reply(said)
    if since and isinstance(since[-1], AssistantText):
        text = text.removeprefix(since[-1].text)  # an answer that was broken off goes on
    return text, None


def _reply(said: list[str]) -> str:
    newest, earlier = (said[-1] if said else ""), said[:-1]
    name = next((m[1] for text in reversed(said) if (m := _NAME.search(text))), None)
    if not newest:
        return "Say something, and I shall answer."
    if _ASKS_FIRST.search(newest):
        return f"The first thing you said was: “{_short(said[0], 200)}”"
    if _NAME.search(newest):
        return f"Nice to meet you, **{name}**. I shall remember your name."
    if _ASKS_NAME.search(newest):
        return f"Your name is **{name}**." if name else "You have not told me your name yet."
    if _STORY.search(newest):
        return _story(24 if "long" in newest.lower() else 6)
    if _HELLO.match(newest):
        greeting = f"Hello{f', **{name}**' if name else ''}!"
    else:
        greeting = f"You said: “{_short(newest, 200)}”."
    if earlier:
        messages = "one message" if len(earlier) == 1 else f"{len(earlier)} messages"
        return (
            f"{greeting} Before that you sent {messages}, "
            f"the last of them: “{_short(earlier[-1], 80)}”."
        )
    return (
        f"{greeting} Things to try:\n\n"
        "- `My name is Ada`, and later `What is my name?`\n"
        "- `What did I say first?`\n"
        "- `Fetch internal user analytics for last week`, which calls a **tool**\n"
        "- `Count to 500`, a long answer to stop or to reconnect in\n"
        "- `Tell me a long story`\n"
    )


# --------------------------------------------------------------------- the tool


def _tool(text: str, tools: tuple[ToolSpec, ...]) -> ToolSpec | None:
    """The one that is called by its name, or that has to do with analytics where the text has."""
    for tool in tools:
        if re.search(rf"\b{_name(tool)}\b", text, re.IGNORECASE):
            return tool
    analytics = (tool for tool in tools if "analytics" in tool.name.lower())
    return next(analytics, None) if "analytics" in text.lower() else None


def _name(tool: ToolSpec) -> str:
    """A pattern: people write spaces."""
    return re.escape(tool.name).replace("_", "[_ ]")


def _arguments(text: str, tool: ToolSpec) -> dict[str, Any]:
    """The JSON object in the text; else, for each argument that is needed, a number that stands
    there, or what comes behind the tool's name."""
    if found := _OBJECT.search(text):
        try:
            return dict(json.loads(found[0]))
        except ValueError:
            pass
    words = re.split(rf"{_name(tool)}|analytics", text, flags=re.IGNORECASE)[-1]
    words = words.strip(" \t\n.,:;!?") or text.strip()
    numbers = re.findall(r"-?\d+(?:\.\d+)?", text)
    known = tool.parameters.get("properties", {})
    given: dict[str, Any] = {}
    for needed in tool.parameters.get("required", ["query"] if "query" in known else []):
        kind = known.get(needed, {}).get("type")
        if kind in ("integer", "number"):
            given[needed] = json.loads(numbers.pop(0)) if numbers else 1
        else:
            given[needed] = kind == "boolean" or words
    return given


def _report(output: str) -> str:
    """An answer made of a tool's result."""
    try:
        figures = list(_figures(json.loads(output)))
    except ValueError:
        figures = []
    if not figures:
        return f"The tool answered:\n\n`{_short(output, 400).replace('`', ' ')}`\n"
    lines = "".join(f"- **{name}**: {value}\n" for name, value in figures[:12])
    more = f"\n… and {len(figures) - 12} more.\n" if len(figures) > 12 else ""
    return f"Here are the figures:\n\n{lines}{more}"


def _figures(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a JSON value with their paths, in order."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value, 1)
        for key, inner in items:
            label = str(key).replace("_", " ")
            yield from _figures(inner, f"{path} {label}" if path else label)
    elif isinstance(value, str):
        yield path or "result", _short(value, 120)
    else:
        yield path or "result", f"{value:,}" if type(value) is int else json.dumps(value)


# --------------------------------------------------------------------- the texts


def _title(exchange: str) -> str:
    """The first words of the first question."""
    said = [line for line in exchange.splitlines() if line.strip() and not line.startswith("#")]
    return " ".join(said[0].split()[:6]).rstrip(".,;:!?") if said else "New conversation"


def _is_summary_request(text: str) -> bool:
    """A person's “summarise”; a transcript that merely contains the word is no request."""
    return len(text) < 200 and _SUMMARY.search(text) is not None


def _summary(context: tuple[Item, ...]) -> str:
    """An extract: how much was said, and the first and the last of it."""
    texts = [item.text for item in context if isinstance(item, UserText)]
    transcript = "\n".join(texts)
    asked = re.findall(r"^User: *(.+)", transcript, re.MULTILINE)
    speakers: list[object] = re.findall(r"^(User|Assistant): *.", transcript, re.MULTILINE)
    if not asked:
        asked = [text for text in texts if text.strip() and not _is_summary_request(text)]
        speakers = [type(item) for item in context if isinstance(item, UserText | AssistantText)]
    turns = pairwise(speakers)  # what is said between tools is one answer
    answers = sum(one in ("User", UserText) and other != one for one, other in turns)
    if not asked:
        return "Nothing was said. (An extract by the demo model.)"
    times = "once" if len(asked) == 1 else f"{len(asked)} times"
    text = f"The user wrote {times} and got {answers} answer{'' if answers == 1 else 's'}. "
    text += f"It began with “{_short(asked[0], 120)}”"
    if len(asked) > 1:
        text += f" and ended with “{_short(asked[-1], 120)}”"
    return f"{text}. (An extract by the demo model.)"


def _story(paragraphs: int) -> str:
    who = ("a lighthouse keeper", "a clockmaker", "an old ferryman", "a travelling baker")
    where = ("by the sea", "behind the hills", "at the edge of the town", "under the bridge")
    what = (
        "found a letter that nobody had opened",
        "counted the steps to the door and lost count",
        "mended a lamp that had never been broken",
        "heard a song in the wind and wrote it down",
        "lent an umbrella to a stranger, who brought back two",
    )
    parts = [
        f"On day {day}, {who[day % 4]} {where[day // 4 % 4]} {what[day % 5]}. "
        f"The evening was quiet, and the next morning came all the same."
        for day in range(1, paragraphs + 1)
    ]
    return "**A story**\n\n" + "\n\n".join(parts) + "\n\n*The end.*"


def _short(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _newest_question(context: tuple[Item, ...]) -> int:
    """Where the newest user text stands."""
    places = [i for i, item in enumerate(context) if isinstance(item, UserText)]
    return places[-1] if places else 0


def _size(request: Request) -> int:
    """Words of the request: what the usage estimates its tokens by."""
    words = len(request.instructions.split())
    for item in request.context:
        match item:
            case UserText(text) | AssistantText(text):
                words += len(text.split())
            case ToolRequest(arguments=text) | ToolResult(output=text):
                words += len(text.split())
    return words
