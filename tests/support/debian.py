"""Programs for the tests that come from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


def program(*names: str, package: str) -> str | None:
    """The path of the first of these that is there. Installs Debian's package where none is and
    where that is possible; never skips."""
    if not (path := found(names)) and shutil.which("apt-get") and os.geteuid() == 0:
        with only_one_installs():
            if not found(names):
                install(package)
        path = found(names)
    return path


def found(names: Sequence[str]) -> str | None:
    return next((path for name in names if (path := shutil.which(name, path=PATH))), None)


@contextmanager
def only_one_installs() -> Iterator[None]:
    """Of all processes of the tests; apt would give up at once."""
    import fcntl

    with open(f"{tempfile.gettempdir()}/realtime-tests-install", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(package: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for line in (["update"], ["install", "-y", "--no-install-recommends", package]):
        subprocess.run(
            ["apt-get", "-qq", *line],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
        )
