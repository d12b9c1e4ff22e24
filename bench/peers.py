"""The relays that are measured: how each is set up, started, and spoken to."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.websocket import Chainlit, Client, Ours, Plain, SocketIO

HERE = Path(__file__).parent
PROJECT = Path(sys.executable)


def python_of(name: str) -> Path:
    return HERE / ".venvs" / name / "bin" / "python"


@dataclass(frozen=True)
class Relay:
    """`command` is run in an empty directory; `{port}` in it, and `PORT`, say where to listen."""

    name: str
    label: str
    command: Sequence[str]
    client: type[Client]
    packages: Sequence[str]
    environ: dict[str, str]

    def environment(self, port: int, upstream: int) -> dict[str, str]:
        kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PYTHONPATH": str(HERE.parent),
            "PORT": str(port),
            "DATABASE_PATH": "bench.db",
            "OPENAI_API_KEY": "none",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1",
            **self.environ,
        }


def relay(
    name: str,
    label: str,
    command: Sequence[str | Path],
    client: type[Client],
    packages: Sequence[str],
    **environ: str,
) -> Relay:
    return Relay(name, label, [str(part) for part in command], client, packages, environ)


CHAINLIT_APP = HERE / "relays" / "chainlit_app.py"

RELAYS = {
    found.name: found
    for found in (
        relay(
            "ours",
            "this server",
            (PROJECT, "-m", "realtime"),
            Ours,
            ("python-socketio", "aiohttp", "openai", "uvloop", "msgspec"),
            HOST="127.0.0.1",
            DURABILITY="sync",
            OPENAI_API="chat",
            OPENAI_MODEL="bench",
            TOOLS="none",
        ),
        relay(
            "plain_socketio",
            "python-socketio + openai",
            (python_of("peers"), HERE / "relays" / "plain_socketio.py"),
            SocketIO,
            ("python-socketio", "aiohttp", "openai", "uvloop"),
        ),
        relay(
            "fastapi",
            "FastAPI + websockets + openai",
            (python_of("peers"), HERE / "relays" / "fastapi_ws.py"),
            Plain,
            ("fastapi", "uvicorn", "websockets", "openai", "uvloop"),
        ),
        relay(
            "node",
            "Node.js socket.io + openai",
            ("node", HERE / "relays" / "node_socketio.mjs"),
            SocketIO,
            ("socket.io", "openai"),
        ),
        relay(
            "chainlit",
            "Chainlit",
            (
                python_of("chainlit"),
                "-m",
                "chainlit",
                "run",
                CHAINLIT_APP,
                "-h",
                "--port",
                "{port}",
            ),
            Chainlit,
            ("chainlit", "openai"),
            CHAINLIT_APP_ROOT=".",
        ),
        relay(
            "floor",
            "floor: aiohttp + journal, no features",
            (PROJECT, HERE / "relays" / "floor.py"),
            Plain,
            ("aiohttp", "uvloop", "msgspec"),
        ),
    )
}


def set_up(names: Sequence[str]) -> None:
    """Install what these relays need, from the lock files; what is there already stays."""
    if {"plain_socketio", "fastapi"} & set(names):
        _environment("peers")
    if "chainlit" in names:
        _environment("chainlit")
    if "node" in names:
        lock = (HERE / "node" / "package-lock.json").read_bytes()
        _once(
            HERE / "node" / "node_modules" / ".installed",
            lock,
            ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=HERE / "node",
        )


def _environment(name: str) -> None:
    target = HERE / ".venvs" / name
    wanted = HERE / f"requirements-{name}.txt"
    if not python_of(name).exists():
        venv.create(target, with_pip=True, clear=True)
    pip = [str(python_of(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _once(target / ".installed", wanted.read_bytes(), [*pip, "-r", str(wanted)])


def _once(mark: Path, wanted: bytes, command: list[str], cwd: Path = HERE) -> None:
    digest = hashlib.sha256(wanted).hexdigest()
    if not mark.exists() or mark.read_text() != digest:
        print(f"setting up {mark.parent.name} …", file=sys.stderr, flush=True)
        subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
        mark.write_text(digest)


def versions(found: Relay) -> str:
    """The runtime and the packages that matter, with their versions."""
    if found.command[0] == "node":
        if shutil.which("node") is None:
            return "Node.js is missing"
        script = "console.log(process.version, ...process.argv.slice(1).map(n => n + ' ' + "
        script += "require('./node_modules/' + n + '/package.json').version))"
        command = ["node", "-e", script, *found.packages]
    else:
        script = "import platform, sys; from importlib.metadata import version; "
        script += "print(platform.python_version(), *(n + ' ' + version(n) for n in sys.argv[1:]))"
        command = [found.command[0], "-c", script, *found.packages]
    done = subprocess.run(command, cwd=HERE / "node", capture_output=True, text=True, check=True)
    runtime, rest = done.stdout.strip().split(" ", 1)
    words = rest.split(" ")
    pairs = [" ".join(pair) for pair in zip(words[::2], words[1::2], strict=True)]
    name = "Node.js" if found.command[0] == "node" else "Python"
    return ", ".join([f"{name} {runtime.lstrip('v')}", *pairs])
