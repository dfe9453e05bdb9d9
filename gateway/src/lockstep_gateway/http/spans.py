"""A span around every request for an RPC (semantic conventions for HTTP)."""

from __future__ import annotations

from typing import Final

from lockstep_gateway.http.fields import Fields
from lockstep_gateway.http.metering import SERVER_ERROR
from lockstep_gateway.http.upstream import Metadata
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

W3C: Final = TraceContextTextMapPropagator()


class RequestSpans:
    """Makes the span of a request, below the client's.

    Args:
        trusting: Makes spans for clients who may decide whether a trace is sampled.
        deciding: Makes the spans for all others.
    """

    def __init__(self, trusting: Tracer, deciding: Tracer) -> None:
        self._trusting = trusting
        self._deciding = deciding

    def begin(self, fields: Fields, *, method: str, route: str, is_trusted: bool) -> Span:
        """Begin the span of a request.

        Args:
            fields: The header fields.
            method: The method.
            route: The template of the path.
            is_trusted: Whether the client may decide whether the trace is sampled.
        """
        tracer = self._trusting if is_trusted else self._deciding
        given = {name: fields.text(name.encode()) for name in W3C.fields}
        return tracer.start_span(
            f"{method} {route}",
            context=W3C.extract({name: value for name, value in given.items() if value}),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": route},
        )


def end(span: Span, status: int, error: str = "") -> None:
    """End a span with the status of the response, and what ended a stream behind its head."""
    span.set_attribute("http.response.status_code", status)
    if error or status >= SERVER_ERROR:
        span.set_attribute("error.type", error or str(status))
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def below(span: Span, metadata: Metadata) -> Metadata:
    """Return the metadata of a call, with the span as its parent."""
    place: dict[str, str] = {}
    W3C.inject(place, set_span_in_context(span))
    return [*((name, value) for name, value in metadata if name not in W3C.fields), *place.items()]
