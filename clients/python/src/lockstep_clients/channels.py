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
    # With gRPC's default pauses a channel still fails a second after its server is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # In spite of its name this is the time limit of one attempt to connect. A busy server
    # may need seconds to accept; a server that is gone must not hold the channel longer.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # A channel that shared another's connection would share its failures: the first call
    # to a service that is up would fail because it was down a moment ago.
    ("grpc.use_local_subchannel_pool", 1),
    # Calls between services stay in the services' own network.
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

    The channel connects when the first call is made. Calls raise `LockstepError`.

    Args:
        target: `host:port`, several of them separated by commas, or a gRPC target such as
            `dns:///name:port` or `unix:path`. gRPC looks up a single name again whenever a
            connection is lost. The names of a list are looked up once, now.
        identity: The service that calls; needed for methods that only services may call.
        audience: The service that is called; needed only for methods that several services
            have. Otherwise it follows from the method's package.
        tls: The credentials of the transport; without them the channel is plaintext.
        interceptors: Further interceptors, such as one that passes trace ids on. They run
            after the channel's own, next to the wire.

    Raises:
        ValueError: The target is malformed, or a name in a list cannot be looked up.
    """
    chain = [*_interceptors(identity, audience), *interceptors]
    options = [*OPTIONS, ("grpc.service_config", service_config())]
    if tls is None:
        return grpc.aio.insecure_channel(resolve(target), options, interceptors=chain)
    return grpc.aio.secure_channel(resolve(target), tls, options, interceptors=chain)


def _interceptors(
    identity: ServiceIdentity | None, audience: str | None
) -> list[grpc.aio.UnaryUnaryClientInterceptor]:
    """List the interceptors, outermost first: ErrorInterceptor must see every failure."""
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
    """Return the gRPC service config: load balancing, health checks and retries.

    gRPC repeats only methods without side effects, and only when it did not reach the
    service (AIP-194). A saga repeats its own steps, so that one layer alone repeats them.
    Deadlines are absent, because gRPC does not send a config's `timeout` to the server.
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
    """Turn a list of endpoints into the one target that gRPC understands.

    Raises:
        ValueError: The target is malformed, or a name in a list cannot be looked up.
    """
    endpoints = [endpoint.strip() for endpoint in target.split(",")]
    if not all(endpoints):
        raise ValueError(f"{target!r} must name host:port, or several of them between commas")
    if len(endpoints) == 1:
        return endpoints[0]
    resolved = [_look_up(endpoint) for endpoint in endpoints]
    versions = {version for version, _ in resolved}
    if len(versions) > 1:
        raise ValueError(f"{target!r} mixes IPv4 and IPv6: use one of them")
    return f"ipv{versions.pop()}:" + ",".join(endpoint for _, endpoint in resolved)


def _look_up(endpoint: str) -> tuple[int, str]:
    """Return the IP version and `ip:port` of one endpoint in a list."""
    host, separator, port = endpoint.rpartition(":")
    if not separator or not port.isdecimal() or "/" in host:
        raise ValueError(f"{endpoint!r} in a list must be host:port")
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
        message = f"{name!r} cannot be looked up now: use dns:///name:port to look it up later"
        raise ValueError(message) from error
    ips = [ipaddress.ip_address(str(entry[4][0])) for entry in found]
    return min(ips, key=lambda ip: ip.version)
