from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from realtime.supabase import Supabase
from realtime.supabase.bucket import StorageBucket
from tests.supabase.disks import Here, disks
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


@pytest.fixture(scope="session")
def storing(postgres: Postgres) -> Iterator[SupabaseLite]:
    """A project that has Storage."""
    with SupabaseLite(postgres.database(), schema=SCHEMA.read_text(), storage=True) as lite:
        yield lite


@pytest.fixture
async def bucket(storing: SupabaseLite) -> AsyncIterator[StorageBucket]:
    made = StorageBucket(storing.url, storing.secret_key, "files")
    await made.prepare()
    yield made
    await made.close()


@pytest.fixture
def here(storing: SupabaseLite, tmp_path: Path) -> Here:
    return disks(storing, tmp_path, supabase_bucket="files", grace_seconds=0.2, file_mb=5)
