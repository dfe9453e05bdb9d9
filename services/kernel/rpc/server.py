"""The gRPC server of a service: it starts, reports its health and stops in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from services.kernel.rpc.access import Access
from services.kernel.rpc.call import Method
from services.kernel.rpc.interceptors import chain, decode

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
CONCURRENT_RPCS_MAX = 1000
HEALTH_POLL_SECONDS = 1.0
STOP_GRACE_SECONDS = 10.0

OPTIONS: Sequence[tuple[str, int]] = (
    # Otherwise gRPC silently shares a port on which another process listens.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", 32 * 1024),
)

log = structlog.get_logger("lockstep.server")

Probe = Callable[[], Awaitable[None]]


class Servicer(Protocol):
    """Holds a coroutine method for each RPC of a service, under the RPC's name.

    The method takes the request and the `Call`, and returns the response.
    """


class Server:
    """A gRPC server with health and reflection.

    Args:
        servicers: The servicer of each service.
        access: Admits or refuses each call.
        probe: Raises when the service cannot work. The reported health follows it.

    Raises:
        TypeError: A method declares no access, or a servicer lacks a method.
    """

    def __init__(
        self,
        servicers: Sequence[tuple[ServiceDescriptor, Servicer]],
        *,
        access: Access,
        probe: Probe,
    ) -> None:
        self._server = grpc.aio.server(options=OPTIONS, maximum_concurrent_rpcs=CONCURRENT_RPCS_MAX)
        self._names = [descriptor.full_name for descriptor, _ in servicers]
        self._health = HealthServicer()
        self._probe = probe
        self._serving = False
        self._poll: asyncio.Task[None] | None = None
        self._server.add_generic_rpc_handlers(
            [_handlers(descriptor, servicer, access) for descriptor, servicer in servicers]
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*self._names, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self, listen_on: str) -> int:
        """Listen on `host:port`, and return the port.

        Raises:
            OSError: The server cannot listen there.
        """
        self._serving = await self._is_working()
        await self._report(serving=self._serving)
        try:
            port = self._server.add_insecure_port(listen_on)
        except RuntimeError as error:
            raise OSError(
                f"cannot listen on {listen_on}: another process may be using the port"
            ) from error
        await self._server.start()
        self._poll = asyncio.create_task(self._poll_health(), name="health")
        log.info("listening", address=listen_on, port=port)
        return port

    async def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """Report NOT_SERVING, then let the calls in flight end."""
        if self._poll is not None:
            self._poll.cancel()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_seconds)
        if self._poll is not None:
            await asyncio.wait([self._poll], timeout=STOP_GRACE_SECONDS)

    async def _poll_health(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_POLL_SECONDS)
            serving = await self._is_working()
            if serving is not self._serving:
                log.info("health", serving=serving)
                await self._report(serving=serving)
                self._serving = serving

    async def _is_working(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_POLL_SECONDS * 2):
                await self._probe()
        except Exception as error:  # noqa: BLE001 - after any failure the service cannot work
            log.warning("not serving", error=type(error).__name__)
            return False
        return True

    async def _report(self, *, serving: bool) -> None:
        state = health_pb2.HealthCheckResponse
        status = state.SERVING if serving else state.NOT_SERVING
        for name in ("", *self._names):
            await self._health.set(name, status)


def _handlers(
    descriptor: ServiceDescriptor, servicer: Servicer, access: Access
) -> grpc.GenericRpcHandler:
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
    for each in descriptor.methods:
        method = Method.of(each)
        behaviour = getattr(servicer, method.name, None)
        if behaviour is None:
            raise TypeError(f"{type(servicer).__name__} lacks {method.path}")
        # Without a deserializer, because the layers must see a failure to decode.
        handlers[method.name] = grpc.unary_unary_rpc_method_handler(
            chain(method, decode(method, behaviour), access)
        )
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)
