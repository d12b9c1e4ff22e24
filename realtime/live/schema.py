"""Whether an answer can be held to what a message asks for."""

from __future__ import annotations

from typing import Any

from ..protocol import ProtocolError
from ..tools import schema_problem


def check_schema(schema: dict[str, Any] | None) -> None:
    """Raises `bad_request`."""
    if schema is not None and (problem := schema_problem(schema)):
        raise ProtocolError("bad_request", f"schema {problem}")
