from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from realtime.supabase import Supabase
from tests.support.supabase_lite import SCHEMA, Postgres, SupabaseLite


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def project(postgres: Postgres) -> Iterator[SupabaseLite]:
    """A project with the schema; the tests in it use session ids of their own."""
    with SupabaseLite(postgres.database(), schema=SCHEMA.read_text()) as lite:
        yield lite


@pytest.fixture(scope="session")
def empty_project(postgres: Postgres) -> Iterator[SupabaseLite]:
    with SupabaseLite(postgres.database()) as lite:
        yield lite


@pytest.fixture
async def supabase(project: SupabaseLite) -> AsyncIterator[Supabase]:
    client = await Supabase.connect(project.url, project.secret_key)
    yield client
    await client.close()
