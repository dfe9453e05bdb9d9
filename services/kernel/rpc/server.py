"""The gRPC server of a service: it starts, reports its health and stops in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.metrics import Meter, Observation

from services.kernel import signals
from services.kernel.rpc import reflection
from services.kernel.rpc.access import Access
from services.kernel.rpc.admission import CALLS_MAX, Admission
from services.kernel.rpc.call import Method
from services.kernel.rpc.health import WatchedHealth
from services.kernel.rpc.interceptors import (
    ANSWER_BYTES_MAX,
    DEADLINE_LONGEST_SECONDS,
    CallObserver,
    Layer,
    chain,
    decode,
    decode_stream,
    layers,
)
from services.kernel.rpc.metering import CallMeter
from services.kernel.rpc.spans import CallSpans
from services.kernel.telemetry.metrics import NO_METER
from services.kernel.telemetry.spans import Tracers

REQUEST_BYTES_MAX = 4 * 1024 * 1024
HEALTH_POLL_SECONDS = 1.0
LONG_MISS_SECONDS = 8.0
STOP_GRACE_SECONDS = 10.0
# Callers that do not watch the health keep calling. A stop waits no longer for them.
QUIET_SECONDS_MAX = 2.0
# The time in which the callers whose calls a stop has ended get their answers.
ANSWER_SECONDS = 0.25
CONNECTION_SECONDS = 30.0

# Callers may have a whole server's calls on one connection, and health checks beside them.
STREAMS_MAX = CALLS_MAX + 100
# gRPC's own limit counts health checks and reflection, and answers without a reason. It only
# keeps a flood from taking the memory: no single connection reaches it.
RPCS_MAX = 10 * CALLS_MAX

SILENT_DATABASE = "the database does not answer"

OPTIONS: Sequence[tuple[str, int]] = (
    # Otherwise gRPC silently shares a port on which another process listens.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", REQUEST_BYTES_MAX),
    ("grpc.max_send_message_length", ANSWER_BYTES_MAX),
    ("grpc.max_metadata_size", 32 * 1024),
    ("grpc.max_concurrent_streams", STREAMS_MAX),
    # gRPC cancels calls at random when more than these wait to be taken, 1,000 by default.
    ("grpc.server.max_pending_requests", RPCS_MAX),
    ("grpc.server.max_pending_requests_hard_limit", RPCS_MAX),
    # Callers may send a ping each second, with or without calls. By default gRPC ends a
    # connection that sends more than one each five minutes.
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A caller that is gone without a word leaves its streams here. gRPC 1.85 waits for the answer
    # to a ping as long as the last of these says, by default a minute.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    # The longest call of a connection that has reached its age must end in time.
    ("grpc.max_connection_age_grace_ms", round(DEADLINE_LONGEST_SECONDS * 1000) + 10_000),
)

log = structlog.get_logger("lockstep.server")

Probe = Callable[[], Awaitable[None]]


class NotReady(Exception):
    """A probe knows why the service cannot work. The text is for operators."""


class Servicer(Protocol):
    """Holds a coroutine method for each RPC of a service, under the RPC's name.

    The method takes the request and the `Call`, and returns the response. That of a stream is
    an asynchronous generator of responses.
    """


class Server:
    """A gRPC server with health and reflection.

    Args:
        servicers: The servicer of each service.
        access: Admits or refuses each call.
        probe: Raises when the service cannot work. The reported health follows it.
        connection_seconds: The age at which a connection is closed, once its calls have ended.
            Callers then look the service's addresses up again, and find new replicas.
        calls_max: The most calls in flight.
        refusals: Layers that write refusals down.
        meter: Creates the metrics of the calls and of the health.
        tracers: Make a span of each call; None: there are none.
        tls: The credentials of the transport; without them the server speaks plain text.

    Raises:
        TypeError: A method declares no access, or a servicer lacks a method.
    """

    def __init__(
        self,
        servicers: Sequence[tuple[ServiceDescriptor, Servicer]],
        *,
        access: Access,
        probe: Probe,
        connection_seconds: float = CONNECTION_SECONDS,
        calls_max: int = CALLS_MAX,
        refusals: Sequence[Layer] = (),
        meter: Meter = NO_METER,
        tracers: Tracers | None = None,
        tls: grpc.ServerCredentials | None = None,
    ) -> None:
        self._server = grpc.aio.server(
            options=[*OPTIONS, ("grpc.max_connection_age_ms", round(connection_seconds * 1000))],
            maximum_concurrent_rpcs=RPCS_MAX,
        )
        self._tls = tls
        self._admission = Admission(calls_max)
        self._names = [descriptor.full_name for descriptor, _ in servicers]
        self._health = WatchedHealth()
        self._probe = probe
        self._serving = False
        self._reason = SILENT_DATABASE
        self._error = ""
        self._is_stopping = False
        self._poll: asyncio.Task[None] | None = None
        spans = None if tracers is None else CallSpans(tracers, access.is_proven)
        self._calls = CallMeter(meter)
        inside = layers(self._admission, access, CallObserver(self._calls), spans, refusals)
        self._measure(meter)
        self._server.add_generic_rpc_handlers(
            [_handlers(descriptor, servicer, inside) for descriptor, servicer in servicers]
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        described = reflection.handlers([*self._names, "grpc.health.v1.Health"])
        self._server.add_generic_rpc_handlers(described)

    @property
    def trouble(self) -> str | None:
        """Say why the service is not ready; None: it is."""
        if self._is_stopping:
            return "stopping"
        return None if self._serving else self._reason

    async def start(self, listen_on: str) -> int:
        """Listen on `host:port`, and return the port.

        Raises:
            OSError: The server cannot listen there.
        """
        self._serving = await self._is_working()
        await self._report(serving=self._serving)
        if not self._serving:
            self._log_health()
        try:
            if self._tls is None:
                port = self._server.add_insecure_port(listen_on)
            else:
                port = self._server.add_secure_port(listen_on, self._tls)
        except RuntimeError as error:
            raise OSError(
                f"cannot listen on {listen_on}: another process may be using the port"
            ) from error
        await self._server.start()
        self._poll = asyncio.create_task(self._poll_health(), name="health")
        log.info("listening", address=listen_on, port=port)
        return port

    async def stop(
        self, grace_seconds: float = STOP_GRACE_SECONDS, *, delay_seconds: float = 0.0
    ) -> None:
        """Report NOT_SERVING, wait until callers have left, and let the calls in flight end.

        Callers that do not watch the health, such as a balancer that asks now and then, have
        the delay to see it. Another signal ends the delay. gRPC cancels calls that it has
        received and not handed over when the server stops, so the server takes calls until no
        more come. Calls that outlast the grace are answered.
        """
        self._is_stopping = True
        if self._poll is not None:
            self._poll.cancel()
        await self._health.enter_graceful_shutdown()
        if delay_seconds:
            await signals.pause(delay_seconds)
        self._admission.leave()
        ends_at = time.monotonic() + grace_seconds
        await self._admission.quiet(min(grace_seconds, QUIET_SECONDS_MAX))
        left_seconds = max(0.0, ends_at - time.monotonic())
        ending = asyncio.get_running_loop().call_later(left_seconds, self._admission.end)
        await self._server.stop(left_seconds + ANSWER_SECONDS)
        ending.cancel()
        self._calls.record()
        if self._poll is not None:
            await asyncio.wait([self._poll], timeout=STOP_GRACE_SECONDS)

    def _measure(self, meter: Meter) -> None:
        meter.create_observable_gauge(
            "lockstep.serving",
            callbacks=[lambda _: [Observation(self.trouble is None)]],
            description="1 while the service can work, 0 otherwise",
        )
        meter.create_observable_gauge(
            "lockstep.callers",
            callbacks=[lambda _: [Observation(self._health.watchers)]],
            description="connections whose callers watch whether this process is SERVING",
        )

    async def _poll_health(self) -> None:
        misses = 0 if self._serving else 1  # the start has asked once
        while True:
            await asyncio.sleep(HEALTH_POLL_SECONDS)
            before, begin = self.trouble, time.monotonic()
            serving = await self._is_working()
            misses = 0 if serving else misses + 1
            # A statement of a silent server takes 10 s to be given up: that is no short pause.
            is_long = time.monotonic() - begin > LONG_MISS_SECONDS
            if misses == 1 and not is_long and self._reason == SILENT_DATABASE:
                continue  # a busy machine: one late answer must not take the only server away
            if serving is not self._serving:
                await self._report(serving=serving)
                self._serving = serving
            if self.trouble != before:
                self._log_health()

    async def _is_working(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_POLL_SECONDS * 2):
                await self._probe()
        except Exception as error:  # noqa: BLE001 - after any failure the service cannot work
            self._reason = str(error) if isinstance(error, NotReady) else SILENT_DATABASE
            self._error = type(error).__name__
            return False
        return True

    def _log_health(self) -> None:
        """Log a changed answer; the same answer comes each second."""
        if self._serving:
            log.info("health", serving=True)
        else:
            log.warning("not serving", error=self._error, reason=self._reason)

    async def _report(self, *, serving: bool) -> None:
        state = health_pb2.HealthCheckResponse
        status = state.SERVING if serving else state.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, status)


def _handlers(
    descriptor: ServiceDescriptor,
    servicer: Servicer,
    inside: Sequence[Layer],
) -> grpc.GenericRpcHandler:
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
    for each in descriptor.methods:
        method = Method.of(each)
        behaviour = getattr(servicer, method.name, None)
        if behaviour is None:
            raise TypeError(f"{type(servicer).__name__} lacks {method.path}")
        # Without a deserializer, because the layers must see a failure to decode.
        handlers[method.name] = (
            grpc.unary_stream_rpc_method_handler(
                chain(method, decode_stream(method, behaviour), inside)
            )
            if method.streams
            else grpc.unary_unary_rpc_method_handler(
                chain(method, decode(method, behaviour), inside)
            )
        )
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)
