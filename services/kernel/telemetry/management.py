"""The management port: `/metrics`, `/livez` and `/readyz` over plain HTTP.

It answers from a thread of its own. So `/livez` can tell that the event loop stands still, and
reading the metrics delays no call.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app

LOOP_SECONDS: Final = 5.0
CLIENT_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.1  # how often it looks whether it must stop
METHODS: Final = ("GET",)
TEXT: Final = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))

Readiness = Callable[[], str | None]
"""Says why the process is not ready; None: it is ready."""


class ManagementServer:
    """Serves the management port while the context lasts.

    Args:
        host: The address to listen on.
        port: The port to listen on; 0 is any free one.
        registry: The metrics.
        loop: The event loop of the process.

    Attributes:
        port: The port that it listens on.

    Raises:
        OSError: The port is taken or not allowed.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._loop = loop
        self._metrics = make_wsgi_app(registry)
        self._readiness: Readiness = lambda: "starting"
        try:
            self._server = make_server(
                host,
                port,
                self._answer,
                server_class=_ManagementThreads,
                handler_class=_ManagementRequest,
            )
        except OSError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(POLL_SECONDS,),
            name="management",
            daemon=True,
        )

    def start(self) -> None:
        """Begin to answer; `/readyz` says `starting`."""
        self._thread.start()

    def watch(self, readiness: Readiness) -> None:
        """Let `/readyz` answer by this from now on."""
        self._readiness = readiness

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, respond: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in METHODS:
            respond("405 Method Not Allowed", [*TEXT, ("Allow", ", ".join(METHODS))])
            return [b"This port only tells.\n"]
        match environ["PATH_INFO"]:
            case "/metrics":
                answer: Iterable[bytes] = self._metrics(environ, respond)
                return answer
            case "/livez":
                return _told(respond, None if self._turns() else "the event loop stands still")
            case "/readyz":
                return _told(respond, self._readiness() if self._turns() else "not live")
            case _:
                respond("404 Not Found", [*TEXT])
                return [b"The paths are /metrics, /livez and /readyz.\n"]

    def _turns(self) -> bool:
        """Say whether the event loop runs a callback in time."""
        turned = threading.Event()
        try:
            self._loop.call_soon_threadsafe(turned.set)
        except RuntimeError:  # it is closed
            return False
        return turned.wait(LOOP_SECONDS)


@contextlib.contextmanager
def managed(host: str, port: int, registry: CollectorRegistry) -> Iterator[ManagementServer | None]:
    """Open the management port until the context ends; None: port 0 switches it off.

    Raises:
        OSError: The port is taken or not allowed.
    """
    if port == 0:
        yield None
        return
    server = ManagementServer(host, port, registry, asyncio.get_running_loop())
    server.start()
    try:
        yield server
    finally:
        server.stop()


class _ManagementThreads(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True


class _ManagementRequest(WSGIRequestHandler):
    timeout = CLIENT_SECONDS  # a client that sends nothing must not keep its thread for ever

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name is theirs
        """Log nothing: probes come every few seconds."""


def _told(respond: StartResponse, trouble: str | None) -> list[bytes]:
    respond("200 OK" if trouble is None else "503 Service Unavailable", [*TEXT])
    return [f"{trouble or 'ok'}\n".encode()]
