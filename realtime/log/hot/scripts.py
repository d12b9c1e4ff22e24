"""The functions that run in the engine, `scripts/<name>.lua`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from .line import EngineError, Line

FOLDER = Path(__file__).with_name("scripts")


class Script:
    """`await script(line, prefix, …)` runs it with KEYS[1] = prefix and ARGV = all arguments,
    the prefix included. Raises what `Line.call` raises."""

    def __init__(self, name: str) -> None:
        self._text = FOLDER.joinpath(f"{name}.lua").read_bytes()
        self._sha = hashlib.sha1(self._text, usedforsecurity=False).hexdigest()

    async def __call__(self, line: Line, *args: bytes | str | int) -> Any:
        try:
            return await line.call("EVALSHA", self._sha, 1, args[0], *args)
        except EngineError as error:
            if error.code != "NOSCRIPT":
                raise
        return await line.call("EVAL", self._text, 1, args[0], *args)
