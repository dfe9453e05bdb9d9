"""The services behind the gateway, and the channels to them. Messages are bytes here."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from lockstep_gateway.http.channels import resolve
from lockstep_gateway.http.config import ChannelOptions

HEALTH_SECONDS: Final = 2.0
SERVING: Final = "SERVING"
UNAVAILABLE: Final = "UNAVAILABLE"
CONNECTING: Final = (grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING)
SYSTEM_CA: Final = "system"

Metadata = list[tuple[str, str]]

Proof = Callable[[str], Metadata]
"""Takes the client's IP and returns the metadata that proves the caller to an upstream."""

OpenChannel = Callable[[str, ChannelOptions], grpc.aio.Channel]
"""Opens a channel to a target."""


class UpstreamError(ValueError):
    """Say in one line what is wrong with the target of a service."""


def no_proof(_client_ip: str) -> Metadata:
    """Return nothing: a foreign upstream learns neither the caller nor the client's IP."""
    return []


@dataclass(frozen=True, slots=True)
class Upstream:
    """The target of services.

    Attributes:
        name: The name in reports of readiness.
        target: `host:port`, several of them separated by commas, or a gRPC target.
        proof: The proof of the caller, made for each call.
        tls: Credentials of the transport; plaintext without them.
        opening: Opens the channel in place of that, such as one whose credentials are renewed.
    """

    name: str
    target: str
    proof: Proof = no_proof
    tls: grpc.ChannelCredentials | None = None
    opening: OpenChannel | None = None


def foreign_upstreams(given: Iterable[str], *, ca: str | None = None) -> dict[str, Upstream]:
    """Read targets such as `full.Service=host:port`.

    Args:
        given: One text for each service.
        ca: A file of certificates to trust, or `system`; None for plaintext.

    Raises:
        UpstreamError: A text is malformed.
        OSError: The certificates cannot be read.
    """
    tls = tls_credentials(ca)
    found: dict[str, Upstream] = {}
    for each in given:
        name, separator, target = each.partition("=")
        if not (name and separator and target):
            raise UpstreamError(f"--upstream {each} must be full.Service=host:port")
        found[name] = Upstream(name, target, tls=tls)
    return found


def tls_credentials(ca: str | None) -> grpc.ChannelCredentials | None:
    """Return the credentials of the transport to upstreams.

    Args:
        ca: A file of certificates to trust, or `system`; None for plaintext.

    Raises:
        UpstreamError: The file holds no certificates.
        OSError: It cannot be read.
    """
    if ca is None:
        return None
    return grpc.ssl_channel_credentials(None if ca == SYSTEM_CA else _certificates(Path(ca)))


def _certificates(path: Path) -> bytes:
    """Read certificates. gRPC itself takes anything, and then fails at each connection."""
    content = path.read_bytes()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=content.decode())
    except (ssl.SSLError, ValueError):
        raise UpstreamError(f"{path} must hold certificates as PEM") from None
    return content


class Channels:
    """The channels, one for each upstream.

    They open with `open` or with the first call, because each belongs to the event loop that
    runs at that time.

    Args:
        options: The gRPC options of every channel.
    """

    def __init__(self, options: ChannelOptions = ()) -> None:
        self._options = list(options)
        self._channels: dict[Upstream, grpc.aio.Channel] = {}
        self._targets: dict[Upstream, str] = {}
        self._methods: list[UpstreamMethod] = []

    def method(self, upstream: Upstream, path: str) -> UpstreamMethod:
        """Return a method of an upstream.

        Raises:
            UpstreamError: The upstream's target is malformed.
        """
        if upstream not in self._targets:
            self._targets[upstream] = _resolved(upstream)
        method = UpstreamMethod(lambda: self._channel(upstream), path)
        self._methods.append(method)
        return method

    def open(self) -> None:
        """Open all channels, so that the first call need not wait for one."""
        for upstream in self._targets:
            self._channel(upstream)

    async def health(self) -> dict[str, str]:
        """Return the health of every upstream by name: SERVING or UNAVAILABLE.

        Where several have one name, it is SERVING when all of them are.
        """
        self.open()
        upstreams = list(self._channels)
        states = await asyncio.gather(*(self._health(each) for each in upstreams))
        told = {each.name: SERVING for each in upstreams}
        for each, state in zip(upstreams, states, strict=True):
            if state != SERVING:
                told[each.name] = state
        return told

    async def close(self) -> None:
        """Close all channels."""
        channels, self._channels = list(self._channels.values()), {}
        for method in self._methods:
            method.forget()
        await asyncio.gather(*(each.close() for each in channels))

    def _channel(self, upstream: Upstream) -> grpc.aio.Channel:
        channel = self._channels.get(upstream)
        if channel is None:
            target = self._targets[upstream]
            channel = self._channels[upstream] = _open(target, upstream, self._options)
        return channel

    async def _health(self, upstream: Upstream) -> str:
        """Return SERVING if calls can be made: gRPC itself watches the health of the servers.

        To ask one of the servers would tell about that one alone, and a frozen one is silent.
        """
        channel = self._channels[upstream]
        state = channel.get_state(try_to_connect=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEALTH_SECONDS):
                while state in CONNECTING:
                    await channel.wait_for_state_change(state)
                    state = channel.get_state(try_to_connect=True)
        return SERVING if state is grpc.ChannelConnectivity.READY else UNAVAILABLE


def open_channel(upstream: Upstream, options: ChannelOptions) -> grpc.aio.Channel:
    """Open a channel to an upstream.

    Raises:
        UpstreamError: The target is malformed.
    """
    return _open(_resolved(upstream), upstream, options)


def _open(target: str, upstream: Upstream, options: ChannelOptions) -> grpc.aio.Channel:
    if upstream.opening is not None:
        return upstream.opening(target, options)
    if upstream.tls is None:
        return grpc.aio.insecure_channel(target, options)
    return grpc.aio.secure_channel(target, upstream.tls, options)


def _resolved(upstream: Upstream) -> str:
    try:
        return resolve(upstream.target)
    except ValueError as error:
        raise UpstreamError(f"{upstream.name}: {error}") from None


class UpstreamMethod:
    """A method, called on a channel that opens with the first call."""

    __slots__ = ("_call", "_channel", "_path", "_stream")

    def __init__(self, channel: Callable[[], grpc.aio.Channel], path: str) -> None:
        self._channel = channel
        self._path = path
        self._call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] | None = None
        self._stream: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] | None = None

    def call(
        self, request: bytes, *, timeout: float, metadata: tuple[tuple[str, str], ...]
    ) -> grpc.aio.UnaryUnaryCall[bytes, bytes]:
        """Send a request; the answer can be awaited."""
        if self._call is None:
            self._call = self._channel().unary_unary(self._path)
        return self._call(request, timeout=timeout, metadata=metadata)

    def stream(
        self, request: bytes, *, timeout: float, metadata: tuple[tuple[str, str], ...]
    ) -> grpc.aio.UnaryStreamCall[bytes, bytes]:
        """Send a request; the answers can be read one by one."""
        if self._stream is None:
            self._stream = self._channel().unary_stream(self._path)
        return self._stream(request, timeout=timeout, metadata=metadata)

    def forget(self) -> None:
        """Forget the channel, which is closed."""
        self._call = None
        self._stream = None
