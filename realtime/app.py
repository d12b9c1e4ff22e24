"""The composition root: settings in, an aiohttp application out. Only here things are built.

app = create_app(Settings.load(os.environ))      # or mount it: parent.add_subapp("/ai/", app)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from .auth.hook import Authenticate
from .auth.links import Links
from .auth.shares import Shares
from .auth.supabase import SupabaseTokens
from .background.asking import Asker
from .background.retention import keep
from .background.summary import Summariser
from .background.titles import Titler
from .build.info import public_info
from .build.parts import (
    auth_secrets,
    connect_mcp,
    enter_lifespans,
    load_extensions,
    load_tools,
    make_authenticator,
    make_followers,
    make_tracing,
    make_webhook,
    open_journal,
    supabase_of,
)
from .build.providers import default_options, make_chain, patience
from .build.sharing import Shared, share_log
from .config import ConfigError, Settings
from .core.bounds import Bounds
from .core.usage import Price
from .edge.commands import Commands
from .edge.connections import Connections, Roster
from .edge.door import Door
from .edge.http import api, export, files, health, metrics, sessions, static
from .edge.http.brand import Brand
from .edge.http.caller import Callers
from .edge.http.cross_origin import open_to
from .edge.http.guard import guard, unsigned
from .edge.runner import MAX_HEADER
from .edge.transport import Transport
from .extensions import Follower
from .files.store import Files
from .limits.buckets import DAY_S, MINUTE_S, Buckets
from .limits.budget import Amount, Budget, payers
from .limits.memory import Memory
from .live.count import RunCount
from .live.errors import RETRY_MS
from .live.hub import Hub
from .live.people import People
from .live.services import Services
from .log.journal.keeper import JournalKeeper
from .log.keeper import Keeper
from .log.log import Log
from .models import Model, ModelError
from .runs.chain import Chain, Link
from .runs.trace import NOBODY
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
    shared: Shared | None

    async def drain(self) -> None:
        """Refuse new work, tell every device, let answers finish. May be called twice."""
        if self.hub.draining:
            return
        self.transport.tell_all("server", {"type": "draining", "retry_in_ms": RETRY_MS})
        if self.shared:
            self.shared.keeper.rest()
        await self.hub.drain(self.settings.drain_seconds)


SERVER: web.AppKey[Server] = web.AppKey("server", Server)
"""The server of an application that runs."""


@dataclass(frozen=True)
class Given:
    """What takes the place of what the settings name; `extensions` are more of them."""

    model: Model | Chain | None
    tools: Sequence[Callable[..., Any]] | None
    authenticate: Authenticate | None
    extensions: Sequence[object]


def create_app(
    settings: Settings,
    *,
    model: Model | Chain | None = None,
    tools: Sequence[Callable[..., Any]] | None = None,
    authenticate: Authenticate | None = None,
    extensions: Sequence[object] = (),
) -> web.Application:
    """The server as an aiohttp application, with its page, sockets and HTTP routes.

    `model` takes the place of MODEL, `tools`, functions marked with `@tool`, that of TOOLS, and
    `authenticate` that of AUTH. `extensions` are objects with the methods of `realtime.extensions`,
    beside those of EXTENSIONS. Starting it raises `ConfigError` where the configuration turns out
    to be wrong, and `StorageError` while the engine is away.
    """
    given = Given(model, tools, authenticate, extensions)
    transport = Transport(
        origins=settings.allowed_origins,
        transports=settings.transports,
        max_queue_bytes=settings.backlog_kb * 1024,
    )
    door = Door(
        Buckets(settings.connects_per_minute, MINUTE_S, "connects"),
        Memory(settings.memory_limit_mb),
        lambda: app[SERVER].hub.draining,
        lambda: bool(app[SERVER].log.keeper.away),
        spare_loopback=settings.spare_loopback,
    )
    app = web.Application(
        handler_args={"max_field_size": MAX_HEADER},
        middlewares=[guard(settings.trusted_proxies, door.check)],
    )
    app.on_response_prepare.extend([unsigned, open_to(settings.allowed_origins)])
    app[static.SERVED] = static.Served(
        brand=Brand(
            title=settings.page_title,
            logo=settings.page_logo,
            accent=settings.page_accent,
            css=settings.page_css,
            folder=settings.client_dir,
        ),
        sign_in=settings.supabase_url if settings.sign_in else "",
        ancestors=settings.frame_ancestors,
    )
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
    app.cleanup_ctx.append(partial(_running, settings, transport, given))
    app.on_shutdown.append(_stopping)
    return app


async def _running(
    settings: Settings,
    transport: Transport,
    given: Given,
    app: web.Application,
) -> AsyncIterator[None]:
    """Everything between start and end, in the order of dependence; undone backwards."""
    async with AsyncExitStack() as undo:
        tracing = make_tracing(settings)
        if tracing:
            undo.push_async_callback(tracing.stop)
        extensions = load_extensions(settings, given.extensions)
        box = load_tools(settings, given.tools)
        secrets = auth_secrets(settings)
        auth = make_authenticator(settings, secrets, given.authenticate)
        if isinstance(auth, SupabaseTokens):
            undo.push_async_callback(auth.close)
        early = settings.durability == "async"
        shared = await share_log(settings, transport) if settings.engine_url else None
        keeper: Keeper = shared.keeper if shared else JournalKeeper(open_journal(settings))
        log = Log(keeper, early_tokens=early)
        undo.push_async_callback(log.close)
        suspect = await keeper.showing_early(early)
        await enter_lifespans(extensions, app, undo)
        if given.model is None:
            chain = await make_chain(settings)
            undo.push_async_callback(chain.close)
        elif isinstance(given.model, Chain):
            chain = given.model
        else:
            chain = Chain([Link(given.model, "", patience=patience(settings))])
        supabase = await connect_supabase(settings, undo)
        leases = (
            Leases(supabase, await keeper.worker(), shared=shared is not None) if supabase else None
        )
        if settings.mcp_config:
            await connect_mcp(settings, box, undo)
        ended: asyncio.Queue[str] = asyncio.Queue()
        answered: asyncio.Queue[str] = asyncio.Queue()
        bucket = supabase.bucket if supabase else None
        buckets = shared.buckets if shared else Buckets
        uploads = buckets(settings.files_per_day, DAY_S, "files").admit
        kept = Files(keeper, most=settings.file_bytes, bucket=bucket, count=uploads)
        bounds = Bounds(settings.text_kb * 1024, settings.queued_messages)
        webhook = make_webhook(settings)
        if webhook:
            undo.push_async_callback(webhook.close)
        followers = make_followers(extensions, webhook, keeper)
        undo.push_async_callback(stop_all, followers)
        news = await keeper.follow([one.name for one in followers])
        people = People(extensions.limits)
        services = Services(
            log=log,
            chain=chain,
            tools=box,
            instructions=settings.instructions,
            budget=await budget_of_today(
                settings, log, people, shared.budget if shared else Budget
            ),
            count=RunCount(box),
            on_progress=shared.workers.progress if shared else transport.progress,
            files=kept,
            people=people,
            extensions=extensions,
            app=app,
            options=default_options(settings),
            prices=msgspec.convert(settings.prices or {}, dict[str, Price]),
            show_reasoning=settings.show_reasoning,
            client_tools=settings.client_tools,
            continue_automatically=settings.continue_automatically,
            trace=tracing.begin if tracing else lambda *_: NOBODY,
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
        commands = Commands(
            sockets,
            transport,
            hub,
            auth,
            shares,
            kept,
            people,
            extensions,
            buckets(settings.sessions_per_day, DAY_S, "new sessions").admit,
        )
        if shared:
            shared.workers.on_unshared = commands.show_out
            shared.workers.on_renamed = commands.rename
            commands.on_renamed = shared.workers.renamed
        connections = Connections(
            sockets,
            transport,
            commands,
            Buckets(settings.commands_per_minute, MINUTE_S, "commands"),
            user_rate,
        )
        info = public_info(settings, chain, bounds)
        callers = Callers(auth, shares, user_rate)
        app[export.EXPORTS] = export.Exports(hub, callers)
        app[api.API] = api.Api(hub, callers, info=info)
        app[sessions.SESSIONS] = sessions.SessionList(hub, callers, shipped=supabase)
        app[files.FILES] = files.FileApi(hub, callers, kept, Links(*secrets), uploads)
        shipping = (lambda: shipper.state) if shipper else None
        engine = shared.workers if shared else None
        app[health.HEALTH] = health.Health(hub, chain, connections, followers, shipping, engine)
        app[metrics.METRICS] = metrics.Metrics(
            hub, chain, connections, transport, followers, shipping, engine
        )
        app[SERVER] = Server(
            settings, transport, connections, log, hub, chain, supabase, leases, shipper, shared
        )

        await refuse_what_cannot_work(settings, chain, supabase)
        asker = Asker(services)
        summariser, titler = Summariser(hub, asker, ended), Titler(hub, asker, answered)
        if leases:
            await resume_leases(hub, leases)
        await hub.start(suspect=suspect)
        if shared:
            heard = partial(supabase.alive_until, leases.worker) if supabase and leases else None
            await shared.join(hub, undo, heard)
            if leases:
                undo.callback(asyncio.create_task(shared.keeper.forget_idle()).cancel)
        if isinstance(keeper, JournalKeeper):
            keeper.begin()
        for follower in followers:
            follower.start(news[follower.name])
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


async def stop_all(followers: Sequence[Follower]) -> None:
    await asyncio.gather(*(follower.stop() for follower in followers))


async def _stopping(app: web.Application) -> None:
    server = app[SERVER]
    await server.drain()
    await server.connections.close()
    await server.transport.shutdown()


async def budget_of_today(
    settings: Settings, log: Log, people: People, make: Callable[..., Budget]
) -> Budget:
    """The budget, less what the log says was spent of it today."""
    budget = make(
        user=Amount(settings.budget_user_tokens, settings.budget_user_dollars),
        server=Amount(settings.budget_server_tokens, settings.budget_server_dollars),
        user_runs=settings.runs_per_user,
        own=people.limits,
    )
    for asker, owner, tokens, dollars in await log.keeper.spent(budget.day_begins):
        budget.spend(payers(asker, owner), Amount(tokens, dollars))
    return budget


async def connect_supabase(settings: Settings, undo: AsyncExitStack) -> Supabase | None:
    if not settings.supabase_url:
        return None
    try:
        supabase = await supabase_of(settings)
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
