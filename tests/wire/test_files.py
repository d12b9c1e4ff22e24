"""Files over HTTP and in messages: who may, what is taken, what is left behind."""

from __future__ import annotations

import asyncio
import gzip
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from realtime.auth import links
from realtime.background.retention import delete_ended
from realtime.edge.http import bodies
from realtime.edge.http import files as routes
from realtime.live.clock import now_ms
from realtime.runs.chain import Chain, Link
from tests.support.attach import JPEG, PDF, ask, files_of, png, upload, uploaded
from tests.support.device import Device
from tests.support.scripted import ScriptedModel, says
from tests.support.serving import Running, Serve

Devices = Callable[..., Device]
MB = 2**20
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"


@pytest.fixture
def chain() -> Chain:
    return Chain([Link(ScriptedModel(says("I see.")), "", takes=("image", "pdf"))])


def stored(running: Running) -> list[Path]:
    """Every file in the folder beside the journal."""
    folder = Path(f"{running.server.settings.database_path}.files")
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def incoming(running: Running, count: int) -> None:
    """Wait until so many files are on their way."""
    folder = Path(f"{running.server.settings.database_path}.files") / "incoming"
    async with asyncio.timeout(10):
        while count != (len(os.listdir(folder)) if folder.is_dir() else 0):
            await asyncio.sleep(0.01)


def rows(running: Running) -> int:
    with closing(sqlite3.connect(running.server.settings.database_path)) as journal:
        return int(journal.execute("SELECT count(*) FROM files").fetchone()[0])


async def joined(running: Running, device: Devices, **auth: Any) -> Device:
    one = device(running.url, **auth)
    await one.connect()
    return one


async def url_of(device: Device, file: dict[str, Any], **headers: str) -> str:
    """A link that needs no header."""
    path = f"{files_of(device)}/{file['id']}/url"
    got = await ask("POST", path, device.auth["token"], **headers)
    assert got.status == 200, got.body
    return f"{device.url}/{got.json['url']}"


# ------------------------------------------------------------------ the story


async def test_a_message_carries_files_to_every_device_and_through_a_restart(
    serve: Serve, device: Devices, chain: Chain
) -> None:
    running = await serve(chain)
    one = await joined(running, device)
    other = await joined(running, device, **one.auth)
    picture = await uploaded(one, png(), "Holiday.PNG")
    assert picture == {
        "id": picture["id"],
        "name": "Holiday.PNG",
        "type": "image/png",
        "size": len(png()),
    }
    table = await uploaded(one, b"a,b\n1,2\n", "t.csv", "text/csv")
    ack = await one.send("", files=[picture["id"], table["id"]])
    assert ack["status"] == "started"
    for each in (one, other):
        (said,) = await each.durable("user_message")
        assert (said["text"], said["files"]) == ("", [picture, table])
    await one.done(ack["run_id"])
    assert not any("aGk" in str(payload) for _, payload in one.record)
    await running.stop()

    again = await serve(chain)
    late = await joined(again, device, token=one.auth["token"], session_id=one.auth["session_id"])
    assert late.session["mode"] == "snapshot"
    assert late.events("user_message")[0]["files"] == [picture, table]
    got = await ask("GET", f"{files_of(late)}/{picture['id']}", late.auth["token"])
    assert (got.status, got.body) == (200, png())
    history = await late.call("history")
    listed = [e.get("files") for e in history["events"] if e["event"] == "user_message"]
    assert listed == [[picture, table]]


async def test_a_file_that_was_uploaded_before_a_restart_can_be_sent_after_it(
    serve: Serve, device: Devices, chain: Chain
) -> None:
    running = await serve(chain)
    one = await joined(running, device)
    file = await uploaded(one, png())
    torn = stored(running)[0].parent.parent / "incoming" / "tmpabc"
    torn.write_bytes(b"half of")
    orphan = torn.parent.parent / "ab" / "cdef"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"nobody's")
    await running.stop()
    again = await serve(chain)
    assert len(stored(again)) == 1
    late = await joined(again, device, token=one.auth["token"], session_id=one.auth["session_id"])
    ack = await late.send("look", files=[file["id"]])
    assert (await late.done(ack["run_id"]))["status"] == "completed"
    assert late.events("user_message")[0]["files"] == [file]


async def test_a_retry_is_the_same_message_and_other_files_are_a_conflict(
    serve: Serve, device: Devices, chain: Chain
) -> None:
    one = await joined(await serve(chain), device)
    file, second = await uploaded(one, png()), await uploaded(one, PDF, "a.pdf", "application/pdf")
    said = {"client_msg_id": "1", "files": [file["id"]]}
    first = await one.send("look", **said)
    again = await one.send("look", **said)
    assert (again["status"], again["run_id"]) == ("duplicate", first["run_id"])
    for files in ([], [second["id"]], [file["id"], second["id"]]):
        other = await one.send("look", client_msg_id="1", files=files)
        assert other["error"]["code"] == "conflict"
        assert "files" in other["error"]["message"]
    await one.done(first["run_id"])
    assert len(one.events("user_message")) == 1


async def test_what_cannot_be_sent_is_refused_with_a_sentence(
    serve: Serve, device: Devices, chain: Chain
) -> None:
    running = await serve(chain)
    one, stranger = await joined(running, device), await joined(running, device)
    mine, theirs = await uploaded(one, png()), await uploaded(stranger, png())
    zipped = await uploaded(one, b"PK\3\4" + bytes(40), "a.zip", "application/zip")
    for files, code, words in (
        ([str(uuid4())], "not_found", "upload it"),
        ([mine["id"], theirs["id"]], "not_found", "this session has no file"),
        (["../../etc/passwd"], "not_found", "upload it"),
        ([mine["id"]] * 11, "bad_request", "10 files at most"),
        ([zipped["id"]], "bad_request", "images (PNG, JPEG, GIF, WebP), PDF, text in UTF-8"),
        ([7], "bad_request", "files"),
        ([], "bad_request", "text is empty"),
    ):
        ack = await one.send("", files=files)
        assert (ack["error"]["code"], words in ack["error"]["message"]) == (code, True), ack
    assert not one.events("user_message")


async def test_a_model_that_takes_text_alone_is_sent_text_alone(
    serve: Serve, device: Devices
) -> None:
    model = ScriptedModel(says("I see."))
    one = await joined(await serve(model), device)
    picture = await uploaded(one, png())
    refused = (await one.send("look", files=[picture["id"]]))["error"]
    assert refused["code"] == "bad_request"
    assert refused["message"].endswith("it takes: text in UTF-8")
    code = await uploaded(one, "print('é')  # ```\n".encode(), "a.py", "text/x-python")
    await one.done((await one.send("run it", files=[code["id"]]))["run_id"])
    (asked,) = model.requests[0].context
    assert asked.text == "run it\n\n[file: a.py]\n````py\nprint('é')  # ```\n````"  # type: ignore[union-attr]


async def test_a_long_text_is_cut_for_the_model(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(says("I see."))
    one = await joined(await serve(model), device)
    book = await uploaded(one, b"word " * 60_000, "book.txt", "text/plain")
    await one.done((await one.send("", files=[book["id"]]))["run_id"])
    (asked,) = model.requests[0].context
    assert len(asked.text) < 101_000  # type: ignore[union-attr]
    assert "[cut: 300000 bytes in all]" in asked.text  # type: ignore[union-attr]


# ------------------------------------------------------------------ who may


async def test_owner_share_and_stranger(serve: Serve, device: Devices, chain: Chain) -> None:
    running = await serve(chain)
    owner, stranger = await joined(running, device), await joined(running, device)
    file = await uploaded(owner, png())
    full = (await owner.call("share", {"access": "full"}))["share"]
    read = (await owner.call("share", {"access": "read"}))["share"]
    base, theirs = files_of(owner), stranger.auth["token"]
    one = f"{base}/{file['id']}"

    async def all_routes(token: str | None, **headers: str) -> list[int]:
        asked = [
            await ask("POST", f"{base}?name=b.png", token, png(), Content_Type="", **headers),
            await ask("GET", one, token, **headers),
            await ask("POST", f"{one}/url", token, **headers),
        ]
        return [got.status for got in asked]

    assert await all_routes(owner.auth["token"]) == [201, 200, 200]
    assert await all_routes(theirs) == [404, 404, 404]
    assert await all_routes(None) == [401, 401, 401]
    assert await all_routes(theirs, Share=full) == [201, 200, 200]
    assert await all_routes(theirs, Share=read) == [403, 200, 200]
    assert await all_routes(theirs, Share="nonsense") == [404, 404, 404]
    assert await all_routes(owner.auth["token"], Share=read) == [201, 200, 200]

    # a share of another session opens nothing here, nor does a file's id elsewhere
    other = (await stranger.call("share", {"access": "full"}))["share"]
    assert await all_routes(theirs, Share=other) == [404, 404, 404]
    got = await ask("GET", f"{files_of(stranger)}/{file['id']}", theirs)
    assert (got.status, got.code) == (404, "not_found")


async def test_a_link_opens_one_file_for_a_while(
    serve: Serve, device: Devices, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await serve(chain)
    owner, guest = await joined(running, device), await joined(running, device)
    file, other = await uploaded(owner, png()), await uploaded(owner, PDF, "b", "")
    link = await url_of(owner, file)
    assert (await ask("GET", link)).body == png()
    for wrong in (
        link.replace(file["id"], other["id"]),
        link.replace(owner.session["session_id"], guest.session["session_id"]),
        link[:-4],
        f"{files_of(owner)}/{file['id']}?token={owner.auth['token']}",
    ):
        got = await ask("GET", wrong)
        assert (got.status, got.code) == (404, "not_found"), wrong

    share = (await owner.call("share", {"access": "read"}))["share"]
    path = f"{files_of(owner)}/{file['id']}/url"
    told = (await ask("POST", path, guest.auth["token"], Share=share)).json
    assert told["expires_at"] - now_ms() <= links.LINK_S * 1000
    shared = f"{running.url}/{told['url']}"
    assert (await ask("GET", shared)).status == 200
    await owner.call("unshare")
    assert (await ask("GET", shared)).status == 404
    assert (await ask("GET", link)).status == 200
    monkeypatch.setattr(links, "LINK_S", -60)
    assert (await ask("GET", await url_of(owner, file))).status == 404


@pytest.mark.parametrize("end", ["unshare", "delete"])
async def test_an_upload_under_way_ends_with_the_right_to_it(
    serve: Serve, device: Devices, end: str
) -> None:
    running = await serve()
    owner, guest = await joined(running, device), await joined(running, device)
    share = (await owner.call("share", {"access": "full"}))["share"]
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first "
        await go_on.wait()
        yield b"last"

    token = guest.auth["token"]
    under_way = asyncio.create_task(ask("POST", files_of(owner), token, slow(), Share=share))
    await incoming(running, 1)
    assert (await owner.call(end, {"session_id": owner.session["session_id"]}))["ok"]
    go_on.set()
    got = await under_way
    assert (got.status, got.code) == (404, "not_found")
    assert (stored(running), rows(running)) == ([], 0)


async def test_a_file_runs_nothing_in_a_browser(
    serve: Serve, device: Devices, chain: Chain
) -> None:
    one = await joined(await serve(chain), device)
    script = b"<script>alert(1)</script>"
    for data, name, kind, served, how in (
        (png(), "a.png", "image/png", "image/png", "inline"),
        (JPEG, "a.jpg", "image/jpeg", "image/jpeg", "inline"),
        (script, "a.html", "text/html", "text/html; charset=utf-8", "attachment"),
        (script, "a.png", "text/plain", "text/plain; charset=utf-8", "attachment"),
        (b"<svg>" + script + b"</svg>", "a.svg", "image/svg+xml", None, "attachment"),
        (PDF, "a.pdf", "application/pdf", "application/pdf", "attachment"),
        (bytes(9), "a.exe", "text/html", "application/octet-stream", "attachment"),
        (bytes(9), "a.exe", "application/x-msdownload", None, "attachment"),
    ):
        file = await uploaded(one, data, name, kind)
        got = await ask("GET", await url_of(one, file))
        assert got.body == data
        if served:
            assert got.headers["Content-Type"] == served, name
        assert got.headers["Content-Disposition"].startswith(f"{how}; filename="), name
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert got.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert "no-store" in got.headers["Cache-Control"]
        part = await ask("GET", await url_of(one, file), Range="bytes=1-3")
        assert (part.status, part.body) == (206, data[1:4])


@pytest.mark.parametrize(
    "asked",
    [
        *("bytes=0-1,3-4", "bytes=0-1, -1", "lines=0-1", "bytes=a-b", "bytes=5-2", "bytes=-"),
        *("", "bytes", "bytes=0-" + "9" * 5000),
    ],
)
async def test_a_range_that_is_not_one_of_bytes_is_ignored(
    serve: Serve, device: Devices, asked: str
) -> None:
    one = await joined(await serve(), device)
    link = await url_of(one, await uploaded(one, png()))
    got = await ask("GET", link, Range=asked)
    assert (got.status, got.body) == (200, png())
    assert (await ask("HEAD", link, Range="bytes=0-1")).status == 200


async def test_a_range_behind_the_end_is_refused_as_json(serve: Serve, device: Devices) -> None:
    one = await joined(await serve(), device)
    link, size = await url_of(one, await uploaded(one, png())), len(png())
    for asked in (f"bytes={size}-", f"bytes={size}-{size + 5}", "bytes=-0"):
        got = await ask("GET", link, Range=asked)
        assert (got.status, got.code) == (416, "bad_request"), asked
        assert got.headers["Content-Range"] == f"bytes */{size}"
    for asked, part in (
        ("bytes=-3", png()[-3:]),
        ("Bytes=0-99999", png()),
        ("bytes=2-", png()[2:]),
    ):
        got = await ask("GET", link, Range=asked)
        assert (got.status, got.body) == (206, part), asked


# ------------------------------------------------------------- what is taken


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"<html>no picture</html>", "image/png", "bad_request"),
        (b"GIF89a=1;alert(1)", "image/gif", "bad_request"),
        (b"just words", "image/svg+xml", "bad_request"),
        (PDF, "image/png", "bad_request"),
        (png(), "application/pdf", "bad_request"),
        (b"", "image/png", "bad_request"),
        (bytes(9), "image/png", "bad_request"),
        (bytes(9), "image/jpg", "bad_request"),
        (bytes(9), "image/svg+xml", "bad_request"),
        (b"just words", "image/x-portable-pixmap", "bad_request"),
        (b"P1 2 2", "image/png", "bad_request"),
        (b"PK\3\4" + bytes(9), "image/vnd.adobe.photoshop", "bad_request"),
        (b"\0\0\0\x14ftypisom\0\0\2\0isom", "image/heic", "bad_request"),
        (b"x" * 2000 + PDF, "application/pdf", "bad_request"),
        (bytes(MB + 1), "application/octet-stream", "too_large"),
    ],
)
async def test_what_is_not_what_it_says_is_refused(
    serve: Serve, device: Devices, data: bytes, kind: str, code: str
) -> None:
    running = await serve(file_mb=1)
    one = await joined(running, device)
    got = await upload(one, data, "a", kind)
    assert (got.status, got.code) == ({"bad_request": 400, "too_large": 413}[code], code)
    assert len(got.json["error"]["message"]) > 10
    assert (stored(running), rows(running)) == ([], 0)


@pytest.mark.parametrize(
    ("data", "declared", "name", "kind"),
    [
        (png(), "image/jpeg", "a.jpg", "image/png"),  # a picture of another type
        (png(), "", "a", "image/png"),
        (png(), "text/html", "a.html", "image/png"),
        (b"a,b\n", "", "t.csv", "text/csv"),
        (b"a,b\n", "application/octet-stream", "t.csv", "text/csv"),
        ("Grüße\n".encode(), "text/plain; charset=utf-8", "g.txt", "text/plain"),
        ("Grüße\n".encode("latin-1"), "text/plain", "g.txt", "application/octet-stream"),
        (b"{}", "application/json", "a.json", "application/json"),
        (b"BMW is a name", "", "cars.txt", "text/plain"),
        (b"0\nis no drawing", "", "a.txt", "text/plain"),
        (b"words on %PDF-1.4", "text/plain", "a.txt", "text/plain"),
        (b"<!--" + b"licence " * 999 + b"-->" + SVG, "image/svg+xml", "a.svg", None),
        (b"<!--" + b"licence " * 999 + b"-->" + SVG, "", "a.svg", "image/svg+xml"),
        (b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>", "image/svg+xml", "a.svg", None),
        (SVG.decode().encode("utf-16"), "image/svg+xml", "a.svg", "application/octet-stream"),
        (SVG + b"<!-- \xe9 -->", "image/svg+xml", "a.svg", "application/octet-stream"),
        (b"/* XPM */ static char *x[]={};", "image/x-xpixmap", "a.xpm", None),
        (b"P1\n2 2\n0 1 1 0\n", "image/x-portable-bitmap", "a.pbm", None),
        (b"  0\r\nSECTION\r\n", "image/vnd.dxf", "a.dxf", None),
        (b"\xff\n" + bytes(9), "image/jxl", "a.jxl", None),
        (b"8BPS\0\1" + bytes(9), "image/vnd.adobe.photoshop", "a.psd", None),
        (bytes(9), "image/x-tga", "a.tga", None),
        (b"\0\0\0\x20ftypavis" + bytes(50), "image/avif", "a.avif", None),
        (b"\0\0\0\x20ftypmsf1" + bytes(50), "image/heic-sequence", "a.heic", "image/heic"),
        (b"\0\0\0\x18ftypxyz \0\0\0\0xyz mif1", "image/heif", "a.heif", "image/heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "", "a", "image/avif"),
        (b"\0\0\0\x20ftypM4A " + bytes(50), "", "a.m4a", "audio/mp4"),
        (b"\0\0\0\x20ftypisom" + bytes(50), "audio/mp4", "a.m4a", None),
        (b"\0\0\0\x14ftypqt  " + bytes(50), "", "a.mov", "video/quicktime"),
        (b"\x1aE\xdf\xa3" + bytes(50), "audio/webm", "a.weba", None),
        (b"\n" + PDF, "application/pdf", "a.pdf", None),
        (b"\xff\xff" + PDF, "", "a.pdf", "application/pdf"),
        (b"PK\3\4....", "application/vnd.oasis.opendocument.text", "a.odt", None),
        (b"PK\3\4....", "text/plain", "a.txt", "application/zip"),
        (b"\1\2\3", "Text/HTML\tx", "a", "application/octet-stream"),
    ],
)
async def test_the_content_says_what_it_is(
    serve: Serve, device: Devices, data: bytes, declared: str, name: str, kind: str | None
) -> None:
    one = await joined(await serve(), device)
    got = await upload(one, data, name, declared.replace("\t", " "))
    assert got.json["file"]["type"] == (kind or declared)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../../etc/passwd", "passwd"),
        ("C:\\Windows\\win.ini", "win.ini"),
        ("..", "file"),
        ("", "file"),
        ("a\r\nSet-Cookie: x=1.png", "a Set-Cookie_ x=1.png"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ('q"uo;te.txt', "q_uo;te.txt"),
        ("\0\1.png", "png"),
        ("\u3164\u2800\u0301", "file"),
        ("é" * 500 + ".png", "é" * 116 + ".png"),
        ("Kühe 🐄.png", "Kühe 🐄.png"),
    ],
)
async def test_names_are_cleaned_and_bounded(
    serve: Serve, device: Devices, given: str, kept: str
) -> None:
    running = await serve()
    one = await joined(running, device)
    file = await uploaded(one, png(), given)
    assert file["name"] == kept
    got = await ask("GET", f"{files_of(one)}/{file['id']}", one.auth["token"])
    assert got.body == png()
    assert "\n" not in got.headers["Content-Disposition"]
    (only,) = stored(running)  # by its hash, whatever it is called
    assert len(only.parent.name + only.name) == 64


async def test_the_same_bytes_are_stored_once(serve: Serve, device: Devices) -> None:
    running = await serve()
    one, other = await joined(running, device), await joined(running, device)
    ids = {(await uploaded(each, png()))["id"] for each in (one, one, other)}
    assert (len(ids), len(stored(running)), rows(running)) == (3, 1, 3)


# ------------------------------------------------------- sizes, breaks, counts


async def in_pieces(count: int, size: int = 2**16) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(size)


async def test_a_body_without_a_length_is_counted(serve: Serve, device: Devices) -> None:
    running = await serve(file_mb=1)
    one = await joined(running, device)
    assert (await upload(one, in_pieces(16), "a", "")).status == 201
    assert (await upload(one, in_pieces(17), "a", "")).code == "too_large"
    assert len(stored(running)) == 1


async def test_a_compressed_body_is_refused(serve: Serve, device: Devices) -> None:
    running = await serve(file_mb=1)
    one = await joined(running, device)
    bomb = gzip.compress(bytes(50 * MB))
    got = await upload(one, bomb, "a", "text/plain", Content_Encoding="gzip")
    assert (got.status, got.code) == (400, "bad_request")
    assert "Content-Encoding" in got.json["error"]["message"]
    assert stored(running) == []
    got = await upload(one, b"as it is", "a", "text/plain", Content_Encoding="Identity")
    assert got.status == 201


async def test_a_form_is_refused_and_told_how(serve: Serve, device: Devices) -> None:
    running = await serve()
    one = await joined(running, device)
    form = aiohttp.FormData()
    form.add_field("file", b"hello", filename="a.txt")
    got = await ask("POST", files_of(one), one.auth["token"], form)
    assert (got.status, got.code) == (400, "bad_request")
    assert "as the body" in got.json["error"]["message"]
    assert stored(running) == []


async def raw(device: Device, head: str, sent: bytes) -> tuple[Any, Any]:
    """An upload that says what it likes of itself."""
    host, port = device.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = files_of(device).removeprefix(device.url)
    writer.write(
        f"POST {path}?name=a HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {device.auth['token']}\r\n{head}\r\n\r\n".encode()
        + sent
    )
    await writer.drain()
    return reader, writer


async def status_of(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


async def test_a_length_that_lies(serve: Serve, device: Devices) -> None:
    running = await serve(file_mb=1)
    one = await joined(running, device)
    reader, writer = await raw(one, f"Content-Length: {5 * MB}", b"abc")
    assert await status_of(reader) == 413
    writer.close()
    behind = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"  # is a request of its own
    reader, writer = await raw(one, "Content-Length: 3", b"abc" + behind)
    answers = (await reader.readuntil(b'"status":"ok"}')).count(b"HTTP/1.1 20")
    assert answers == 2
    writer.close()
    (only,) = stored(running)
    assert only.read_bytes() == b"abc"


@pytest.mark.parametrize("head", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_an_upload_that_breaks_off_leaves_nothing(
    serve: Serve, device: Devices, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that stops in the middle without a word."""
    running = await serve()
    one = await joined(running, device)
    sent = b"2\r\nab\r\n" if "chunked" in head else b"ab"
    _, writer = await raw(one, head, sent)
    await incoming(running, 1)
    writer.transport.abort()
    await incoming(running, 0)
    monkeypatch.setattr(bodies, "STALL_S", 0.2)
    reader, writer = await raw(one, head, sent)
    assert await status_of(reader) == 400
    writer.close()
    assert (stored(running), rows(running)) == ([], 0)


async def test_a_chunk_that_is_none(serve: Serve, device: Devices) -> None:
    running = await serve()
    one = await joined(running, device)
    reader, writer = await raw(one, "Transfer-Encoding: chunked", b"2\r\nab\r\nzz\r\n")
    assert await status_of(reader) == 400
    writer.close()
    assert stored(running) == []


async def test_files_are_counted_by_user_and_day(serve: Serve, device: Devices) -> None:
    running = await serve(files_per_day=2)
    one, other = await joined(running, device), await joined(running, device)
    got = [await upload(one, png()) for _ in range(3)]
    assert [each.status for each in got] == [201, 201, 429]
    assert got[2].code == "rate_limited"
    assert got[2].json["error"]["retry_after_ms"] > 60_000
    assert (await upload(other, png())).status == 201


async def test_what_is_refused_by_its_head_counts_for_nothing(
    serve: Serve, device: Devices
) -> None:
    """Else nothing but the day's number holds up what is sent for nothing."""
    one = await joined(await serve(files_per_day=2, file_mb=1), device)
    form = {"kind": "multipart/form-data; boundary=x"}
    for data, given, code in (
        (b"", {}, "bad_request"),
        (bytes(MB + 1), {}, "too_large"),
        (b"x", form, "bad_request"),
        (b"x", {"Content_Encoding": "gzip"}, "bad_request"),
    ):
        assert (await upload(one, data, "a", **{"kind": "", **given})).code == code
    assert (await upload(one, b"no picture", "a.png")).code == "bad_request"
    got = [await upload(one, png()) for _ in range(2)]
    assert [each.status for each in got] == [201, 429]


async def test_a_user_has_a_few_uploads_at_once(
    serve: Serve, device: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "AT_ONCE", 1)
    running = await serve()
    one, other = await joined(running, device), await joined(running, device)
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first "
        await go_on.wait()
        yield b"last"

    under_way = asyncio.create_task(upload(one, slow(), "a", ""))
    await incoming(running, 1)
    refused = await upload(one, png())
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert (await upload(other, png())).status == 201
    go_on.set()
    assert (await under_way).status == 201
    assert (await upload(one, png())).status == 201


async def test_nothing_is_taken_that_cannot_be_stored(
    serve: Serve, device: Devices, tmp_path: Path
) -> None:
    running = await serve()
    one = await joined(running, device)
    blocked = Path(f"{running.server.settings.database_path}.files")
    blocked.write_text("no folder")
    got = await upload(one, png())
    assert (got.status, got.code) == (503, "storage_unavailable")
    blocked.unlink()
    assert (await upload(one, png())).status == 201
    await running.server.drain()
    assert (await upload(one, png())).code == "draining"


# --------------------------------------------------------------- what is left


async def test_a_session_takes_its_files_along(serve: Serve, device: Devices, chain: Chain) -> None:
    running = await serve(chain, grace_seconds=0)
    one, other = await joined(running, device), await joined(running, device)
    shared, own = png(red=1), png(red=2)
    file = await uploaded(one, shared)
    await uploaded(one, own)
    await uploaded(other, shared)
    await one.done((await one.send("look", files=[file["id"]]))["run_id"])
    await one.call("end")
    await one.durable("summary")
    await one.drop()
    hub = running.server.hub
    async with asyncio.timeout(10):
        while hub.holds(one.session["session_id"]):
            await asyncio.sleep(0.01)
    assert len(stored(running)) == 2
    assert await delete_ended(hub, now_ms() + 1) == 1
    (left,) = stored(running)
    assert left.read_bytes() == shared
    assert rows(running) == 1
    got = await ask("GET", f"{files_of(one)}/{file['id']}", one.auth["token"])
    assert (got.status, got.code) == (404, "not_found")


async def test_a_file_that_is_lost_is_a_note_to_the_model(serve: Serve, device: Devices) -> None:
    model = ScriptedModel(says("I see."))
    running = await serve(Chain([Link(model, "", takes=("image",))]))
    one = await joined(running, device)
    file = await uploaded(one, png())
    stored(running)[0].unlink()
    ended = await one.done((await one.send("look", files=[file["id"]]))["run_id"])
    assert ended["status"] == "completed"
    (asked,) = model.requests[0].context
    assert asked.text == "look\n\n[image: a.png, which is no longer there]"  # type: ignore[union-attr]
    got = await ask("GET", f"{files_of(one)}/{file['id']}", one.auth["token"])
    assert (got.status, got.code) == (404, "not_found")
    assert "no longer stored" in got.json["error"]["message"]
