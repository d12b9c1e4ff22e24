"""What a running server counts, in the text format that Prometheus reads.

Counts are plain numbers where they arise; here they get their names. Nothing in them is a
user's: labels are of this program's own vocabulary, or the operator's.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from ...extensions import Follower
from ...limits.memory import resident
from ...live.hub import Hub
from ...log.log import Log
from ...runs.chain import Chain
from ..connections import Connections
from ..door import local
from ..transport import Transport
from .health import EngineState
from .peers import Peers


class Measured(Collector):
    """Everything that is counted in this process, since its start."""

    def __init__(
        self,
        log: Log,
        hub: Hub,
        chain: Chain,
        connections: Connections,
        transport: Transport,
        followers: Sequence[Follower],
        engine: EngineState | None,
    ) -> None:
        self._engine = engine
        self._log = log
        self._hub = hub
        self._chain = chain
        self._connections = connections
        self._transport = transport
        self._followers = followers

    def collect(self) -> Iterator[Metric]:
        log, hub, count = self._log, self._hub, self._log.count
        yield gauge("connections", "Connected sockets.", len(self._connections))
        yield gauge("sessions_live", "Sessions in memory.", hub.sessions)
        yield gauge("runs_active", "Runs in progress.", hub.runs)
        yield gauge("memory_bytes", "Resident memory of the process.", resident())
        yield gauge("journal_writable", "1 while events can be stored.", not log.broken)
        yield gauge("journal_pending", "Appends waiting for their commit.", log.pending)
        yield counter("events_total", "Events committed.", count.events)
        yield counter("flushes_total", "Commits of events.", count.flushes)
        yield counter("flush_seconds_total", "Time spent in commits, in seconds.", count.flush_s)
        yield counter("rest_seconds_total", "Pauses between commits, in seconds.", count.rest_s)
        yield counter("flush_failures_total", "Failed commits.", count.failures)
        runs = by_one(hub.count.by_status)
        yield counter("runs_total", "Finished runs.", runs, "status")
        yield counter(
            "run_seconds_total", "Duration of finished runs, in seconds.", hub.count.seconds
        )
        tokens = by_one(hub.count.tokens)
        yield counter("tokens_total", "Tokens used by models.", tokens, "kind")
        help = "Ended sessions without their summary."
        yield gauge("summaries_waiting", help, hub.count.summaries_waiting)
        broken = [([one["model"]], one["state"] == "open") for one in self._chain.state()]
        help = "1 while a model's circuit breaker is open."
        yield gauge("model_failing", help, broken, "model")
        answered = self._connections.answered.items()
        help = "Answered commands."
        yield counter("commands_total", help, answered, "command", "result")
        closed = by_one(self._transport.closed)
        yield counter("disconnects_total", "Disconnected sockets.", closed, "reason")
        if self._followers:
            yield from self._following()
        if self._engine:
            yield from self._shared(self._engine)

    def _following(self) -> Iterator[Metric]:
        """Of extensions with `on_event`, each by its name in EXTENSIONS."""
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
        pulse, count, flushes = engine.pulse, engine.count, self._log.count
        yield gauge("worker_info", "Which worker this is.", [([engine.name], 1)], "worker")
        yield SummaryMetricFamily(
            "realtime_engine_flush_seconds",
            "Commits to the engine, in seconds.",
            count_value=flushes.flushes,
            sum_value=flushes.flush_s,
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


def by_one(values: Mapping[str, float]) -> Values:
    """By the one label that there is."""
    return [([label], value) for label, value in values.items()]


def registry(
    log: Log,
    hub: Hub,
    chain: Chain,
    connections: Connections,
    transport: Transport,
    followers: Sequence[Follower],
    engine: EngineState | None,
) -> CollectorRegistry:
    """What one server counts, apart from every other one in this process."""
    made = CollectorRegistry()
    made.register(Measured(log, hub, chain, connections, transport, followers, engine))
    return made


class _Collected:
    """Families of metrics, as `generate_latest` takes them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def together(texts: Mapping[str, str]) -> bytes:
    """The metrics of several workers, by their names: each has the label `worker`."""
    families: dict[str, Metric] = {}
    for worker, text in texts.items():
        for one in text_string_to_metric_families(text):
            merged = families.setdefault(one.name, Metric(one.name, one.documentation, one.type))
            merged.samples += [
                sample._replace(labels={**sample.labels, "worker": worker})
                for sample in one.samples
            ]
    return generate_latest(_Collected(families.values()))


def meet(app: web.Application, folder: Path, name: str) -> None:
    """Have the metrics be those of all workers that meet in this folder. `name`: of this one."""
    peers = Peers(folder, name, lambda: generate_latest(app[REGISTRY]))

    async def meeting(app: web.Application) -> AsyncIterator[None]:
        await peers.start()
        yield
        peers.close()

    app[PEERS] = peers
    app.cleanup_ctx.append(meeting)


PEERS: web.AppKey[Peers] = web.AppKey("peers", Peers)
REGISTRY: web.AppKey[CollectorRegistry] = web.AppKey("registry", CollectorRegistry)


def route(token: str) -> web.RouteDef:
    """The metrics: for whoever has the token; without one, for this machine, as long as no
    proxy stands between."""

    async def handler(request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        near = local(request.remote or "") and "X-Forwarded-For" not in request.headers
        if not (hmac.compare_digest(given.encode(), token.encode()) if token else near):
            raise web.HTTPNotFound
        if peers := request.app.get(PEERS):
            text = together(await peers.metrics())
        else:
            text = generate_latest(request.app[REGISTRY])
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return web.get("/metrics", handler)
