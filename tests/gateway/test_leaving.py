"""A gateway that stops: it says so first, and nothing holds it up."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.gateway.http import Answer, Client, read_answer
from tests.gateway.test_process import port_of, process
from tests.gateway.world import SERVICE, World, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")

# The stops of these tests take two seconds, or do not end: a limit that only a hang exceeds.
STOP_SECONDS_MAX = 60


async def until_not_ready(client: Client) -> Answer:
    """Poll as a balancer does."""
    async with asyncio.timeout(10):
        while (answer := await client.get("/readyz")).status == 200:
            pass
    return answer


async def test_who_polls_readiness_and_then_leaves_meets_no_refused_connection(
    world: World, library_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_STOP_DELAY_SECONDS", "60")
    place = f"{SERVICE}=127.0.0.1:{world.upstream.port}"
    given = ("--descriptors", str(library_file), "--upstream", place, "--port", "0")
    async with process(*given) as started:
        client = Client(await port_of(started))
        assert "connection" not in (await client.get("/v1/books/dune")).headers
        started.send_signal(signal.SIGTERM)
        answer = await until_not_ready(client)
        assert (answer.status, answer.reason) == (503, "UPSTREAM_UNAVAILABLE")
        # The last requests that the balancer had let through are served.
        for _ in range(20):
            served = await client.get("/v1/books/dune")
            assert (served.status, served.headers["connection"]) == (200, "close")
        started.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await started.wait() == 0
    with pytest.raises(ConnectionError):
        await client.get("/healthz")


async def test_a_connection_that_is_kept_ends_with_its_next_answer(
    world: World, library_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_STOP_DELAY_SECONDS", "60")
    place = f"{SERVICE}=127.0.0.1:{world.upstream.port}"
    given = ("--descriptors", str(library_file), "--upstream", place, "--port", "0")
    request = b"GET /v1/books/dune HTTP/1.1\r\nHost: x\r\n\r\n"
    async with process(*given) as started, asyncio.timeout(30):
        port = await port_of(started)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        assert "connection" not in (await read_answer(reader)).headers
        started.send_signal(signal.SIGTERM)
        await until_not_ready(Client(port))
        writer.write(request)
        assert (await read_answer(reader)).headers["connection"] == "close"
        assert await reader.read() == b""
        writer.close()


async def test_a_request_that_outlasts_the_grace_is_503(world: World) -> None:
    called = asyncio.Event()

    async def hang(request: bytes, context: Any) -> bytes:
        called.set()
        await asyncio.Event().wait()
        return request

    with world.upstream.behaving(hang):
        async with gateway_for(world.upstream, world.registry) as stopping:
            running = asyncio.create_task(stopping.client.get("/v1/books/x"))
            await called.wait()
        answer = await running
    assert (answer.status, answer.reason) == (503, "UPSTREAM_UNAVAILABLE")
    assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")


@contextlib.contextmanager
def nothing_unheard() -> Iterator[None]:
    """Check that the event loop gets no error that it could only log."""
    loop, wrong = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: wrong.append(context))
    try:
        yield
    finally:
        loop.set_exception_handler(None)
    assert wrong == []


async def test_clients_that_do_nothing_hold_up_no_stop(world: World) -> None:
    async def large(request: bytes, context: Any) -> bytes:
        return b"\x0a\x80\x80\xc0\x01" + b"x" * (3 * 1024 * 1024)

    with nothing_unheard(), world.upstream.behaving(large):
        async with gateway_for(world.upstream, world.registry) as stopping:
            port = stopping.client.port
            _, silent = await asyncio.open_connection("127.0.0.1", port)
            _, half = await asyncio.open_connection("127.0.0.1", port)
            half.write(b"POST /v1/everything HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            _, unread = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            unread.write(b"GET /v1/books/x HTTP/1.1\r\nHost: x\r\n\r\n" * 9)
            await asyncio.gather(half.drain(), unread.drain())
            assert (await stopping.client.get("/healthz")).status == 200
            began = time.monotonic()
        assert time.monotonic() - began < STOP_SECONDS_MAX
        # What does not end by itself is ended. granian would meet a task that has ended before.
        left = psutil.Process().net_connections("tcp")
        assert [each for each in left if each.laddr.port == port] == []
        for writer in (silent, half, unread):
            writer.transport.abort()
