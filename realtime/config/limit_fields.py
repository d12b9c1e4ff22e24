"""The rest of the table of settings: how much, how long, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Fields
from .parsers import count, number, one_of
from .setting import setting


@dataclass(frozen=True, kw_only=True)
class LimitFields(Fields):
    """Each is the environment variable of its name in capitals."""

    # Limits
    connects_per_minute: int = setting(
        600,
        "New connections from one address. Those from this machine count only where this is "
        "set. 0: no limit.",
        count(0, 10**9),
    )
    commands_per_minute: int = setting(
        600,
        "Commands on one socket. A user may send four times as many over all sockets and HTTP. "
        "0: no limit.",
        count(0, 10**9),
    )
    sessions_per_day: int = setting(1000, "New sessions of one user. 0: no limit.", count(0, 10**9))
    runs_per_user: int = setting(
        20, "Answers that one user may have running at once. 0: no limit.", count(0, 10**9)
    )
    budget_user_tokens: int = setting(
        0, "Tokens that one user may spend in a day (UTC). 0: no limit.", count(0, 10**15)
    )
    budget_server_tokens: int = setting(
        0, "Tokens that all users together may spend in a day (UTC). 0: no limit.", count(0, 10**15)
    )
    budget_user_dollars: float = setting(
        0.0,
        "US dollars that one user may spend in a day (UTC), by PRICES. 0: no limit.",
        number(0, 1e9),
    )
    budget_server_dollars: float = setting(
        0.0,
        "US dollars that all users together may spend in a day (UTC), by PRICES. 0: no limit.",
        number(0, 1e9),
    )
    text_kb: int = setting(16, "The largest message, in KB of UTF-8.", count(1, 60))
    file_mb: int = setting(20, "The largest file that may be uploaded, in MB.", count(1, 1024))
    files_per_day: int = setting(200, "Uploads of one user in a day. 0: no limit.", count(0, 10**9))
    queued_messages: int = setting(
        5, "Messages that may wait behind a running answer.", count(0, 100)
    )
    backlog_kb: int = setting(
        256,
        "What may wait for one viewer, in KB. A viewer that falls further behind is dropped, "
        "and resumes when it comes back.",
        count(128, 2**20),
    )
    memory_limit_mb: int = setting(
        0,
        "New connections are refused above 85 % of this much memory. 0: the container's limit.",
        count(0, 2**30),
    )

    # Times
    grace_seconds: float = setting(
        30.0,
        "How long a session waits for somebody to come back after the last device has left. "
        "Then it ends and is summed up.",
        number(0, 86400),
    )
    abandon_seconds: float = setting(
        600.0, "How long an answer may go on with nobody watching.", number(0, 86400)
    )
    drain_seconds: float = setting(10.0, "How long answers may go on after SIGTERM.", number(0, 15))
    approval_seconds: float = setting(
        900.0, "How long a tool call waits for a person's approval.", number(0, 604800)
    )

    # Logs and metrics
    metrics_token: str = setting(
        "",
        "The token that opens /metrics, sent as Authorization: Bearer TOKEN. Empty: only this "
        "machine may read it.",
        secret=True,
    )
    log_level: str = setting(
        "INFO",
        "DEBUG, INFO, WARNING or ERROR.",
        lambda raw: one_of("debug", "info", "warning", "error")(raw).upper(),
    )
    log_format: str = setting("text", "text or json.", one_of("text", "json"))
