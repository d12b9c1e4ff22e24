"""What a running server counts, in the text format that Prometheus reads.

Counts are plain numbers where they arise; here they get their names. Nothing in them is a
user's: labels are of this program's own vocabulary, or the operator's.
"""

from __future__ import annotations

import hmac
import platform
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from ...core.histogram import Histogram
from ...core.rows import StorageError
from ...extensions import Follower
from ...limits.memory import resident
from ...live.hub import Hub
from ...package import VERSION
from ...runs.chain import Chain
from ..connections import Connections
from ..door import local
from ..transport import Transport
from .health import EngineState, ShippingState
from .peers import Peers

T = TypeVar("T")


class Metrics:
    """Everything that one server counts, since its start. `shipping` where it ships, `engine` where
    it shares one."""

    def __init__(
        self,
        hub: Hub,
        chain: Chain,
        connections: Connections,
        transport: Transport,
        followers: Sequence[Follower],
        shipping: Callable[[], ShippingState] | None,
        engine: EngineState | None,
    ) -> None:
        self._hub = hub
        self._log = hub.log
        self._chain = chain
        self._connections = connections
        self._transport = transport
        self._followers = followers
        self._shipping = shipping
        self._engine = engine

    async def families(self) -> list[Metric]:
        found = [*self._server(), *self._runs(), *self._following()]
        if self._engine:
            found += self._shared(self._engine)
        if self._shipping:
            found += self._shipped(self._shipping())
            if not (self._engine and self._engine.pulse.away_s):
                found += await self._kept_back()
        return found

    def _server(self) -> Iterator[Metric]:
        log, hub, count = self._log, self._hub, self._log.count
        versions = [VERSION, platform.python_version()]
        help = "1, with the versions of the server and of Python."
        yield gauge("build_info", help, [(versions, 1)], "version", "python")
        yield gauge("connections", "Connected sockets.", len(self._connections))
        yield gauge("sessions_live", "Sessions in memory.", hub.sessions)
        yield gauge("runs_active", "Runs in progress.", hub.runs)
        yield gauge("memory_bytes", "Resident memory of the process.", resident())
        yield gauge("journal_writable", "1 while events can be stored.", not log.broken)
        yield gauge("journal_pending", "Appends waiting for their commit.", log.pending)
        yield counter("events_total", "Events committed.", count.events)
        help = "Commits of events, until they are published, in seconds."
        yield histogram("commit_seconds", help, [((), count.commit_s)])
        yield counter("flushes_total", "Commits of events.", count.flushes)
        help = "Time spent in commits, in seconds."
        yield counter("flush_seconds_total", help, count.commit_s.sum)
        yield counter("rest_seconds_total", "Pauses between commits, in seconds.", count.rest_s)
        yield counter("flush_failures_total", "Failed commits.", count.failures)
        answered = self._connections.answered.items()
        help = "Answered commands."
        yield counter("commands_total", help, answered, "command", "result")
        closed = by_one(self._transport.closed)
        yield counter("disconnects_total", "Disconnected sockets.", closed, "reason")

    def _runs(self) -> Iterator[Metric]:
        """Of runs, their models and their tools. Only names that are configured are labels."""
        runs, models = self._hub.count, self._chain.count
        yield counter("runs_total", "Finished runs.", by_one(runs.by_status), "status")
        yield counter("run_seconds_total", "Duration of finished runs, in seconds.", runs.seconds)
        help = "Ended sessions without their summary."
        yield gauge("summaries_waiting", help, runs.summaries_waiting)
        help = "From the start of a run to its first token, in seconds."
        yield histogram("first_token_seconds", help, by_one(models.first_s), "model")
        help = "Calls of models, in seconds."
        yield histogram("model_call_seconds", help, by_one(models.call_s), "model")
        help = "Calls of models that ended."
        yield counter("model_calls_total", help, models.calls.items(), "model", "result")
        help = "Tokens used by models."
        yield counter("tokens_total", help, models.tokens.items(), "model", "kind")
        help = "What models have cost, in US dollars, where their prices are known."
        yield counter("cost_dollars_total", help, by_one(models.dollars), "model")
        broken = [([one["model"]], one["state"] == "open") for one in self._chain.state()]
        help = "1 while a model's circuit breaker is open."
        yield gauge("model_failing", help, broken, "model")
        help = "Tool calls that ran, in seconds."
        yield histogram("tool_call_seconds", help, by_one(runs.call_s), "tool")
        help = "Tool calls that ended."
        yield counter("tool_calls_total", help, runs.calls.items(), "tool", "status")

    def _shipped(self, shipping: ShippingState) -> Iterator[Metric]:
        """Of what goes to Supabase."""
        help = "1 while Supabase does not take what is shipped."
        yield gauge("supabase_failing", help, shipping.status != "ok")
        help = "Age of the oldest row that waits for Supabase, in seconds."
        yield gauge("supabase_backlog_seconds", help, shipping.backlog_age_s)

    async def _kept_back(self) -> list[Metric]:
        """What of the log Supabase has not; nothing where that cannot be read."""
        keeper = self._log.keeper
        try:
            waiting, refused = await keeper.waiting(), await keeper.quarantined()
        except StorageError:
            return []
        help = "Rows that Supabase refused and that wait for a decision."
        return [
            gauge("supabase_backlog_rows", "Rows that wait for Supabase.", waiting),
            gauge("supabase_quarantined_rows", help, refused),
        ]

    def _following(self) -> Iterator[Metric]:
        """Of extensions with `on_event`, each by its name in EXTENSIONS."""
        if not self._followers:
            return
        waiting = [([one.name], one.waiting) for one in self._followers]
        help = "Sessions with events that were not taken yet."
        yield gauge("events_waiting", help, waiting, "follower")
        behind = [([one.name], one.behind_s) for one in self._followers]
        help = "Age of the oldest event that was not taken when it was given, in seconds."
        yield gauge("events_behind_seconds", help, behind, "follower")
        taken = [([one.name], one.taken) for one in self._followers]
        yield counter("events_taken_total", "Events taken.", taken, "follower")
        failures = [([one.name], one.failures) for one in self._followers]
        help = "Times that an event was given and not taken."
        yield counter("event_failures_total", help, failures, "follower")
        dropped = [([one.name], one.dropped) for one in self._followers]
        yield counter("events_dropped_total", "Events given up.", dropped, "follower")

    def _shared(self, engine: EngineState) -> Iterator[Metric]:
        """Of a worker that shares an engine."""
        pulse, count, commits = engine.pulse, engine.count, self._log.count.commit_s
        yield gauge("worker_info", "Which worker this is.", [([engine.name], 1)], "worker")
        yield SummaryMetricFamily(
            "realtime_engine_flush_seconds",
            "Commits to the engine, in seconds.",
            count_value=commits.count,
            sum_value=commits.sum,
        )
        help = "Time without an answer of the engine, in seconds."
        yield counter("engine_away_seconds_total", help, pulse.away_total_s)
        yield gauge("engine_memory_bytes", "Memory used by the engine.", pulse.used)
        yield gauge("sessions_owned", "Sessions that this worker writes.", self._hub.sessions)
        help = "Sessions shown here that another worker writes."
        yield gauge("sessions_mirrored", help, engine.mirrored)
        yield counter("gaps_healed_total", "Gaps in what was told of a session.", count.healed)
        yield counter("takeovers_total", "Sessions taken over.", self._hub.taken_over)
        help = "Sessions that others wrote by the time of a commit."
        yield counter("fenced_total", help, count.fenced)
        help = "Commands for sessions that another worker writes."
        yield counter("commands_forwarded_total", help, count.forwarded)
        help = "Events put back into an engine that had lost some of their session."
        yield counter("resent_events_total", help, count.resent)


Values = float | Iterable[tuple[Sequence[str], float]]
"""One number, or one for each combination of the labels' values."""


def gauge(name: str, help: str, values: Values, *labels: str) -> Metric:
    return filled(GaugeMetricFamily(f"realtime_{name}", help, labels=labels), values)


def counter(name: str, help: str, values: Values, *labels: str) -> Metric:
    return filled(CounterMetricFamily(f"realtime_{name}", help, labels=labels), values)


def filled(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    for labels, value in values if isinstance(values, Iterable) else [((), values)]:
        family.add_metric(labels, value)
    return family


def histogram(
    name: str, help: str, values: Iterable[tuple[Sequence[str], Histogram]], *labels: str
) -> Metric:
    family = HistogramMetricFamily(f"realtime_{name}", help, labels=labels)
    for given, value in values:
        bounds = [*(str(float(bound)) for bound in value.bounds), "+Inf"]
        family.add_metric(given, list(zip(bounds, value.cumulative(), strict=True)), value.sum)
    return family


def by_one(values: Mapping[str, T]) -> list[tuple[Sequence[str], T]]:
    """By the one label that there is."""
    return [([label], value) for label, value in values.items()]


class _Collected(Collector):
    """Families of metrics, as they are written."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def together(texts: Mapping[str, str]) -> list[Metric]:
    """The metrics of several workers, by their names: each has the label `worker`."""
    families: dict[str, Metric] = {}
    for worker, text in texts.items():
        for one in text_string_to_metric_families(text):
            merged = families.setdefault(one.name, Metric(one.name, one.documentation, one.type))
            merged.samples += [
                sample._replace(labels={**sample.labels, "worker": worker})
                for sample in one.samples
            ]
    return [*families.values()]


def meet(app: web.Application, folder: Path, name: str) -> None:
    """Have the metrics be those of all workers that meet in this folder. `name`: of this one."""

    async def counted() -> bytes:
        return generate_latest(_Collected(await app[METRICS].families()))

    peers = Peers(folder, name, counted)

    async def meeting(app: web.Application) -> AsyncIterator[None]:
        await peers.start()
        yield
        peers.close()

    app[PEERS] = peers
    app.cleanup_ctx.append(meeting)


PEERS: web.AppKey[Peers] = web.AppKey("peers", Peers)
METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)


def route(token: str) -> web.RouteDef:
    """The metrics: for whoever has the token; without one, for this machine, as long as no
    proxy stands between."""

    async def handler(request: web.Request) -> web.Response:
        named = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = named.encode(errors="surrogateescape")  # whatever bytes came
        near = local(request.remote or "") and "X-Forwarded-For" not in request.headers
        if not (hmac.compare_digest(given, token.encode()) if token else near):
            raise web.HTTPNotFound
        if peers := request.app.get(PEERS):
            families = together(await peers.metrics())
        else:
            families = await request.app[METRICS].families()
        written, kind = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=written(_Collected(families)), headers={"Content-Type": kind})

    return web.get("/metrics", handler)
