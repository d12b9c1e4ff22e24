"""A collector of traces: it takes what OpenTelemetry's own exporter sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

PATH = "/v1/traces"


class Seen(NamedTuple):
    """A span as it arrived; ids in hexadecimal, times in ns. `error`: what its status says; None
    where it did not fail."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    error: str | None
    attributes: dict[str, Any]

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-01"


class Collector:
    """`url` is what OTEL_EXPORTER_OTLP_ENDPOINT is set to. `raw`: all bodies. `hangs`: it answers
    nobody."""

    def __init__(self) -> None:
        self.url = ""
        self.raw = b""
        self.spans: list[Seen] = []
        self.resources: list[dict[str, Any]] = []
        self.hangs = False
        self.asked = asyncio.Event()
        self._changed = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.set()
        while self.hangs:
            await asyncio.sleep(0.1)
        self.raw += body
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            self.resources.append(values(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans += map(seen, scope.spans)
        async with self._changed:
            self._changed.notify_all()
        return web.Response(content_type="application/x-protobuf")

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]

    async def runs(self, count: int = 1) -> list[Seen]:
        """The spans of runs in the order of their starts, once there are so many. What is below a
        run arrives before it."""
        return sorted(await self.until("invoke_agent", count), key=lambda span: span.start)

    async def until(self, name: str, count: int = 1) -> list[Seen]:
        """The spans of a name, once there are so many."""
        async with asyncio.timeout(20), self._changed:
            while len(found := self.named(name)) < count:
                await self._changed.wait()
        return found

    def below(self, parent: Seen) -> list[Seen]:
        """In the order of their starts."""
        found = [span for span in self.spans if span.parent_id == parent.span_id]
        assert {span.trace_id for span in found} <= {parent.trace_id}
        return sorted(found, key=lambda span: span.start)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application(client_max_size=2**26)
    app.router.add_post(PATH, collector.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


def seen(span: trace_pb2.Span) -> Seen:
    failed = span.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    return Seen(
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        error=span.status.message if failed else None,
        attributes=values(span.attributes),
    )


def values(pairs: Any) -> dict[str, Any]:
    return {pair.key: value(pair.value) for pair in pairs if isinstance(pair, KeyValue)}


def value(given: AnyValue) -> Any:
    kind = given.WhichOneof("value")
    if kind == "array_value":
        return [value(item) for item in given.array_value.values]
    return getattr(given, kind or "string_value")
