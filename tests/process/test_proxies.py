"""Behind real proxies: as they install, and with the lines that docs/proxies.md gives."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.debian import program
from tests.support.device import Device
from tests.support.fetch import fetch
from tests.support.process import ROOT, free_port, process, server

Devices = Callable[..., Device]
DOCS = (ROOT / "docs" / "proxies.md").read_text("utf-8")
POLLING = "/socket.io/?EIO=4&transport=polling"


def command(name: str, package: str) -> str:
    path = program(name, package=package)
    assert path, f"these tests need {name}: install {package}"
    return path


def shown(language: str, upstream: str) -> list[str]:
    """The lines of the docs, for this server."""
    blocks = re.findall(rf"```{language}\n(.*?)```", DOCS, re.S)
    return [block.replace("127.0.0.1:8000", place(upstream)) for block in blocks]


def place(upstream: str) -> str:
    return f"127.0.0.1:{urlsplit(upstream).port}"


@asynccontextmanager
async def proxy(folder: Path, port: int, *line: str) -> AsyncIterator[str]:
    """Run a proxy until it listens."""
    folder.mkdir()
    async with process(*line, cwd=folder, HOME=str(folder)) as running:
        async with asyncio.timeout(15):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    assert running.child.returncode is None, running.output
                    await asyncio.sleep(0.02)
        writer.close()
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def nginx(tmp_path: Path, in_http: str, in_server: str) -> AsyncIterator[str]:
    port = free_port()
    folders = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in folders)
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        + ("user root;\n" if os.geteuid() == 0 else "")
        + f"http {{ access_log off; {temporary}\n{in_http}\n"
        f"server {{ listen 127.0.0.1:{port};\n{in_server}\n}} }}\n"
    )
    line = (
        command("nginx", "nginx-light"),
        "-e",
        "stderr",
        "-p",
        str(tmp_path),
        "-c",
        f"{tmp_path}/nginx.conf",
    )
    async with proxy(tmp_path / "nginx", port, *line) as url:
        yield url


async def talk(one: Device, transports: list[str], url: str = "") -> None:
    """As a page that came from there."""
    await one.connect(transports=transports, headers={"Origin": url or one.url})
    assert (await one.ask("hello"))["status"] == "completed"


async def test_nginx_as_it_installs_is_refused_with_the_remedy(tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        block = f"location / {{ proxy_pass http://{place(running.url)}; }}"
        async with nginx(tmp_path, "", block) as url:
            answer = await fetch(url + POLLING, Origin=url)
            assert answer.status == 403
            for told in (url, place(running.url), "Host header", "docs/proxies.md"):
                assert told in answer.text
            line = (await running.says(r"WARNING .*the page's origin is .*"))[0]
            assert f"is {url}, but it asked for the host {place(running.url)}. " in line


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
async def test_nginx_with_the_lines_of_the_docs(
    tmp_path: Path, device: Devices, transports: list[str]
) -> None:
    async with server(tmp_path, TRUSTED_PROXIES="1", LOG_LEVEL="DEBUG") as running:
        in_http, in_server = shown("nginx", running.url)
        async with nginx(tmp_path, in_http, in_server) as url:
            await talk(device(url), transports)
            assert (await fetch(f"{url}/healthz", Cookie="a=" + "x" * 20_000)).status == 200
        await running.says("connected sid=.* remote=127.0.0.1")
        assert "refused" not in running.output


async def test_nginx_that_names_the_default_port_or_the_path(
    tmp_path: Path, device: Devices
) -> None:
    async with server(tmp_path, TRUSTED_PROXIES="1") as running:
        in_http, in_server = shown("nginx", running.url)
        named = in_server.replace("$http_host", "chat.example:443")
        below = named.replace("location /", "location /chat/").replace(
            place(running.url), f"{place(running.url)}/"
        )
        async with nginx(tmp_path, in_http, below) as url:
            one = device(url)
            await one.connect(
                socketio_path="/chat/socket.io", headers={"Origin": "https://chat.example"}
            )
            await one.ask("hello")
            assert "./client/app.js" in (await fetch(f"{url}/chat")).text


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
async def test_caddy_with_the_lines_of_the_docs(
    tmp_path: Path, device: Devices, transports: list[str]
) -> None:
    async with server(tmp_path, TRUSTED_PROXIES="1") as running:
        port = free_port()
        (lines,) = shown("caddy", running.url)
        lines = lines.replace("chat.example", f"http://127.0.0.1:{port}")
        (tmp_path / "Caddyfile").write_text("{\n admin off\n}\n" + lines)
        line = (command("caddy", "caddy"), "run", "--config", f"{tmp_path}/Caddyfile")
        async with proxy(tmp_path / "caddy", port, *line, "--adapter", "caddyfile") as url:
            await talk(device(url), transports)
        assert "refused" not in running.output
