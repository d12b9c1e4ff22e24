"""What providers refuse, each rule in one function. No I/O.

A rule looks at the body of a request and gives a `Fault` where its provider is said to refuse
it. Factories take the provider's own sentence, since servers are known by what they say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from tests.dialects import parts
from tests.dialects.parts import Fault

Body = dict[str, Any]


Rule = Callable[[Body], Fault | None]
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def first_fault(rules: tuple[Rule, ...], body: Body) -> Fault | None:
    return next((fault for rule in rules if (fault := rule(body))), None)


def calls_of(message: Body) -> list[Body]:
    return message.get("tool_calls") or []


def is_object(arguments: object) -> bool:
    try:
        return isinstance(arguments, str) and isinstance(json.loads(arguments), dict)
    except ValueError:
        return False


def neighbours(body: Body) -> Iterator[tuple[Body, Body]]:
    said = [message for message in body["messages"] if message["role"] != "system"]
    return pairwise(said)


def since_the_user(body: Body) -> list[Body]:
    """The messages since the last one of a user."""
    messages = body["messages"]
    users = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return messages[users[-1] + 1 :] if users else messages


# ------------------------------------------------------ what everybody checks


def well_formed(body: Body) -> Fault | None:
    """The shape that Chat Completions documents."""
    if body["messages"][0]["role"] != "system":
        return Fault("the instructions are missing")
    for place, message in enumerate(body["messages"]):
        at, role, content = f"messages[{place}]", message["role"], message.get("content")
        if role not in ("system", "user", "assistant", "tool"):
            return Fault(f"Invalid value: '{role}' for '{at}.role'.")
        if role == "system" and place:
            return Fault("System message must be at the beginning.")
        if role == "user" and isinstance(content, list):
            if fault := parts.in_chat(content, at):
                return fault
        elif not isinstance(content, str) and not (content is None and calls_of(message)):
            return Fault(f"Invalid value for 'content' of {at}: expected a string, got null.")
        if "tool_calls" in message and (role != "assistant" or not message["tool_calls"]):
            return Fault(f"Invalid '{at}.tool_calls': empty array.")
        for call in calls_of(message):
            name, arguments = call["function"]["name"], call["function"]["arguments"]
            if call.get("type") != "function" or not isinstance(call["id"], str) or not call["id"]:
                return Fault(f"Invalid '{at}.tool_calls': a call needs a type and an id.")
            if not NAME.fullmatch(name):
                return Fault(
                    f"Invalid '{at}.tool_calls[0].function.name': string does not match pattern. "
                    "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
                )
            if not is_object(arguments):
                return Fault(f"Invalid '{at}': arguments must be a JSON object, got {arguments!r}.")
    return None


def answered(body: Body) -> Fault | None:
    """Each call has its result right behind it, and each result its call."""
    waiting: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                return Fault(
                    "Messages with role 'tool' must be a response to a preceding message "
                    "with 'tool_calls'"
                )
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            break
        waiting = [call["id"] for call in calls_of(message)]
        if len(set(waiting)) < len(waiting):
            return Fault("Duplicate value for 'tool_call_id'.")
    if waiting:
        return Fault(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. (insufficient tool messages following tool_calls message)"
        )
    return None


def offered(body: Body) -> Fault | None:
    """The tools' names, number and schemas."""
    tools = body.get("tools")
    if tools is None:
        return None
    functions = [tool["function"] for tool in tools]
    names = [function["name"] for function in functions]
    if not tools or len(tools) > 128 or len(set(names)) < len(names):
        return Fault("Invalid 'tools': between 1 and 128, each with a name of its own.")
    for place, function in enumerate(functions):
        if not NAME.fullmatch(function["name"]) or function["parameters"].get("type") != "object":
            return Fault(f"Invalid 'tools[{place}].function'.", fields={"param": f"tools[{place}]"})
    return None


def blind(body: Body) -> Fault | None:
    """Of those who take text alone."""
    for place, message in enumerate(body["messages"]):
        if isinstance(message.get("content"), list):
            return Fault(f"Invalid type for 'messages[{place}].content': expected a string.")
    return None


EVERYBODY: tuple[Rule, ...] = (well_formed, answered, offered)

# ---------------------------------------------------------------- the orders


def ends_with(*roles: str, words: str, **fields: Any) -> Rule:
    def rule(body: Body) -> Fault | None:
        last = body["messages"][-1]["role"]
        return None if last in roles else Fault(words.format(role=last), fields=fields)

    return rule


def no_user_after_tool(words: str, **fields: Any) -> Rule:
    def rule(body: Body) -> Fault | None:
        for one, two in neighbours(body):
            if (one["role"], two["role"]) == ("tool", "user"):
                return Fault(words, fields=fields)
        return None

    return rule


def alternating(words: str, status: int = 400, **fields: Any) -> Rule:
    """Users and assistants take turns, calls and their results left aside, as templates have
    it that raise an exception otherwise."""

    def rule(body: Body) -> Fault | None:
        said = [
            message["role"]
            for message in body["messages"]
            if message["role"] in ("user", "assistant") and not calls_of(message)
        ]
        for place, role in enumerate(said):
            if (role == "user") != (place % 2 == 0):
                return Fault(words, status, fields=fields)
        return None

    return rule


def no_two_of(role: str, words: str, **fields: Any) -> Rule:
    def rule(body: Body) -> Fault | None:
        if any(one["role"] == two["role"] == role for one, two in neighbours(body)):
            return Fault(words, fields=fields)
        return None

    return rule


def calls_follow_user_or_result(words: str, **fields: Any) -> Rule:
    def rule(body: Body) -> Fault | None:
        for one, two in neighbours(body):
            if calls_of(two) and one["role"] not in ("user", "tool"):
                return Fault(words, fields=fields)
        return None

    return rule


# -------------------------------------------------------------- the contents


def nothing_blank(words: str, *roles: str, **fields: Any) -> Rule:
    """No text that is empty or white space; `null` beside calls is no text."""

    def rule(body: Body) -> Fault | None:
        for place, message in enumerate(body["messages"]):
            content = message.get("content")
            if roles and message["role"] not in roles:
                continue
            if isinstance(content, str) and not content.strip():
                return Fault(words.format(place=place), fields=fields)
        return None

    return rule


def ids_like(pattern: str, words: str, **fields: Any) -> Rule:
    form = re.compile(pattern)

    def rule(body: Body) -> Fault | None:
        for message in body["messages"]:
            ids = [call["id"] for call in calls_of(message)]
            for id in (*ids, *([message["tool_call_id"]] if message["role"] == "tool" else [])):
                if not form.fullmatch(id):
                    return Fault(words.format(id=id), fields=fields)
        return None

    return rule


COMMON = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})


def only_fields(words: str, *more: str, status: int = 400, **fields: Any) -> Rule:
    """No field in a message, or beside a call, that this provider does not know."""

    def rule(body: Body) -> Fault | None:
        for place, message in enumerate(body["messages"]):
            unknown = sorted(message.keys() - COMMON - {*more})
            for call in calls_of(message):
                unknown += sorted(call.keys() - {"id", "type", "function", "index", *more})
            if unknown:
                said = words.format(place=place, role=message["role"], field=unknown[0])
                return Fault(said, status, learned=True, fields=fields)
        return None

    return rule


def thoughtless(body: Body, *, may_be_empty: bool) -> int | None:
    """The place of a message with calls that comes without the thoughts that led to them."""
    for place, message in enumerate(body["messages"]):
        thoughts = message.get("reasoning_content")
        if calls_of(message) and not (thoughts or (may_be_empty and thoughts == "")):
            return place
    return None


# ------------------------------------------------------- tools and options


def no_tools(words: str, status: int = 400, **fields: Any) -> Rule:
    def rule(body: Body) -> Fault | None:
        return Fault(words, status, learned=True, fields=fields) if body.get("tools") else None

    return rule


def without(name: str, words: str, status: int = 400, **fields: Any) -> Rule:
    """An option that this model does not take."""

    def rule(body: Body) -> Fault | None:
        return Fault(words, status, learned=True, fields=fields) if name in body else None

    return rule
