"""The composition root: settings in, an aiohttp application out. Only here things are built.

app = create_app(Settings.load(os.environ))      # or mount it: parent.add_subapp("/ai/", app)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import msgspec
from aiohttp import web

from .auth.links import Links
from .auth.shares import Shares
from .auth.supabase import SupabaseTokens
from .background.retention import keep
from .background.summary import Summariser
from .background.titles import Titler
from .build.info import public_info
from .build.parts import (
    auth_secrets,
    connect_mcp,
    load_tools,
    make_authenticator,
    open_journal,
)
from .build.providers import default_options, make_chain
from .build.sharing import share_log
from .config import ConfigError, Settings
from .core.bounds import Bounds
from .core.usage import Price
from .edge.commands import Commands
from .edge.connections import Connections, Roster
from .edge.door import Door
from .edge.errors import RETRY_MS
from .edge.http import api, export, files, health, metrics, sessions, static
from .edge.http.caller import Callers
from .edge.http.guard import guard
from .edge.runner import MAX_HEADER
from .edge.transport import Transport
from .files.store import Files
from .limits.buckets import DAY_S, MINUTE_S, Buckets
from .limits.budget import Amount, Budget, payers
from .limits.memory import Memory
from .live.count import RunCount
from .live.hub import Hub
from .live.services import Services
from .log.journal.keeper import JournalKeeper
from .log.keeper import Keeper
from .log.log import Log
from .models import Model, ModelError
from .runs.chain import Chain, Link
from .supabase import Leases, Shipper, Supabase, SupabaseError, sweep
from .supabase.shipped import Lost

logger = logging.getLogger(__name__)
USER_SOCKETS = 4  # sockets that one user may keep as busy as can be


@dataclass(frozen=True)
class Server:
    """The parts of a running server, for whoever hosts the application."""

    settings: Settings
    transport: Transport
    connections: Connections
    log: Log
    hub: Hub
    chain: Chain
    supabase: Supabase | None
    leases: Leases | None
    shipper: Shipper | None

    async def drain(self) -> None:
        """Refuse new work, tell every device, let answers finish. May be called twice."""
        if self.hub.draining:
            return
        self.transport.tell_all("server", {"type": "draining", "retry_in_ms": RETRY_MS})
        await self.hub.drain(self.settings.drain_seconds)


SERVER: web.AppKey[Server] = web.AppKey("server", Server)
"""The server of an application that runs."""


def create_app(settings: Settings, *, model: Model | Chain | None = None) -> web.Application:
    """The server as an aiohttp application, with its page, sockets and HTTP routes.

    `model` takes the place of the one that the settings name. Starting it raises
    `ConfigError` where the configuration turns out to be wrong.
    """
    transport = Transport(
        origins=settings.allowed_origins,
        transports=settings.transports,
        max_queue_bytes=settings.backlog_kb * 1024,
    )
    door = Door(
        Buckets(settings.connects_per_minute, MINUTE_S, "connects"),
        Memory(settings.memory_limit_mb),
        lambda: app[SERVER].hub.draining,
        spare_loopback=settings.spare_loopback,
    )
    app = web.Application(
        handler_args={"max_field_size": MAX_HEADER},
        middlewares=[
            guard(settings.allowed_origins, settings.trusted_proxies, door.check),
        ],
    )
    app[static.SIGN_IN] = settings.supabase_url if settings.sign_in else ""
    transport.attach(app)
    app.add_routes(
        [
            *static.ROUTES,
            *health.ROUTES,
            metrics.route(settings.metrics_token),
            *api.ROUTES,
            *sessions.ROUTES,
            *files.ROUTES,
            *export.ROUTES,
        ]
    )
    app.cleanup_ctx.append(partial(_running, settings, transport, model))
    app.on_shutdown.append(_stopping)
    return app


async def _running(
    settings: Settings,
    transport: Transport,
    given: Model | Chain | None,
    app: web.Application,
) -> AsyncIterator[None]:
    """Everything between start and end, in the order of dependence; undone backwards."""
    async with AsyncExitStack() as undo:
        box = load_tools(settings)
        secrets = auth_secrets(settings)
        auth = make_authenticator(settings, secrets)
        if isinstance(auth, SupabaseTokens):
            undo.push_async_callback(auth.close)
        early = settings.durability == "async"
        shared = await share_log(settings, transport) if settings.engine_url else None
        journal = None if shared else JournalKeeper(open_journal(settings))
        keeper: Keeper = shared.keeper if shared else journal  # type: ignore[assignment]
        log = Log(keeper, early_tokens=early)
        undo.push_async_callback(log.close)
        suspect = await keeper.showing_early(early)
        if given is None:
            chain = await make_chain(settings)
            undo.push_async_callback(chain.close)
        else:
            chain = given if isinstance(given, Chain) else Chain([Link(given, "")])
        supabase = await connect_supabase(settings, undo)
        leases = Leases(supabase, await keeper.worker()) if supabase else None
        if settings.mcp_config:
            await connect_mcp(settings, box, undo)
        ended: asyncio.Queue[str] = asyncio.Queue()
        answered: asyncio.Queue[str] = asyncio.Queue()
        bucket = supabase.bucket if supabase else None
        kept = Files(keeper, most=settings.file_bytes, bucket=bucket)
        bounds = Bounds(settings.text_kb * 1024, settings.queued_messages)
        services = Services(
            log=log,
            chain=chain,
            tools=box,
            instructions=settings.instructions,
            budget=await budget_of_today(settings, log),
            count=RunCount(),
            on_progress=shared.workers.progress if shared else transport.progress,
            files=kept,
            options=default_options(settings),
            prices=msgspec.convert(settings.prices or {}, dict[str, Price]),
            show_reasoning=settings.show_reasoning,
            client_tools=settings.client_tools,
            continue_automatically=settings.continue_automatically,
        )
        hub = Hub(
            services,
            transport,
            session_options=settings.session_options,
            grace_s=settings.grace_seconds,
            abandon_s=settings.abandon_seconds,
            bounds=bounds,
            archive=leases,
            others=shared.workers if shared else None,
            on_ended=ended.put_nowait,
            on_answered=answered.put_nowait if settings.titles else lambda session_id: None,
        )
        shipper = make_shipper(log, hub, supabase, leases)
        if shipper:
            undo.push_async_callback(shipper.stop)
        undo.push_async_callback(hub.close)

        shares = Shares(*secrets)
        user_rate = Buckets(USER_SOCKETS * settings.commands_per_minute, MINUTE_S, "commands")
        sockets: Roster = {}
        connections = Connections(
            sockets,
            transport,
            Commands(
                sockets,
                transport,
                hub,
                auth,
                shares,
                kept,
                Buckets(settings.sessions_per_day, DAY_S, "new sessions"),
            ),
            Buckets(settings.commands_per_minute, MINUTE_S, "commands"),
            user_rate,
        )
        info = public_info(settings, chain, bounds)
        callers = Callers(auth, shares, user_rate)
        app[export.EXPORTS] = export.Exports(hub, callers)
        app[api.API] = api.Api(hub, callers, info=info)
        app[sessions.SESSIONS] = sessions.SessionList(hub, callers, shipped=supabase)
        uploads = Buckets(settings.files_per_day, DAY_S, "files")
        app[files.FILES] = files.FileApi(hub, callers, kept, Links(*secrets), uploads)
        shipping = (lambda: shipper.state) if shipper else None
        engine = shared.workers if shared else None
        app[health.HEALTH] = health.Health(hub, chain, connections, shipping, engine)
        app[metrics.REGISTRY] = metrics.registry(log, hub, chain, connections, transport, engine)
        app[SERVER] = Server(
            settings, transport, connections, log, hub, chain, supabase, leases, shipper
        )

        await refuse_what_cannot_work(settings, chain, supabase)
        summariser, titler = Summariser(hub, chain, ended), Titler(hub, services, answered)
        if leases:
            await resume_leases(hub, leases)
        await hub.start(suspect=suspect)
        if shared:
            await shared.join(hub, bounds, undo)
        if journal:
            journal.begin()
        await summariser.start()
        undo.push_async_callback(summariser.stop)
        titler.start()
        undo.push_async_callback(titler.stop)
        if supabase and leases and shipper:
            shipper.start()
            undo.callback(asyncio.create_task(sweep(leases, supabase, hub.finish)).cancel)
        if bucket:
            undo.callback(asyncio.create_task(kept.tidy()).cancel)
        if settings.retention_days:
            undo.callback(asyncio.create_task(keep(hub, settings.retention_days)).cancel)
        yield


async def _stopping(app: web.Application) -> None:
    server = app[SERVER]
    await server.drain()
    await server.connections.close()
    await server.transport.shutdown()


async def budget_of_today(settings: Settings, log: Log) -> Budget:
    """The budget, less what the log says was spent of it today."""
    budget = Budget(
        user=Amount(settings.budget_user_tokens, settings.budget_user_dollars),
        server=Amount(settings.budget_server_tokens, settings.budget_server_dollars),
        user_runs=settings.runs_per_user,
    )
    for asker, owner, tokens, dollars in await log.keeper.spent(budget.day_begins):
        budget.spend(payers(asker, owner), Amount(tokens, dollars))
    return budget


async def connect_supabase(settings: Settings, undo: AsyncExitStack) -> Supabase | None:
    if not settings.supabase_url:
        return None
    try:
        supabase = await Supabase.connect(
            settings.supabase_url, settings.supabase_key, bucket=settings.supabase_bucket
        )
    except SupabaseError as error:
        raise ConfigError([str(error)]) from None
    undo.push_async_callback(supabase.close)
    return supabase


def make_shipper(
    log: Log, hub: Hub, supabase: Supabase | None, leases: Leases | None
) -> Shipper | None:
    if supabase is None or leases is None:
        return None
    return Shipper(log.keeper, supabase, leases, on_lost=partial(void, hub))


async def void(hub: Hub, lost: Lost) -> None:
    await hub.lost(lost.session_id, deleted=lost.reason == "deleted")


async def resume_leases(hub: Hub, leases: Leases) -> None:
    """Hold what the journal has open, and let go of what others write by now."""
    for lost in await leases.resume(await hub.log.keeper.open_sessions()):
        await void(hub, lost)


async def refuse_what_cannot_work(
    settings: Settings, chain: Chain, supabase: Supabase | None
) -> None:
    """A key that is wrong stays wrong; what merely cannot be reached may come back. One good key
    of the default and its fallbacks is enough."""
    refused: dict[Model, str] = {}
    for model in chain.models:
        try:
            if notice := await model.check():
                logger.warning("%s", notice)
        except ModelError as error:
            if error.kind == "unauthorized":
                refused[model] = f"the key of {model.label} is refused: {error.report}"
            else:
                logger.warning("%s does not answer yet: %s", model.label, error.report)
    if all(model in refused for model in chain.default):
        raise ConfigError(list(refused.values()))
    for problem in refused.values():
        logger.error("%s", problem)
    if supabase:
        try:
            for wrong in await supabase.check():
                logger.error("%s", wrong)
            if supabase.bucket:
                await supabase.bucket.prepare()
        except SupabaseError as error:
            if error.permanent:
                raise ConfigError([str(error)]) from None
            logger.warning("Conversations stay in the journal for now: %s", error)
    elif settings.platform_disk and not settings.engine_url:
        logger.error(
            "this platform wipes the disk at each restart, and every conversation with it: "
            "set SUPABASE_URL and SUPABASE_KEY to keep them"
        )
