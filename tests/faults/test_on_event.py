"""A crash takes nothing back of what an extension is to be told."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.world import world

TELLS = """
import json

from realtime.protocol import EVENT_NAMES


def on_event(event, session):
    with open("told", "a") as file:
        print(json.dumps([session.session_id, event.seq, EVENT_NAMES[type(event)]]), file=file)
"""


def journal(path: Path) -> list[list[object]]:
    with closing(sqlite3.connect(path)) as found:
        return [
            list(row)
            for row in found.execute(
                "SELECT session_id, seq, event_type FROM events WHERE event_type <> 'token' "
                "ORDER BY session_id, seq"
            )
        ]


async def test_every_event_is_told_over_kills(tmp_path: Path) -> None:
    (tmp_path / "tells.py").write_text(TELLS)
    async with world(tmp_path, EXTENSIONS="tells") as scene:
        one = await scene.device()
        for number in range(4):
            await one.send(f"tokens 200 rate {0 if number % 2 else 400}")
            await one.until(lambda: one.events("token") or None)
            await scene.restart()
            await scene.gather()
        ack = await one.send("tokens 3 rate 0")
        await one.done(ack["run_id"])
        await scene.process.says(".")
        scene.process.child.terminate()
        await scene.process.ended()
    told = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    first = []  # of each event the first time
    for entry in told:
        if entry not in first:
            first.append(entry)
    assert first == journal(tmp_path / "realtime.db")
