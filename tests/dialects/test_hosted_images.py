"""Images that a provider's tool makes are files of the session, as those of our tools are."""

from __future__ import annotations

import base64
import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from realtime.core.rows import StorageError
from realtime.files.store import Files
from tests.dialects import parts
from tests.dialects.conftest import Meet, Talk
from tests.dialects.hosted_tools import HostedTools
from tests.dialects.outcomes import agreed, completes
from tests.support.attach import png


def drawing(image: bytes) -> HostedTools:
    provider = HostedTools()
    provider.drawn = image
    return provider


async def drawn(talk: Talk) -> dict[str, Any]:
    """The call, once it has ended."""
    done = await talk.ask("Draw a red square.", "draw")
    assert (done["status"], done["text"]) == ("completed", "Here it is.")
    begun, ended = talk.events("tool_call", done["run_id"])
    assert [begun["status"], ended["status"]] == ["running", "completed"]
    assert begun["tool_call_id"] == ended["tool_call_id"]
    assert (ended["name"], ended["hosted"]) == ("image_generation", True)
    assert ended["arguments"]["revised_prompt"] == "A red square."
    return ended


@pytest.mark.parametrize("size", [0, 5 * 2**20], ids=["small", "large"])
async def test_an_image_is_a_file_of_its_call(meet: Meet, size: int, tmp_path: Any) -> None:
    image = png() + b"\x07" * size
    path = str(tmp_path / "images.db")
    talk = await meet(drawing(image), database_path=path)
    (upstream,) = talk.upstreams
    call = await drawn(talk)
    (file,) = call["files"]
    assert (file["name"], file["type"], file["size"]) == ("image.png", "image/png", len(image))
    assert call["output"] == {"image_bytes": len(image)}
    got = await talk.download(file["id"])
    assert (got.status, got.body) == (200, image)
    assert got.headers["Content-Disposition"].startswith("inline")

    await completes(talk, "Thanks.", "All is well.", "say")
    await talk.close()
    await talk.open()
    await completes(talk, "Look at it.", "All is well.", "say", files=[file["id"]])
    assert parts.sent(upstream.bodies[-1]) == ["input_image"], "as a file of the user's"
    agreed(talk)
    encoded = base64.b64encode(image).decode()[:60]
    assert encoded not in await talk.told()
    assert encoded not in json.dumps(upstream.bodies[:-1])
    await talk.close()
    with closing(sqlite3.connect(path)) as journal:
        dump = "\n".join(journal.iterdump())
    assert encoded not in dump
    assert encoded.encode().hex().upper() not in dump.upper()


@pytest.mark.parametrize("why", ["no image", "no Base64", "too large", "no room"])
async def test_one_that_cannot_be_stored_costs_nothing_else(
    meet: Meet, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    provider = drawing(b"<script>" if why == "no image" else png() + bytes(2**20))
    if why == "no room":

        async def full(*_: Any) -> None:
            raise StorageError("the disk is full")

        monkeypatch.setattr(Files, "add", full)
    elif why == "no Base64":
        whole = provider.play

        def broken(act: Any, body: Any) -> Any:
            image = base64.b64encode(provider.drawn)
            return [one.replace(image, b"!" + image[1:]) for one in whole(act, body)]  # type: ignore[union-attr]

        monkeypatch.setattr(provider, "play", broken)
    talk = await meet(provider, file_mb=1)
    assert "files" not in await drawn(talk)
    await completes(talk, "Thanks.", "All is well.", "say")
    agreed(talk)
