"""What an MCP server answered to a call, as a tool's result. Pure.

Servers keep neither to their own schemas nor to the protocol's, and have done what they were
asked all the same: the model gets what came.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from ..context import ToolError

Json = dict[str, Any]
TEXTUAL = ("json", "xml", "yaml", "toml", "javascript", "csv", "sql", "x-sh")


def contents(result: Json) -> Any:
    """A lone text or value as itself, several in a list. Raises `ToolError` where it is an
    error."""
    content = result.get("content", [])
    blocks = [_block(item) for item in (content if isinstance(content, list) else [content])]
    structured = result.get("structuredContent")
    if result.get("isError") is True:
        texts = [block for block in blocks if isinstance(block, str)]
        rest = structured or blocks
        said = "\n".join(texts) or (json.dumps(rest, ensure_ascii=False) if rest else "")
        raise ToolError(said or "the tool failed and did not say why")
    if "content" not in result and structured is None:
        known = ("_meta", "isError", "resultType")
        return {key: value for key, value in result.items() if key not in known} or []
    if structured not in (None, {}):
        blocks = [*([] if _restates(blocks, structured) else blocks), structured]
    return blocks[0] if len(blocks) == 1 else blocks


def _restates(blocks: list[Any], structured: Any) -> bool:
    """Whether the texts are the structured value written out, as servers should do for older
    clients: as one, or an item each; some wrap what is no object as `result`."""
    if not all(isinstance(block, str) for block in blocks):
        return False
    values = [_parsed(block) for block in blocks]
    shapes: list[Any] = [values[0] if len(values) == 1 else None, values, "\n".join(blocks)]
    same = [structured]
    if isinstance(structured, dict) and set(structured) == {"result"}:
        same.append(structured["result"])
    return not blocks or any(shape == value for shape in (*shapes, *blocks) for value in same)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def files(result: Json) -> list[tuple[str, str, bytes]]:
    """Name, type and bytes of each image, sound or file in the answer that is no text."""
    content = result.get("content")
    found = []
    for number, block in enumerate(content if isinstance(content, list) else [], 1):
        if not isinstance(block, dict):
            continue
        inner = block.get("resource")
        inner = inner if isinstance(inner, dict) else {}
        data, source = (inner.get("blob"), inner) if inner else (block.get("data"), block)
        if not isinstance(data, str) or (inner and _text_of(inner)):
            continue
        kind = str(source.get("mimeType") or "")
        named = str(source.get("name") or source.get("uri") or "").rpartition("/")[2]
        name = named or f"{block.get('type')}-{number}.{kind.rpartition('/')[2] or 'bin'}"
        try:
            found.append((name, kind, base64.b64decode(data + "==")))
        except (binascii.Error, ValueError):
            continue
    return found


def _block(block: Any) -> Any:
    if not isinstance(block, dict):
        return block
    if block.get("type") == "text" and isinstance(block.get("text"), str):
        return block["text"]
    if isinstance(block.get("data"), str):  # an image or a sound: those who read along see it
        return _kind_and_size(block, "data")
    inner = block.get("resource")
    if isinstance(inner, dict) and isinstance(inner.get("blob"), str):
        return {"type": "resource", **(_text_of(inner) or _kind_and_size(inner, "blob"))}
    return {key: value for key, value in block.items() if value is not None and key != "_meta"}


def _kind_and_size(block: Json, field: str) -> Json:
    size = len(block[field].rstrip("=")) * 3 // 4
    kept = ("type", "uri", "name", "mimeType")
    return {key: block[key] for key in kept if block.get(key)} | {"bytes": size}


def _text_of(resource: Json) -> Json | None:
    """The resource with its text, where the blob is one."""
    kind, _, parameters = str(resource.get("mimeType") or "").lower().partition(";")
    says_text = kind.startswith("text/") or kind.endswith(TEXTUAL)
    if not says_text and kind not in ("", "application/octet-stream"):
        return None
    charset = parameters.partition("charset=")[2].strip(' "') or "utf-8"
    try:
        data = base64.b64decode(resource["blob"] + "==")
        text = data.decode(charset, "replace" if says_text else "strict")
    except (binascii.Error, ValueError, LookupError):
        return None
    if not says_text and "\0" in text:
        return None
    kept = {key: resource[key] for key in ("uri", "mimeType") if resource.get(key)}
    return {**kept, "text": text}
