"""Servers of one project, each with a disk of its own, and what is in their bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from realtime.runs.chain import Chain, Link
from tests.support.scripted import ScriptedModel, says
from tests.support.supabase_lite import SupabaseLite

Here = Callable[[str], dict[str, Any]]


def disks(project: SupabaseLite, folder: Path, **settings: Any) -> Here:
    """The settings of a server, by the name of its disk."""

    def named(disk: str) -> dict[str, Any]:
        return {
            "supabase_url": project.url,
            "supabase_key": project.secret_key,
            "database_path": str(folder / f"{disk}.db"),
            **settings,
        }

    return named


def seeing() -> Chain:
    """A model that takes files."""
    return Chain([Link(ScriptedModel(says("I see.")), "", takes=("image", "pdf"))])


def kept(project: SupabaseLite, session_id: str) -> int:
    """How many files of a session are in the bucket."""
    sql = f"select count(*) from storage.objects where name like '{session_id}/%'"
    return int(project.psql(sql))
