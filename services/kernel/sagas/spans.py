"""The spans of sagas: of driving one, and of the steps in which participants are asked."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Link, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.kernel.rpc import tracing
from services.kernel.sagas.model import Saga
from services.kernel.telemetry.spans import spanning

W3C: Final = TraceContextTextMapPropagator()
NOTHING: Final = nullcontext()


class SagaSpans:
    """Makes no spans. So it is in a process without a collector."""

    def begun(self, _saga: Saga) -> AbstractContextManager[None]:
        """Return the context in which a saga is driven whose request is served here."""
        return NOTHING

    def recovered(self, _saga: Saga) -> AbstractContextManager[None]:
        """Return the context in which a saga is driven that another task has begun."""
        return NOTHING

    def step(self, _name: str) -> AbstractContextManager[None]:
        """Return the context in which participants are asked."""
        return NOTHING


class RecordedSpans(SagaSpans):
    """Makes spans.

    Args:
        tracer: Makes them.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begun(self, saga: Saga) -> AbstractContextManager[None]:
        """Let the span be a part of the request."""
        return spanning(self._tracer, _name(saga), attributes=_attributes(saga))

    def recovered(self, saga: Saga) -> AbstractContextManager[None]:
        """Let the span begin a trace, linked to the request: that has ended long ago."""
        request = get_current_span(W3C.extract({tracing.PARENT: saga.traceparent or ""}))
        links = [Link(each) for each in [request.get_span_context()] if each.is_valid]
        return spanning(
            self._tracer,
            _name(saga),
            attributes=_attributes(saga),
            context=Context(),
            links=links,
        )

    def step(self, name: str) -> AbstractContextManager[None]:
        """Let the span be a part of the saga's."""
        return spanning(self._tracer, name)


NO_SPANS: Final = SagaSpans()


def spans_of(tracer: Tracer | None) -> SagaSpans:
    """Return what makes the spans of sagas; without a tracer none."""
    return NO_SPANS if tracer is None else RecordedSpans(tracer)


def _name(saga: Saga) -> str:
    return f"saga {saga.kind}"


def _attributes(saga: Saga) -> dict[str, str]:
    return {"lockstep.saga.kind": saga.kind, "lockstep.saga.id": str(saga.id)}
