"""The examples of docs/extend.md, each as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fetch import fetch
from tests.support.page import example
from tests.support.serving import Serve
from tests.wire.people import Devices


async def test_who_asks(
    serve: Serve, device: Devices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example("Who asks", tmp_path, monkeypatch)
    running = await serve(auth="my_auth.authenticate")
    assert (await device(running.url, token="token-of-ada").connect())["you"] == "ada"
    assert (await fetch(f"{running.url}/api/sessions", Cookie="login=token-of-ada")).status == 200
    refused = await device(running.url, token="token-of-eve").connect()
    assert refused["error"]["code"] == "unauthorized"
