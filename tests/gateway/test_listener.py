"""The server below the gateway: what it relies on in granian, and a listener that ends."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
from granian.server.embed import Server
from lockstep_gateway.http.config import HeadLimits, ServerConfig
from lockstep_gateway.http.listener import Edge, Listener
from lockstep_gateway.http.server import HttpServer, listen, server_running

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMITS = HeadLimits(1024, 1024)
CONFIG = ServerConfig(
    listen_on=("127.0.0.1", 0),
    idle_seconds=1,
    stop_delay_seconds=0,
    stop_grace_seconds=1,
    has_http2=False,
    certificate=None,
    another_signal=asyncio.Event().wait,
)


class Idle:
    """A gateway that nobody asks."""

    ask_anew = None

    def __init__(self) -> None:
        self.health: Any = self
        self.draining = False


async def test_a_granian_that_would_open_a_socket_of_its_own_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[object] = []

    def startup(self: Server, *arguments: object) -> None:
        self.hooks_startup[0]()
        opened.append(self)

    monkeypatch.setattr(Server, "startup", startup)
    gateway: Any = Idle()
    with listen("127.0.0.1", 0) as sock:
        listener = Listener(Edge(gateway, is_secure=False), sock, CONFIG, LIMITS)
        with pytest.raises(RuntimeError, match=r"granian \d.* no longer asks _init_shared_socket"):
            await listener.serve()
    assert opened == []


async def test_a_listener_that_ends_by_itself_is_a_failure_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raised: asyncio.Queue[int] = asyncio.Queue()
    monkeypatch.setattr(signal, "raise_signal", raised.put_nowait)

    async def serve(self: Server) -> None:
        raise RuntimeError("no more")

    monkeypatch.setattr(Server, "serve", serve)
    gateway: Any = Idle()
    with listen("127.0.0.1", 0) as sock:
        server = HttpServer(gateway, sock, CONFIG, LIMITS)
        with pytest.raises(OSError, match="the HTTP server ended by itself"):
            async with server_running(server), asyncio.timeout(10):
                assert await raised.get() == signal.SIGTERM
