"""Our package and the Supabase client's own `realtime` live in one process."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import ROOT

OURS = {path.stem for path in (ROOT / "realtime").iterdir() if not path.name.startswith("__")}

THEIRS_WORKS = """
from realtime import AsyncRealtimeClient
from realtime import RealtimeChannelOptions
from realtime.types import DEFAULT_TIMEOUT
client = AsyncRealtimeClient("ws://127.0.0.1:9/realtime/v1", token="x")
assert client.channel("room").topic == "realtime:room"
"""
OURS_WORKS = """
from realtime.protocol import Send, decode
import realtime.protocol
assert decode(Send, {"text": "a", "client_msg_id": "b"}).text == "a"
"""
ORDERS = {
    "supabase first": f"import supabase\n{THEIRS_WORKS}{OURS_WORKS}",
    "ours first": f"{OURS_WORKS}import supabase\n{THEIRS_WORKS}",
    "our wrapper": "import sys\nimport realtime.supabase\nassert 'supabase' not in sys.modules\n"
    f"import supabase\nassert supabase.acreate_client\n{THEIRS_WORKS}{OURS_WORKS}",
    "only theirs": THEIRS_WORKS,
}


def run(code: str, cwd: Path = ROOT, **environment: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("order", ORDERS)
def test_both_in_one_process(order: str) -> None:
    run(ORDERS[order])


def test_in_a_user_s_tool_module(tmp_path: Path) -> None:
    (tmp_path / "my_tools.py").write_text(
        "import supabase\n"
        "from supabase import AsyncClient\n"
        "from realtime.protocol import ToolCall\n"
        "from realtime import AsyncRealtimeChannel\n"
    )
    run(
        "import my_tools, inspect; assert inspect.isclass(my_tools.AsyncRealtimeChannel)",
        cwd=tmp_path,
    )


def test_a_name_that_neither_has_is_an_attribute_error() -> None:
    run(
        "import realtime\n"
        "assert not hasattr(realtime, 'nothing_of_that_name')\n"
        "assert not hasattr(realtime, '__nothing__')\n"
    )


def test_our_modules_take_none_of_their_names() -> None:
    files = importlib.metadata.files("realtime") or []
    theirs = {Path(file.parts[1]).stem for file in files if file.parts[0] == "realtime"}
    theirs -= {"__init__", "__pycache__", "py"}
    assert {"_async", "types"} <= theirs
    assert not OURS & theirs
