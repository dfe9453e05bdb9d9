"""Channels to Lockstep's services."""

import ipaddress
import json
import socket
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from lockstep_clients.credentials import IdentityInterceptor, ServiceIdentity
from lockstep_clients.deadlines import DeadlineInterceptor
from lockstep_clients.errors import ErrorInterceptor
from lockstep_clients.idempotency import IdempotencyInterceptor
from lockstep_clients.methods import methods
from lockstep_clients.streams import StreamInterceptor
from lockstep_clients.tls import Renewable, RenewingChannel

REQUEST_BYTES_MAX = 4 * 1024 * 1024
# A test holds the largest legal answer of every method below gRPC's own default of 4 MiB.
ANSWER_BYTES_MAX = 8 * 1024 * 1024
METADATA_BYTES_MAX = 32 * 1024
IPV6 = 6
NAME_OPTION = "grpc.ssl_target_name_override"

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.max_send_message_length", REQUEST_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    # With gRPC's default pauses a channel still fails a second after its server is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # In spite of its name this is the time limit of one attempt to connect. A busy server
    # may need seconds to accept; a server that is gone must not hold the channel longer.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # A lost connection causes a look-up of the name, but one each 30 s at most by default. Until
    # then a channel whose servers have all moved would fail.
    ("grpc.dns_min_time_between_resolutions_ms", 2000),
    # A channel that shared another's connection would share its failures: the first call
    # to a service that is up would fail because it was down a moment ago.
    ("grpc.use_local_subchannel_pool", 1),
    # Calls between services stay in the services' own network.
    ("grpc.enable_http_proxy", 0),
)

# A frozen server accepts calls and does not answer, so only pings find it. It is left after four
# seconds, before the five that most methods may take, so that a safe call can be repeated.
KEEPALIVE: Sequence[tuple[str, int]] = (
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    # gRPC 1.85 waits this long for the answer to a ping, by default a minute.
    ("grpc.http2.ping_timeout_ms", 2000),
    # Without calls too: a firewall that forgets idle connections would cost the next call.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


def connect(
    target: str,
    *,
    identity: ServiceIdentity | None = None,
    audience: str | None = None,
    tls: grpc.ChannelCredentials | Renewable | None = None,
    interceptors: Sequence[grpc.aio.UnaryUnaryClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Open a channel that spreads calls over every healthy address of a service.

    The channel connects when the first call is made. Calls raise `LockstepError`.

    Args:
        target: `host:port`, several of them separated by commas, or a gRPC target such as
            `dns:///name:port` or `unix:path`. gRPC looks up a single name again whenever a
            connection ends. It has no resolver for a list of names, so these are looked up
            once, now: a list is for addresses that stay.
        identity: The service that calls; needed for methods that only services may call.
        audience: The service that is called; needed only for methods that several services
            have. Otherwise it follows from the method's package.
        tls: The credentials of the transport; without them the channel is plaintext. Those in
            files (`TlsFiles`) may be renewed while calls are made. With an audience, the
            certificate of the service must have the audience as a name, and its address need
            not be there.
        interceptors: Further interceptors, such as one that passes trace ids on. They run
            after the channel's own, next to the wire.

    Raises:
        ValueError: The target is malformed, or a name in a list cannot be looked up.
        OSError, ValueError: The credentials in files cannot be used.
    """
    chain = [
        *_interceptors(identity, audience),
        *interceptors,
        StreamInterceptor(identity, audience),
    ]
    options = channel_options()
    resolved = resolve(target)
    if tls is None:
        return grpc.aio.insecure_channel(resolved, options, interceptors=chain)
    return channel_over_tls(resolved, tls, options, name=audience, interceptors=chain)


def channel_over_tls(
    target: str,
    tls: grpc.ChannelCredentials | Renewable,
    options: Sequence[tuple[str, int | str]],
    *,
    name: str | None,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Open a channel over TLS.

    Args:
        target: A gRPC target.
        tls: The credentials; those in files may be renewed.
        options: The gRPC options.
        name: The name that the certificate must have; None: the host of the target.
        interceptors: The interceptors.
    """
    named = [*options, *([] if name is None else [(NAME_OPTION, name)])]

    def open_channel(credentials: grpc.ChannelCredentials) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(target, credentials, named, interceptors=interceptors)

    if isinstance(tls, grpc.ChannelCredentials):
        return open_channel(tls)
    return RenewingChannel(tls, open_channel)


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


def channel_options(
    safe_methods: Iterable[str] | None = None, *, sends_pings: bool = True
) -> list[tuple[str, int | str]]:
    """Return the gRPC options of a channel, for those that open one themselves.

    Args:
        safe_methods: The paths of the methods that change nothing; by default Lockstep's.
        sends_pings: Whether the channel finds frozen servers. A server must allow it: by
            gRPC's defaults it ends a connection that sends more than a ping each five minutes.
    """
    if safe_methods is None:
        safe_methods = [path for path, method in methods().items() if method.is_safe]
    options: list[tuple[str, int | str]] = [*OPTIONS, *(KEEPALIVE if sends_pings else ())]
    return [*options, ("grpc.service_config", _service_config(safe_methods))]


def _service_config(safe_methods: Iterable[str]) -> str:
    """Return the gRPC service config: load balancing, health checks and repeats.

    gRPC repeats only methods without side effects, and only when it did not reach the
    service (AIP-194). A saga repeats its own steps, so that one layer alone repeats them.
    Deadlines are absent, because gRPC does not send a config's `timeout` to the server.
    """
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
            "methodConfig": [
                {"name": [_name(path) for path in safe_methods], "retryPolicy": retry}
            ],
        }
    )


def _name(path: str) -> dict[str, str]:
    service, _, method = path.removeprefix("/").partition("/")
    return {"service": service, "method": method}


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
    resolved = [address for endpoint in endpoints for address in _look_up(endpoint)]
    versions = {version for version, _ in resolved}
    if len(versions) > 1:
        raise ValueError(f"{target!r} mixes IPv4 and IPv6: use one of them")
    return f"ipv{versions.pop()}:" + ",".join(address for _, address in resolved)


def _look_up(endpoint: str) -> list[tuple[int, str]]:
    """Return the IP version and `ip:port` of each address of one endpoint in a list."""
    host, separator, port = endpoint.rpartition(":")
    if not separator or not port.isdecimal() or "/" in host:
        raise ValueError(f"{endpoint!r} in a list must be host:port")
    try:
        ips = [ipaddress.ip_address(host.strip("[]"))]
    except ValueError:
        ips = _look_up_name(host)
    return [(ip.version, f"[{ip}]:{port}" if ip.version == IPV6 else f"{ip}:{port}") for ip in ips]


def _look_up_name(name: str) -> list[Ip]:
    """Return all addresses of a name, of IPv4 if it has such."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        message = f"{name!r} cannot be looked up now: use dns:///name:port to look it up later"
        raise ValueError(message) from error
    ips = dict.fromkeys(ipaddress.ip_address(str(entry[4][0])) for entry in found)
    version = min(ip.version for ip in ips)
    return [ip for ip in ips if ip.version == version]
