"""The guide for front ends: its first step and its example, run as they stand there; and a front
end on the dev server of Vite, in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import browser
from tests.support.process import ROOT, Process, free_port, process, ran, server

GUIDE = (ROOT / "docs/front-end.md").read_text("utf-8")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder that the guide makes, with its packages."""
    (tmp_path / "client").symlink_to(ROOT / "client")
    (take,) = re.findall(r"^mkdir .*$", GUIDE, re.M)
    subprocess.run(["sh", "-ec", take], cwd=tmp_path, check=True)
    folder = tmp_path / "my-app"
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    return folder


def example(app: Path, url: str, question: str = "fetch internal user analytics") -> list[str]:
    """The command that runs the guide's example against a server."""
    (code,) = re.findall(r"```js\n(import .*?)```", GUIDE, re.S)
    assert "http://localhost:8000" in code
    code = code.replace("http://localhost:8000", url)
    (app / "main.js").write_text(code.replace("fetch internal user analytics", question))
    node = shutil.which("node")
    assert node, "the tests need Node 20 or newer"
    return [node, "main.js"]


async def test_the_example_shows_the_answer_and_its_tool_call(app: Path, tmp_path: Path) -> None:
    async with server(tmp_path) as running:
        code, shown = await ran(*example(app, running.url), cwd=app)
    assert code == 0, shown
    assert "demo model" in shown
    assert re.search(r"^\[\w+: completed\]$", shown, re.M)
    assert shown.endswith("\ncompleted\n")


async def test_the_example_survives_a_server_that_is_killed(app: Path, tmp_path: Path) -> None:
    port = str(free_port())
    async with (
        server(tmp_path, PORT=port) as running,
        process(*example(app, running.url, "count to 2000"), cwd=app) as client,
    ):
        await client.says("1 2 3 4")
        running.child.kill()
        await running.ended()
        async with server(tmp_path, PORT=port):
            assert await client.ended() == 0, client.output
    said = re.sub(r"connecting .*\n", "", client.output)
    text, _, end = said.rstrip().rpartition("\n")
    assert end == "interrupted"
    shown = [int(number) for number in re.findall(r"\d+", text)]
    assert shown == list(range(1, len(shown) + 1))


# ----------------------------------------------------- on another origin, by Vite

MAIN = """
import { io } from "socket.io-client";
import { SessionClient } from "./realtime/session.js";
import { Api } from "./realtime/api.js";

const url = import.meta.env.VITE_CHAT;
const said = document.querySelector("pre");

async function story() {
  const client = new SessionClient({ io, url, storage: () => localStorage, window });
  await client.connect();
  const headers = { authorization: `Bearer ${await client.bearer()}` };
  const sizes = [];
  const picked = new File(["a,b"], "a.made-up", { type: "application/x-made-up" });
  const file = await client.upload(picked, { progress: (fraction) => sizes.push(fraction) });
  const { id } = file;
  const { run_id } = await client.send("hello", { files: [file] });
  await until(client, ({ state }) => state.runs.find((run) => run.run_ids.includes(run_id))?.done);
  const kept = await (await fetch(await client.fileUrl(id))).text();
  const base = `${url}/api/sessions/${client.state.session_id}`;
  const sent = await fetch(`${base}/files/${id}`, { headers });

  const api = new Api(`${url}/api/`, () => client.bearer());
  await client.setTitle("From Vite");
  const { sessions } = await api.sessions();
  const markdown = await (await api.markdown(sessions[0].session_id)).text();
  const exported = await fetch(`${base}/export`, { headers });
  const changed = await fetch(base, {
    method: "PATCH",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ pinned: true }),
  });

  const other = new SessionClient({ io, url });
  await other.connect();
  await other.open(sessions[0].session_id, await client.share("read"));
  const shared = await other.fileUrl(id);
  const access = other.access;
  const deleted = await fetch(base, { method: "DELETE", headers });
  client.close();
  other.close();
  return {
    title: sessions[0].title, kept, answered: markdown.includes("demo model"), access,
    shared: shared.startsWith(url), progress: sizes.at(-1),
    sent: sent.headers.get("content-disposition"),
    exported: exported.headers.get("content-disposition"),
    changed: changed.status, deleted: deleted.status,
  };
}

function until(client, happened) {
  return new Promise((resolve) => client.subscribe((now) => happened(now) && resolve()));
}

said.textContent = JSON.stringify(await story().catch((error) => ({ error: String(error) })));
"""


@asynccontextmanager
async def vite(folder: Path, chat: str, port: int) -> AsyncIterator[Process]:
    (folder / "index.html").write_text(
        '<!doctype html><pre></pre><script type="module" src="/main.js"></script>'
    )
    (folder / "main.js").write_text(MAIN)
    (folder / "vite.config.js").write_text('export default { cacheDir: ".vite" };')
    node = shutil.which("node")
    assert node, "the tests need Node 20 or newer"
    line = [node, str(ROOT / "node_modules/vite/bin/vite.js"), "--host", "127.0.0.1"]
    line += ["--strictPort", "--port", str(port)]
    async with process(*line, cwd=folder, VITE_CHAT=chat, NO_COLOR="1") as running:
        await running.says(r"Local:")
        running.url = f"http://127.0.0.1:{port}"
        yield running


async def told(page: Page, url: str) -> dict[str, Any]:
    await page.goto(url)
    await expect(page.locator("pre")).not_to_be_empty(timeout=30_000)
    found: dict[str, Any] = json.loads(await page.inner_text("pre"))
    return found


async def test_a_listed_front_end_does_everything(app: Path, tmp_path: Path) -> None:
    port = free_port()
    listed = f"http://127.0.0.1:{port}"
    async with (
        server(tmp_path, ALLOWED_ORIGINS=listed) as running,
        vite(app, running.url, port) as front,
        browser() as chromium,
    ):
        page = await chromium.new_page()
        assert await told(page, front.url) == {
            "title": "From Vite",
            "kept": "a,b",
            "answered": True,
            "access": "read",
            "shared": True,
            "progress": 1,
            "sent": "attachment; filename=\"a.made-up\"; filename*=UTF-8''a.made-up",
            "exported": 'attachment; filename="conversation.json"',
            "changed": 200,
            "deleted": 204,
        }


async def test_another_port_is_another_origin(app: Path, tmp_path: Path) -> None:
    port = free_port()
    async with (
        server(tmp_path, ALLOWED_ORIGINS="http://127.0.0.1:1") as running,
        vite(app, running.url, port) as front,
        browser() as chromium,
    ):
        page = await chromium.new_page()
        await page.goto(front.url)
        await running.says(f"refused: the page's origin is http://127.0.0.1:{port}")
        refused = await page.evaluate(
            f"fetch('{running.url}/api/info').then(() => 'read', (error) => error.name)"
        )
        assert refused == "TypeError"
