"""The README's snippets, run as they stand there, against a real server."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.process import free_port, process, server

README = (ROOT / "README.md").read_text("utf-8")


def snippet(language: str, having: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    (found,) = [block for block in blocks if having in block]
    return str(found)


@pytest.mark.parametrize("language", ["python", "js"])
async def test_a_client_of_a_few_lines(tmp_path: Path, language: str) -> None:
    code = snippet(language, "fetch internal user analytics")
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 14
    async with server(tmp_path) as running:
        code = code.replace("http://localhost:8000", running.url)
        if language == "python":
            command = [sys.executable, "-c", code]
        else:
            node = shutil.which("node")
            assert node, "the tests need Node 20 or newer"
            command = [node, "--input-type=module", "-e", code]
        async with process(*command, cwd=ROOT) as client:
            assert await client.ended() == 0
        assert "demo model" in client.output
        assert client.output.rstrip().endswith("completed")


async def test_a_reconnect_of_the_snippet_resumes(tmp_path: Path) -> None:
    """The cursor of the Python snippet: one session, also when the server restarts."""
    code = snippet("python", "fetch internal user analytics")
    code = code.replace("fetch internal user analytics", "count to 2000")
    shown = """print(name, data.get("session_id"), data.get("recovered"), flush=True)"""
    code = re.sub(r'print\(data.get\("delta".*\)', shown, code)
    port = str(free_port())
    async with server(tmp_path, PORT=port) as running:
        code = code.replace("http://localhost:8000", running.url)
        async with process(sys.executable, "-c", code, cwd=ROOT) as client:
            session_id = (await client.says(r"session (\S+) False"))[1]
            await client.says("token")
            running.child.kill()
            await running.ended()
            async with server(tmp_path, PORT=port):
                again = await client.says(r"session (\S+) True")
                assert again[1] == session_id


async def test_the_tool_of_the_readme_works(tmp_path: Path) -> None:
    (tmp_path / "my_tools.py").write_text(snippet("python", "order_status"))
    async with process(
        sys.executable, "-m", "realtime", "--check", cwd=tmp_path, TOOLS="realtime.example,my_tools"
    ) as running:
        assert await running.ended() == 0, running.output
        assert "my_tools" in running.output


def test_the_application_of_the_readme_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = snippet("python", "add_subapp").split("web.run_app")[0]
    exec(code, {})
