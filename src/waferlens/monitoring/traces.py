"""Traces of requests and their stages for a collector on the premises: OpenTelemetry over OTLP and HTTP.

The collector, the share of requests that is traced and the rest are the standard's own environment variables
(``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_SAMPLER``, ``OTEL_SERVICE_NAME``, ...), which its library reads.
Spans leave in batches from a thread of their own: a slow or lost collector costs spans, never an image.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from waferlens import __version__
from waferlens.errors import OptionsError

if TYPE_CHECKING:
    from opentelemetry.trace import Span


class Traces:
    """A span for each request, with one for each of its stages inside."""

    def __init__(self) -> None:
        """Raises OptionsError where the extra that sends spans is not installed."""
        try:
            from opentelemetry import trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise OptionsError(
                "a collector of traces is named, and nothing is installed that sends them",
                expected="pip install 'waferlens[tracing]'",
                found=str(error),
            ) from error
        self._api, self._propagator = trace, TraceContextTextMapPropagator()
        # What the environment says of the service goes before what is said here.
        own = Resource.create({"service.name": "waferlens", "service.version": __version__})
        self._provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("waferlens", __version__)

    @contextmanager
    def request(self, method: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """A request's span. headers: with lower-case names; a caller's ``traceparent`` is gone on with."""
        with self._tracer.start_as_current_span(
            method,
            context=self._propagator.extract(headers),
            kind=self._api.SpanKind.SERVER,
            attributes={"http.request.method": method},
        ) as span:
            yield span

    def answered(self, span: Span, method: str, route: str, status: int, request_id: str) -> None:
        """What is known of a request when it ends. Wafers, people and keys do not go into spans."""
        span.update_name(f"{method} {route}")
        span.set_attributes({
            "http.route": route,
            "http.response.status_code": status,
            "waferlens.request_id": request_id,
        })  # fmt: skip
        if status >= 500:
            span.set_status(self._api.StatusCode.ERROR)

    def stage(self, name: str, seconds: float, began_ns: int | None = None) -> None:
        """A stage of the current request. began_ns: since 1970; None for one that ends now."""
        if not self._api.get_current_span().is_recording():
            return
        began = time.time_ns() - round(1e9 * seconds) if began_ns is None else began_ns
        self._tracer.start_span(name, start_time=began).end(end_time=began + round(1e9 * seconds))

    def close(self) -> None:
        """Send what waits, for a moment at most."""
        self._provider.shutdown()
