"""A Supabase project on this machine: embedded Postgres, and Supabase Lite before it.

    with Postgres() as postgres:
        with SupabaseLite(postgres.database(), schema=SCHEMA.read_text()) as project:
            project.url, project.secret_key, project.publishable_key, project.psql("select 1")

Nothing outlives the `with`, nor the process: each server gets its signal when this
process dies (where `setpriv` is to be had).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.postgres_server import (
    Database,
    NotStarted,
    Postgres,
    Server,
    dies_with_us,
    free_port,
)
from tests.support.process import ROOT

__all__ = ["SCHEMA", "Database", "NotStarted", "Postgres", "SupabaseLite", "free_port"]

SCHEMA = ROOT / "schema.sql"


RIGHTS = """
with things as (
    select oid::regclass as name, relacl as rights,
           case relkind when 'S' then 'sequence' else 'table' end as kind
    from pg_class where relkind in ('r', 'v', 'S')
        and relnamespace in (select oid from pg_namespace where nspname in ({exposed}))
), roles as (
    select oid, rolname from pg_roles
    where rolname in ('anon', 'authenticated', 'service_role')
)
select format('revoke all on %s %s from %I;', kind, name, rolname) from things, roles
union all
select format('grant %s on %s %s to %I;', privilege_type, kind, name, rolname)
from things, aclexplode(rights) given join roles on roles.oid = given.grantee
order by 1 desc
"""
"""Makes the statements that bring the rights of today back: revokes first."""


class SupabaseLite:
    """A Supabase project over a database: `url`, `secret_key`, `publishable_key`, `psql`.

    `schema` is applied as a migration before the start; None leaves the project empty. `exposed`:
    schemas that the Data API answers for.
    `jwt_expiry`: seconds that a user's token is good for. `storage`: it has Storage too.
    `auth`: more of its `[auth]`, as TOML. `mailed(email)` is the link of their last email.
    `stop()` and `start()` make an outage: the port and the keys stay.
    """

    def __init__(
        self,
        database: Database,
        *,
        schema: str | None = None,
        jwt_expiry: int = 3600,
        storage: bool = False,
        exposed: Sequence[str] = ("public",),
        auth: str = "",
    ) -> None:
        self.exposed = list(exposed)
        self.auth = auth
        self.storage = storage
        self.database = database
        self.jwt_expiry = jwt_expiry
        self.schema = schema
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.secret_key = f"sb_secret_{secrets.token_urlsafe(24)}"
        self.publishable_key = f"sb_publishable_{secrets.token_urlsafe(24)}"
        self.jwt_secret = secrets.token_urlsafe(32)
        self.psql = database.psql
        self._server: Server | None = None

    def __enter__(self) -> Self:
        self._temporary = tempfile.TemporaryDirectory(prefix="lite-")
        self._folder = Path(self._temporary.name)
        try:
            self._write_project()
            if self.schema is not None:
                self.migrate("realtime", self.schema)
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.stop()
        self._temporary.cleanup()

    def _write_project(self) -> None:
        (self._folder / "supabase" / "migrations").mkdir(parents=True)
        (self._folder / "supabase" / "config.toml").write_text(
            f"""
[api]
port = {self.port}
schemas = {json.dumps(self.exposed)}
external_url = "{self.url}"

[db]
driver = "postgres"
url = "{self.database.url}"

[auth]
enabled = true
jwt_secret = "{self.jwt_secret}"
jwt_expiry = {self.jwt_expiry}
enable_signup = true
publishable_key = "{self.publishable_key}"
secret_key = "{self.secret_key}"
{self.auth}

[auth.email]
enable_confirmations = false
"""
        )

    def mailed(self, email: str) -> str:
        """It sends none, but logs them."""
        log = (self._folder / "lite.log").read_text("utf-8")
        *_, last = log.split(f"To: {email}")
        found = re.search(r"https?://\S+/verify\S+", last)
        assert found, log
        return found[0]

    def _command(self, *args: str) -> list[str]:
        node = shutil.which("node")
        lite = ROOT / "node_modules" / "@supabase" / "lite" / "dist" / "cli" / "index.js"
        if node is None or not lite.exists():
            raise NotStarted("npm ci, with Node 20 or later")
        return [node, str(lite), *args]

    def _environment(self) -> dict[str, str]:
        told = {**os.environ, "LITE_TELEMETRY": "0", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}
        if self.storage:
            mended = (ROOT / "tests" / "support" / "lite_storage.mjs").as_uri()
            told |= {"EXPERIMENTAL_STORAGE": "1", "NODE_OPTIONS": f"--import {mended}"}
        return told

    def migrate(self, name: str, sql: str) -> None:
        """Apply a migration the way the Supabase CLI does."""
        folder = self._folder / "supabase" / "migrations"
        number = 20260101000000 + len(list(folder.iterdir()))
        (folder / f"{number}_{name}.sql").write_text(sql)
        ran = subprocess.run(
            self._command("migration", "up"),
            cwd=self._folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise NotStarted(f"lite migration up: {ran.stdout}{ran.stderr}")

    def start(self) -> None:
        self._server = Server(
            [*dies_with_us("TERM"), *self._command("start", "--no-admin")],
            log=self._folder / "lite.log",
            stop=signal.SIGTERM,
            cwd=self._folder,
            env=self._environment(),
        )
        exposed = ", ".join(f"'{schema}'" for schema in self.exposed)
        rights = self.psql(RIGHTS.format(exposed=exposed))
        self._server.wait_until(self._answers)
        # On its first request for a table Lite grants everything on everything to all
        # roles. Here the rights are those that the migrations gave.
        if rights:
            self._answers("sessions?limit=0")
            self.psql(rights)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _answers(self, path: str = "") -> bool:
        request = urllib.request.Request(
            f"{self.url}/rest/v1/{path}", headers={"apikey": self.secret_key}
        )
        try:
            with urllib.request.urlopen(request, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
