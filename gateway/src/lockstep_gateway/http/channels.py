"""How channels to upstreams behave: whom they call, what they repeat, when they give up."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterable, Sequence
from typing import Any, Final

from lockstep_gateway.http.config import ANSWER_BYTES, ChannelOptions

RECEIVE_OPTION: Final = "grpc.max_receive_message_length"
RECEIVE_TIMES: Final = 4
"""gRPC says the same of an answer above the limit as of a quota, so its own limit is far away."""
IPV6: Final = 6

OPTIONS: Final[Sequence[tuple[str, int]]] = (
    ("grpc.max_send_message_length", 4 * 1024 * 1024),
    ("grpc.max_metadata_size", 32 * 1024),
    # With gRPC's default pauses a channel still fails a second after its server is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # In spite of its name this is the time limit of one attempt to connect.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # By default a channel whose servers have all moved fails for 30 s.
    ("grpc.dns_min_time_between_resolutions_ms", 2000),
    # A channel that shared another's connection would share its failures.
    ("grpc.use_local_subchannel_pool", 1),
    # The upstreams are in the gateway's own network.
    ("grpc.enable_http_proxy", 0),
)

# A frozen server accepts calls and does not answer, so only pings find it.
KEEPALIVE: Final[Sequence[tuple[str, int]]] = (
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    # gRPC 1.85 waits this long for the answer to a ping, by default a minute.
    ("grpc.http2.ping_timeout_ms", 2000),
    # Without calls too: a firewall that forgets idle connections would cost the next call.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def channel_options(
    safe_methods: Iterable[str] = (),
    *,
    sends_pings: bool = False,
    answer_bytes: int = ANSWER_BYTES,
) -> ChannelOptions:
    """Return the gRPC options of the channels.

    Args:
        safe_methods: The paths of the methods that change nothing.
        sends_pings: Whether the channels find frozen servers. A server must allow it: by
            gRPC's defaults it ends a connection that sends more than a ping each five minutes.
        answer_bytes: The largest answer. The caller checks it; a channel only takes far more.
    """
    return [
        *OPTIONS,
        (RECEIVE_OPTION, RECEIVE_TIMES * answer_bytes),
        *(KEEPALIVE if sends_pings else ()),
        ("grpc.service_config", _service_config(safe_methods)),
    ]


def _service_config(safe_methods: Iterable[str]) -> str:
    """Return the gRPC service config: load balancing, health checks and repeats.

    gRPC repeats only methods without side effects, and only when it did not reach the service.
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
