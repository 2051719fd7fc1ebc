"""Traces of inspections, for OpenTelemetry: who asked, for which part, and what took how long."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
NAME = "inspectline"
Note = Callable[..., None]


class Traces:
    """Spans of one program; without a provider none are made."""

    def __init__(self, provider: Any = None) -> None:
        """provider: of the OpenTelemetry SDK."""
        self._provider = provider
        self._tracer = provider.get_tracer(NAME) if provider else None

    @contextmanager
    def span(
        self, name: str, headers: Mapping[str, str] | None = None, **facts: Any
    ) -> Iterator[Note]:
        """A span for the time of the block; it gives a function that notes more facts.

        headers: of a request, whose `traceparent` the span continues.
        """
        if self._tracer is None:
            yield lambda **more: None
            return
        from opentelemetry.propagate import extract

        context = extract(headers) if headers is not None else None
        with self._tracer.start_as_current_span(name, context, attributes=named(facts)) as span:
            yield lambda **more: span.set_attributes(named(more))

    def close(self) -> None:
        """Send what is not sent yet."""
        if self._provider:
            self._provider.shutdown()


def named(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts under names of ours; those that are not known are left out."""
    return {f"{NAME}.{key}": value for key, value in facts.items() if value is not None}


def open_traces(say: Callable[[str], None]) -> Traces:
    """Traces that are sent where OpenTelemetry's variables say; none where they say nothing.

    say: is told where the packages for that are missing; nothing else depends on them.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return Traces()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        say(f"no traces: {ENDPOINTS[0]} needs `pip install 'inspectline[otel]'`")
        return Traces()
    service = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or NAME})
    provider = TracerProvider(resource=service)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)
