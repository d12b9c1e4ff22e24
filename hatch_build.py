"""Building the wheel: the page's modules come from npm where they are not installed yet."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageModules(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises RuntimeError where they are missing and there is no npm."""
        if all(map(Path.exists, map(Path, self.build_config.force_include))):
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError(
                "Node.js 20 or newer is needed to build the page's modules: https://nodejs.org"
            )
        subprocess.run(
            [npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=self.root,
            check=True,
        )
