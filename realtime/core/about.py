"""Which session, run and user the current task works for. Log lines say it, whoever writes them."""

from __future__ import annotations

from contextvars import ContextVar

ABOUT: ContextVar[dict[str, str] | None] = ContextVar("about", default=None)
"""Tasks and threads that begin inside inherit it."""
