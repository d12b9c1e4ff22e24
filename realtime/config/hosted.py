"""The setting HOSTED_TOOLS: tools that the provider runs."""

from __future__ import annotations

import json
from typing import Any

from .parsers import parse_list

PLAIN: dict[str, dict[str, Any]] = {
    "web_search": {"type": "web_search"},
    "code_interpreter": {"type": "code_interpreter", "container": {"type": "auto"}},
    "image_generation": {"type": "image_generation"},
}
"""Those that need no more than their name."""
NEEDS = {"file_search": ("vector_store_ids",), "mcp": ("server_label",)}


def parse_hosted(raw: str) -> tuple[dict[str, Any], ...]:
    """Names, comma separated, or a JSON list of names and of objects as the provider takes
    them."""
    if not raw.lstrip().startswith(("[", "{")):
        return tuple(_tool(name) for name in parse_list(raw))
    try:
        listed = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("must be names, comma separated, or a JSON list") from None
    return tuple(_tool(item) for item in (listed if isinstance(listed, list) else [listed]))


def _tool(item: Any) -> dict[str, Any]:
    tool: dict[str, Any] = item if isinstance(item, dict) else {"type": item}
    kind = tool.get("type")
    if kind not in (*PLAIN, *NEEDS):
        raise ValueError(f"has {kind!r}; it may have: {', '.join((*PLAIN, *NEEDS))}")
    for name in NEEDS.get(kind, ()):
        if not tool.get(name):
            raise ValueError(f'has {kind} without {name}: write it as {{"type": "{kind}", …}}')
    if kind == "mcp" and not (tool.get("server_url") or tool.get("connector_id")):
        raise ValueError("has mcp without server_url or connector_id")
    if kind == "mcp" and tool.get("require_approval") != "never":
        raise ValueError(
            'has mcp without "require_approval": "never": the provider makes its calls, and nobody '
            "could approve them here; MCP_CONFIG has servers whose calls can be approved"
        )
    return {**PLAIN.get(kind, {}), **tool}
