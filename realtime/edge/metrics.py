"""What a running server counts, in the text format that Prometheus reads.

Counts are plain numbers where they arise; here they get their names. Nothing in them is a
user's: labels are of this program's own vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from ..limits.memory import resident
from ..live.hub import Hub
from ..log.log import Log
from ..runs.chain import Chain
from .connections import Connections
from .transport import Transport


class Metric(NamedTuple):
    """`values` by label: `{'status="completed"': 3}`, or `{"": 3}` without one."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    values: Mapping[str, float]


def measured(
    log: Log, hub: Hub, chain: Chain, connections: Connections, transport: Transport
) -> Iterator[Metric]:
    """Everything that is counted in this process, since its start."""

    def one(
        name: str, kind: Literal["counter", "gauge"], help: str, value: Mapping[str, float] | float
    ) -> Metric:
        return Metric(name, kind, help, value if isinstance(value, Mapping) else {"": value})

    yield one("connections", "gauge", "Sockets that are connected.", len(connections))
    yield one("sessions_live", "gauge", "Sessions in memory.", hub.sessions)
    yield one("runs_active", "gauge", "Runs that have begun and not ended.", hub.runs)
    yield one("memory_bytes", "gauge", "Resident memory of the process.", resident())
    yield one("journal_writable", "gauge", "1 while events can be stored.", not log.broken)
    yield one("journal_pending", "gauge", "Appends that wait for their commit.", log.pending)
    count = log.count
    yield one("events_total", "counter", "Events committed.", count.events)
    yield one("flushes_total", "counter", "Commits of events.", count.flushes)
    yield one("flush_seconds_total", "counter", "Seconds that commits took.", count.flush_s)
    yield one("rest_seconds_total", "counter", "Seconds rested between commits.", count.rest_s)
    yield one("flush_failures_total", "counter", "Commits that failed.", count.failures)
    yield one("runs_total", "counter", "Runs that ended.", labels("status", hub.count.by_status))
    yield one("run_seconds_total", "counter", "Seconds that they took.", hub.count.seconds)
    yield one("tokens_total", "counter", "Tokens of models.", labels("kind", hub.count.tokens))
    broken = {f'model="{m["model"]}"': float(m["state"] == "open") for m in chain.state()}
    yield one("model_failing", "gauge", "1 while a model's circuit breaker is open.", broken)
    commands = {
        f'command="{name}",result="{result}"': number
        for (name, result), number in connections.answered.items()
    }
    yield one("commands_total", "counter", "Commands that were answered.", commands)
    closed = labels("reason", transport.closed)
    yield one("disconnects_total", "counter", "Sockets that have gone.", closed)


def labels(name: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f'{name}="{value}"': number for value, number in values.items()}


def exposition(metrics: Iterable[Metric]) -> str:
    lines: list[str] = []
    for metric in metrics:
        name = f"realtime_{metric.name}"
        lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
        for label, value in metric.values.items():
            lines.append(f"{name}{{{label}}} {value:.10g}" if label else f"{name} {value:.10g}")
    return "\n".join([*lines, ""])
