"""The spans of the command, for a collector of OpenTelemetry."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from lockstep_gateway.command.settings import ConfigError
from lockstep_gateway.http.spans import RequestSpans
from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import Tracer, get_current_span

SERVICE: Final = "lockstep-gateway"
MISSING: Final = "tracing needs OpenTelemetry's exporter: pip install 'lockstep-gateway[tracing]'"
TRACE_ID_BITS: Final = 128
CLOSE_SECONDS: Final = 2.0  # a collector that does not answer must not hold up a stop


@contextmanager
def traced(*, is_wanted: bool) -> Iterator[RequestSpans | None]:
    """Make spans until the context ends, and send them to a collector; None: there are none.

    OpenTelemetry's own variables name the collector, the sampler and the service.

    Raises:
        ConfigError: The exporter is not installed, or a variable is wrong.
    """
    if not is_wanted:
        yield None
        return
    try:
        processor = _processor()
        spans = RequestSpans(_tracer(processor), _tracer(processor, Unswayed(_sampler())))
    except ImportError:
        raise ConfigError(MISSING) from None
    except ValueError as error:
        raise ConfigError(f"a variable of OpenTelemetry is wrong: {error}") from None
    try:
        yield spans
    finally:
        closing = threading.Thread(target=processor.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def _processor() -> SynchronousMultiSpanProcessor:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    processor = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call] # of OpenTelemetry
    processor.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return processor


def _tracer(processor: SynchronousMultiSpanProcessor, sampler: Sampler | None = None) -> Tracer:
    own = Resource.create({"service.name": SERVICE}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(sampler, own, shutdown_on_exit=False, active_span_processor=processor)
    return provider.get_tracer(SERVICE)


def _sampler() -> Sampler:
    """Return the sampler that OpenTelemetry's variables name."""
    return TracerProvider(shutdown_on_exit=False).sampler


class Unswayed(Sampler):
    """Let the sampler decide on the trace of a stranger, whose flags and id must not sway it."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self, parent_context: Context | None, trace_id: int, *rest: Any, **named: Any
    ) -> SamplingResult:
        """See `Sampler`."""
        del trace_id
        own_id = random.getrandbits(TRACE_ID_BITS)
        found = self._sampler.should_sample(Context(), own_id, *rest, **named)
        state = get_current_span(parent_context).get_span_context().trace_state
        return SamplingResult(found.decision, found.attributes, state)

    def get_description(self) -> str:
        """See `Sampler`."""
        return f"Unswayed{{{self._sampler.get_description()}}}"
