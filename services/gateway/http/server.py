"""The HTTP server: it listens, and stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import uvicorn

from services.gateway.http.app import Gateway
from services.gateway.http.connection import HttpConnection
from services.gateway.http.pages import Health

KEEP_ALIVE_SECONDS: Final = 75
BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Open the socket.

    Raises:
        OSError: The port is taken or not allowed; the text is for people.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(f"cannot listen on {host}:{port}: {reason}") from None


@contextlib.asynccontextmanager
async def serving(
    gateway: Gateway,
    sock: socket.socket,
    connection: type[HttpConnection],
    health: Health,
    *,
    grace_seconds: float,
) -> AsyncIterator[None]:
    """Serve while the context lasts, then stop in order.

    The gateway is no longer ready, accepts no connections, and lets requests in flight end.
    """
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    config = uvicorn.Config(
        gateway,
        http=connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(grace_seconds)),
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[sock]), name="http")
    try:
        yield
    finally:
        health.draining = True
        server.should_exit = True
        await running
