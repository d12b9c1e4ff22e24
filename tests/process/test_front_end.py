"""The guide for front ends: its first step and its example, run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.process import ROOT, free_port, process, ran, server

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
