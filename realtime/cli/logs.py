"""Structured logs: text or JSON lines, with session, run and user, on standard error."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from ..core.about import ABOUT
from ..package import NAME
from ..protocol import to_json

FIELDS = (
    *("worker", "session_id", "run_id", "user_id", "sid", "request_id", "remote", "model", "tool"),
    *("status", "reason", "ms", "first_token_ms", "input_tokens", "output_tokens", "attributes"),
)


class _Text(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        """The first line: a traceback comes below it."""
        found = fields(record).items()
        extra = " ".join(f"{name}={_pairs(value)}" for name, value in found)
        line = super().formatMessage(record)
        return f"{line} {extra}" if extra else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        data = {
            "ts": round(record.created, 3),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            data["error"] = self.formatException(record.exc_info)
        return to_json(data).decode()


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Of the record itself, and of the run whose task wrote it."""
    known = (ABOUT.get() or {}) | vars(record)
    found = {name: known[name] for name in FIELDS if known.get(name) is not None}
    return {name: one if isinstance(one, int | dict) else str(one) for name, one in found.items()}


def _pairs(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={one}" for name, one in value.items())
    return str(value)


def told(text: str, format: str, level: str = "INFO") -> str:
    """What the command line says, which no LOG_LEVEL hides: as it is, or as a line of the log."""
    if format != "json":
        return text
    said = {"ts": round(time.time(), 3), "level": level, "logger": NAME}
    return to_json({**said, "message": " ".join(text.split())}).decode()


def set_up(level: str, format: str, worker: str | None = None) -> None:
    """Send this server's logs, and warnings of the libraries, to standard error. `worker`: its
    name, where there are others."""
    handler = logging.StreamHandler(sys.stderr)

    def named(record: logging.LogRecord) -> bool:
        record.worker = worker
        return True

    handler.addFilter(named)
    if format == "json":
        handler.setFormatter(_Json())
    else:
        formatter = _Text("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(NAME).setLevel(level)
    for sdk in ("mcp", "client"):  # MCP's, which would log what servers and users say
        logging.getLogger(sdk).setLevel("CRITICAL")
