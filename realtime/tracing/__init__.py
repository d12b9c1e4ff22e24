"""Traces of runs, sent by OpenTelemetry to a collector. They have no word of what was said.

The names are those of the GenAI semantic conventions, and ours begin with `realtime.`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry.context import Context, attach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..core.state import RunState
from ..models import Model, ModelError
from ..package import VERSION
from ..protocol import Done, ToolCall, Usage
from ..runs.trace import Trace
from ..tools import ToolError, bounded, error_value, in_thread

STOP_S = 3.0
"""How long the last spans may take on their way out, whatever their collector does."""

PROVIDERS = {
    "api.anthropic.com": "anthropic",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.openai.com": "openai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
}
"""What the conventions call them."""

_carrier = TraceContextTextMapPropagator()


class Tracing:
    """Where the spans of one server go; OpenTelemetry's own variables say where and how."""

    def __init__(self, worker: str) -> None:
        """`worker`: the server's name among others, where it has one. Nothing is sent yet."""
        ours = {"service.name": "realtime-sessions", "service.version": VERSION}
        if worker:
            ours["service.instance.id"] = worker
        resource = Resource.create(ours).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("realtime-sessions", VERSION)

    def begin(self, session_id: str, run: RunState, parent: str | None) -> Trace:
        """A run begins, or goes on after a crash. `parent`: the `traceparent` of whoever asked."""
        return RunTrace(self._tracer, session_id, run, parent)

    async def stop(self) -> None:
        """Send what is left, for `STOP_S` at most."""
        await bounded(in_thread(self._provider.shutdown), STOP_S, name="traces")


class RunTrace(Trace):
    """A span for the run, and one below it for each call of a model or a tool, each wait for a
    person or a device, and the commit of its end."""

    def __init__(self, tracer: Tracer, session_id: str, run: RunState, parent: str | None) -> None:
        self._tracer = tracer
        self._session_id = session_id
        self._over = False
        self._call: Span | None = None
        self._called_at = 0.0
        about = _carrier.extract({"traceparent": parent}) if parent else Context()
        self._run = tracer.start_span(
            "invoke_agent",
            about,
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.conversation.id": session_id,
                "user.id": run.asker,
                "realtime.run.id": run.run_id,
                "realtime.run.queued_ms": (run.started_at or 0) - run.requested_at,
            },
        )
        self._context = set_span_in_context(self._run, about)
        self.parent = self._headers(self._run).get("traceparent")

    def enter(self) -> None:
        attach(self._context)

    @contextmanager
    def model(self, model: Model) -> Iterator[Mapping[str, str]]:
        host, port = place_of(model)
        about: dict[str, str | int | bool] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider(model, host),
            "gen_ai.request.model": model.name,
            "gen_ai.request.stream": True,
            "gen_ai.conversation.id": self._session_id,
        }
        if host:
            about |= {"server.address": host, "server.port": port}
        kind = SpanKind.CLIENT if host else SpanKind.INTERNAL
        with self._span(f"chat {model.name}", about, kind) as call:
            self._call, self._called_at = call, time.monotonic()
            try:
                yield self._headers(call)
            finally:
                self._call = None

    def spoke(self) -> None:
        if self._call:
            passed = time.monotonic() - self._called_at
            self._call.set_attribute("gen_ai.response.time_to_first_chunk", passed)

    def used(self, usage: Usage) -> None:
        if self._call:
            self._call.set_attributes(used(usage))

    def finished(self, reason: str) -> None:
        if self._call:
            self._call.set_attribute("gen_ai.response.finish_reasons", [reason])

    @contextmanager
    def waits(self, call: ToolCall) -> Iterator[None]:
        with self._span(call.status, _tool(call)):
            yield

    @contextmanager
    def tool(self, call: ToolCall) -> Iterator[None]:
        about = {"gen_ai.operation.name": "execute_tool", **_tool(call)}
        with self._span(f"execute_tool {call.name}", about) as span:
            attach(set_span_in_context(span, self._context))
            yield

    def ended(self, done: Done, commit: asyncio.Future[None]) -> None:
        self._over = True
        self._run.set_attributes(
            {
                "gen_ai.request.model": done.model,
                "gen_ai.response.finish_reasons": [done.finish_reason],
                "realtime.run.status": done.status,
                **used(done.usage),
            }
        )
        if done.error:
            _failed(self._run, done.error.code)
        span = self._tracer.start_span("commit", self._context)

        def committed(commit: asyncio.Future[None]) -> None:
            if commit.cancelled() or commit.exception():
                _failed(span, "storage_unavailable")
            span.end()
            self._run.end()

        commit.add_done_callback(committed)

    def left(self) -> None:
        if not self._over:
            self._over = True
            self._run.set_attribute("realtime.run.status", "left")
            self._run.end()

    @contextmanager
    def _span(
        self,
        name: str,
        about: Mapping[str, str | int | bool],
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Iterator[Span]:
        """One below the run. It fails with what is raised, unless that only stops it."""
        span = self._tracer.start_span(name, self._context, kind, about)
        try:
            yield span
        except (asyncio.CancelledError, GeneratorExit):
            span.set_attribute("realtime.cancelled", True)
            raise
        except ModelError as error:
            _failed(span, error.kind)
            raise
        except ToolError as error:
            _failed(span, error_value(error).code)
            raise
        except BaseException as error:
            _failed(span, type(error).__name__)
            raise
        finally:
            span.end()

    def _headers(self, span: Span) -> dict[str, str]:
        headers: dict[str, str] = {}
        _carrier.inject(headers, set_span_in_context(span, self._context))
        return headers


def _failed(span: Span, code: str) -> None:
    """Its code alone: the words of an error may quote what was said."""
    span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR, code))


def _tool(call: ToolCall) -> dict[str, str]:
    return {"gen_ai.tool.name": call.name, "gen_ai.tool.call.id": call.tool_call_id}


def used(usage: Usage) -> dict[str, int | float]:
    """Usage as attributes; what is not known is left out."""
    found = {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens,
        "realtime.cost_dollars": usage.cost,
    }
    return {name: value for name, value in found.items() if value is not None}


def place_of(model: Model) -> tuple[str, int]:
    """The host and the port of its server; no host where it says of none that can be read."""
    try:
        place = urlsplit(f"//{getattr(model, 'server', '')}")
        return place.hostname or "", place.port or 443
    except ValueError:
        return "", 0


def provider(model: Model, host: str) -> str:
    """Who answers: by the conventions' name, else by its host; in this process by its own name."""
    if host.endswith(".azure.com"):
        return "azure.ai.openai"
    return PROVIDERS.get(host, host or model.name)
