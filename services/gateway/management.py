"""The gateway's management port: its metrics, and whether it is alive and ready."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Final

from lockstep_gateway.http.pages import Health
from lockstep_gateway.http.spans import RequestSpans
from opentelemetry.metrics import Meter

from services.common.tls import Tls, observe_ends, read_certificates
from services.gateway.lockstep import NAME, GatewaySettings, StartError
from services.kernel.ids import process_name
from services.kernel.telemetry.loop_lag import LoopLag
from services.kernel.telemetry.management import ManagementServer
from services.kernel.telemetry.management import managed as port_managed
from services.kernel.telemetry.metrics import Telemetry, TelemetryError

READY_SECONDS: Final = 5.0


class Management:
    """What tells of a gateway.

    Args:
        telemetry: The metrics and the spans of the process.
        server: The management port; None: it is switched off.
    """

    def __init__(self, telemetry: Telemetry, server: ManagementServer | None) -> None:
        self._server = server
        self.meter: Final[Meter] = telemetry.meter
        self.spans: Final = _spans(telemetry)

    def watch(self, health: Health) -> None:
        """Let `/readyz` answer by the health of the gateway from now on."""
        if self._server is None:
            return
        loop = asyncio.get_running_loop()

        def readiness() -> str | None:
            asking = asyncio.run_coroutine_threadsafe(health.trouble(), loop)
            try:
                return asking.result(READY_SECONDS)
            except TimeoutError:
                asking.cancel()
                return "The services did not answer in time."

        self._server.watch(readiness)


@contextlib.asynccontextmanager
async def managed(settings: GatewaySettings, tls: Tls | None = None) -> AsyncIterator[Management]:
    """Open the management port until the context ends. `/readyz` says `starting` at first.

    Args:
        settings: The gateway's settings.
        tls: The credentials with which it calls the services; None: it has none.

    Raises:
        StartError: A setting of OpenTelemetry is wrong.
        OSError: The port is taken or not allowed.
    """
    try:
        telemetry = Telemetry(NAME, instance=process_name(NAME))
    except TelemetryError as error:
        raise StartError(str(error)) from None
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(telemetry.close)
        observe_ends(telemetry.meter, _ends(settings, tls))
        lag = LoopLag(telemetry.meter)
        lag.start()
        stack.push_async_callback(lag.stop)
        server = stack.enter_context(
            port_managed(settings.metrics_host, settings.metrics_port(NAME), telemetry.registry)
        )
        yield Management(telemetry, server)


def _ends(settings: GatewaySettings, tls: Tls | None) -> dict[str, Callable[[], datetime]]:
    ends: dict[str, Callable[[], datetime]] = {}
    if tls is not None:
        ends["rpc"] = lambda: tls.pair.ends
    if (edge := settings.gateway_tls_cert) is not None:
        ends["edge"] = lambda: read_certificates(edge).ends
    return ends


def _spans(telemetry: Telemetry) -> RequestSpans | None:
    tracers = telemetry.tracers
    return None if tracers is None else RequestSpans(tracers.trusting, tracers.deciding)
