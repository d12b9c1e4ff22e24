"""Servers and devices for the tests: the real application on a real port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis

from realtime.app import SERVER, create_app
from realtime.config import Settings
from realtime.models import Model
from realtime.models.demo import DemoModel
from realtime.runs.chain import Chain
from tests.support.device import Device
from tests.support.process import LEAK, SECRET
from tests.support.serving import Running, Serve

# No property fails because the machine is busy.
hypothesis.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis.load_profile("patient")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        port=0,
        database_path=str(tmp_path / "journal.db"),
        auth_secret=SECRET,
        grace_seconds=30,
        drain_seconds=2,
        spare_loopback=True,
        titles=False,  # requests to the model are counted; tests/wire/test_titles.py
        continue_automatically=False,  # what breaks off stays so; tests/wire/test_automatic.py
    )


@pytest.fixture
async def serve(aiohttp_server: Any, settings: Settings) -> Serve:
    async def start(model: Model | Chain | None = None, **changes: Any) -> Running:
        changed = Settings(**{**vars_of(settings), **changes})
        app = create_app(changed, model=model or DemoModel(delay_s=0.002))
        server = await aiohttp_server(app)
        return Running(str(server.make_url("/")).rstrip("/"), app[SERVER], server.close)

    return start


def vars_of(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


@pytest.fixture
async def device() -> AsyncIterator[Callable[..., Device]]:
    """`device(url)`: a device, disconnected at the end."""
    made: list[Device] = []

    def make(url: str, **auth: Any) -> Device:
        made.append(Device(url, **auth))
        return made[-1]

    yield make
    for one in made:
        await one.drop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test's servers logged holds no secret, whatever the test is about."""
    report = yield
    leaks = [title for title, text in report.sections if LEAK.search(text)]
    if leaks and report.passed:
        report.outcome, report.longrepr = "failed", f"a secret stands in: {', '.join(leaks)}"
    return report


WAITING = ("test_proxies.py", "test_cut_off.py")
"""They sit out a minute, and leave the processor to others meanwhile."""
SLOW = ("abuse", "page", "process", "workers", "faults", "supabase", "python_client")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest begin first, so that no process has one left at the end."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.parent.name
        if item.path.name in WAITING:
            return -1
        return SLOW.index(folder) if folder in SLOW else len(SLOW)

    items.sort(key=rank)
