"""A conversation as every provider takes it. No I/O.

The fold over the log says what happened: a question that nobody answered, an answer that was
stopped before its first word, a call by a name that the model made up. Strict providers refuse
much of that, and would refuse it in every later request too. So each request is made from a copy
in which nothing is empty, the roles take turns, the user speaks first and the model never last.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby

from . import AssistantText, Item, Thought, ToolRequest, ToolResult, UserText

NO_ANSWER = "[no answer]"
MEANWHILE = "[the user says something meanwhile]"
NO_OUTPUT = "[no output]"
NO_WORDS = "[no words]"
NO_THOUGHT = "[not kept]"
EARLIER = "[earlier messages are left out]"
GO_ON = "Go on."
CONTINUE = (
    "Your last answer broke off. Continue exactly where you stopped, without repeating "
    "anything of it."
)

_ALPHABET = string.digits + string.ascii_letters
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]+")


def fitted(context: Iterable[Item], by: str, *, calls: bool = True) -> list[Item]:
    """The context for the model with the label `by`. Of thoughts it gets back only its own.
    Without `calls`, tool calls become text: some servers take none."""
    items = [_named(item, by) for item in context if _said(item, by)]
    if not calls:
        items = _told(items)
    fitting: list[Item] = []
    for asked, group in groupby(items, lambda item: isinstance(item, UserText)):
        if asked:
            for item in group:
                if fitting and not isinstance(fitting[-1], AssistantText):
                    fitting.append(AssistantText(_between(item)))
                fitting.append(item)
        elif answer := _answer(list(group)):
            fitting += answer if fitting else [UserText(EARLIER), *answer]
    if not fitting or not isinstance(fitting[-1], UserText | ToolResult):
        fitting.append(UserText(GO_ON))
    return fitting


def _between(item: Item) -> str:
    """What the model says before a message that follows no words of its own."""
    return MEANWHILE if isinstance(item, UserText) and item.steers else NO_ANSWER


@lru_cache(4096)
def wire_id(tool_call_id: str) -> str:
    """A call's id as all providers take it: nine letters and digits, the same for the same id."""
    number = int.from_bytes(hashlib.sha256(tool_call_id.encode("utf-8", "replace")).digest())
    return "".join(_ALPHABET[number // len(_ALPHABET) ** n % len(_ALPHABET)] for n in range(9))


def wire_name(name: str) -> str:
    """A tool's name as all providers take it. The model may have made it up."""
    return _NOT_IN_NAMES.sub("_", name)[:64] or "unknown"


def _said(item: Item, by: str) -> bool:
    match item:
        case AssistantText(text):
            return bool(text)
        case Thought():
            return item.by == by
        case _:
            return True


def _named(item: Item, by: str) -> Item:
    match item:
        case UserText(text, files=()) if not text.strip():
            return UserText(NO_WORDS)
        case ToolRequest(tool_call_id, name, arguments, extra):
            own = extra if item.by == by else None
            return ToolRequest(wire_id(tool_call_id), wire_name(name), arguments, own, item.by)
        case ToolResult(tool_call_id, output):
            return ToolResult(wire_id(tool_call_id), output if output.strip() else NO_OUTPUT)
        case _:
            return item


def _answer(items: list[Item]) -> list[Item]:
    """What the model did between two messages of the user: step by step, each a text, its calls
    and their results. Texts that follow one another are one; those of white space are none."""
    steps: list[Item] = []
    answers = {item.tool_call_id for item in items if isinstance(item, ToolResult)}
    for results, group in groupby(items, lambda item: isinstance(item, ToolResult)):
        if results:
            asked = {item.tool_call_id for item in steps if isinstance(item, ToolRequest)}
            steps += [r for r in group if isinstance(r, ToolResult) and r.tool_call_id in asked]
        else:
            steps += _step([i for i in group if not _unanswered(i, answers)])
    return steps


def _unanswered(item: Item, answers: set[str]) -> bool:
    return isinstance(item, ToolRequest) and item.tool_call_id not in answers


def _step(items: list[Item]) -> list[Item]:
    step: list[Item] = []
    for is_text, group in groupby(items, lambda item: isinstance(item, AssistantText)):
        if not is_text:
            step += group
        elif text := "".join(t.text for t in group if isinstance(t, AssistantText)).strip("\n"):
            step += [AssistantText(text)] if text.strip() else []
    while step and isinstance(step[-1], Thought):  # what it belongs to is not there
        step.pop()
    return step


def _told(items: list[Item]) -> list[Item]:
    """The items with each call and its result as a text of the assistant."""
    results = {item.tool_call_id: item.output for item in items if isinstance(item, ToolResult)}
    told: list[Item] = []
    for item in items:
        match item:
            case ToolRequest(tool_call_id, name, arguments):
                output = results.get(tool_call_id, NO_OUTPUT)
                told.append(AssistantText(f"\n\n[{name}({arguments}) gave: {output}]\n\n"))
            case ToolResult():
                pass
            case _:
                told.append(item)
    return told
