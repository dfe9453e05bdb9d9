"""The services behind the gateway: a channel each, calls with bytes in and bytes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import grpc
from grpc_health.v1 import health_pb2
from lockstep_clients.channels import OPTIONS, resolve

from services.gateway.http.headers import CLIENT_ADDRESS, SERVICE_IDENTITY

HEALTH_METHOD: Final = "/grpc.health.v1.Health/Check"
HEALTH_SECONDS: Final = 2.0
SERVING: Final = "SERVING"
SERVICE_CONFIG: Final = '{"loadBalancingConfig": [{"round_robin": {}}]}'

Identity = Callable[[], str]
"""Returns a token that proves to the upstream that the gateway calls."""

Metadata = list[tuple[str, str]]
Invoke = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where services are.

    Attributes:
        name: What it is called in reports of readiness.
        target: `host:port`, several of them separated by commas, or a gRPC target.
        identity: Signs for the gateway. Only an upstream that gets it is told the client's
            address; foreign ones get nothing that is ours.
        tls: Credentials of the transport; plaintext without them.
    """

    name: str
    target: str
    identity: Identity | None = None
    tls: grpc.ChannelCredentials | None = None

    def proof(self, client_address: str) -> Metadata:
        """Return the metadata that says who calls, and for whom."""
        if self.identity is None:
            return []
        return [(SERVICE_IDENTITY, self.identity()), (CLIENT_ADDRESS, client_address)]


class Channels:
    """The open channels, one for each upstream."""

    def __init__(self) -> None:
        """Begin with none; they are opened inside the event loop that uses them."""
        self._channels: dict[Upstream, grpc.aio.Channel] = {}

    def invoker(self, upstream: Upstream, path: str) -> Invoke:
        """Return what calls a method; requests and responses are bytes."""
        return self._channel(upstream).unary_unary(path)

    async def health(self) -> dict[str, str]:
        """Ask every upstream whether it is SERVING; return what each says, by its name."""
        upstreams = list(self._channels)
        states = await asyncio.gather(*(self._health(each) for each in upstreams))
        return {each.name: state for each, state in zip(upstreams, states, strict=True)}

    async def close(self) -> None:
        """Close them all."""
        channels, self._channels = list(self._channels.values()), {}
        await asyncio.gather(*(each.close() for each in channels))

    def _channel(self, upstream: Upstream) -> grpc.aio.Channel:
        channel = self._channels.get(upstream)
        if channel is None:
            channel = self._channels[upstream] = _open(upstream)
        return channel

    async def _health(self, upstream: Upstream) -> str:
        check: Invoke = self._channels[upstream].unary_unary(HEALTH_METHOD)
        request = health_pb2.HealthCheckRequest().SerializeToString()
        try:
            data = await check(request, timeout=HEALTH_SECONDS)
        except grpc.aio.AioRpcError as error:
            # A service without a health service answers at least.
            is_up = error.code() is grpc.StatusCode.UNIMPLEMENTED
            return SERVING if is_up else error.code().name
        status = health_pb2.HealthCheckResponse.FromString(data).status
        return health_pb2.HealthCheckResponse.ServingStatus.Name(status)


def _open(upstream: Upstream) -> grpc.aio.Channel:
    options: Sequence[tuple[str, int | str]] = [
        *OPTIONS,
        ("grpc.service_config", SERVICE_CONFIG),
    ]
    target = resolve(upstream.target)
    if upstream.tls is None:
        return grpc.aio.insecure_channel(target, options)
    return grpc.aio.secure_channel(target, upstream.tls, options)
