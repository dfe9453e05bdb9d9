"""A listener: granian in this event loop, on a socket of ours."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import stat
from pathlib import Path
from typing import Any, Final

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.embed import Server
from lockstep_gateway.http.config import HeadLimits, ServerConfig
from lockstep_gateway.http.messages import Receive, Scope, Send
from lockstep_gateway.http.streaming import Broken
from lockstep_gateway.http.switch import Switch

BACKLOG: Final = 2048
CONNECTIONS_MAX: Final = 10_000
FILES_LEFT: Final = 128
"""The files that a process may still open when it has all connections."""
BUFFER_BYTES_MIN: Final = 8192
HEAD_MARGIN_BYTES: Final = 16 * 1024
"""The application itself refuses heads that are longer than the limits by so much."""
HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
FILES: Final = Path("/dev/fd")
CLOSE: Final = (b"connection", b"close")

# It would give granian a handler of its own, which writes to the standard output.
_LOGGING: Final = {"incremental": True, "formatters": {}, "handlers": {}, "loggers": {}}


class Edge:
    """Pass requests on, and add what answers say about the connection.

    Args:
        app: The application.
        is_secure: Whether the connection is encrypted.
    """

    def __init__(self, app: Switch, *, is_secure: bool) -> None:
        self.is_leaving = False
        """Whether clients are told to open another connection."""
        self._app = app
        self._added = [HSTS] if is_secure else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        has_connections = scope["http_version"].startswith("1")  # RFC 9113 8.2.2
        is_under_way = False

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
            await self._app(scope, receive, told)
        except BaseException as error:
            # granian would end the answer as if it were whole.
            if is_under_way:
                end_connection(scope.get("client"))
            if not isinstance(error, Broken):
                raise


class Listener(Server):
    """granian on a socket that is open already.

    By itself it would share a port that another process has, could not tell which port it got,
    and takes no host names.

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
        self._sock = sock
        self._accepting = -1
        head_bytes = limits.url_bytes + limits.header_bytes
        certificate = config.certificate
        super().__init__(
            edge,
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto if config.has_http2 else HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
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

    def _init_shared_socket(self) -> None:
        # granian closes the file that it gets.
        self._accepting = os.dup(self._sock.fileno())
        holder: Any = SocketHolder  # Its stub has no constructor.
        self._shd = holder(fd=self._accepting, uds=False, backlog=BACKLOG)

    def close(self) -> None:
        """Accept nothing more, close idle connections, and the others when they become idle."""
        self.stop()  # type: ignore[no-untyped-call]

    def stop_accepting(self) -> None:
        """Take no more connections; those that are being made, and all others, stay.

        Another socket takes the place of the file that granian accepts from. Nobody connects to
        it. A listener that granian closes would drop the TLS handshakes that are under way.
        """
        with socket.create_server(("127.0.0.1", 0)) as silent:
            os.set_blocking(silent.fileno(), False)
            os.dup2(silent.fileno(), self._accepting, inheritable=False)


def end_connection(peer: tuple[str, Any] | None) -> None:
    """End the connection with a client, which then knows that its answer is not whole.

    granian does not give its connections away, so this looks at all files of the process.

    Args:
        peer: The IP of the client, and its port as granian tells it: as a text.
    """
    for each in FILES.iterdir():
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(each.name)).st_mode):
                _end_if_with(peer, os.dup(int(each.name)))


def _end_if_with(peer: tuple[str, Any] | None, file: int) -> None:
    with socket.socket(fileno=file) as sock:
        is_ip = sock.family in (socket.AF_INET, socket.AF_INET6)
        if is_ip and (sock.getpeername()[0], str(sock.getpeername()[1])) == peer:
            sock.shutdown(socket.SHUT_RDWR)


def _connections() -> int:
    """Return the most connections: without a file for one more, granian would try for ever."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(FILES_LEFT, min(CONNECTIONS_MAX, files - FILES_LEFT))
