"""The HTTP server: it listens, renews its certificate, and stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Coroutine
from typing import Final

import structlog
from lockstep_gateway.http import certificates
from lockstep_gateway.http.config import Certificate, HeadLimits, ServerConfig
from lockstep_gateway.http.listener import BACKLOG, LAST_SECONDS, Edge, Listener, end_connections
from lockstep_gateway.http.switch import Switch

LOOK_SECONDS: Final = 10.0
"""The pause between two looks at the files of the certificate."""
SETTLE_SECONDS: Final = 1.0
"""A listener that cannot use its certificate ends within this time."""
HANDSHAKE_SECONDS: Final = 11.0
"""A second more than granian gives to a TLS handshake."""

log = structlog.get_logger("gateway")


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


class HttpServer:
    """Serve a gateway until it is stopped.

    Args:
        gateway: The application, which may change.
        sock: The socket to listen on.
        config: The configuration.
        limits: The limits of the heads of requests.
    """

    def __init__(
        self,
        gateway: Switch,
        sock: socket.socket,
        config: ServerConfig,
        limits: HeadLimits,
    ) -> None:
        self._gateway = gateway
        self._sock = sock
        self._config = config
        self._limits = limits
        self._on_hangup = [] if gateway.ask_anew is None else [gateway.ask_anew]
        self._listeners: dict[Listener, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self.has_ended = False
        """Whether nothing listens any more, although nobody has stopped it."""

    def start(self) -> None:
        """Begin to serve. SIGHUP asks anew for what is served, and for a look at the certificate.

        Raises:
            OSError: The certificate cannot be used.
        """
        if self._config.certificate is not None:
            certificates.check(self._config.certificate)
            look = asyncio.Event()
            self._on_hangup.append(look.set)
            self._spawn(self._renew(self._config.certificate, look))
        if self._on_hangup:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up)
        self._listen()

    async def leave(self) -> None:
        """Stop in order.

        The gateway is no longer ready but still serves, for the delay. Then it accepts no more
        connections, and lets the requests in flight end, for the grace.
        """
        self._gateway.health.draining = True
        if self._on_hangup:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        for task in self._background:
            task.cancel()
        for listener in self._listeners:
            listener.edge.is_leaving = True
        if self._config.stop_delay_seconds:
            await self._pause(self._config.stop_delay_seconds)
        port = self._sock.getsockname()[1]
        self._sock.close()
        await self._close(list(self._listeners), port)

    def _hang_up(self) -> None:
        for each in self._on_hangup:
            each()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _listen(self) -> asyncio.Task[None]:
        edge = Edge(self._gateway, is_secure=self._config.certificate is not None)
        listener = Listener(edge, self._sock, self._config, self._limits)
        task = asyncio.create_task(listener.serve(), name="http")
        self._listeners[listener] = task
        task.add_done_callback(lambda task: self._on_end(listener, task))
        return task

    def _on_end(self, listener: Listener, task: asyncio.Task[None]) -> None:
        """Stop the process if its last listener has ended by itself: it could serve nobody."""
        del self._listeners[listener]
        if self._listeners or self._gateway.health.draining:
            return
        self.has_ended = True
        log.critical("http server ended", exc_info=None if task.cancelled() else task.exception())
        signal.raise_signal(signal.SIGTERM)

    async def _renew(self, certificate: Certificate, look: asyncio.Event) -> None:
        """Serve a certificate that has changed."""
        served = certificates.state_of(certificate)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await look.wait()
            look.clear()
            state = certificates.state_of(certificate)
            if state in ((), served):
                continue
            served = state
            try:
                certificates.check(certificate)
            except OSError as error:
                log.error("certificate refused", reason=str(error))  # noqa: TRY400 - no bug
            else:
                await self._replace()

    async def _replace(self) -> None:
        """Let a new listener take over; the old ones serve their connections to the end."""
        old = list(self._listeners)
        await asyncio.wait([new := self._listen()], timeout=SETTLE_SECONDS)
        if new.done():
            log.error("certificate refused", reason="the server cannot read it")
            return
        for listener in old:
            listener.stop_accepting()
            listener.edge.is_leaving = True
        log.info("certificate renewed")
        self._spawn(self._retire(old))

    async def _retire(self, listeners: list[Listener]) -> None:
        # By then each connection has done its handshake, and has met an answer or its idle time.
        await asyncio.sleep(max(HANDSHAKE_SECONDS, self._config.idle_seconds + 1))
        for listener in listeners:
            listener.close()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._config.another_signal()

    async def _close(self, listeners: list[Listener], port: int) -> None:
        """Close listeners and end their requests when the grace is over.

        granian itself waits without end, for clients that do not read their answers, too. A task
        of it that is cancelled meets an error of granian when its last connection ends.
        """
        for listener in listeners:
            listener.close()
        tasks = {self._listeners[each] for each in listeners}
        left = await _left(tasks, self._config.stop_grace_seconds)
        if left:
            self._gateway.end_requests()
            left = await _left(left, LAST_SECONDS)
        if left:
            end_connections(port)
            await _left(left, LAST_SECONDS)


async def _left(tasks: set[asyncio.Task[None]], seconds: float) -> set[asyncio.Task[None]]:
    """Return the tasks that have not ended after this time."""
    return (await asyncio.wait(tasks, timeout=seconds))[1] if tasks else tasks


@contextlib.asynccontextmanager
async def server_running(server: HttpServer) -> AsyncIterator[None]:
    """Serve while the context lasts, then stop in order.

    Raises:
        OSError: The server ended before the context did.
    """
    server.start()
    try:
        yield
    finally:
        await server.leave()
    if server.has_ended:
        raise OSError("the HTTP server ended by itself; the log says why")
