"""A thread that an operator's code has left behind does not keep the process."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.process import server

FORGOTTEN = {
    "thread": "threading.Thread(target=time.sleep, args=(60,)).start()",
    "executor": "asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)",
}


@pytest.mark.parametrize("kind", FORGOTTEN)
async def test_the_process_ends_with_the_server(tmp_path: Path, kind: str) -> None:
    (tmp_path / "my_pool.py").write_text(
        "import asyncio, threading, time\n"
        "async def lifespan(app):\n"
        f"    {FORGOTTEN[kind]}\n"
        "    yield\n"
    )
    async with server(tmp_path, EXTENSIONS="my_pool") as running:
        running.child.send_signal(signal.SIGTERM)
        assert await running.ended(20) == 0
        assert running.output.count("Stopped.") == 1
        assert "threads that had not ended are cut off: MainThread, " in running.output
