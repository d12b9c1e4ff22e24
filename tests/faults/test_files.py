"""A server that is killed between an upload and its message, and in the middle of an upload."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.support.attach import ask, files_of, uploaded
from tests.support.device import Device
from tests.support.process import SECRET, free_port, server


async def test_what_was_acknowledged_is_there_and_half_a_file_is_not(
    tmp_path: Path, device: Callable[..., Device]
) -> None:
    environ = {"PORT": str(free_port()), "AUTH_SECRET": SECRET, "DATABASE_PATH": "j.db"}
    folder = tmp_path / "j.db.files"
    async with server(tmp_path, **environ) as running:
        one = device(running.url)
        await one.connect()
        file = await uploaded(one, b"a,b\n1,2\n", "t.csv", "text/csv")
        host, port = running.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        path = files_of(one).removeprefix(one.url)
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {one.auth['token']}\r\n"
            "Content-Length: 9\r\n\r\nhalf".encode()
        )
        async with asyncio.timeout(10):
            while not list((folder / "incoming").iterdir()):
                await asyncio.sleep(0.01)
        running.child.kill()
        await running.ended()
        writer.close()
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 2

    async with server(tmp_path, **environ) as running:
        assert len([path for path in folder.rglob("*") if path.is_file()]) == 1
        late = device(running.url, **one.auth)
        await late.connect()
        ack = await late.send("what is it?", files=[file["id"]])
        assert (await late.done(ack["run_id"]))["status"] == "completed"
        assert late.events("user_message")[0]["files"] == [file]
        got = await ask("GET", f"{files_of(late)}/{file['id']}", late.auth["token"])
        assert (got.status, got.body) == (200, b"a,b\n1,2\n")
