"""Channels to Lockstep's services."""

import ipaddress
import json
import socket
from collections.abc import Sequence
from functools import cache
from typing import Any

import grpc
from lockstep_clients.credentials import IdentityInterceptor, ServiceIdentity
from lockstep_clients.deadlines import DeadlineInterceptor
from lockstep_clients.errors import ErrorInterceptor
from lockstep_clients.idempotency import IdempotencyInterceptor
from lockstep_clients.methods import methods

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
METADATA_BYTES_MAX = 32 * 1024

OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    # With gRPC's own pauses a channel still fails a second after its server is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # In spite of its name this is how long one attempt may take, and no pause: a busy
    # server may need a while to answer, and one that is gone must not be waited for.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # A connection shared with another channel would bring along that one's failures: the
    # first call to a service that is there would be told that it is not.
    ("grpc.use_local_subchannel_pool", 1),
    # Calls between services never leave the network that they share.
    ("grpc.enable_http_proxy", 0),
)


def connect(
    target: str,
    *,
    identity: ServiceIdentity | None = None,
    audience: str | None = None,
    tls: grpc.ChannelCredentials | None = None,
    interceptors: Sequence[grpc.aio.UnaryUnaryClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Open a channel that spreads calls over every healthy address of a service.

    It connects when the first call is made. Calls raise `LockstepError`.

    Args:
        target: `host:port`, several of them separated by commas, or a gRPC target such as
            `dns:///name:port` or `unix:path`. One name is looked up again whenever a
            connection is lost; the names of a list are looked up once, now.
        identity: The service that calls; needed for methods that only services may call.
        audience: The service that is called. It follows from the method's package, except
            for SagaService, which several services have.
        tls: Credentials of the transport; plaintext without them.
        interceptors: More of them, closest to the wire, such as one that passes trace ids on.

    Raises:
        ValueError: The target is malformed, or a name in a list can't be looked up.
    """
    chain = [*_interceptors(identity, audience), *interceptors]
    options = [*OPTIONS, ("grpc.service_config", service_config())]
    if tls is None:
        return grpc.aio.insecure_channel(resolve(target), options, interceptors=chain)
    return grpc.aio.secure_channel(resolve(target), tls, options, interceptors=chain)


def _interceptors(
    identity: ServiceIdentity | None, audience: str | None
) -> list[grpc.aio.UnaryUnaryClientInterceptor]:
    """List the interceptors, outermost first: errors must see what the others raise."""
    chain: list[grpc.aio.UnaryUnaryClientInterceptor] = [
        ErrorInterceptor(),
        DeadlineInterceptor(),
        IdempotencyInterceptor(),
    ]
    if identity is not None:
        chain.append(IdentityInterceptor(identity, audience))
    return chain


@cache
def service_config() -> str:
    """Return the gRPC service config: load balancing, health checks, retries.

    Only methods without side effects are retried, and only when the service was not
    reached (AIP-194). The steps of sagas are repeated by the saga: one layer only.
    Deadlines are not in here, because a config's `timeout` is not sent to the server.
    """
    names = [{"service": m.service, "method": m.name} for m in methods().values() if m.is_safe]
    retry: dict[str, Any] = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],  # pick_first ignores health checks
            "healthCheckConfig": {"serviceName": ""},
            "methodConfig": [{"name": names, "retryPolicy": retry}],
        }
    )


def resolve(target: str) -> str:
    """Turn a list of addresses into the one target that gRPC understands.

    Raises:
        ValueError: See `connect`.
    """
    addresses = [address.strip() for address in target.split(",")]
    if not all(addresses):
        raise ValueError(f"an address is missing in {target!r}")
    if len(addresses) == 1:
        return addresses[0]
    resolved = [_look_up(address) for address in addresses]
    versions = {version for version, _ in resolved}
    if len(versions) > 1:
        raise ValueError(f"{target!r} mixes IPv4 and IPv6: use one of them")
    return f"ipv{versions.pop()}:" + ",".join(address for _, address in resolved)


def _look_up(address: str) -> tuple[int, str]:
    """Return the IP version and `ip:port` of one address in a list."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdecimal() or "/" in host:
        raise ValueError(f"{address!r} is not host:port, the only form that can be in a list")
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        ip = _look_up_name(host)
    brackets = isinstance(ip, ipaddress.IPv6Address)
    return ip.version, f"[{ip}]:{port}" if brackets else f"{ip}:{port}"


def _look_up_name(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        message = f"{name!r} can't be looked up; dns:///name:port is looked up when it is needed"
        raise ValueError(message) from error
    addresses = [ipaddress.ip_address(str(entry[4][0])) for entry in found]
    return min(addresses, key=lambda address: address.version)
