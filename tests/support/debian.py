"""Programs for the tests that come from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"


def program(*names: str, package: str) -> str | None:
    """The path of the first of these that is there. Installs Debian's package where none is and
    where that is possible; never skips."""
    if not any(shutil.which(name, path=PATH) for name in names):
        install(package)
    return next((path for name in names if (path := shutil.which(name, path=PATH))), None)


def install(package: str) -> None:
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for line in (["update"], ["install", "-y", "--no-install-recommends", package]):
        subprocess.run(
            ["apt-get", "-qq", *line],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
        )
