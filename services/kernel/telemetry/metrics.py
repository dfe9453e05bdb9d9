"""The metrics of a process, with the names of OpenTelemetry's semantic conventions.

Every part creates its instruments from the `Meter` that it gets. By default that is one that
measures nothing, so a part works without telemetry.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Meter, NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

SCOPE: Final = "lockstep"
NO_METER: Final[Meter] = NoOpMeter(SCOPE)
EXPORTER_SETTING: Final = "OTEL_METRICS_EXPORTER"
EXPORTERS: Final = ("prometheus", "otlp", "none")
# Of the convention for the durations of calls, in seconds.
DURATION_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0),
)


class TelemetryError(Exception):
    """A setting of OpenTelemetry is wrong."""


class Telemetry:
    """The metrics of one process.

    A process has one reader at most, because a second one nearly doubles the cost of each
    measurement. `OTEL_METRICS_EXPORTER` chooses it: `prometheus` (the default), `otlp` or
    `none`. OpenTelemetry's own variables say where `otlp` sends the metrics.

    Args:
        service: The name of the process, for `service.name`.
        instance: The replica of the service, for `service.instance.id`.

    Attributes:
        instance: The replica of the service.
        meter: Creates the instruments.
        registry: The metrics as Prometheus reads them, with those of the process itself.

    Raises:
        TelemetryError: A setting of OpenTelemetry is wrong.
    """

    def __init__(self, service: str, *, instance: str = "") -> None:
        self.instance = instance
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        reader = _reader(self.registry)
        self._provider: MeterProvider | None = None
        self.meter = NO_METER
        if reader is not None:
            resource = Resource.create(
                {
                    "service.name": service,
                    "service.namespace": SCOPE,
                    "service.version": version("lockstep"),
                    "service.instance.id": instance,
                }
            )
            self._provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
            self.meter = self._provider.get_meter(SCOPE)

    def close(self) -> None:
        """Send what is left, and stop."""
        if self._provider is not None:
            self._provider.shutdown()


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
