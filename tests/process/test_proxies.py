"""Behind real proxies: as they install, and with the lines that docs/proxies.md gives."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.page.acting import answered, live, say, start
from tests.support.attach import ask, files_of, png, uploaded
from tests.support.browser import browser
from tests.support.debian import program
from tests.support.device import Device
from tests.support.engine import certify
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
async def nginx(tmp_path: Path, port: int, in_http: str) -> AsyncIterator[str]:
    """As it installs, with this in its `http` block."""
    folders = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {tmp_path}/{name};" for name in folders)
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        + ("user root;\n" if os.geteuid() == 0 else "")
        + f"http {{ access_log off; {temporary}\n{in_http}\n}}\n"
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


def for_nginx(tmp_path: Path, upstream: str, port: int, *, below: bool = False) -> str:
    """The lines of the docs, on this port, with a certificate."""
    site, location = shown("nginx", upstream)
    if below:
        site = re.sub(r" *location / \{\n.*\n", lambda _: location, site)
        assert "location /chat/" in site
    certificate = tmp_path / "chat.crt"
    site = site.replace("/etc/ssl/chat.example.key", str(certify(certificate)))
    site = site.replace("/etc/ssl/chat.example.crt", str(certificate))
    site = site.replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    return site.replace("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;")


def without_tls(site: str) -> str:
    return re.sub(r"ssl_certificate\S* .*;| ssl(?=;)", "", site)


@asynccontextmanager
async def caddy(tmp_path: Path, port: int, site: str) -> AsyncIterator[str]:
    options = "{\n admin off\n auto_https disable_redirects\n skip_install_trust\n}\n"
    (tmp_path / "Caddyfile").write_text(options + site)
    line = (command("caddy", "caddy"), "run", "--config", f"{tmp_path}/Caddyfile")
    async with proxy(tmp_path / "caddy", port, *line, "--adapter", "caddyfile") as url:
        yield url


async def seen_at_https(port: int, path: str) -> None:
    """The page at https://chat.example, which a browser finds here: it connects and talks."""
    there = f"--host-resolver-rules=MAP chat.example:443 127.0.0.1:{port}"
    async with browser(there, "--ignore-certificate-errors") as chromium:
        page = await chromium.new_page()
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        await page.goto(f"https://chat.example{path}")
        await start(page)
        await live(page)
        await say(page, "hello")
        await answered(page, "demo model")
        assert page.url.startswith(f"https://chat.example{path}/" if path else "https://")
        (socket,) = sockets
        assert socket.startswith(f"wss://chat.example{path}/socket.io/")


async def talk(one: Device, transports: list[str], url: str = "") -> None:
    """As a page that came from there."""
    await one.connect(transports=transports, headers={"Origin": url or one.url})
    assert (await one.ask("hello"))["status"] == "completed"


async def test_nginx_as_it_installs_is_refused_with_the_remedy(tmp_path: Path) -> None:
    port = free_port()
    async with (
        server(tmp_path) as running,
        nginx(tmp_path, port, bare(running.url, port)) as url,
    ):
        answer = await fetch(url + POLLING, Origin=url)
        assert answer.status == 403
        for told in (url, place(running.url), "Host header", "docs/proxies.md"):
            assert told in answer.text
        line = (await running.says(r"WARNING .*the page's origin is .*"))[0]
        assert f"is {url}, but it asked for the host {place(running.url)}. " in line


def bare(upstream: str, port: int) -> str:
    block = f"location / {{ proxy_pass http://{place(upstream)}; }}"
    return f"server {{ listen 127.0.0.1:{port};\n{block} }}"


async def test_nginx_as_it_installs_lets_polling_through_to_a_listed_origin(
    tmp_path: Path, device: Devices
) -> None:
    port = free_port()
    async with (
        server(tmp_path, ALLOWED_ORIGINS=f"http://127.0.0.1:{port}") as running,
        nginx(tmp_path, port, bare(running.url, port)) as url,
    ):
        await talk(device(url), ["polling"])


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
async def test_nginx_with_the_lines_of_the_docs(
    tmp_path: Path, device: Devices, transports: list[str]
) -> None:
    port = free_port()
    async with server(tmp_path, TRUSTED_PROXIES="1", LOG_LEVEL="DEBUG") as running:
        site = without_tls(for_nginx(tmp_path, running.url, port))
        async with nginx(tmp_path, port, site) as url:
            await talk(device(url), transports)
            assert (await fetch(f"{url}/healthz", Cookie="a=" + "x" * 20_000)).status == 200
        await running.says("connected sid=.* remote=127.0.0.1")
        assert "refused" not in running.output


@pytest.mark.parametrize("path", ["", "/chat"])
async def test_nginx_with_tls_at_a_host_and_below_a_path(tmp_path: Path, path: str) -> None:
    port = free_port()
    async with server(tmp_path, TRUSTED_PROXIES="1") as running:
        site = for_nginx(tmp_path, running.url, port, below=bool(path))
        async with nginx(tmp_path, port, site):
            await seen_at_https(port, path)
            (plain,) = set(re.findall(r"listen (\S+);", site))
            async with aiohttp.ClientSession() as http:
                where = {"Host": "chat.example"}
                asked = http.get(f"http://{plain}/a?b", headers=where, allow_redirects=False)
                async with asked as answer:
                    assert answer.headers["Location"] == "https://chat.example/a?b"
        assert "refused" not in running.output


async def test_files_pass_the_buffers_of_nginx(tmp_path: Path, device: Devices) -> None:
    port, picture = free_port(), png(1000, 1000) + bytes(5_000_000)
    async with server(tmp_path, TRUSTED_PROXIES="1") as running:
        site = without_tls(for_nginx(tmp_path, running.url, port))
        async with nginx(tmp_path, port, site) as url:
            one = device(url)
            await one.connect()
            file = await uploaded(one, picture)
            got = await ask("GET", f"{files_of(one)}/{file['id']}", one.auth["token"])
            assert got.body == picture


async def test_nobody_is_cut_off_by_the_time_outs_of_nginx(tmp_path: Path) -> None:
    """Its 60 s have passed with the third ping."""
    port = free_port()
    async with (
        server(tmp_path, TRUSTED_PROXIES="1") as running,
        nginx(tmp_path, port, without_tls(for_nginx(tmp_path, running.url, port))) as url,
        aiohttp.ClientSession(url) as http,
    ):

        async def pinged_by_websocket() -> None:
            async with http.ws_connect(POLLING.replace("polling", "websocket")) as socket:
                await socket.receive_str()
                await socket.send_str("40")
                pings = 0
                while pings < 3:
                    if await socket.receive_str() == "2":
                        pings += 1
                        await socket.send_str("3")

        async def pinged_by_polling() -> None:
            async with http.get(POLLING) as answer:
                sid = json.loads((await answer.text())[1:])["sid"]
            own = f"{POLLING}&sid={sid}"
            await (await http.post(own, data="40")).read()
            pings = 0
            while pings < 3:
                async with http.get(own) as answer:
                    assert answer.status == 200
                    packets = (await answer.text()).split("\x1e")
                if "2" in packets:
                    pings += 1
                    await (await http.post(own, data="3")).read()

        await asyncio.gather(pinged_by_websocket(), pinged_by_polling())


async def test_nginx_that_names_the_default_port_or_the_path(
    tmp_path: Path, device: Devices
) -> None:
    port = free_port()
    async with server(tmp_path, TRUSTED_PROXIES="1") as running:
        site = without_tls(for_nginx(tmp_path, running.url, port, below=True))
        site = site.replace("$http_host", "chat.example:443")
        async with nginx(tmp_path, port, site) as url:
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
    port = free_port()
    async with server(tmp_path, TRUSTED_PROXIES="1") as running:
        site, _ = shown("caddy", running.url)
        site = site.replace("chat.example", f"http://127.0.0.1:{port}")
        async with caddy(tmp_path, port, site) as url:
            await talk(device(url), transports)
        assert "refused" not in running.output


@pytest.mark.parametrize("path", ["", "/chat"])
async def test_caddy_with_tls_at_a_host_and_below_a_path(tmp_path: Path, path: str) -> None:
    port = free_port()
    async with server(tmp_path, TRUSTED_PROXIES="1") as running:
        site = shown("caddy", running.url)[bool(path)]
        site = site.replace("chat.example {", f"https://chat.example:{port} {{\n tls internal")
        async with caddy(tmp_path, port, site):
            await seen_at_https(port, path)
        assert "refused" not in running.output
