"""Streams and clients that are slow, that stop to read or leave, and services that die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest
import pytest_asyncio
import structlog
from lockstep_gateway.binding import descriptors
from protobuf import Registry

from tests.gateway.http import Client, read_answer
from tests.gateway.http2 import GRPC, Script, headers, message, reset, scripted
from tests.gateway.test_http2 import Connection, head
from tests.gateway.test_leaving import STOP_SECONDS_MAX
from tests.gateway.test_streams import (
    SERVICE,
    WATCH,
    book,
    has_place,
    http_client,
    lines,
    pieces,
    varint,
)
from tests.gateway.world import PROTOS, Upstreams, World, compile_protos, echoing, gateway_for
from tests.waiting import until, until_found

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE = 64 * 1024
REQUEST = b"GET /v1/things:watch HTTP/1.1\r\nHost: x\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    out = tmp_path_factory.mktemp("features") / "features.binpb"
    return descriptors.load(compile_protos(PROTOS, out, "acme/features/v1/features.proto"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def features(upstream: Upstreams, registry: Registry) -> AsyncIterator[World]:
    async with gateway_for(upstream, registry, service=SERVICE, gateway_http2=True) as world:
        yield world


@dataclass
class Source:
    """A stream of large messages, or of one, that tells what becomes of it."""

    is_endless: bool = True
    sent: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"\x22" + varint(SIZE) + b"x" * SIZE
                self.sent += 1
                self.more.set()
                if not self.is_endless:
                    await asyncio.Event().wait()
        finally:
            self.gone.set()

    async def until_it_stalls(self) -> None:
        """Wait until no message was taken for a second."""
        with contextlib.suppress(TimeoutError):
            while True:
                self.more.clear()
                await asyncio.wait_for(self.more.wait(), 1)

    async def until_it_is_gone(self) -> None:
        async with asyncio.timeout(10):
            await self.gone.wait()


@contextlib.asynccontextmanager
async def connected(
    port: int, data: bytes = REQUEST
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send a request and read nothing by itself: the buffers of this side are small."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    writer.write(data)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def test_a_service_sends_no_more_than_a_slow_reader_takes(features: World) -> None:
    source = Source()
    with features.upstream.streaming(source):
        async with connected(features.client.port) as (reader, _):
            await source.until_it_stalls()
            stalled_at = source.sent
            # The buffers of gRPC, of the server and of the system.
            assert stalled_at * SIZE < 24 * 1024 * 1024
            # A healthy client is not in its way.
            assert (await features.client.get("/v1/things/x")).status == 200
            async with asyncio.timeout(30):
                await reader.readuntil(b"\r\n\r\n")
                while source.sent < stalled_at + 50:
                    assert await reader.read(SIZE)
        await source.until_it_is_gone()


async def test_a_reader_that_stops_loses_its_call_and_does_not_see_an_orderly_end(
    features: World,
) -> None:
    source = Source()
    with features.upstream.streaming(source), structlog.testing.capture_logs() as logs:
        async with (
            gateway_for(
                features.upstream,
                features.registry,
                service=SERVICE,
                gateway_streams=1,
                gateway_stream_seconds=1,
                gateway_read_seconds=0.5,
            ) as hasty,
            connected(hasty.client.port) as (reader, _),
        ):
            await source.until_it_is_gone()
            await until_found(partial(has_place_at_last, hasty.client))
            await until(lambda: any(each.get("error") for each in logs))
            async with asyncio.timeout(20):
                received = await to_the_end(reader)
    assert not received.endswith(LAST_CHUNK)


async def has_place_at_last(client: Client) -> bool:
    """Tell whether a stream can begin, where a busy machine may send the head too late."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        return await has_place(client)
    return False


async def to_the_end(reader: asyncio.StreamReader) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(SIZE):
            received = (received + part)[-1000:]
    return received


@pytest.mark.parametrize("is_endless", [True, False])
async def test_a_client_that_leaves_cancels_the_call(features: World, is_endless: bool) -> None:
    source = Source(is_endless)
    with features.upstream.streaming(source):
        async with connected(features.client.port) as (reader, _):
            async with asyncio.timeout(10):
                await reader.readuntil(b"xxx")
            if is_endless:
                await source.until_it_stalls()
            assert not source.gone.is_set()
        await source.until_it_is_gone()


async def test_a_client_may_leave_before_the_first_message(features: World) -> None:
    called, gone = asyncio.Event(), asyncio.Event()

    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        called.set()
        try:
            await asyncio.Event().wait()
            yield b""
        finally:
            gone.set()

    with features.upstream.streaming(stream):
        async with connected(features.client.port), asyncio.timeout(10):
            await called.wait()
        async with asyncio.timeout(10):
            await gone.wait()


async def test_a_stream_that_is_given_up_over_http_2_disturbs_no_other(features: World) -> None:
    source = Source()
    with features.upstream.streaming(source):
        reader, writer = await asyncio.open_connection("127.0.0.1", features.client.port)
        connection = Connection(reader, writer)
        given_up = connection.begin(head(WATCH), ends=True)
        await source.until_it_stalls()
        connection.reset(given_up)
        await source.until_it_is_gone()
        [answer] = await connection.answers(connection.begin(head("/v1/things/x"), ends=True))
        assert answer.status == 200
        writer.close()


async def test_many_streams_share_a_connection(features: World) -> None:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for i in range(20):
            yield book(f"{request[2:].decode()}-{i}")

    with features.upstream.streaming(stream):
        async with http_client(features, "HTTP/2") as client:
            answers = await asyncio.gather(
                *(client.get(WATCH, params={"id": str(i)}) for i in range(30))
            )
    for i, answer in enumerate(answers):
        assert [each["id"] for each in lines(answer.text)] == [f"{i}-{j}" for j in range(20)]


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
async def test_a_service_that_dies_in_the_middle_is_unavailable(
    registry: Registry, version: str
) -> None:
    source = Source(is_endless=False)
    async with contextlib.AsyncExitStack() as dying:
        upstream = await dying.enter_async_context(echoing())
        upstream.streamer = source
        async with (
            gateway_for(upstream, registry, service=SERVICE, gateway_http2=True) as world,
            http_client(world, version) as client,
            client.stream("GET", WATCH) as answer,
            asyncio.timeout(20),
        ):
            received = answer.aiter_lines()
            await anext(received)
            await dying.aclose()
            last = json.loads(await anext(received))
            assert last["error"]["details"][0]["reason"] == "UPSTREAM_UNAVAILABLE"
            assert [each async for each in received] == []


BROKEN: dict[str, Script] = {
    "a reset": lambda s: headers(s, GRPC) + message(s, book("a")) + reset(s, 2),
    "no status": lambda s: headers(s, GRPC) + message(s, book("a"), end=True),
    "half a message": lambda s: headers(s, GRPC) + message(s, book("a")) + message(s, b"x" * 9)[:-4]
    + headers(s, [("grpc-status", "0")], end=True),
}  # fmt: skip


@pytest.mark.parametrize("script", BROKEN.values(), ids=list(BROKEN))
async def test_a_broken_transport_in_the_middle_is_no_end(
    registry: Registry, script: Script
) -> None:
    async with (
        scripted(script) as port,
        gateway_for(Upstreams(port), registry, service=SERVICE) as world,
    ):
        answer = await world.client.get(WATCH)
    if answer.status == 200:
        *_, last = lines(answer.body.decode())
        assert last["error"]["details"][0]["reason"] in ("UPSTREAM_UNAVAILABLE", "INTERNAL")
    else:
        assert answer.status in (500, 503)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
async def test_a_stop_ends_streams_in_order(
    upstream: Upstreams, registry: Registry, version: str
) -> None:
    sent, gone = asyncio.Event(), asyncio.Event()

    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            yield book("first")
            sent.set()
            await asyncio.Event().wait()
        finally:
            gone.set()

    with upstream.streaming(stream):
        async with contextlib.AsyncExitStack() as stack:
            async with gateway_for(
                upstream, registry, service=SERVICE, gateway_http2=True
            ) as stopping:
                reader, writer = await asyncio.open_connection("127.0.0.1", stopping.client.port)
                stack.callback(writer.close)
                if version == "HTTP/2":
                    Connection(reader, writer).begin(head(WATCH), ends=True)
                else:
                    writer.write(REQUEST)
                async with asyncio.timeout(10):
                    await sent.wait()
                    received = await reader.readuntil(b"first")
            async with asyncio.timeout(10):
                # The client of the tests for HTTP/2 ends with GOAWAY, so this reads the bytes.
                received += await reader.readuntil(b"stopping.")
                if version == "HTTP/1.1":
                    assert (await reader.read(-1)).endswith(LAST_CHUNK)
                await gone.wait()
    assert received.endswith(b'{"error":{"code": 14, "message": "The gateway is stopping.')


async def test_a_reader_that_stops_holds_up_no_stop(
    upstream: Upstreams, registry: Registry
) -> None:
    source = Source()
    with upstream.streaming(source):
        async with contextlib.AsyncExitStack() as stack:
            async with gateway_for(upstream, registry, service=SERVICE) as world:
                reader, _ = await stack.enter_async_context(connected(world.client.port))
                await source.until_it_stalls()
                began = time.monotonic()
            assert time.monotonic() - began < STOP_SECONDS_MAX
            async with asyncio.timeout(20):
                received = await to_the_end(reader)
    assert b"UPSTREAM_UNAVAILABLE" in received or not received.endswith(LAST_CHUNK)
    await source.until_it_is_gone()


async def test_bytes_that_end_too_early_have_no_orderly_end(features: World) -> None:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        async for each in pieces(b"half")(request, context):
            yield each
        raise RuntimeError

    with features.upstream.streaming(stream):
        target = REQUEST.replace(b"/v1/things:watch", b"/v1/files/x:read")
        async with connected(features.client.port, target) as (reader, _), asyncio.timeout(10):
            received = await to_the_end(reader)
    assert not received.endswith(LAST_CHUNK)
    # Only its own connection has ended.
    assert (await features.client.get("/healthz")).status == 200


async def test_an_old_client_gets_a_stream_without_chunks(features: World) -> None:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield book("a")
        yield book("b")

    with features.upstream.streaming(stream):
        data = REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0")
        async with connected(features.client.port, data) as (reader, _), asyncio.timeout(10):
            received = await reader.read(-1)
    top, _, body = received.partition(b"\r\n\r\n")
    assert b"chunked" not in top
    assert [each["id"] for each in lines(body.decode())] == ["a", "b"]


async def test_a_connection_serves_on_after_a_stream(features: World) -> None:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield book("a")

    with features.upstream.streaming(stream):
        async with connected(features.client.port, REQUEST * 3) as (reader, _), asyncio.timeout(10):
            answers = [await read_answer(reader) for _ in range(3)]
    assert [each.body for each in answers] == [answers[0].body] * 3
    assert answers[0].status == 200


async def test_a_read_stops_at_the_first_byte_that_fails(features: World) -> None:
    """A client library takes an answer that ends too early for what it is."""

    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        async for each in pieces(b"half")(request, context):
            yield each
        raise RuntimeError

    with features.upstream.streaming(stream):
        async with http_client(features) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/v1/files/x:read")
