"""File names as they may be shown and stored: a last part only, bounded, nothing invisible."""

from __future__ import annotations

import re
import unicodedata

from ..protocol import shows

MAX_NAME = 120
"""Characters. As UTF-8 it is shorter than what file systems and headers take."""

_ENDING = re.compile(r"\.[\w-]{1,16}$")


def clean_file_name(raw: str) -> str:
    """The name without folders, and without characters that nobody sees or that change how the
    rest is shown. A long one keeps its ending; where nothing is left, it is `file`."""
    name = unicodedata.normalize("NFC", raw.encode("utf-8", "replace").decode())
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(" " if c.isspace() else c for c in name)
    name = "".join(
        c for c in name if not unicodedata.category(c).startswith(("C", "Z")) or c == " "
    )
    name = re.sub(r'[<>:"|?*]', "_", re.sub(r" +", " ", name)).strip(". ")
    if len(name) > MAX_NAME:
        ending = found[0] if (found := _ENDING.search(name)) else ""
        name = name[: MAX_NAME - len(ending)].rstrip(". ") + ending
    return name if shows(name) else "file"
