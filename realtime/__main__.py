"""The command line: `python -m realtime [--check]`; `chat`, `sessions`, `backup` and the like.

Exit codes: 0 ended as asked, 1 an unexpected error, or something that is away and may come back,
2 the configuration is refused, 3 `--check` found something that cannot be reached.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import textwrap
import threading
from collections.abc import Sequence
from pathlib import Path

from .app import SERVER, create_app
from .background import garbage
from .build.parts import store_label
from .cli import backup, chat, logs, operate
from .cli.admin import NoSuchSession
from .cli.check import check
from .cli.several import CONFIG_REFUSED, beat, left_alone, supervise, told_to_stop, unusable
from .config import ConfigError, Settings
from .core.rows import StorageError
from .edge.http import metrics
from .edge.http.assets import missing_modules
from .edge.runner import Runner
from .package import NAME, VERSION

FAILED = 1
EXIT_S = 2.0
"""How long threads may take to end after the server has stopped."""
logger = logging.getLogger(NAME)
INDENT = " " * 6
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104


def main() -> int:
    if os.getcwd() not in sys.path:  # an installed command: tools are modules of this folder
        sys.path.insert(0, os.getcwd())
    parser = argparse.ArgumentParser(
        prog=f"python -m {NAME}",
        description="The realtime session server for AI conversations.",
        epilog="Settings come from the environment and from .env, or from the file that ENV_FILE "
        "names:\n\n" + settings_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--check", action="store_true", help="verify the configuration, reach model and stores"
    )
    parser.add_argument("--one-of", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"realtime-sessions {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    chat.add_to(commands)
    operate.add_to(commands)
    backup.add_to(commands)
    arguments = parser.parse_args()
    log_format = os.environ.get("LOG_FORMAT", "")
    try:
        if arguments.command == "schema":
            return printed(operate.schema(arguments, os.environ))
        if arguments.command == "chat":
            return printed(chat.run(arguments))
        settings = Settings.load(os.environ)
        log_format = settings.log_format
        shares = settings.engine_url and (settings.workers == 1 or arguments.one_of)
        logs.set_up(settings.log_level, settings.log_format, settings.worker if shares else None)
        if arguments.command in ("backup", "restore"):
            return printed(backup.run(settings, arguments))
        if arguments.command:
            return printed(run(operate.run(settings, arguments)))
        if arguments.check:
            return run(check(settings))
        if arguments.one_of:
            return run(serve(settings, arguments.one_of))
        for note in settings.notes():
            logger.warning("%s", note)
        return run(supervise(settings) if settings.workers > 1 else serve(settings))
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (operate.Refusal, NoSuchSession, StorageError) as error:
        print(error, file=sys.stderr)
        return FAILED
    except ConfigError as error:
        problems = "\n".join(f"  - {problem}" for problem in error.problems)
        text = f"The configuration cannot be used:\n{problems}"
        print(logs.told(text, log_format, "ERROR"), file=sys.stderr)
        return CONFIG_REFUSED


def run(work: object) -> int:
    """Run on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)  # type: ignore[arg-type]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)  # type: ignore[arg-type]


def printed(code: int) -> int:
    """The code, once all is written. Raises `BrokenPipeError`, which the exit would only print."""
    sys.stdout.flush()
    return code


def settings_help() -> str:
    """Each setting as a line of `.env` with its default, and its meaning below."""
    wrap = textwrap.TextWrapper(
        88, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False
    )
    return "\n".join(
        f"  {name}={default}\n{wrap.fill(meaning)}"
        for name, default, meaning in Settings.documentation()
    )


async def serve(settings: Settings, one_of: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT: then drain, and only then stop listening. `one_of`: the
    folder where the workers of this machine meet, and the descriptor by which to say that this
    one listens, and then that it lives."""
    stop = told_to_stop()
    app = create_app(settings)
    if one_of:
        left_alone(stop)
        metrics.meet(app, Path(one_of[0]), settings.worker)
    runner = Runner(app)
    await runner.setup()
    try:
        try:
            port = await runner.listen(settings.host, settings.port, shared=bool(one_of))
        except OSError as error:
            raise unusable(settings, error) from None
        server = app[SERVER]
        chores = [asyncio.create_task(garbage.collect(lambda: server.hub.runs > 0))]
        banner = announcement(settings, port, server.chain.label)
        if one_of:
            chores.append(asyncio.create_task(beat(int(one_of[1]), banner)))
        else:
            print(logs.told(banner, settings.log_format), flush=True)
        await stop.wait()
        if not one_of:
            print(logs.told("Draining …", settings.log_format), flush=True)
        await server.drain()
    finally:
        await runner.cleanup()
    for chore in chores:
        chore.cancel()
    if not one_of:
        print(logs.told("Stopped.", settings.log_format), flush=True)
    last = threading.Timer(EXIT_S, leave)
    last.daemon = True
    last.start()
    return 0


def leave() -> None:
    """End the process, whatever threads somebody else's code has left behind."""
    left = [one.name for one in threading.enumerate() if not one.daemon]
    logger.warning("threads that had not ended are cut off: %s", ", ".join(left))
    logging.shutdown()
    os._exit(0)


def announcement(settings: Settings, port: int, model: str) -> str:
    """What listens where, and how to change what was not chosen."""
    change = "              change it: "
    lines = ["", f"  Listening   {reached_at(settings.host, port)}", f"  Model       {model}"]
    if settings.model == "demo":
        lines.append(f"{change}OPENAI_API_KEY=… in .env, or make run MODEL=local")
    if settings.workers > 1:
        lines.append(f"  Workers     {settings.workers}, on one port")
    lines.append(f"  Store       {store_label(settings)}")
    if not settings.supabase_url:
        lines.append(f"{change}SUPABASE_URL and SUPABASE_KEY in .env, after running schema.sql")
    if missing := missing_modules():
        lines += ["", f"  The page lacks {', '.join(missing)}: run npm ci"]
    return "\n".join([*lines, ""])


def reached_at(host: str, port: int) -> str:
    """An address that works in a browser on this machine, and who else can reach it."""
    if host in EVERY_ADDRESS:
        return (
            f"http://localhost:{port}\n"
            "              on every address of this machine; HOST=127.0.0.1: for itself alone"
        )
    if host == "127.0.0.1":
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


if __name__ == "__main__":
    sys.exit(main())
