"""Posts to URLs of others, which may be hostile.

The name of a host is resolved once, all its addresses are checked, and the connection goes to an
address that was checked. So a name whose addresses change cannot lead into a private network
(SSRF). Redirects are not followed. All of a post has an end, in time and in bytes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import certifi
import httpcore

from services.auth.domain.public_addresses import AddressRefused, Resolver

POST_SECONDS: Final = 15.0
ANSWER_BYTES_MAX: Final = 64 * 1024
ADDRESSES_TRIED: Final = 3


@dataclass(frozen=True, slots=True)
class PostOutcome:
    """What came of a post.

    Attributes:
        status: The HTTP status of the answer; None without one.
        error: Why the receiver did not take it, in our own words; None when it did.
    """

    status: int | None = None
    error: str | None = None


class _AnswerTooLong(httpcore.NetworkError):
    """The answer has more bytes than are read."""


class _BoundedStream(httpcore.AsyncNetworkStream):
    """A connection from which a bounded number of bytes is read."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._left = ANSWER_BYTES_MAX

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's name
        if self._left <= 0:
            raise _AnswerTooLong
        data = await self._stream.read(min(max_bytes, self._left), timeout)
        self._left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> httpcore.AsyncNetworkStream:
        return _BoundedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to no others."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's name
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError()
        for address in (await self._resolver.addresses(host, port))[:ADDRESSES_TRIED]:
            try:
                stream = await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _BoundedStream(stream)
        raise failure


class WebhookClient:
    """Posts to webhooks, each time over a connection of its own.

    Args:
        resolver: Resolves the names of hosts, and checks their addresses.
        seconds: The time for a whole post.
    """

    def __init__(self, resolver: Resolver, *, seconds: float = POST_SECONDS) -> None:
        self._network = _CheckedNetwork(resolver)
        self._seconds = seconds
        self._tls: ssl.SSLContext | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> PostOutcome:
        """Post, and return what came of it. Nothing but the status of the answer is read."""
        try:
            async with asyncio.timeout(self._seconds):
                return _outcome(await self._status(httpcore.URL(url), body, headers))
        except TimeoutError:
            return PostOutcome(error="timed out")
        except AddressRefused:
            return PostOutcome(error="private address")
        except _AnswerTooLong:
            return PostOutcome(error="answer too long")
        except (httpcore.ConnectError, httpcore.ConnectTimeout, OSError, UnicodeError) as error:
            return PostOutcome(error=_word_for(error))
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            return PostOutcome(error="broken answer")

    async def _status(self, url: httpcore.URL, body: bytes, headers: Mapping[str, str]) -> int:
        if self._tls is None:
            # It takes 40 ms, which nobody pays who has no webhooks, nor the event loop.
            self._tls = await asyncio.to_thread(_trust)
        connection = httpcore.AsyncHTTPConnection(
            origin=url.origin, ssl_context=self._tls, network_backend=self._network
        )
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        async with (
            connection,
            connection.stream("POST", url, headers=sent, content=body) as response,
        ):
            return response.status


def _trust() -> ssl.SSLContext:
    """Trust what the system does, which an operator may add to, and what browsers do."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _outcome(status: int) -> PostOutcome:
    is_taken = 200 <= status <= 299  # noqa: PLR2004 - all that HTTP calls a success
    return PostOutcome(status=status, error=None if is_taken else f"status {status}")


def _word_for(error: Exception) -> str:
    cause = error.__context__
    if isinstance(error, ssl.SSLError) or isinstance(cause, ssl.SSLError):
        return "TLS failed"
    return "connection failed"
