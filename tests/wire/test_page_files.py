"""The files of the page over HTTP: compressed, named by their content, and asked for once."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import brotli
import pytest

from realtime.app import create_app
from realtime.config import Settings
from realtime.edge.http.assets import Assets
from realtime.models.demo import DemoModel
from realtime.package import PAGE


@pytest.fixture
async def url(aiohttp_server: Any, settings: Settings) -> str:
    host = await aiohttp_server(create_app(settings, model=DemoModel(delay_s=0)))
    return str(host.make_url("/")).rstrip("/")


async def raw(url: str, **headers: str) -> tuple[int, Any, bytes]:
    """An answer as it came over the wire."""
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(url, headers={"Accept-Encoding": "identity", **headers}) as got,
    ):
        return got.status, got.headers, await got.read()


async def imports(url: str) -> dict[str, str]:
    _, _, page = await raw(url)
    found = re.search(r'<script type="importmap">(.*?)</script>', page.decode(), re.S)
    assert found
    table: dict[str, str] = json.loads(found[1])["imports"]
    return table


async def test_a_file_is_compressed_as_the_browser_asks(url: str) -> None:
    _, _, plain = await raw(f"{url}/client/session.js")
    for accept, encoding, read in (
        ("gzip, deflate, br, zstd", "br", brotli.decompress),
        ("gzip", "gzip", gzip.decompress),
        ("br;q=0, gzip;q=0.5", "gzip", gzip.decompress),
    ):
        _, headers, body = await raw(f"{url}/client/session.js", **{"Accept-Encoding": accept})
        assert (headers["Content-Encoding"], headers["Vary"]) == (encoding, "Accept-Encoding")
        assert read(body) == plain
        assert len(body) < len(plain) / 2
    _, headers, body = await raw(f"{url}/client/session.js", **{"Accept-Encoding": "zstd, br;q=0"})
    assert "Content-Encoding" not in headers
    assert body == plain


async def test_a_name_with_a_digest_lasts_and_others_are_asked_for_again(url: str) -> None:
    named = (await imports(url))["./client/app.js"]
    assert re.fullmatch(r"\./client/app\.[0-9a-f]{10}\.js", named)
    status, headers, body = await raw(f"{url}/{named}")
    assert (status, headers["Cache-Control"]) == (200, "max-age=31536000, immutable")

    for path in ("/", "/client/app.js", named.replace(named[13:23], "0123456789")):
        _, headers, again = await raw(url + "/" + path.removeprefix("./").removeprefix("/"))
        assert headers["Cache-Control"] == "no-cache"
        if path != "/":
            assert again == body, "an old name has the new content"
        tag = headers["ETag"]
        status, headers, nothing = await raw(
            url + "/" + path.lstrip("./"), **{"If-None-Match": f'W/"x", {tag}'}
        )
        assert (status, nothing, headers["ETag"]) == (304, b"", tag)


async def test_each_module_is_mapped_and_those_of_the_start_are_preloaded(url: str) -> None:
    table = await imports(url)
    for path in PAGE.rglob("*.js"):
        assert f"./client/{path.relative_to(PAGE).as_posix()}" in table
    for target in table.values():
        if not target.endswith("/"):
            assert (await raw(f"{url}/{target}"))[1]["Cache-Control"].endswith("immutable"), target
    python = f"{url}/{table['./vendor/languages/']}python"
    assert (await raw(python))[1]["Cache-Control"].endswith("immutable")
    page = (await raw(url))[2].decode()
    preloaded = re.findall(r'rel="modulepreload" href="([^"]+)"', page)
    assert table["./vendor/socket.io-client.js"] in preloaded
    assert table["./client/session.js"] in preloaded
    assert table["./vendor/lezer-markdown.js"] not in preloaded, "the first answer asks for it"
    for link in re.findall(r'(?:href|src)="(\./[^"]+)"', page):
        assert re.search(r"\.[0-9a-f]{10}\.", link), link


def test_a_page_at_another_depth_finds_its_files() -> None:
    page = Assets().document("../").asset.body.decode()
    assert '"./' not in page
    assert '"../client/app.js":"../client/app.' in page


def test_a_changed_file_has_another_name(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<script type="importmap">{"imports": {}}</script>\n'
        '<script type="module" src="./client/a.js"></script>',
        "utf-8",
    )
    (tmp_path / "a.js").write_text('import "./b.js";\n', "utf-8")
    (tmp_path / "b.js").write_text("// one\nexport const b = 1; // stays\n", "utf-8")
    assets = Assets(tmp_path)
    first = assets.document()
    assert assets.document() is first
    (name,) = re.findall(r'modulepreload" href="\./([^"]+)"', first.asset.body.decode())
    found = assets.find(name)
    assert found
    assert (found[0].body, found[1]) == (b"\nexport const b = 1; // stays\n", True)
    (tmp_path / "b.js").write_text("export const b = 22;\n", "utf-8")
    second = assets.document()
    assert second.map_hash != first.map_hash
    assert name not in second.asset.body.decode()
    assert assets.find(name) == assets.find("client/b.js"), "the old name has the new content"


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_a_file_is_compressed_once_for_all_servers(encoding: str) -> None:
    one, other = (Assets().find("client/app.js") for _ in range(2))
    assert one
    assert other
    assert one[0] is not other[0]
    assert one[0].encoded(encoding) is other[0].encoded(encoding)


@pytest.mark.parametrize(
    "name",
    [
        "client/../.env",
        "client/none.js",
        "vendor/x.js",
        "vendor/languages/../../x",
        "other/a.js",
        "client/\0",
    ],
)
def test_there_are_no_other_files(name: str) -> None:
    assert Assets().find(name) is None
