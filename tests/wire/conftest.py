"""Who signs tokens, for the tests of who somebody is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.wire.issuer import Issuer


@pytest.fixture
async def issuer(aiohttp_server: Any) -> Issuer:
    one = Issuer(aiohttp_server, None)
    await one.start()
    return one
