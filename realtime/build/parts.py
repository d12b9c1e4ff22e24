"""The parts of the server that its settings alone decide, each made by one function.

They raise `ConfigError` where what the settings name cannot be used.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .. import extensions
from .. import tools as toolkit
from ..auth import Authenticator
from ..auth.guests import Guests, kept_secret
from ..auth.hook import Authenticate, Hook
from ..auth.supabase import SupabaseTokens
from ..config import ConfigError, Settings
from ..core.rows import StorageError
from ..log.hot.address import Address
from ..log.journal import Journal
from ..log.keeper import Keeper
from ..package import hint
from ..tools.mcp.config import McpServer, read_config

if TYPE_CHECKING:
    from ..supabase import Supabase
    from ..tools.mcp.servers import Trial
    from ..tracing import Tracing

TRACES = (
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
)
"""The variables that ask for traces."""
OTLP = "http/protobuf"

logger = logging.getLogger(__name__)


def store_label(settings: Settings) -> str:
    """Where conversations are kept, for the operator."""
    place = f" {settings.database_path}"
    if settings.engine_url:
        address = Address.parse(settings.engine_url).label
        place = f" at {address}, shared by the workers of {settings.cluster_name}"
    return store_kind(settings, place)


def store_kind(settings: Settings, place: str = "") -> str:
    """The same for everybody: not where."""
    kind = "Valkey" if settings.engine_url else "SQLite file"
    return f"{kind}{place}" + (", shipped to Supabase" if settings.supabase_url else "")


async def supabase_of(settings: Settings) -> Supabase:
    """The project that is set up; nothing is sent yet. Raises `SupabaseError`."""
    from ..supabase import Supabase

    return await Supabase.connect(
        settings.supabase_url,
        settings.supabase_key,
        schema=settings.supabase_schema,
        bucket=settings.supabase_bucket,
    )


def load_tools(
    settings: Settings, given: Iterable[Callable[..., Any]] | None = None
) -> toolkit.Toolbox:
    """Those that are `given`, or those of TOOLS."""
    if given is not None:
        try:
            return toolkit.collect(given, approval_s=settings.approval_seconds)
        except ValueError as error:
            raise ConfigError([f"the tools given cannot be used: {error}"]) from error
    try:
        return toolkit.load(settings.tools, approval_s=settings.approval_seconds)
    except Exception as error:  # a module of the operator's own
        problem = f"TOOLS={','.join(settings.tools)} cannot be used: {error}{hint(error)}"
        raise ConfigError([problem]) from error


def load_extensions(settings: Settings, given: Iterable[object] = ()) -> extensions.Extensions:
    """Those of EXTENSIONS, and those that are `given`."""
    try:
        return extensions.load(settings.extensions, given)
    except extensions.BadExtension as error:
        raise ConfigError([str(error)]) from error


async def enter_lifespans(
    found: extensions.Extensions, app: web.Application, undo: AsyncExitStack
) -> None:
    """Begin what the extensions keep open; it ends with the server, the last one first."""
    for one in found.items:
        try:
            await undo.enter_async_context(one.living(app))
        except extensions.BadExtension as error:
            raise ConfigError([f"EXTENSIONS: {one.name} {error}"]) from error


def make_webhook(settings: Settings) -> extensions.Webhook | None:
    if not settings.webhook_url:
        return None
    try:
        return extensions.Webhook(
            settings.webhook_url, settings.webhook_secret, settings.webhook_events
        )
    except ValueError as error:
        raise ConfigError([str(error)]) from None


def make_followers(
    found: extensions.Extensions, webhook: extensions.Webhook | None, keeper: Keeper
) -> list[extensions.Follower]:
    """Who is told of what happens."""
    made = [extensions.Follower(keeper, one.name, one.told) for one in found.having("on_event")]
    if webhook:
        made.append(
            extensions.Follower(keeper, "WEBHOOK_URL", webhook.give, webhook.pauses, webhook.wants)
        )
    return made


def auth_secrets(settings: Settings) -> tuple[str, ...]:
    """What this server signs its tokens with, and then what it signed them with before."""
    before = filter(None, [settings.auth_secret_previous])
    if settings.auth_secret:
        return settings.auth_secret, *before
    try:
        return kept_secret(Path(f"{settings.database_path}.secret")), *before
    except OSError as error:
        raise ConfigError(
            [f"AUTH_SECRET is not set, and none can be stored beside DATABASE_PATH: {error}"]
        ) from None


def make_authenticator(
    settings: Settings, secrets: Sequence[str], given: Authenticate | None = None
) -> Authenticator:
    """Who tells users by their tokens: the function that is `given`, or what AUTH says."""
    if given is not None:
        try:
            return Hook(given)
        except ValueError as error:
            raise ConfigError([f"authenticate {error}"]) from error
    if settings.auth == "guest":
        if settings.supabase_url:
            logger.warning(
                "AUTH=guest: anybody may start sessions in your Supabase project; "
                "AUTH=supabase admits only its users"
            )
        return Guests(*secrets)
    if settings.auth == "supabase":
        return SupabaseTokens(
            settings.supabase_url,
            issuer=settings.supabase_jwt_issuer,
            secret=settings.supabase_jwt_secret,
        )
    try:
        return Hook.load(settings.auth)
    except ValueError as error:
        raise ConfigError([f"AUTH={settings.auth} {error}"]) from error


def open_journal(settings: Settings) -> Journal:
    try:
        journal = Journal(
            settings.database_path,
            synchronous="FULL" if settings.durability == "fsync" else "NORMAL",
        )
    except StorageError as error:
        raise ConfigError([f"DATABASE_PATH: {error}"]) from None
    if journal.set_aside:
        logger.error(
            "%s is damaged and was renamed to %s; a new one was created",
            settings.database_path,
            journal.set_aside,
        )
    return journal


def mcp_servers(settings: Settings) -> dict[str, McpServer]:
    """The MCP servers of MCP_CONFIG."""
    try:
        return read_config(settings.mcp_config, settings.environ or os.environ)
    except ValueError as error:
        raise ConfigError([f"MCP_CONFIG={settings.mcp_config} {error}"]) from None


async def connect_mcp(settings: Settings, box: toolkit.Toolbox, undo: AsyncExitStack) -> None:
    """Offer the tools of MCP servers too. One that is not there yet is asked again later."""
    servers = _mcp().McpServers(mcp_servers(settings), box)
    undo.push_async_callback(servers.stop)
    await servers.ready()


def try_mcp(settings: Settings, box: toolkit.Toolbox) -> AsyncGenerator[Trial]:
    """How each MCP server does, tried once."""
    trials: AsyncGenerator[Trial] = _mcp().try_servers(mcp_servers(settings), box)
    return trials


def _mcp() -> ModuleType:
    return _extra("..tools.mcp.servers", "mcp", "MCP_CONFIG needs")


def _extra(module: str, extra: str, who: str, otherwise: str = "") -> ModuleType:
    """A module that needs the packages of an extra. `otherwise`: how to do without."""
    try:
        return importlib.import_module(module, __package__)
    except ImportError as error:
        raise ConfigError(
            [
                f"{who} more packages ({error}): {sys.executable} -m pip install "
                f"-r requirements-{extra}.txt, or the extra realtime-sessions[{extra}]{otherwise}"
            ]
        ) from None


def make_tracing(settings: Settings) -> Tracing | None:
    """Traces, where a variable of OpenTelemetry's says where they go."""
    given = {name: value for name, value in settings.environ.items() if name.startswith("OTEL_")}
    given |= {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
    exporter = given.get("OTEL_TRACES_EXPORTER", "").lower()
    asks = next((name for name in TRACES if given.get(name)), None)
    if not asks or exporter == "none" or given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if exporter not in ("", "otlp"):
        raise ConfigError([f"OTEL_TRACES_EXPORTER={exporter} must be otlp or none"])
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if given.get(name, OTLP) != OTLP:
            raise ConfigError([f"{name}={given[name]} must be {OTLP}, at the collector's 4318"])
    for name in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        if (place := given.get(name)) and not place.startswith(("http://", "https://")):
            raise ConfigError([f"{name}={place} must be a URL, such as http://localhost:4318"])
    for name, value in given.items():  # the SDK reads nothing else, and knows no .env
        os.environ.setdefault(name, value)
    otherwise = "; or switch traces off with OTEL_TRACES_EXPORTER=none"
    try:
        module = _extra("..tracing", "traces", f"{asks} is set, and needs", otherwise)
        tracing: Tracing = module.Tracing(settings.worker)
    except ValueError as error:
        raise ConfigError([f"OpenTelemetry refuses a variable OTEL_…: {error}"]) from None
    return tracing
