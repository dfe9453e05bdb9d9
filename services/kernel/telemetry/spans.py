"""The spans of a process: where a request spends its time, from service to service.

Without a collector nobody makes spans, and the parts of a process are put together without
them. A span holds names and ids, and no value of a request.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes

COLLECTOR_SETTINGS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER_SETTING: Final = "OTEL_TRACES_EXPORTER"
EXPORTERS: Final = ("otlp", "none")
ERROR_TYPE: Final = "error.type"
TRACE_ID_BITS: Final = 128


@dataclass(frozen=True, slots=True)
class Tracers:
    """What makes the spans of a process.

    Attributes:
        trusting: For callers who may decide whether a trace is sampled.
        deciding: For all others: the sampler decides, whatever the caller asks for.
    """

    trusting: Tracer
    deciding: Tracer


class SpanSource:
    """Makes the spans of a process, and sends those that are sampled to the collector.

    OpenTelemetry's own variables name the collector and the sampler.

    Args:
        resource: What the spans are about.
        scope: The name of the code that makes them.

    Raises:
        ValueError: A variable is wrong.
    """

    def __init__(self, resource: Resource, scope: str) -> None:
        # Imported here, because it takes time and memory that few processes need.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        processor = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call] # of OpenTelemetry
        processor.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._trusting = TracerProvider(
            resource=resource, shutdown_on_exit=False, active_span_processor=processor
        )
        deciding = TracerProvider(
            OwnDecision(self._trusting.sampler),
            resource=resource,
            shutdown_on_exit=False,
            active_span_processor=processor,
        )
        self.tracers: Final = Tracers(self._trusting.get_tracer(scope), deciding.get_tracer(scope))

    def close(self) -> None:
        """Send what is left, and stop."""
        self._trusting.shutdown()


class OwnDecision(Sampler):
    """Decides as if the trace began here, and as if its id were ours.

    A stranger may choose the flags, and also an id that a sampler by ids would take.

    Args:
        sampler: Decides.
    """

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(  # noqa: PLR0917 - OpenTelemetry's
        self,
        parent_context: Context | None,
        trace_id: int,  # noqa: ARG002 - the caller has chosen it
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """See `Sampler`."""
        own_id = random.getrandbits(TRACE_ID_BITS)
        found = self._sampler.should_sample(
            Context(), own_id, name, kind, attributes, links, trace_state
        )
        parent = trace.get_current_span(parent_context).get_span_context()
        return SamplingResult(found.decision, attributes, parent.trace_state)

    def get_description(self) -> str:
        """See `Sampler`."""
        return f"OwnDecision{{{self._sampler.get_description()}}}"


def is_wanted() -> bool:
    """Return whether the process makes spans: a variable names a collector.

    Raises:
        ValueError: A variable is wrong.
    """
    exporter = os.environ.get(EXPORTER_SETTING) or EXPORTERS[0]
    if exporter not in EXPORTERS:
        raise ValueError(f"{EXPORTER_SETTING} is {exporter!r}, but must be otlp or none")
    return exporter != "none" and any(os.environ.get(name) for name in COLLECTOR_SETTINGS)


def own_tracer(tracers: Tracers | None) -> Tracer | None:
    """Return what makes spans of the process's own work, below those of calls."""
    return None if tracers is None else tracers.trusting


@contextlib.contextmanager
def spanning(
    tracer: Tracer,
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes = None,
    context: Context | None = None,
    links: Sequence[Link] = (),
) -> Iterator[None]:
    """Make a span of what happens in the context. It names an error by its type alone."""
    with tracer.start_as_current_span(
        name,
        context=context,
        kind=kind,
        attributes=attributes,
        links=links,
        record_exception=False,  # its text may hold anything
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except Exception as error:
            span.set_attribute(ERROR_TYPE, type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise
