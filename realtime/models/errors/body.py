"""What a provider said, whatever it was wrapped in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .tables import named
from .words import own, plain

_LONGEST_BODY = 200_000
_LONGEST = 4_000
_DEEPEST = 8

_WORDED = named(
    """
    message msg error detail error_message errormessage error_msg error_description description
    status_msg faultstring title raw body quotaid
    """
)
_AROUND = named(
    """
    errors details innererror inner_error metadata fault base_resp response data violations
    fieldviolations provider_specific_fields
    """
)
_CODED = named(
    """
    code type status reason error_code errorcode error_type status_code __type
    """
)
_CODE = re.compile(r"[a-z][a-z0-9_.]{1,63}", re.IGNORECASE)
_NO_CODES = frozenset({"error", "none", "null", "object"})
_CODES_IN_TEXT = re.compile(r"""["'](?:code|type)["']:\s*["'](\w+)["']""")
_MESSAGES_IN_TEXT = re.compile(
    r"""["'](?:message|msg)["']:\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')"""
)
_PARAM_IN_TEXT = re.compile(r"""["']param["']:\s*["']([\w.\[\]]+)["']""")
_PLACES_IN_TEXT = re.compile(r"""["']loc["']:\s*[(\[]([^)\]]*)[)\]]""")
_PLACE_TYPE = re.compile(r"""["']type["']:\s*["'](\w+)["']""")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")

Place = tuple[str, tuple[str | int, ...]]


@dataclass
class Said:
    """`codes` are words such as `rate_limit_exceeded`, the outermost first; `texts` sentences;
    `places` where a pydantic model found what was wrong, with its type of error."""

    codes: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    param: str | None = None
    status: int | None = None
    wait_s: float | None = None

    @cached_property
    def text(self) -> str:
        """All that the provider said of its own: nobody chooses a kind by what they send."""
        return "\n".join(map(own, self.texts))[:_LONGEST]


def read(body: object) -> Said:
    """The error in a body: an object however deep, a list of them, text, HTML, or nothing."""
    said = Said()
    if isinstance(body, bytes | bytearray):
        body = bytes(body[:_LONGEST_BODY]).decode("utf-8", "replace")
    _take(body, said, 0)
    return said


def _take(node: object, said: Said, depth: int) -> None:
    if depth > _DEEPEST:
        return
    match node:
        case str():
            _take_text(node[:_LONGEST_BODY], said, depth)
        case list():
            for item in node[:20]:
                _take(item, said, depth + 1)
        case dict():
            _take_object(node, said, depth)


def _take_object(node: dict[Any, Any], said: Said, depth: int) -> None:
    if isinstance(place := node.get("loc"), list | tuple):
        path = tuple(part for part in place if isinstance(part, str | int))
        said.places.append((str(node.get("type", "")), path))
        said.texts.append(f"{'.'.join(map(str, path))}: {node.get('msg', '')}")
        return
    fields = {key.lower(): value for key, value in node.items() if isinstance(key, str)}
    # The codes of this object stand before those of what is inside of it.
    for key in ("code", "type", *fields):
        if key in _CODED:
            _take_code(fields.get(key), said)
    if said.param is None and isinstance(param := fields.get("param"), str):
        said.param = param
    if isinstance(wait := fields.get("retrydelay"), str):
        said.wait_s = seconds(wait)
    for key, value in fields.items():
        if key in _WORDED or key in _AROUND:
            _take(value, said, depth + 1)


def _take_code(value: object, said: Said) -> None:
    if isinstance(value, str) and value.isdecimal() and len(value) == 3:
        value = int(value)
    if isinstance(value, int) and 400 <= value < 600:
        said.status = said.status or value
    elif isinstance(value, str) and _CODE.fullmatch(value):
        if value not in said.codes and value.lower() not in _NO_CODES:
            said.codes.append(value)
    elif isinstance(value, str) and value.isdecimal():
        said.codes.append(value)


def _take_text(text: str, said: Said, depth: int) -> None:
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    if start >= 0:
        try:
            inside, _ = json.JSONDecoder().raw_decode(text[start:])
        except (ValueError, RecursionError):
            inside = None
        if isinstance(inside, dict) or (isinstance(inside, list) and _objects(inside)):
            known = len(said.texts)
            _take(inside, said, depth + 1)
            if len(said.texts) > known:
                said.texts[known:known] = [text[:start].rstrip(" -:")] if start else []
                return
    if not (text := plain(text)[:_LONGEST].strip()):
        return
    # Python's way to write what JSON would have been.
    if messages := [a or b for a, b in _MESSAGES_IN_TEXT.findall(text)]:
        said.texts += [text[:start].rstrip(" -:")] if start > 0 else []
        for message in messages:
            _take(message.replace("\\n", " ").replace("\\", ""), said, depth + 1)
    else:
        said.texts.append(text)
    if said.param is None and (param := _PARAM_IN_TEXT.search(text)):
        said.param = param[1]
    for code in _CODES_IN_TEXT.findall(text):
        _take_code(code, said)
    for found in _PLACES_IN_TEXT.finditer(text):
        parts = [part.strip().strip("\"'") for part in found[1].split(",") if part.strip()]
        types = _PLACE_TYPE.findall(text, 0, found.start())
        path = tuple(int(part) if part.isdecimal() else part for part in parts)
        said.places.append((types[-1] if types else "", path))
        said.texts.append(".".join(map(str, path)))


def _objects(items: list[Any]) -> bool:
    return bool(items) and all(isinstance(item, dict) for item in items)


def seconds(text: str) -> float | None:
    """`37s`, `1m30.5s`, `120ms` in seconds."""
    found = _DURATION.fullmatch(text.strip())
    if not found or not any(found.groups()):
        return None
    hours, minutes, whole, milli = (float(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + whole + milli / 1000
    return total if total < 1e9 else None
