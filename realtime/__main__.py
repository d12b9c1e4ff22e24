"""The command line: `python -m realtime [--check]`, `python -m realtime sessions …`.

Exit codes: 0 ended as asked, 1 an unexpected error, 2 the configuration is refused,
3 `--check` found something that cannot be reached.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from dataclasses import fields

from aiohttp import web

from realtime import admin, logs
from realtime.app import (
    SERVER,
    auth_secret,
    create_app,
    load_tools,
    make_authenticator,
    open_journal,
    store_label,
)
from realtime.config import ConfigError, Settings
from realtime.edge.http import missing_modules
from realtime.log.journal import Journal
from realtime.log.rows import StorageError
from realtime.models import ModelError
from realtime.providers import make_chain

FAILED = 1
CONFIG_REFUSED = 2
CHECK_FAILED = 3
STOP_TIMEOUT_S = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m realtime",
        description="The realtime session server for AI conversations.",
        epilog="Settings come from the environment and from .env:\n\n" + settings_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--check", action="store_true", help="verify the configuration, reach model and stores"
    )
    add_sessions(parser.add_subparsers(dest="command", metavar="sessions"))
    arguments = parser.parse_args()
    try:
        settings = Settings.load(os.environ)
        logs.set_up(settings.log_level, settings.log_format)
        if arguments.command == "sessions":
            return sessions(settings, arguments)
        return run(check(settings) if arguments.check else serve(settings))
    except (admin.NoSuchSession, StorageError) as error:
        print(error, file=sys.stderr)
        return FAILED
    except ConfigError as error:
        print("The configuration cannot be used:", file=sys.stderr)
        for problem in error.problems:
            print(f"  - {problem}", file=sys.stderr)
        return CONFIG_REFUSED


def add_sessions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("sessions", help="list, show, export or delete stored sessions")
    actions = parser.add_subparsers(dest="action", required=True)
    listed = actions.add_parser("list", help="a line a session, newest first")
    listed.add_argument("--user", help="only this user's")
    listed.add_argument("--limit", type=int, default=100)
    for name, text in (("show", "the conversation"), ("export", "the whole session")):
        shown = actions.add_parser(name, help=text)
        shown.add_argument("session_id")
        if name == "export":
            shown.add_argument("--format", choices=("json", "markdown"), default="json")
    deleted = actions.add_parser("delete", help="remove sessions for good, in every store")
    deleted.add_argument("session_id", nargs="*")
    deleted.add_argument("--user", help="all sessions of this user")


def sessions(settings: Settings, arguments: argparse.Namespace) -> int:
    journal = Journal(settings.database_path, owner=False)
    try:
        if arguments.action == "list":
            print(admin.listing(journal, arguments.user, arguments.limit))
        elif arguments.action == "delete":
            ids = list(arguments.session_id)
            if arguments.user:
                ids += [row.session_id for row in journal.all_sessions(arguments.user, -1)]
            for session_id in arguments.session_id:
                admin.found(journal, session_id)
            journal.delete(ids)
            if settings.supabase_url and ids:
                run(delete_in_supabase(settings, ids))
            print(f"{len(ids)} deleted")
        else:
            row, events = admin.found(journal, arguments.session_id)
            as_json = arguments.action == "export" and arguments.format == "json"
            print((admin.as_json if as_json else admin.as_markdown)(row, events))
    finally:
        journal.close()
    return 0


async def delete_in_supabase(settings: Settings, session_ids: list[str]) -> int:
    from realtime.supabase import Supabase

    supabase = await Supabase.connect(settings.supabase_url, settings.supabase_key)
    try:
        await supabase.delete(session_ids)
    finally:
        await supabase.close()
    return 0


def settings_help() -> str:
    return "\n".join(
        f"  {item.name.upper():<18} {item.metadata['help']}"
        for item in fields(Settings)
        if "help" in item.metadata
    )


def run(work: object) -> int:
    """Run on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)  # type: ignore[arg-type]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)  # type: ignore[arg-type]


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT: then drain, and only then stop listening."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(name, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(name, lambda *_: loop.call_soon_threadsafe(stop.set))
    app = create_app(settings)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_TIMEOUT_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                [f"PORT={settings.port} on HOST={settings.host} cannot be used: {error.strerror}"]
            ) from None
        announce(settings, runner.addresses[0][1], app[SERVER].chain.label)
        await stop.wait()
        print("Draining …", flush=True)
        await app[SERVER].drain()
    finally:
        await runner.cleanup()
    print("Stopped.", flush=True)
    return 0


def announce(settings: Settings, port: int, model: str) -> None:
    host = "localhost" if settings.host in ("127.0.0.1", "0.0.0.0", "::1") else settings.host  # noqa: S104
    print(
        f"""
  Listening   http://{host}:{port}
  Model       {model}
              change it: OPENAI_API_KEY=… in .env, or MODEL=local
  Store       {store_label(settings)}
              change it: SUPABASE_URL and SUPABASE_KEY in .env, after running schema.sql
""",
        flush=True,
    )
    if missing := missing_modules():
        print(f"  The page lacks {', '.join(missing)}: run npm ci\n", flush=True)


async def check(settings: Settings) -> int:
    """Try each part and say how it is."""
    failures = 0

    def report(part: str, problem: object = None) -> None:
        nonlocal failures
        failures += problem is not None
        verdict = "ok  " if problem is None else "FAIL"
        print(f"{verdict}  {part}" + (f": {problem}" if problem else ""))

    report("settings")
    load_tools(settings)
    report(f"tools: {', '.join(settings.tools) or 'none'}")
    make_authenticator(settings, auth_secret(settings))
    if settings.auth != "guest":
        report(f"auth {settings.auth}")
    open_journal(settings).close()
    report(f"journal {settings.database_path}")
    chain = await make_chain(settings)
    for model in chain.models:
        try:
            await model.check()
            report(f"model {model.label}")
        except ModelError as error:
            report(f"model {model.label}", error)
    await chain.close()
    if settings.supabase_url:
        from realtime.supabase import Supabase, SupabaseError

        try:
            supabase = await Supabase.connect(settings.supabase_url, settings.supabase_key)
            try:
                await supabase.check()
            finally:
                await supabase.close()
            report(f"Supabase {settings.supabase_url}")
        except SupabaseError as error:
            report(f"Supabase {settings.supabase_url}", error)
    return CHECK_FAILED if failures else 0


if __name__ == "__main__":
    sys.exit(main())
