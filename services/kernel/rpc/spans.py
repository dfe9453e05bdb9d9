"""A span around every call that a service serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.kernel.rpc import tracing
from services.kernel.rpc.call import Call, Handler, Method
from services.kernel.rpc.metering import SERVER_ERRORS, code_of
from services.kernel.telemetry.spans import ERROR_TYPE, Tracers

W3C: Final = TraceContextTextMapPropagator()


class CallSpans:
    """Makes a span of every call, below the caller's span.

    Args:
        tracers: Make the spans.
        is_proven: Says whether a service makes the call. Only then the caller decides whether
            the trace is sampled.
    """

    def __init__(self, tracers: Tracers, is_proven: Callable[[Call], bool]) -> None:
        self._tracers = tracers
        self._is_proven = is_proven

    def layer(self, method: Method, handler: Handler) -> Handler:
        """Make the span, and let the layers inside take up its place in the trace."""
        name = method.path.removeprefix("/")
        attributes = {"rpc.system.name": "grpc", "rpc.method": name}

        async def handle(call: Call) -> bytes:
            tracers = self._tracers
            tracer = tracers.trusting if self._is_proven(call) else tracers.deciding
            with tracer.start_as_current_span(
                name,
                context=W3C.extract(call.metadata),
                kind=SpanKind.SERVER,
                attributes=attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                here = tracing.place_of(span.get_span_context())
                call.metadata |= {tracing.PARENT: here.parent, tracing.STATE: here.state}
                try:
                    answer = await handler(call)
                except BaseException as error:
                    _end(span, code_of(error))
                    raise
                _end(span, "OK")
                return answer

        return handle


def _end(span: Span, code: str) -> None:
    span.set_attribute("rpc.status_code", code)
    if code in SERVER_ERRORS:
        span.set_attribute(ERROR_TYPE, code)
        span.set_status(Status(StatusCode.ERROR))
