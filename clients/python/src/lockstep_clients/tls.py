"""TLS of channels whose certificates are renewed while calls are made."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

LOOK_SECONDS = 1.0

State = tuple[tuple[int, int, int], ...]
"""What tells whether files have changed; empty while one of them is missing."""

log = logging.getLogger("lockstep.clients")


class Renewable(Protocol):
    """Credentials in files that somebody renews."""

    def state(self) -> State:
        """Return the state of the files."""

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises:
            OSError, ValueError: They cannot be used; the text is one line.
        """


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of a client's credentials, as PEM.

    Attributes:
        ca: The certificates of the authorities that are trusted.
        cert: The client's own certificate with its chain; only for mutual TLS.
        key: The key of `cert`.
    """

    ca: Path
    cert: Path | None = None
    key: Path | None = None

    def state(self) -> State:
        """See `Renewable`."""
        return state_of(*(path for path in (self.ca, self.cert, self.key) if path is not None))

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """See `Renewable`."""
        try:
            return self._read()
        except (TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise ValueError(f"the files of TLS cannot be used: {error}") from error

    def _read(self) -> grpc.ChannelCredentials:
        ca = self.ca.read_bytes()
        x509.load_pem_x509_certificates(ca)
        if self.cert is None or self.key is None:
            return grpc.ssl_channel_credentials(ca)
        cert, key = self.cert.read_bytes(), self.key.read_bytes()
        if not fit(cert, key):
            raise ValueError(f"{self.key} is not the key of {self.cert}")
        return grpc.ssl_channel_credentials(ca, key, cert)


def state_of(*paths: Path) -> State:
    """Return the state of files."""
    try:
        found = [path.stat() for path in paths]
    except OSError:
        return ()
    return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)


def fit(cert: bytes, key: bytes) -> bool:
    """Return whether a key is that of a certificate, both as PEM.

    Raises:
        ValueError: One of them is not what it must be.
    """
    public = serialization.load_pem_private_key(key, password=None).public_key()
    own, *_ = x509.load_pem_x509_certificates(cert)
    return own.public_key() == public


class _Generation:
    """A channel with the credentials of one moment. It closes after its last call."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.calls = 0
        self.closing: asyncio.Task[None] | None = None
        self._is_retired = False

    def begin(self, call: grpc.aio.Call) -> None:
        self.calls += 1
        call.add_done_callback(self._end)

    def retire(self) -> None:
        self._is_retired = True
        self._close_if_idle()

    def _end(self, _call: object) -> None:
        self.calls -= 1
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._is_retired and self.calls == 0 and self.closing is None:
            self.closing = asyncio.get_running_loop().create_task(self.channel.close())


class RenewingChannel(grpc.aio.Channel):
    """Makes each call on a channel that has the present credentials.

    A channel of gRPC keeps the credentials with which it was opened. So a new one is opened
    when the files change, and the old one closes when its calls have ended. Files that cannot
    be used are logged, and the credentials before them stay in use.

    Args:
        tls: The credentials.
        open_channel: Opens a channel.

    Raises:
        OSError, ValueError: The credentials cannot be used.
    """

    def __init__(
        self,
        tls: Renewable,
        open_channel: Callable[[grpc.ChannelCredentials], grpc.aio.Channel],
    ) -> None:
        self._tls = tls
        self._open = open_channel
        self._state = tls.state()
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._now = _Generation(open_channel(tls.channel_credentials()))
        self._before: list[_Generation] = []

    @property
    def present(self) -> _Generation:
        """The channel with the present credentials."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look()
        return self._now

    def _look(self) -> None:
        state = self._tls.state()
        if state in ((), self._state):
            return
        self._state = state
        try:
            credentials = self._tls.channel_credentials()
        except (OSError, ValueError) as error:
            log.warning("certificates refused: %s", error)
            return
        self._before = [each for each in self._before if each.closing is None]
        self._before.append(self._now)
        self._now.retire()
        self._now = _Generation(self._open(credentials))

    async def __aenter__(self) -> Self:
        """Return the channel."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the channel."""
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close all channels."""
        await asyncio.gather(*(each.channel.close(grace) for each in (self._now, *self._before)))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - gRPC's
        """Return the state of the present channel."""
        return self.present.channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the present channel has another state."""
        of = self.present
        try:
            await of.channel.wait_for_state_change(last_observed_state)
        except grpc.aio.UsageError:
            if of is self._now:
                raise

    async def channel_ready(self) -> None:
        """Wait until the present channel is connected."""
        await self.present.channel.channel_ready()

    def unary_unary(self, method: str, *given: Any, **more: Any) -> Any:
        """Return a method; each of its calls is made on the present channel."""
        return _Method(self, lambda channel: channel.unary_unary(method, *given, **more))

    def unary_stream(self, method: str, *given: Any, **more: Any) -> Any:
        """Return a method; each of its calls is made on the present channel."""
        return _Method(self, lambda channel: channel.unary_stream(method, *given, **more))

    def stream_unary(self, method: str, *given: Any, **more: Any) -> Any:
        """Return a method on the present channel; it ends with that channel."""
        return self.present.channel.stream_unary(method, *given, **more)

    def stream_stream(self, method: str, *given: Any, **more: Any) -> Any:
        """Return a method on the present channel; it ends with that channel."""
        return self.present.channel.stream_stream(method, *given, **more)


class _Method:
    """A method that is called on the present channel."""

    __slots__ = ("_channel", "_made", "_make", "_of")

    def __init__(
        self, channel: RenewingChannel, make: Callable[[grpc.aio.Channel], Callable[..., Any]]
    ) -> None:
        self._channel = channel
        self._make = make
        self._of: _Generation | None = None
        self._made: Callable[..., Any] | None = None

    def __call__(self, request: Any, **options: Any) -> Any:
        present = self._channel.present
        if self._of is not present or self._made is None:
            self._of, self._made = present, self._make(present.channel)
        call = self._made(request, **options)
        present.begin(call)
        return call
