"""A listener: granian with our limits, and what it does not do for answers and connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from lockstep_gateway.http.adopting import AdoptingServer
from lockstep_gateway.http.config import HeadLimits, ServerConfig
from lockstep_gateway.http.messages import Application, Receive, Scope, Send
from lockstep_gateway.http.streaming import Broken

BACKLOG: Final = 2048
LAST_SECONDS: Final = 1.0
"""The time in which the last answers reach their clients."""
CONNECTIONS_MAX: Final = 10_000
FILES_LEFT: Final = 128
"""The files that a process may still open when it has all connections."""
BUFFER_BYTES_MIN: Final = 8192
HEAD_MARGIN_BYTES: Final = 16 * 1024
"""The application itself refuses heads that are longer than the limits by so much."""
HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
FILES: Final = Path("/dev/fd")
RESET: Final = struct.pack("ii", 1, 0)
"""Linger for no time: the last close of the socket resets its connection (socket(7))."""
CLOSE: Final = (b"connection", b"close")

# It would give granian a handler of its own, which writes to the standard output.
_LOGGING: Final = {"incremental": True, "formatters": {}, "handlers": {}, "loggers": {}}


class Edge:
    """Pass requests on, and add what answers say about the connection.

    Args:
        app: The application.
        is_secure: Whether the connection is encrypted.
    """

    def __init__(self, app: Application, *, is_secure: bool) -> None:
        self.is_leaving = False
        """Whether clients are told to open another connection."""
        self._app = app
        self._added = [HSTS] if is_secure else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        has_connections = scope["http_version"].startswith("1")  # RFC 9113 8.2.2
        is_under_way = is_asked = is_heard = False

        async def heard() -> Any:
            nonlocal is_asked, is_heard
            is_asked = True
            message = await receive()
            is_heard = is_heard or not message.get("more_body", False)
            return message

        async def told(message: Any) -> None:
            nonlocal is_under_way
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *self._added]
                if self.is_leaving and has_connections:
                    headers = [each for each in headers if each[0] != CLOSE[0]] + [CLOSE]
                message = {**message, "headers": headers}
            await send(message)
            is_under_way = message.get("more_body", message["type"] == "http.response.start")

        try:
            await self._app(scope, heard, told)
        except BaseException as error:
            # granian would end the answer as if it were whole.
            if is_under_way:
                end_connection(scope.get("client"))
            if not isinstance(error, Broken):
                raise
        finally:
            # Who waits for a client to leave also asks, and may hear nothing.
            if has_connections and is_asked and not is_heard and _is_chunked(scope):
                # hyper closes it, but not while it reads a size of a chunk, which may be endless.
                loop = asyncio.get_running_loop()
                loop.call_later(LAST_SECONDS, end_connection, scope.get("client"))


def _is_chunked(scope: Scope) -> bool:
    return any(name == b"transfer-encoding" for name, _ in scope["headers"])


class Listener(AdoptingServer):
    """Accept connections and serve their requests, until it is closed.

    Args:
        edge: The application.
        sock: The socket. It stays open when the listener closes.
        config: The configuration.
        limits: The limits of the heads of requests.
    """

    def __init__(
        self, edge: Edge, sock: socket.socket, config: ServerConfig, limits: HeadLimits
    ) -> None:
        self.edge: Final = edge
        head_bytes = limits.url_bytes + limits.header_bytes
        certificate = config.certificate
        super().__init__(
            edge,
            sock,
            BACKLOG,
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto if config.has_http2 else HTTPModes.http1,
            websockets=False,
            backpressure=_connections(),
            http1_settings=HTTP1Settings(
                header_read_timeout=round(config.idle_seconds * 1000),
                max_buffer_size=max(BUFFER_BYTES_MIN, head_bytes + HEAD_MARGIN_BYTES),
            ),
            http2_settings=HTTP2Settings(
                keep_alive_interval=round(config.idle_seconds * 1000),
                max_headers_size=head_bytes + HEAD_MARGIN_BYTES,
            ),
            log_level=LogLevels.error,
            log_dictconfig=_LOGGING,
            ssl_cert=certificate.chain if certificate else None,
            ssl_key=certificate.key if certificate else None,
            ssl_protocol_min=SSLProtocols.tls12,
        )

    def close(self) -> None:
        """Accept nothing more, close idle connections, and the others when they become idle."""
        self.stop()  # type: ignore[no-untyped-call] # granian leaves it untyped

    def stop_accepting(self) -> None:
        """Take no more connections; those that are being made, and all others, stay.

        Another socket takes the place of the file that granian accepts from. Nobody connects to
        it. A listener that granian closes would drop the TLS handshakes that are under way.
        """
        with socket.create_server(("127.0.0.1", 0)) as silent:
            os.set_blocking(silent.fileno(), False)
            os.dup2(silent.fileno(), self.accepting, inheritable=False)


def end_connection(peer: tuple[str, Any] | None) -> None:
    """Reset the connection with a client, which then knows that its answer is not whole.

    Without a reset, a client that sends faster than it is read learns of the end a minute later:
    it waits until it may send more.

    Args:
        peer: The IP of the client, and its port as granian tells it: as a text.
    """
    _end(lambda sock: (sock.getpeername()[0], str(sock.getpeername()[1])) == peer, is_reset=True)


def end_connections(port: int) -> None:
    """End the connections of all clients to a port of this process."""
    _end(lambda sock: sock.getsockname()[1] == port)


def _end(is_meant: Callable[[socket.socket], bool], *, is_reset: bool = False) -> None:
    """End connections. granian gives them to nobody, so this looks at all files of the process."""
    for each in FILES.iterdir():
        with contextlib.suppress(OSError):  # it ends meanwhile, or is no connection
            if stat.S_ISSOCK(os.fstat(int(each.name)).st_mode):
                with socket.socket(fileno=os.dup(int(each.name))) as sock:
                    is_ip = sock.family in (socket.AF_INET, socket.AF_INET6)
                    if is_ip and is_meant(sock):
                        if is_reset:
                            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        sock.shutdown(socket.SHUT_RDWR)


def _connections() -> int:
    """Return the most connections: without a file for one more, granian would try for ever."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(FILES_LEFT, min(CONNECTIONS_MAX, files - FILES_LEFT))
