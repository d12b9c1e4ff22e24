"""The examples of a page of the documentation, as files."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support.process import ROOT


def example(title: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write the modules that stand in a section of docs/extend.md into a folder to import from.
    Each names its file in its first line. Returns the section."""
    page = (ROOT / "docs/extend.md").read_text("utf-8")
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##+ |\Z)", page, re.S | re.M)
    assert found, title
    names = re.findall(r"^```python\n# ([\w/]+)\.py\n", found[1], re.M)
    assert names, title
    for code in re.findall(r"^```python\n(.*?)^```", found[1], re.S | re.M):
        named = re.match(r"# ([\w/]+\.py)\n", code)
        assert named, code
        (folder / named[1]).write_text(code)
    monkeypatch.syspath_prepend(folder)
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return found[1]
