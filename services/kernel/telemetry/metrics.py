"""The metrics of a process, with the names of OpenTelemetry's semantic conventions.

Every part creates its instruments from the `Meter` that it gets. By default that is one that
measures nothing, so a part works without telemetry.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Counter, Meter, NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from services.kernel.telemetry import spans
from services.kernel.telemetry.spans import SpanSource, Tracers

SCOPE: Final = "lockstep"
NO_METER: Final[Meter] = NoOpMeter(SCOPE)
EXPORTER_SETTING: Final = "OTEL_METRICS_EXPORTER"
EXPORTERS: Final = ("prometheus", "otlp", "none")
CLOSE_SECONDS: Final = 2.0  # a collector that does not answer must not hold up a stop
# Of the convention for the durations of calls, in seconds.
DURATION_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)


class TelemetryError(Exception):
    """A setting of OpenTelemetry is wrong."""


class Telemetry:
    """The metrics and the spans of one process.

    A process has one reader at most, because a second one nearly doubles the cost of each
    measurement. `OTEL_METRICS_EXPORTER` chooses it: `prometheus` (the default), `otlp` or
    `none`. OpenTelemetry's own variables say where `otlp` sends the metrics. It makes spans if
    these variables name a collector.

    Args:
        service: The name of the process, for `service.name`.
        instance: The replica of the service, for `service.instance.id`.

    Attributes:
        instance: The replica of the service.
        meter: Creates the instruments.
        registry: The metrics as Prometheus reads them, with those of the process itself.
        tracers: Make spans; None: nobody does.

    Raises:
        TelemetryError: A setting of OpenTelemetry is wrong.
    """

    def __init__(self, service: str, *, instance: str = "") -> None:
        self.instance = instance
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        resource = Resource.create(
            {
                "service.name": service,
                "service.namespace": SCOPE,
                "service.version": version("lockstep"),
                "service.instance.id": instance,
            }
        )
        try:
            reader = _reader(self.registry)
            source = SpanSource(resource, SCOPE) if spans.is_wanted() else None
        except ValueError as error:
            raise TelemetryError(f"a variable of OpenTelemetry is wrong: {error}") from None
        self._closing = [] if source is None else [source.close]
        self.tracers: Tracers | None = None if source is None else source.tracers
        self.meter = NO_METER
        if reader is not None:
            provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
            self._closing.append(provider.shutdown)
            self.meter = provider.get_meter(SCOPE)

    def close(self) -> None:
        """Send what is left, and stop. It takes a moment at most: telemetry may be lost."""
        closing = [threading.Thread(target=each, daemon=True) for each in self._closing]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(CLOSE_SECONDS)


def create_counter(
    meter: Meter,
    name: str,
    *,
    unit: str,
    description: str,
    attributes: Iterable[Mapping[str, str]] = ({},),
) -> Counter:
    """Create a counter that is there from the start, at zero.

    Prometheus takes a series that begins at one for old: `increase` would miss the first event.

    Args:
        meter: Creates the counter.
        name: The name of the counter.
        unit: Its unit.
        description: What it counts.
        attributes: The attributes of each of its series that are known at the start.
    """
    counter = meter.create_counter(name, unit=unit, description=description)
    for each in attributes:
        counter.add(0, each)
    return counter


def _reader(registry: CollectorRegistry) -> MetricReader | None:
    name = os.environ.get(EXPORTER_SETTING) or EXPORTERS[0]
    if name not in EXPORTERS:
        raise TelemetryError(f"{EXPORTER_SETTING} is {name!r}, but must be {_one_of(EXPORTERS)}")
    if name == "prometheus":
        return PrometheusMetricReader(registry=registry, scope_info_enabled=False)
    if name == "otlp":
        # Imported here, because it takes time and memory that few processes need.
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        return PeriodicExportingMetricReader(OTLPMetricExporter())
    return None


def _one_of(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
