"""The server below the gateway: what it relies on in granian, and a listener that ends."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
from granian.server.embed import Server
from lockstep_gateway.http import listener
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
        served = Listener(Edge(gateway, is_secure=False), sock, CONFIG, LIMITS)
        with pytest.raises(RuntimeError, match=r"granian \d.* no longer asks _init_shared_socket"):
            await served.serve()
    assert opened == []


@pytest.mark.parametrize(
    ("headers", "ended"), [([], []), ([(b"transfer-encoding", b"chunked")], [("192.0.2.1", "1")])]
)
async def test_only_a_body_in_chunks_that_was_not_read_to_its_end_ends_the_connection(
    headers: list[tuple[bytes, bytes]],
    ended: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[object] = []
    monkeypatch.setattr(listener, "LAST_SECONDS", 0)
    monkeypatch.setattr(listener, "end_connection", done.append)

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        asking = asyncio.create_task(receive())
        await asyncio.sleep(0)  # not a wait: it asks, and hears nothing
        asking.cancel()

    scope = {"http_version": "1.1", "headers": headers, "client": ("192.0.2.1", "1")}
    edge = Edge(app, is_secure=False)
    unused: Any = asyncio.Event().wait
    await edge(scope, unused, unused)
    turn = asyncio.Event()  # it comes after the turn of what was called later
    asyncio.get_running_loop().call_later(0, turn.set)
    await turn.wait()
    assert done == ended


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
