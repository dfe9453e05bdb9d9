"""The management port: metrics, liveness and readiness over plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry, Gauge

from services.kernel.telemetry import management
from services.kernel.telemetry.management import ManagementServer

Answer = tuple[int, str]


@contextlib.asynccontextmanager
async def managed(registry: CollectorRegistry | None = None) -> AsyncIterator[ManagementServer]:
    loop = asyncio.get_running_loop()
    server = ManagementServer("127.0.0.1", 0, registry or CollectorRegistry(), loop)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def ask(port: int, path: str, method: str = "GET") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()


async def asked(server: ManagementServer, path: str, method: str = "GET") -> Answer:
    return await asyncio.to_thread(ask, server.port, path, method)


async def test_a_process_is_not_ready_before_it_says_so() -> None:
    async with managed() as server:
        assert await asked(server, "/readyz") == (503, "starting\n")
        assert await asked(server, "/livez") == (200, "ok\n")


async def test_readiness_is_that_of_the_server_with_its_reason() -> None:
    trouble: list[str | None] = [None]
    async with managed() as server:
        server.watch(lambda: trouble[0])
        assert await asked(server, "/readyz") == (200, "ok\n")
        trouble[0] = "the database does not answer"
        assert await asked(server, "/readyz") == (503, "the database does not answer\n")


async def test_metrics_are_in_the_form_that_prometheus_reads() -> None:
    registry = CollectorRegistry()
    Gauge("answer", "The answer", registry=registry).set(42)
    async with managed(registry) as server:
        status, text = await asked(server, "/metrics")
    assert (status, "answer 42.0" in text) == (200, True)


async def test_another_path_is_not_found() -> None:
    async with managed() as server:
        assert await asked(server, "/") == (404, "The paths are /metrics, /livez and /readyz.\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_a_method_that_would_change_something_is_refused(method: str) -> None:
    async with managed() as server:
        status, _ = await asked(server, "/metrics", method)
        assert status == 405
        status, _ = await asked(server, "/livez", method)
        assert status == 405


async def test_an_event_loop_that_stands_still_is_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management, "LOOP_SECONDS", 0.05)
    async with managed() as server:
        answers: list[Answer] = []
        asking = threading.Thread(
            target=lambda: answers.extend([ask(server.port, "/livez"), ask(server.port, "/readyz")])
        )
        asking.start()
        asking.join()  # this blocks the event loop
        assert answers == [(503, "the event loop stands still\n"), (503, "not live\n")]
        assert await asked(server, "/livez") == (200, "ok\n")


async def test_clients_that_send_nothing_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with managed() as server:
        with contextlib.ExitStack() as opened:
            for _ in range(50):
                opened.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            assert await asked(server, "/livez") == (200, "ok\n")


async def test_a_client_that_sends_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management._ManagementRequest, "timeout", 0.05)
    async with managed() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    async with managed() as server:
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match=r"cannot listen on 127.0.0.1:\d+: Address already in"):
            ManagementServer("127.0.0.1", server.port, CollectorRegistry(), loop)
