"""What an operator does beside the server: `sessions`, `quarantine` and `schema`.

All of it works while servers run on the same journal or engine, and without one.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from pathlib import Path
from typing import TypeVar

from ..build.parts import supabase_of
from ..build.sharing import visit
from ..cluster.workers import list_frame
from ..config import Settings
from ..config.parsers import parse_schema
from ..core.rows import Quarantined
from ..files.store import Files
from ..log.hot.quarantine import HotQuarantine
from ..log.journal import Journal
from ..log.journal.keeper import JournalKeeper
from ..log.journal.quarantine import Quarantine
from ..log.keeper import Keeper
from ..log.store import Store
from ..package import ROOT
from . import admin

SCHEMA = ROOT / "schema.sql"
T = TypeVar("T")


class Refusal(Exception):
    """What was asked cannot be done; the message says why, for the operator."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("sessions", help="list, show, export or delete stored sessions")
    actions = parser.add_subparsers(dest="action", required=True)
    listed = actions.add_parser("list", help="one line per session, newest first")
    listed.add_argument("--user", help="only sessions of this user")
    listed.add_argument("--limit", type=int, default=100)
    actions.add_parser("show", help="the conversation").add_argument("session_id")
    exported = actions.add_parser("export", help="whole sessions")
    which = exported.add_mutually_exclusive_group(required=True)
    which.add_argument("session_id", nargs="?")
    which.add_argument("--user", help="all sessions of this user, the newest first")
    exported.add_argument("--format", choices=("json", "markdown"), default="json")
    deleted = actions.add_parser("delete", help="delete sessions permanently, in every store")
    deleted.add_argument("session_id", nargs="*")
    deleted.add_argument("--user", help="all sessions of this user")
    deleted.add_argument("--yes", action="store_true", help="do not ask first")

    parser = commands.add_parser("quarantine", help="rows that Supabase refused")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="one line per row, oldest first")
    for name, text in (
        ("show", "one row in full"),
        ("resend", "send rows again, once the cause is fixed"),
        ("drop", "drop rows; the log keeps its copy"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("number", type=int, nargs="+")

    parser = commands.add_parser("schema", help="print schema.sql, or put it where it belongs")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--migration", action="store_true", help="write it as a migration of the Supabase CLI"
    )
    ways.add_argument("--apply", metavar="URL", help="apply it by a Postgres connection string")
    parser.add_argument("--schema", metavar="NAME", help="the schema, if not SUPABASE_SCHEMA")


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Raises `Refusal`, `StorageError`."""
    async with the_log(settings) as here:
        if arguments.command == "quarantine":
            await quarantine(here.quarantine, arguments)
        else:
            async with stores(settings, here.keeper) as (found, files):
                await sessions(here, found, files, arguments)
    return 0


@dataclass
class Here:
    """`told`: tells a user's devices of sessions that are deleted."""

    keeper: Keeper
    quarantine: Quarantine | HotQuarantine
    told: Callable[[str, Sequence[str]], Awaitable[None]]


@contextlib.asynccontextmanager
async def the_log(settings: Settings) -> AsyncIterator[Here]:
    """The servers' log: in their engine, or the journal."""
    if not settings.engine_url:
        keeper = JournalKeeper(the_journal(settings))
        try:
            yield Here(keeper, keeper.journal.quarantine, _nobody_is_told)
        finally:
            await keeper.close()
        return
    async with visit(settings) as (hot, refused, line):

        async def told(user_id: str, deleted: Sequence[str]) -> None:
            channel = f"{settings.engine_prefix}w:all"
            await line.call("PUBLISH", channel, list_frame("", user_id, [], deleted))

        yield Here(hot, refused, told)


async def _nobody_is_told(user_id: str, deleted: Sequence[str]) -> None:
    """Lists that are open show it when they are read again."""


def the_journal(settings: Settings) -> Journal:
    """The one that is there; with Supabase perhaps a new one, as on another machine."""
    if not settings.supabase_url:
        journal_path(settings)
    return Journal(settings.database_path, owner=False)


def journal_path(settings: Settings) -> Path:
    """Of a journal that is there."""
    path = Path(settings.database_path).absolute()
    if not path.exists():
        raise Refusal(
            f"there is no journal {path}: go to the server's folder, or set DATABASE_PATH"
        )
    return path


@contextlib.asynccontextmanager
async def stores(settings: Settings, here: Keeper) -> AsyncIterator[tuple[list[Store], Files]]:
    """The log, which is `here`, and Supabase where it is set up; and the sessions' files."""
    if not settings.supabase_url:
        yield [here], Files(here)
        return
    supabase = await supabase_of(settings)
    try:
        yield [here, supabase], Files(here, bucket=supabase.bucket)
    finally:
        await supabase.close()


async def sessions(
    here: Here, found: list[Store], files: Files, arguments: argparse.Namespace
) -> None:
    if arguments.action == "list":
        print(await admin.listing(found, arguments.user, arguments.limit))
    elif arguments.action == "delete":
        if not (arguments.session_id or arguments.user):
            raise Refusal("name the sessions: session ids, or --user and a user's id")
        named: dict[str, str] = {}  # whose each is
        for session_id in arguments.session_id:
            row, _ = await admin.found(found, session_id)
            named[session_id] = row.user_id
        if arguments.user:
            named |= dict.fromkeys(await admin.of_user(found, arguments.user), arguments.user)
        if named and not arguments.yes:
            many = "s" if len(named) > 1 else ""
            ask(
                f"Delete {len(named)} session{many} for good, in every store?",
                "nothing was deleted",
            )
        deleted = await admin.delete(found, arguments.session_id, arguments.user)
        await files.forget(sorted(deleted))
        for session_id in sorted(deleted):
            await here.told(named.get(session_id, arguments.user), [session_id])
        print(f"{len(deleted)} deleted")
    elif arguments.action == "export" and arguments.user:
        await export_all(found, arguments.user, arguments.format)
    else:
        row, events = await admin.found(found, arguments.session_id)
        as_json = arguments.action == "export" and arguments.format == "json"
        print((admin.as_json if as_json else admin.as_markdown)(row, events))


async def export_all(found: list[Store], user_id: str, form: str) -> None:
    """All that a user has: a JSON array, or one conversation after the other."""
    as_json = form == "json"
    shown = admin.as_json if as_json else admin.as_markdown
    before, between, after = ("[\n", ",\n", "\n]") if as_json else ("", "\n", "")
    for session_id in await admin.of_user(found, user_id):
        with contextlib.suppress(admin.NoSuchSession):  # it was deleted meanwhile
            print(before + shown(*await admin.found(found, session_id)), end="")
            before = between
    print(after if before == between else "[]" if as_json else "no sessions")


def ask(question: str, otherwise: str) -> None:
    """Raises `Refusal`, unless whoever sits there says yes."""
    if not sys.stdin.isatty():
        raise Refusal(f"{otherwise}: nobody is there to be asked; add --yes")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise Refusal(otherwise)


async def quarantine(kept: Quarantine | HotQuarantine, arguments: argparse.Namespace) -> None:
    if arguments.action == "list":
        rows = await answered(kept.rows())
        print("\n".join(line(row) for row in rows) or "the quarantine is empty")
        return
    rows = [await answered(kept.row(number)) for number in arguments.number]
    if arguments.action == "show":
        for row in rows:
            print(f"{line(row)}\n\n{row.content}\n\n{row.payload.decode(errors='replace')}\n")
    elif arguments.action == "resend":
        for row in rows:
            await answered(kept.resend(row.id))
        print(f"{len(rows)} will be sent again within seconds")
    else:
        await answered(kept.drop(row.id for row in rows))
        print(f"{len(rows)} dropped")


async def answered(answer: T | Awaitable[T]) -> T:
    """Of the journal, which answers at once, and of the engine."""
    return await answer if isawaitable(answer) else answer


def line(row: Quarantined) -> str:
    place = "head" if row.seq is None else f"seq {row.seq}"
    return (
        f"{row.id}  {admin.when(row.created_at)}  {row.session_id}  epoch {row.epoch}  {place}  "
        f"{row.event_type}  {row.code}: {row.message}"
    )


def schema(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Needs no settings, beside perhaps `SUPABASE_SCHEMA`. Raises `Refusal`, `ConfigError`."""
    try:
        name = parse_schema(arguments.schema) if arguments.schema else Settings.schema_of(environ)
    except ValueError as error:
        raise Refusal(f"--schema {error}") from None
    text = in_schema(SCHEMA.read_text("utf-8"), name)
    if arguments.apply:
        apply(text, arguments.apply)
        print(f"schema.sql is applied to the schema {name}")
    elif arguments.migration:
        print(migration(text))
    else:
        sys.stdout.write(text)
    return 0


def in_schema(text: str, name: str) -> str:
    """schema.sql for another schema than public, which it makes."""
    if name == "public":
        return text
    text = re.sub(r"\bpublic(?=\.)|(?<=on schema )public", f'"{name}"', text)
    text = text.replace("'public'", f"'{name}'")
    return f'create schema if not exists "{name}";\n\n{text}'


def migration(text: str) -> Path:
    """Write the schema where `supabase db push` finds it; the file, new or as it was."""
    folder = Path("supabase") / "migrations"
    for path in sorted(folder.glob("*_realtime.sql"), reverse=True):
        if path.read_text("utf-8") == text:
            return path
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%d%H%M%S', time.gmtime())}_realtime.sql"
    path.write_text(text, "utf-8")
    return path


def apply(text: str, url: str) -> None:
    """All of the schema or nothing of it. Raises `Refusal`, which holds no password."""
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            connection.execute(text.encode())
    except (psycopg.Error, UnicodeError) as error:
        refused = getattr(error, "diag", None)
        said = (refused and refused.message_primary) or str(error).strip() or type(error).__name__
        secret = psycopg.conninfo.conninfo_to_dict(url).get("password") if "@" in url else None
        said = said.replace(str(secret), "…") if secret else said
        do = "The connection string is in the dashboard, under Connect; user postgres."
        if refused and refused.sqlstate:
            do = refused.message_hint or "Nothing has changed."
        raise Refusal(f"schema.sql was not applied: {said}\n{do}") from None
