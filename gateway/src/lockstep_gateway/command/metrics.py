"""The metrics of the command, on a port of their own for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lockstep_gateway.http.metering import NO_METER
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)


@contextmanager
def measured(host: str, port: int) -> Iterator[Meter]:
    """Serve `/metrics` until the context ends; port 0 switches it off.

    Raises:
        OSError: The port is taken or not allowed.
    """
    if port == 0:
        yield NO_METER
        return
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    reader = PrometheusMetricReader(registry=registry, scope_info_enabled=False)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        provider.shutdown()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    try:
        yield provider.get_meter("gateway")
    finally:
        server.shutdown()
        server.server_close()
        provider.shutdown()
