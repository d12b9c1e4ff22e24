"""The tool that ships, and the pattern for your own: figures about this server's use.

Name your modules in `TOOLS=realtime.example,my_tools` and restart.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from pydantic import Field

from .tools import ToolContext, tool

# What a question may be about, and the figures that answer it.
TOPICS = {
    "session": ("sessions", "sessions_ended"),
    "conversation": ("sessions", "sessions_ended"),
    "message": ("messages",),
    "answer": ("answers",),
    "token": ("input_tokens", "output_tokens"),
    "cost": ("cost",),
    "duration": ("mean_duration_seconds",),
    "long": ("mean_duration_seconds",),
}


@tool(repeatable=True)  # it only reads, so a crash may make it read again
async def fetch_internal_user_analytics(
    context: ToolContext,
    query: Annotated[
        str, Field(description="What to look up, such as 'messages today'; empty for all")
    ] = "",
) -> dict[str, Any]:
    """Fetch internal user analytics: sessions, messages, answers, output tokens and mean
    session length, of the user who asks and of everyone together."""
    words = query.lower()
    now = time.time()
    midnight = now - now % 86400  # UTC
    today_only = "today" in words
    since = int(midnight * 1000) if today_only else 0
    wanted = {name for topic, names in TOPICS.items() if topic in words for name in names}

    def pick(figures: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in figures.items() if not wanted or name in wanted}

    today = await context.store.figures(None, int(midnight * 1000))
    return {
        "query": query,
        "period": "today (UTC)" if today_only else "all time",
        "sessions_today": today["sessions"],
        "yours": pick(await context.store.figures(context.user_id, since)),
        "everyone": pick(await context.store.figures(None, since)),
    }
