"""The shapes of an error, by provider."""

from __future__ import annotations

import json
from typing import Any


def openai(message: str, code: str | None = None, param: str | None = None, **more: Any) -> object:
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code, **more}}


def flat(message: object, type: str = "BadRequestError", code: object = 400) -> object:
    """As vLLM and Mistral say it."""
    return {"object": "error", "message": message, "type": type, "param": None, "code": code}


def google(
    message: str, code: int = 400, status: str = "INVALID_ARGUMENT", *details: Any
) -> object:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return [{"error": error}]


def openrouter(raw: object, code: int = 400, name: str = "Novita") -> object:
    metadata = {"raw": json.dumps(raw), "provider_name": name}
    return {"error": {"message": "Provider returned error", "code": code, "metadata": metadata}}


def llama(message: str, code: int = 500, type: str = "server_error") -> object:
    return {"error": {"code": code, "message": message, "type": type}}


def extra(*place: str | int) -> dict[str, Any]:
    return {"type": "extra_forbidden", "loc": place, "msg": "Extra inputs are not permitted"}
