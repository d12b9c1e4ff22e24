"""The package, built and installed as a stranger does it: in another folder, beside nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import venv
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from packaging.requirements import Requirement

from tests.support.device import Device
from tests.support.engine import Engine
from tests.support.fetch import fetch
from tests.support.process import ROOT, SECRET, ran, realtime, server

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
OF_A_CHECKOUT = shutil.ignore_patterns(
    ".git", ".venv", "node_modules", "__pycache__", ".*_cache", ".env", "*.db*", "artifacts"
)
TOOLS = '''
from realtime_sessions.tools import ToolContext, ToolError, tool


@tool
async def order_status(order_id: str, context: ToolContext) -> dict[str, str]:
    """Where an order is now."""
    if not order_id.isdigit():
        raise ToolError("an order id is a number")
    return {"order_id": order_id, "status": "shipped", "asked_by": context.user_id}
'''
APPLICATION = """
from aiohttp import web
from realtime_sessions.app import create_app
from realtime_sessions.config import Settings

parent = web.Application()
parent.add_subapp("/ai/", create_app(Settings(database_path="sessions.db")))
"""


class Installed:
    """An environment with the wheel and what it requires; nothing of the checkout is in it."""

    def __init__(self, folder: Path) -> None:
        self.python = str(folder / "bin" / "python")
        self.command = str(folder / "bin" / "realtime-sessions")

    async def run(self, *command: str, cwd: Path, **environ: str) -> tuple[int, str]:
        """The exit code, and what was said."""
        return await ran(*command, cwd=cwd, seconds=120, PYTHONPATH="", **environ)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel of a clone in which nobody has run npm, installed."""
    folder = tmp_path_factory.mktemp("package")
    clone = shutil.copytree(ROOT, folder / "clone", ignore=OF_A_CHECKOUT)
    pip = (sys.executable, "-m", "pip")
    run(*pip, "wheel", "-q", "--no-deps", "-w", str(folder), str(clone))
    shutil.rmtree(clone)
    (wheel,) = folder.glob("*.whl")
    made = Installed(folder / "environment")
    venv.create(folder / "environment")
    constraints = str(ROOT / "constraints.txt")
    run(
        *pip,
        "--python",
        made.python,
        "install",
        "-q",
        "--no-compile",
        "-c",
        constraints,
        str(wheel),
    )
    return made


def run(*command: str) -> None:
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_tools.py").write_text(TOOLS, "utf-8")
    return tmp_path


async def provider(request: web.Request) -> web.StreamResponse:
    """A model that asks for the order, and then tells what the tool said."""
    if request.method == "GET":
        return web.json_response({"object": "list", "data": []})
    newest = (await request.json())["messages"][-1]
    call = {"name": "order_status", "arguments": '{"order_id": "7"}'}
    told = newest["role"] == "tool"
    delta = {"content": f"I read: {newest['content']}"} if told else {}
    if not told:
        delta = {"tool_calls": [{"index": 0, "id": "a", "function": call}]}
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for choice in (
        {"index": 0, "delta": delta},
        {"index": 0, "delta": {}, "finish_reason": "stop" if told else "tool_calls"},
    ):
        await response.write(b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode())
    await response.write(b"data: [DONE]\n\n")
    return response


async def test_a_conversation_calls_a_tool_of_the_folder_it_runs_in(
    installed: Installed, folder: Path, aiohttp_server: Any, device: Callable[..., Device]
) -> None:
    upstream = web.Application()
    upstream.router.add_route("*", "/v1/{path:.*}", provider)
    url = str((await aiohttp_server(upstream)).make_url("/v1"))
    environ = {
        "PYTHONPATH": "",
        "OPENAI_BASE_URL": url,
        "OPENAI_MODEL": "some-model",
        "TOOLS": "realtime_sessions.example,my_tools",
    }
    for command in ((installed.command,), (installed.python, "-m", "realtime_sessions")):
        async with server(folder, *command, **environ) as running:
            one = device(running.url)
            await one.connect()
            done = await one.ask("where is order 7?")
            assert "shipped" in done["text"], running.output
            assert one.session["user_id"] in done["text"]
    assert (folder / "realtime.db").exists()


async def test_it_serves_the_page_and_its_modules(installed: Installed, tmp_path: Path) -> None:
    async with server(tmp_path, installed.command, PYTHONPATH="") as running:
        page = (await fetch(f"{running.url}/")).text
        vendored = set(re.findall(r'"\./(vendor/[\w.-]+\.[0-9a-f]{10}\.js)"', page))
        assert len(vendored) == 5
        vendored.add(re.search(r'"\./(vendor/languages\.\w+/)"', page)[1] + "python")  # type: ignore[index]
        files = (path for path in (ROOT / "client").rglob("*") if path.is_file())
        ours = {path.relative_to(ROOT).as_posix() for path in files}
        for path in ours | vendored:
            assert (await fetch(f"{running.url}/{path}")).status == 200, path
        assert "The page lacks" not in running.output


async def test_the_command_line(installed: Installed, folder: Path) -> None:
    schema = (ROOT / "schema.sql").read_text("utf-8")
    for command in ((installed.command,), (installed.python, "-m", "realtime_sessions")):
        assert await installed.run(*command, "schema", cwd=folder) == (0, schema)
    code, told = await installed.run(installed.command, "--version", cwd=folder)
    assert (code, told.split()[0]) == (0, "realtime-sessions")
    code, told = await installed.run(installed.command, "--help", cwd=folder)
    assert (code, "usage: python -m realtime_sessions" in told) == (0, True)
    code, told = await installed.run(installed.command, "--check", cwd=folder)
    assert code == 0, told
    assert "realtime_sessions.example (fetch_internal_user_analytics)" in told


async def test_it_tries_an_engine_with_its_scripts(installed: Installed, folder: Path) -> None:
    with Engine(folder / "engine") as engine:
        code, told = await installed.run(
            installed.command, "--check", cwd=folder, VALKEY_URL=engine.url, AUTH_SECRET=SECRET
        )
    assert (code, f"ok    engine {engine.address.label}" in told) == (0, True), told


async def test_the_supabase_client_keeps_its_name(installed: Installed, tmp_path: Path) -> None:
    code = """
        import realtime_sessions.supabase, supabase, realtime
        assert realtime.AsyncRealtimeClient
        assert not hasattr(realtime_sessions, "AsyncRealtimeClient")
    """
    command = (installed.python, "-W", "error", "-c", textwrap.dedent(code))
    assert await installed.run(*command, cwd=tmp_path) == (0, "")


async def test_a_module_that_says_the_other_name_is_told(
    installed: Installed, tmp_path: Path
) -> None:
    (tmp_path / "my_tools.py").write_text(TOOLS.replace("realtime_sessions", "realtime"), "utf-8")
    for tools in ("my_tools", "realtime.example"):
        code, told = await installed.run(installed.command, cwd=tmp_path, TOOLS=tools)
        assert code == 2
        assert "this package is called realtime_sessions here, not realtime" in told

    (tmp_path / "my_tools.py").write_text(TOOLS, "utf-8")
    code, told = await realtime(cwd=tmp_path, TOOLS="my_tools")
    assert code == 2
    assert "this package is called realtime here, not realtime_sessions" in told


async def test_a_type_checker_sees_the_types(installed: Installed, folder: Path) -> None:
    (folder / "wrong.py").write_text(
        TOOLS.replace("context.user_id", "context.user_name").replace("@tool", "@tool(deadline=1)"),
        "utf-8",
    )
    (folder / "application.py").write_text(APPLICATION, "utf-8")
    modules = ("my_tools.py", "application.py", "wrong.py")
    mypy = (sys.executable, "-m", "mypy", "--strict", "--config-file=")
    command = (*mypy, "--python-executable", installed.python, *modules)
    _, told = await installed.run(*command, cwd=folder)
    assert '"ToolContext" has no attribute "user_name"' in told
    assert 'Unexpected keyword argument "deadline"' in told
    assert told.rstrip().endswith("in 1 file (checked 3 source files)"), told


def test_what_is_deployed_is_what_may_be_installed() -> None:
    """The pins of requirements.txt and constraints.txt lie in the ranges of the package."""
    pins = {}
    extras = ("requirements-mcp.txt", "requirements-traces.txt")
    for name in ("constraints.txt", "requirements.txt", *extras):
        for line in (ROOT / name).read_text("utf-8").splitlines():
            if "==" in line:
                pin = Requirement(line)
                pins[pin.name.lower()] = str(pin.specifier).removeprefix("==")
    project = PYPROJECT["project"]
    required = [
        Requirement(line)
        for line in chain(project["dependencies"], *project["optional-dependencies"].values())
    ]
    for item in required:
        assert item.specifier.contains(pins[item.name.lower()]), item
    direct = (ROOT / "requirements.txt").read_text("utf-8")
    named = {Requirement(line).name for line in direct.splitlines() if "==" in line}
    assert named <= {item.name for item in required}
