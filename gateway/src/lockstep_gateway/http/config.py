"""The configuration of a gateway, in plain values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ANSWER_BYTES: Final = 8 * 1024 * 1024
"""The largest answer of a service, unless a setting says otherwise."""

STREAMS: Final = 1000
"""The most streams in flight, unless a setting says otherwise."""
STREAM_SECONDS: Final = 3600.0
"""The longest time of a stream, unless a setting says otherwise."""

INDEX: Final = "index.html"
"""The file of a browser client that is served at /."""

ChannelOptions = Sequence[tuple[str, int | str]]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of requests.

    Attributes:
        requests: The most calls in flight.
        body_bytes: The largest body.
        call_seconds: The longest call, and the timeout of a client that sends none.
        body_seconds: The longest time that a body may take to arrive.
        answer_bytes: The largest answer of a service, and the largest message of a stream.
        streams: The most streams in flight. They do not count as calls.
        stream_seconds: The longest stream, and the timeout of a client that sends none.
    """

    requests: int
    body_bytes: int
    call_seconds: float
    body_seconds: float
    answer_bytes: int = ANSWER_BYTES
    streams: int = STREAMS
    stream_seconds: float = STREAM_SECONDS


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """The most bytes of a request's URL and of its headers."""

    url_bytes: int
    header_bytes: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """The files of a certificate with its chain and of its key (PEM)."""

    chain: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The configuration of the HTTP server.

    Attributes:
        listen_on: The host and the port; port 0 is any free one.
        idle_seconds: The longest time that a connection may be idle, and that a head may take.
        stop_delay_seconds: The time in which a stopping gateway is not ready, but still serves.
        stop_grace_seconds: The time that requests in flight get at a stop.
        has_http2: Whether clients may use HTTP/2.
        certificate: The certificate; without one, the server has no TLS.
        another_signal: Waits for the next signal to stop, which ends the delay.
    """

    listen_on: tuple[str, int]
    idle_seconds: float
    stop_delay_seconds: float
    stop_grace_seconds: float
    has_http2: bool
    certificate: Certificate | None
    another_signal: Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class ApiInfo:
    """Facts about the API that its document tells. An empty one is derived, or left out.

    Attributes:
        title: Its name.
        version: Its version.
        description: A text on it.
        contact: The URL, the e-mail address or the name of those who answer questions.
        license: The SPDX identifier of its licence.
        servers: The URLs where it is served; the document's own host without them.
        labels: The labels of `google.api.visibility` that the documents show, too.
        audiences: The labels that get a document of their own.
    """

    title: str = ""
    version: str = ""
    description: str = ""
    contact: str = ""
    license: str = ""
    servers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The configuration of a gateway.

    Attributes:
        error_domain: The domain in the gateway's own errors.
        ignore_unknown: Whether unknown members of a body are dropped instead of refused.
        fold_first_letter: Whether JSON names may begin with either case.
        ignored_parameters: The names of parameters of a query that are ignored.
        has_connect: Whether methods are also served by the Connect protocol.
        extra_headers: The names of further request headers that services get.
        headers_out: The names of further metadata of answers that becomes headers.
        reserved_headers: The prefixes of names that only the gateway itself may send.
        trusted_proxies: The networks whose `x-forwarded-for` is believed.
        origins: The origins whose browsers may call.
        static: The folder of a browser client.
        image_hosts: The hosts whose pictures that client may show, besides its own.
        api_info: The facts that the document of the API tells.
        limits: The limits of requests.
        head_limits: The limits of the heads of requests.
        sends_pings: Whether all upstreams are known to allow pings.
    """

    error_domain: str
    ignore_unknown: bool
    fold_first_letter: bool
    ignored_parameters: Sequence[str]
    has_connect: bool
    extra_headers: Sequence[str]
    headers_out: Sequence[str]
    reserved_headers: Sequence[str]
    trusted_proxies: Sequence[str]
    origins: Sequence[str]
    static: Path | None
    image_hosts: Sequence[str]
    api_info: ApiInfo
    limits: Limits
    head_limits: HeadLimits
    sends_pings: bool
