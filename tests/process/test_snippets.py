"""The README's snippets, run as they stand there, against a real server."""

from __future__ import annotations

import re
import shutil
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

from tests.support.process import ROOT, free_port, process, ran, realtime, server
from tests.support.proxy import proxy

README = (ROOT / "README.md").read_text("utf-8")
CLIENTS = (ROOT / "docs/python-client.md").read_text("utf-8")


def snippet(language: str, having: str, page: str = README) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.S)
    (found,) = [block for block in blocks if having in block]
    return str(found)


def command(language: str, code: str) -> list[str]:
    if language == "python":
        return [sys.executable, "-c", code]
    node = shutil.which("node")
    assert node, "the tests need Node 20 or newer"
    return [node, "--input-type=module", "-e", code]


def counting(most: int, language: str, page: str, url: str) -> list[str]:
    """The client of a few lines that asks this server to count."""
    code = snippet(language, "fetch internal user analytics", page)
    code = code.replace("fetch internal user analytics", f"count to {most}")
    return command(language, code.replace("http://localhost:8000", url))


of_a_few_lines = pytest.mark.parametrize(
    ("language", "page"),
    [("python", README), ("js", README), ("python", CLIENTS)],
    ids=["python", "js", "stock python-socketio"],
)


@of_a_few_lines
async def test_a_client_of_a_few_lines(tmp_path: Path, language: str, page: str) -> None:
    code = snippet(language, "fetch internal user analytics", page)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 15
    async with server(tmp_path) as running:
        code = code.replace("http://localhost:8000", running.url)
        status, shown = await ran(*command(language, code), cwd=ROOT)
    assert status == 0
    assert "demo model" in shown
    assert shown.rstrip().endswith("completed")


@of_a_few_lines
async def test_it_survives_a_server_that_is_killed_in_mid_answer(
    tmp_path: Path, language: str, page: str
) -> None:
    """It resumes its session, shows what it missed once, and ends."""
    port = str(free_port())
    async with server(tmp_path, PORT=port) as running:
        asks = counting(2000, language, page, running.url)
        async with process(*asks, cwd=ROOT) as client:
            await client.says("1 2 3 4")
            running.child.kill()
            await running.ended()
            async with server(tmp_path, PORT=port):
                assert await client.ended() == 0
    text, _, status = client.output.rstrip().rpartition("\n")
    assert status == "interrupted"
    shown = [int(number) for number in re.findall(r"\d+", text)]
    assert shown == list(range(1, len(shown) + 1))


@of_a_few_lines
async def test_it_survives_connections_that_are_cut(
    tmp_path: Path, language: str, page: str
) -> None:
    """What is missed comes in joined pieces, which may begin with what was shown."""
    async with server(tmp_path) as running, proxy(int(running.url.rpartition(":")[2])) as between:
        asks = counting(150, language, page, between.url)
        async with process(*asks, cwd=ROOT) as client:
            for number in range(20, 110, 30):
                await client.says(rf"\b{number} ")
                for link in [*between.links]:
                    link.reset()
            assert await client.ended() == 0
    text, _, status = client.output.rstrip().rpartition("\n")
    assert status == "completed"
    assert [int(number) for number in re.findall(r"\d+", text)] == list(range(1, 151))


def test_an_old_pip_knows_the_extra_too() -> None:
    """Before pip 23.3 an extra had to be written as the package's metadata have it."""
    (extra,) = re.findall(r'pip install "python-socketio\[(.+?)\]"', CLIENTS)
    assert extra in metadata("python-socketio").get_all("Provides-Extra", [])


async def test_the_client_in_python_as_its_page_shows_it(tmp_path: Path) -> None:
    """A question, the session of before, and calls that are approved or made in the client."""
    (tmp_path / "robot.py").write_text(
        "from realtime.tools import tool\n"
        "@tool(approval=True)\n"
        "def analytics_of_sums(query: str, amount: int = 7) -> str:\n"
        '    """Look."""\n'
        "    return query\n"
    )
    names = ("Tell me a story", "def again", "def approve_small_sums")
    parts = [snippet("python", name, CLIENTS) for name in names]
    parts[0] = parts[0].removesuffix("asyncio.run(main())\n")
    check = """
async def check():
    session_id, token = await main()
    ((question, answer),) = await again(session_id, token)
    assert question == "Tell me a story" and "The end" in answer
    async with SessionClient("http://localhost:8000", tools=tools) as session:
        approving = asyncio.create_task(approve_small_sums(session))
        run = await (await session.send("analytics")).done()
        assert [call["status"] for call in run.message.calls] == ["completed"], run.message.calls
        approving.cancel()

asyncio.run(check())
"""
    environ = {"TOOLS": "robot", "CLIENT_TOOLS": "true"}
    async with server(tmp_path, **environ) as running:
        code = "\n".join([*parts, check]).replace("http://localhost:8000", running.url)
        status, shown = await ran(sys.executable, "-c", code, cwd=ROOT)
    assert status == 0, shown
    assert "A story" in shown


async def test_the_tool_of_the_readme_works(tmp_path: Path) -> None:
    (tmp_path / "my_tools.py").write_text(snippet("python", "order_status"))
    code, told = await realtime("--check", cwd=tmp_path, TOOLS="realtime.example,my_tools")
    assert code == 0, told
    assert "order_status" in told


def test_the_application_of_the_readme_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = snippet("python", "add_subapp").split("web.run_app")[0]
    exec(code, {})
