"""Tools that the provider runs: their calls in the stream, and what an answer cites."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from ...protocol import from_json
from .. import Citation, Cited, HostedCall, Media, Thought

NAMES = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
    "mcp_call": "mcp",
}
"""Kinds of items, and the tool of each."""
_ARGUMENTS = {
    "web_search_call": ("action",),
    "file_search_call": ("queries",),
    "code_interpreter_call": ("code",),
    "image_generation_call": ("revised_prompt", "size", "quality", "output_format"),
}


def begun(item: dict[str, Any], index: Any) -> HostedCall:
    return HostedCall(_key(item, index), _name(item), "running", _arguments(item))


def ended(item: dict[str, Any], index: Any) -> HostedCall:
    error = item.get("error")
    if isinstance(error, dict):
        error = error.get("message") or error.get("code")
    failed = bool(error) or item.get("status") in ("failed", "incomplete", "cancelled")
    status: Literal["completed", "failed"] = "failed" if failed else "completed"
    why = str(error or "the provider could not make this call") if failed else None
    output, made = (None, ()) if failed else (_output(item), _made(item))
    return HostedCall(_key(item, index), _name(item), status, _arguments(item), output, why, made)


def kept(item: dict[str, Any]) -> list[Thought]:
    """The item as the next request sends it back; an image is too large for that."""
    return [] if item.get("type") == "image_generation_call" else [Thought(item)]


def _key(item: dict[str, Any], index: Any) -> str:
    return f"{item.get('type')} {item.get('id') if index is None else index}"


def _name(item: dict[str, Any]) -> str:
    if item["type"] != "mcp_call":
        return NAMES[item["type"]]
    return f"{item.get('server_label') or 'mcp'}__{item.get('name') or 'unknown'}"


def _arguments(item: dict[str, Any]) -> Any:
    if item["type"] != "mcp_call":
        names = _ARGUMENTS[item["type"]]
        return {name: item[name] for name in names if item.get(name) is not None}
    given = item.get("arguments")
    try:
        return from_json(given) if isinstance(given, str) and given else given or {}
    except ValueError:
        return given


def _output(item: dict[str, Any]) -> Any:
    match item["type"]:
        case "image_generation_call":
            result = item.get("result")
            if not isinstance(result, str):
                return None
            padding = result.count("=", max(0, len(result) - 2))
            return {"image_bytes": len(result) * 3 // 4 - padding}
        case "code_interpreter_call":
            return item.get("outputs")
        case "file_search_call":
            return item.get("results")
        case _:
            return item.get("output")


def _made(item: dict[str, Any]) -> tuple[Media, ...]:
    """The image that came of a call."""
    result = item.get("result")
    if item["type"] != "image_generation_call" or not isinstance(result, str):
        return ()
    form = item.get("output_format")
    form = form if form in ("png", "jpeg", "webp") else "png"
    return (Media(f"image.{form}", f"image/{form}", result),)


# ------------------------------------------------------------------ what it cites


def cited(parts: Iterable[dict[str, Any]], apart: Iterable[Any] = ()) -> list[Cited]:
    """What the parts of a whole message cite, or what came apart from them; places are those in
    the text of all parts."""
    text, found = "", []
    for part in parts:
        said = part.get("text") or part.get("refusal")
        listed = part.get("annotations")
        for annotation in listed if isinstance(listed, list) else ():
            found += _citation(annotation, len(text))
        text += said if isinstance(said, str) else ""
    if not found:
        found = [citation for annotation in apart for citation in _citation(annotation, 0)]
    return [Cited(tuple(found), text)] if found else []


def _citation(annotation: Any, base: int) -> list[Citation]:
    if not isinstance(annotation, dict):
        return []
    start, end = annotation.get("start_index"), annotation.get("end_index")
    if start is None and end is None:
        start = end = annotation.get("index")
    url, title = annotation.get("url"), annotation.get("title") or annotation.get("filename")
    place: tuple[int | None, int | None] = (None, None)
    if isinstance(start, int) and isinstance(end, int):
        place = (base + start, base + end)
    return [Citation(_text(url), _text(title), _text(annotation.get("file_id")), *place)]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
