"""The HTTP server: granian in this event loop, on a socket of ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

import structlog
from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.embed import Server

from services.gateway.http.app import Gateway
from services.gateway.http.config import HeadLimits, ServerConfig
from services.gateway.http.messages import Receive, Scope, Send

BACKLOG: Final = 2048
CONNECTIONS_MAX: Final = 10_000
FILES_LEFT: Final = 128
"""The files that a process may still open when it has all connections."""
BUFFER_BYTES_MIN: Final = 8192
HEAD_MARGIN_BYTES: Final = 16 * 1024
"""The application itself refuses heads that are longer than the limits by so much."""
LAST_SECONDS: Final = 1.0
"""The time in which the last answers reach their clients."""

# It would give granian a handler of its own, which writes to the standard output.
_LOGGING: Final = {"incremental": True, "formatters": {}, "handlers": {}, "loggers": {}}

log = structlog.get_logger("lockstep.gateway")


def listen(host: str, port: int) -> socket.socket:
    """Open the socket.

    Raises:
        OSError: The port is taken or not allowed; the text is for people.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (UnicodeError, TypeError):  # the name cannot be encoded (IDNA)
        raise OSError(f"cannot listen on {host}:{port}: this cannot be a host name") from None
    except OSError as error:
        is_lookup = error.errno is None or error.errno < 0  # these have errors of their own
        reason = str(error.strerror) if is_lookup else os.strerror(error.errno or 0)
        raise OSError(f"cannot listen on {host}:{port}: {reason}") from None


class Edge:
    """Pass requests on; a server that leaves tells its clients to open another connection."""

    def __init__(self, app: Gateway) -> None:
        self._app = app
        self.is_leaving = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""

        async def told(message: Any) -> None:
            if self.is_leaving and message["type"] == "http.response.start":
                rest = [each for each in message["headers"] if each[0] != b"connection"]
                message = {**message, "headers": [*rest, (b"connection", b"close")]}
            await send(message)

        has_connections = scope["http_version"].startswith("1")  # RFC 9113 8.2.2
        await self._app(scope, receive, told if has_connections else send)


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


class HttpServer:
    """Serve a gateway until it is stopped.

    Args:
        gateway: The application.
        sock: The socket to listen on.
        config: The configuration.
        limits: The limits of the heads of requests.
    """

    def __init__(
        self, gateway: Gateway, sock: socket.socket, config: ServerConfig, limits: HeadLimits
    ) -> None:
        self._gateway = gateway
        self._sock = sock
        self._config = config
        self._limits = limits
        self._listeners: dict[Listener, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin to serve."""
        listener = Listener(Edge(self._gateway), self._sock, self._config, self._limits)
        task = asyncio.create_task(listener.serve(), name="http")
        task.add_done_callback(self._on_end)
        self._listeners[listener] = task

    async def leave(self) -> None:
        """Stop in order.

        The gateway is no longer ready but still serves, for the delay. Then it accepts no more
        connections, and lets the requests in flight end, for the grace.
        """
        self._gateway.health.draining = True
        for listener in self._listeners:
            listener.edge.is_leaving = True
        if self._config.stop_delay_seconds:
            await self._pause(self._config.stop_delay_seconds)
        self._sock.close()
        await self._close(list(self._listeners))

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """Stop the process if granian has stopped by itself: it could serve nobody."""
        if self._gateway.health.draining:
            return
        log.critical("http_server_ended", exc_info=None if task.cancelled() else task.exception())
        signal.raise_signal(signal.SIGTERM)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._config.another_signal()

    async def _close(self, listeners: list[Listener]) -> None:
        """Close listeners and end their requests when the grace is over.

        granian itself waits without end, for clients that do not read their answers, too.
        """
        tasks = [self._listeners[each] for each in listeners]
        for listener in listeners:
            listener.close()
        _, left = await asyncio.wait(tasks, timeout=self._config.stop_grace_seconds)
        if left:
            self._gateway.end_requests()
            _, left = await asyncio.wait(left, timeout=LAST_SECONDS)
        for task in left:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def serving(server: HttpServer) -> AsyncIterator[None]:
    """Serve while the context lasts, then stop in order."""
    server.start()
    try:
        yield
    finally:
        await server.leave()


def _connections() -> int:
    """Return the most connections: without a file for one more, granian would try for ever."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(FILES_LEFT, min(CONNECTIONS_MAX, files - FILES_LEFT))
