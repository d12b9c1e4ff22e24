"""Structured logs: text or JSON lines, with session and run ids, on standard error."""

from __future__ import annotations

import logging
import sys
import time

from ..package import NAME
from ..protocol import to_json

FIELDS = ("session_id", "run_id", "sid", "request_id", "remote")


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        extra = " ".join(f"{name}={value}" for name, value in fields(record).items())
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


def fields(record: logging.LogRecord) -> dict[str, str]:
    return {name: str(getattr(record, name)) for name in FIELDS if hasattr(record, name)}


def set_up(level: str, format: str) -> None:
    """Send this server's logs, and warnings of the libraries, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
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
