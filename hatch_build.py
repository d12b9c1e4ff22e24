"""Building the wheel: the page's modules come from npm where they are not installed yet."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LANGUAGES = "node_modules/@codemirror/legacy-modes/mode"


class PageModules(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises RuntimeError where they are missing and there is no npm."""
        self._install()
        for path in Path(self.root, LANGUAGES).glob("*.js"):
            build_data["force_include"][str(path)] = f"realtime_sessions/{LANGUAGES}/{path.name}"

    def _install(self) -> None:
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
