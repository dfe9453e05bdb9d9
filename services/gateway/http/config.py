"""The configuration of a gateway, in plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ANSWER_BYTES: Final = 8 * 1024 * 1024
"""The largest answer of a service, unless a setting says otherwise."""

ChannelOptions = Sequence[tuple[str, int | str]]

Resolve = Callable[[str], str]
"""Turns the target of an upstream into one that gRPC understands. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of requests.

    Attributes:
        requests: The most calls in flight.
        body_bytes: The largest body.
        call_seconds: The longest call, and the timeout of a client that sends none.
        body_seconds: The longest time that a body may take to arrive.
        answer_bytes: The largest answer of a service.
    """

    requests: int
    body_bytes: int
    call_seconds: float
    body_seconds: float
    answer_bytes: int = ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits until a request is read: bytes of the URL and of the headers, and their time."""

    url_bytes: int
    header_bytes: int
    head_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The configuration of a gateway.

    Attributes:
        listen_on: The host and the port; port 0 is any free one.
        stop_grace_seconds: The time that requests in flight get at a stop.
        error_domain: The domain in the gateway's own errors.
        ignore_unknown: Whether unknown members of a body are dropped instead of refused.
        fold_first_letter: Whether JSON names may begin with either case.
        extra_headers: The names of further request headers that services get.
        reserved_headers: The prefixes of names that only the gateway itself may send.
        trusted_proxies: The networks whose `x-forwarded-for` is believed.
        origins: The origins whose browsers may call.
        static: The folder of a browser client.
        limits: The limits of requests.
        connection_limits: The limits before there is a request.
        channel_options: The gRPC options of every channel.
        resolve: The resolver of upstreams' targets.
    """

    listen_on: tuple[str, int]
    stop_grace_seconds: float
    error_domain: str
    ignore_unknown: bool
    fold_first_letter: bool
    extra_headers: Sequence[str]
    reserved_headers: Sequence[str]
    trusted_proxies: Sequence[str]
    origins: Sequence[str]
    static: Path | None
    limits: Limits
    connection_limits: ConnectionLimits
    channel_options: ChannelOptions
    resolve: Resolve
