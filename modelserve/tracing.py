"""OpenTelemetry, where the standard variables ask for it: one trace of a request through the server and its worker.

    OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318  ->  Tracing        nothing of OTEL_* set  ->  None, and no cost

Each process sends its own spans. Between them goes a W3C ``traceparent``, which a call carries. The library is the
extra ``otel``, and loaded only where it is asked for.
"""

from __future__ import annotations

import importlib.metadata
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from modelserve import logs

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["PROPAGATED", "Span", "Tracing", "is_wanted", "start_tracing"]

logger = logging.getLogger(__name__)

# Any of them asks for traces: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
ASKING = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")

# How long the last spans may take to be sent when a server stops.
CLOSE_S = 3.0

PROPAGATED = "traceparent"


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether the standard variables ask for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return False
    return any(environment.get(name, "").strip() for name in ASKING)


def start_tracing(environment: Mapping[str, str], about: Mapping[str, str]) -> Tracing | None:
    """Return what makes traces in this process, None where nobody asks for them, or they cannot be made.

    Args:
        environment: Its variables.
        about: What else is said of this process.
    """
    if not is_wanted(environment):
        return None
    try:
        return _started(environment, about)
    except ImportError as error:
        logger.warning("no traces, since %s is not installed: pip install 'modelserve[otel]'", error.name or error)
    except Exception as error:  # whatever a library finds wrong with its variables must not stop a server
        logger.warning("no traces, since OpenTelemetry cannot be started: %s", error)
    return None


class Span(Protocol):
    """What a process does for a time, as the library has it."""

    def set_attribute(self, key: str, value: str | int) -> None:
        """Say one thing more of it."""

    def end(self, end_time: int | None = None) -> None:
        """End it now, or at a time in nanoseconds of the epoch."""


class Tracing:
    """Makes the spans of one process.

    Args:
        provider: It sends them.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._provider = provider
        self._tracer = provider.get_tracer("modelserve")
        self._propagator = TraceContextTextMapPropagator()

    def begin(
        self,
        name: str,
        parent: str,
        fields: Mapping[str, str | int],
        *,
        is_server: bool = False,
        start_ns: int | None = None,
    ) -> Span:
        """Return a span that has begun, to be ended by the caller.

        Args:
            name: What it says.
            parent: The ``traceparent`` of the span above it, "" for none.
            fields: Its attributes.
            is_server: Whether it is the answering of a request.
            start_ns: When it began, in nanoseconds of the epoch; now by default.
        """
        kind = self._trace.SpanKind.SERVER if is_server else self._trace.SpanKind.INTERNAL
        span = self._tracer.start_span(name, self._context(parent), kind, dict(fields), start_time=start_ns)
        return cast(Span, span)

    def sampled_here(self, name: str, traceparent: str) -> str:
        """Return the trace context of somebody else, whose word on whether the trace is kept is replaced by our own.

        Who calls may name the trace, but not fill our store. Our sampler is asked as for a trace that begins here.
        """
        parts = traceparent.split("-")
        if len(parts) < 4:
            return ""
        own = self._provider.sampler.should_sample(None, self._provider.id_generator.generate_trace_id(), name)
        return f"00-{parts[1]}-{parts[2]}-{int(own.decision.name == 'RECORD_AND_SAMPLE'):02x}"

    def current(self, span: Span) -> AbstractContextManager[Any]:
        """Return a context in which a span is the current one; it does not end with it."""
        return self._trace.use_span(
            cast(Any, span), end_on_exit=False, record_exception=False, set_status_on_exception=False
        )

    def fail(self, span: Span, why: str) -> None:
        """Say that what a span tells of has failed."""
        cast(Any, span).set_status(self._trace.Status(self._trace.StatusCode.ERROR, why))

    def traceparent(self, span: Span | None = None) -> str:
        """Return what to give to another process, of a span or the current one."""
        carrier = dict[str, str]()
        context = None if span is None else self._trace.set_span_in_context(cast(Any, span))
        self._propagator.inject(carrier, context)
        return carrier.get(PROPAGATED, "")

    def serve_all(self) -> None:
        """Send the spans of others in this process too, unless they have seen to that themselves."""
        if isinstance(self._trace.get_tracer_provider(), self._trace.ProxyTracerProvider):
            self._trace.set_tracer_provider(self._provider)

    def close(self) -> None:
        """Send what is left, but for no longer than ``CLOSE_S``, and then nothing more; blocks."""
        _within(CLOSE_S, self._provider.shutdown)

    def flush(self) -> None:
        """Send what there is, but for no longer than ``CLOSE_S``; blocks."""
        _within(CLOSE_S, self._provider.force_flush)

    def _context(self, traceparent: str) -> Context:
        from opentelemetry.context import Context

        return self._propagator.extract({PROPAGATED: traceparent}, Context())


def _within(seconds: float, work: Callable[[], object]) -> None:
    """Wait for work, but no longer: where spans are taken may not answer."""
    thread = threading.Thread(target=work, name="traces", daemon=True)
    thread.start()
    thread.join(seconds)


def _started(environment: Mapping[str, str], about: Mapping[str, str]) -> Tracing:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({**({} if named else {"service.name": "modelserve"}), **about})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter(environment)))
    return Tracing(provider)


class _AmongTheLog:
    """Standard error as the log writes to it, so that no span waits for its reader."""

    def write(self, text: str) -> None:
        logs.say(text.removesuffix("\n"))

    def flush(self) -> None:
        """Nothing is held back here."""


def _exporter(environment: Mapping[str, str]) -> SpanExporter:
    """Return what OTEL_TRACES_EXPORTER names, by the entry points of the library."""
    name = environment.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(
            out=cast(IO[str], _AmongTheLog()), formatter=lambda span: span.to_json(indent=None) + "\n"
        )
    if name == "otlp":
        variables = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
        protocol = next(filter(None, map(environment.get, variables)), "http/protobuf")
        name = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}.get(protocol, protocol)
    found = importlib.metadata.entry_points(group="opentelemetry_traces_exporter", name=name)
    if not found:
        raise ModuleNotFoundError(name=f"the exporter {name!r} of OpenTelemetry")
    make: Callable[[], SpanExporter] = next(iter(found)).load()
    return make()
