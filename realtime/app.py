"""The composition root: settings in, an aiohttp application out. Only here things are built.

app = create_app(Settings.load(os.environ))      # or mount it: parent.add_subapp("/ai/", app)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from .auth.shares import Shares
from .auth.supabase import SupabaseTokens
from .background.retention import keep
from .background.summary import Summariser
from .build.parts import (
    auth_secret,
    connect_mcp,
    load_tools,
    make_authenticator,
    open_journal,
    store_label,
)
from .build.providers import default_options, make_chain
from .config import ConfigError, Settings
from .core.rows import SessionRow, StorageError
from .core.session import Bounds
from .core.usage import Price
from .edge import http
from .edge.commands import DRAIN_RETRY_MS, Commands
from .edge.connections import Connections
from .edge.door import Door
from .edge.metrics import exposition, measured
from .edge.runner import MAX_HEADER
from .edge.transport import MAX_FRAME, Transport
from .limits.buckets import DAY_S, MINUTE_S, Buckets
from .limits.budget import Amount, Budget, payers
from .limits.memory import Memory
from .live.driver import Means, RunCount
from .live.hub import Hub
from .log.log import Log
from .models import Model, ModelError
from .runs.chain import Chain, Link

if TYPE_CHECKING:
    from .supabase.client import Lost

logger = logging.getLogger(__name__)
LISTED = 200
USER_SOCKETS = 4  # sockets that one user may keep as busy as can be


class Server:
    """The parts of a running server, for whoever hosts the application."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self.settings = settings
        self.transport = transport
        per_minute = settings.commands_per_minute
        self.user_rate = Buckets(USER_SOCKETS * per_minute, MINUTE_S, "commands")
        self.connections = Connections(
            transport, Buckets(per_minute, MINUTE_S, "commands"), self.user_rate
        )
        self.log: Log
        self.hub: Hub
        self.chain: Chain
        self.supabase: Any = None
        self.leases: Any = None
        self.shipper: Any = None

    async def drain(self) -> None:
        """Refuse new work, tell every device, let answers finish. May be called twice."""
        if self.hub.draining:
            return
        self.transport.tell_all("server", {"type": "draining", "retry_in_ms": DRAIN_RETRY_MS})
        await self.hub.drain(self.settings.drain_seconds)

    async def list_sessions(self, user_id: str) -> list[SessionRow]:
        """A user's past sessions, from the journal and from Supabase, newest first."""
        rows = await self.log.read(self.log.journal.sessions_of, user_id, LISTED)
        if self.supabase:
            from .supabase import SupabaseError

            known = {row.session_id for row in rows}
            try:
                stored = await self.supabase.list_sessions(user_id, LISTED, said=True)
            except SupabaseError as error:
                logger.warning("sessions listed from the journal only: %s", error)
            else:
                rows += [row for row in stored if row.session_id not in known]
        return sorted(rows, key=lambda row: row.start_time, reverse=True)[:LISTED]

    def metrics(self) -> str:
        parts = (self.log, self.hub, self.chain, self.connections, self.transport)
        return exposition(measured(*parts))

    async def ready(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "status": "draining" if self.hub.draining else "ok",
            "model": self.chain.name,
            "models": self.chain.state(),
            "sessions": self.hub.sessions,
            "devices": len(self.connections),
        }
        if self.shipper:
            shipping = self.shipper.state
            state["supabase"] = {
                "status": shipping.status,
                "last_error": shipping.last_error,
                "backlog_age_s": round(shipping.backlog_age_s, 1),
            }
        try:
            if self.shipper:
                state["supabase"]["quarantined"] = await self.log.read(
                    self.log.journal.quarantine.count
                )
            await self.log.read(self.log.journal.row, "")
        except StorageError as error:
            state.update(status="unavailable", store=str(error))
        if state["status"] == "draining":
            state["status"] = "unavailable"
        return state


SERVER: web.AppKey[Server] = web.AppKey("server", Server)


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
    server = Server(settings, transport)
    door = Door(
        Buckets(settings.connects_per_minute, MINUTE_S, "connects"),
        Memory(settings.memory_limit_mb),
        lambda: server.hub.draining,
        spare_loopback=settings.spare_loopback,
    )
    app = web.Application(
        handler_args={"max_field_size": MAX_HEADER},
        middlewares=[
            http.guard(
                settings.allowed_origins,
                settings.trusted_proxies,
                door.check,
                sign_in=settings.supabase_url if settings.sign_in else "",
            )
        ],
    )
    transport.attach(app)
    app[SERVER] = server
    app.cleanup_ctx.append(_running(server, model))
    app.on_shutdown.append(_stopping)

    def late(name: str) -> Callable[[web.Request], Any]:
        """The pages exist once the application runs."""

        async def handler(request: web.Request) -> web.StreamResponse:
            response: web.StreamResponse = await getattr(app[PAGES], name)(request)
            return response

        return handler

    app.router.add_get("/", http.index)
    app.router.add_get("", http.to_slash)
    app.router.add_get("/client/{name:.+}", http.client_file)
    app.router.add_get("/vendor/{name}", http.vendor_file)
    app.router.add_get("/healthz", late("healthz"))
    app.router.add_get("/readyz", late("readyz"))
    app.router.add_get("/metrics", http.metrics(server.metrics, settings.metrics_token))
    app.router.add_get("/api/info", late("info"))
    app.router.add_get("/api/sessions", late("sessions"))
    app.router.add_get("/api/sessions/{session_id}", late("session"))
    app.router.add_get("/api/sessions/{session_id}/outputs/{output_ref}", late("output"))
    app.router.add_route("OPTIONS", "/api/{path:.*}", http.preflight)
    return app


PAGES: web.AppKey[http.Pages] = web.AppKey("pages", http.Pages)


def _running(
    server: Server, given: Model | Chain | None
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Everything between start and end, in the order of dependence; undone backwards."""

    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        settings = server.settings
        async with AsyncExitStack() as undo:
            box = load_tools(settings)
            secret = auth_secret(settings)
            auth = make_authenticator(settings, secret)
            if isinstance(auth, SupabaseTokens):
                undo.push_async_callback(auth.close)
            early = settings.durability == "async"
            journal = open_journal(settings)
            suspect = journal.showing_early(early)
            server.log = Log(journal, early_tokens=early)
            undo.push_async_callback(server.log.close)
            if given is None:
                server.chain = await make_chain(settings)
                undo.push_async_callback(server.chain.close)
            else:
                server.chain = given if isinstance(given, Chain) else Chain([Link(given, "")])
            if settings.supabase_url:
                await connect_supabase(server, undo)
            if settings.mcp_config:
                await connect_mcp(settings, box, undo)
            budget = Budget(
                user=Amount(settings.budget_user_tokens, settings.budget_user_dollars),
                server=Amount(settings.budget_server_tokens, settings.budget_server_dollars),
                user_runs=settings.runs_per_user,
            )
            spent = await server.log.read(journal.spent, budget.day_begins)
            for asker, owner, tokens, dollars in spent:
                budget.spend(payers(asker, owner), Amount(tokens, dollars))
            bounds = Bounds(settings.text_kb * 1024, settings.queued_messages)
            server.hub = Hub(
                Means(
                    log=server.log,
                    chain=server.chain,
                    tools=box,
                    instructions=settings.instructions,
                    budget=budget,
                    count=RunCount(),
                    on_progress=server.transport.progress,
                    options=default_options(settings),
                    prices=msgspec.convert(settings.prices or {}, dict[str, Price]),
                    show_reasoning=settings.show_reasoning,
                ),
                server.transport,
                session_options=settings.session_options,
                grace_s=settings.grace_seconds,
                abandon_s=settings.abandon_seconds,
                bounds=bounds,
                archive=server.leases,
            )
            undo.push_async_callback(server.hub.close)
            shares = Shares(secret)
            Commands(
                server.connections,
                server.transport,
                server.hub,
                auth,
                shares,
                Buckets(settings.sessions_per_day, DAY_S, "new sessions"),
            )
            app[PAGES] = http.Pages(
                server.hub,
                auth,
                server.user_rate,
                info={
                    "model": {"name": server.chain.name, "label": server.chain.label},
                    "models": list(server.chain.choices),
                    "session_options": list(settings.session_options),
                    "store": store_label(settings),
                    "limits": {"text_bytes": bounds.text_bytes, "frame_bytes": MAX_FRAME},
                    **({"sign_in": settings.sign_in} if settings.sign_in else {}),
                },
                list_sessions=server.list_sessions,
                ready=server.ready,
                shares=shares,
            )
            await refuse_what_cannot_work(server)
            summariser = Summariser(server.hub, server.chain)
            if server.leases:
                await resume_leases(server)
            await server.hub.start(suspect=suspect)
            await summariser.start()
            undo.push_async_callback(summariser.stop)
            if server.shipper:
                server.shipper.start()
                undo.callback(start_sweep(server).cancel)
            if settings.retention_days:
                retention = asyncio.create_task(keep(server.hub, settings.retention_days))
                undo.callback(retention.cancel)
            yield

    return lifetime


async def connect_supabase(server: Server, undo: AsyncExitStack) -> None:
    from .supabase import Leases, Shipper, Supabase, SupabaseError

    settings = server.settings
    try:
        supabase = await Supabase.connect(settings.supabase_url, settings.supabase_key)
    except SupabaseError as error:
        raise ConfigError([str(error)]) from None
    undo.push_async_callback(supabase.close)
    leases = Leases(supabase, server.log.journal.worker())

    async def lost(session: Lost) -> None:
        await server.hub.lost(session.session_id, deleted=session.reason == "deleted")

    shipper = Shipper(server.log, supabase, leases, on_lost=lost)
    undo.push_async_callback(shipper.stop)
    server.log.on_commit = shipper.wake
    server.supabase, server.leases, server.shipper = supabase, leases, shipper


async def resume_leases(server: Server) -> None:
    """Hold what the journal has open, and let go of what others write by now."""
    heads = await server.log.read(server.log.journal.open_sessions)
    for lost in await server.leases.resume(heads):
        await server.hub.lost(lost.session_id, deleted=lost.reason == "deleted")


def start_sweep(server: Server) -> asyncio.Task[None]:
    from .supabase import sweep

    return asyncio.create_task(sweep(server.leases, server.supabase, server.hub.finish))


async def _stopping(app: web.Application) -> None:
    server = app[SERVER]
    await server.drain()
    await server.connections.close()
    await server.transport.shutdown()


async def refuse_what_cannot_work(server: Server) -> None:
    """A key that is wrong stays wrong; what merely cannot be reached may come back."""
    for model in server.chain.models:
        try:
            if notice := await model.check():
                logger.warning("%s", notice)
        except ModelError as error:
            if error.kind == "unauthorized":
                raise ConfigError(
                    [f"the key of {model.label} is refused: {error.report}"]
                ) from None
            logger.warning("%s does not answer yet: %s", model.label, error.report)
    if server.supabase:
        from .supabase import SupabaseError

        try:
            for wrong in await server.supabase.check():
                logger.error("%s", wrong)
        except SupabaseError as error:
            if error.permanent:
                raise ConfigError([str(error)]) from None
            logger.warning("Conversations wait in the journal: %s", error)
    elif server.settings.platform_disk:
        logger.error(
            "this platform wipes the disk at each restart, and every conversation with it: "
            "set SUPABASE_URL and SUPABASE_KEY to keep them"
        )
