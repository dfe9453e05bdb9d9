"""Requests that must not cause a 500, hang, or leave a call behind."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from tests.gateway.http import Answer, read_answer
from tests.gateway.world import World, gateway_for
from tests.waiting import until_found

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def converse(port: int, *parts: bytes) -> Answer:
    """Send parts and read one answer, even one that comes before the last part."""
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for part in parts:
                writer.write(part)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
            return await read_answer(reader)
        finally:
            writer.close()


HEAD = b"POST /v1/everything HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


LONG_URL = b"GET /" + b"/" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "field"),
    [
        (LONG_URL, 414, "url"),
        (b"GET /v1/books?" + b"a=b&" * 5_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "url"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 33_000 + b"\r\n\r\n", 431, "headers"),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "url"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "host"),
        (HEAD + CHUNKED + b"zz\r\n", 400, "body"),
        (HEAD + b"Content-Length: 2000000\r\n\r\n", 413, "body"),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "transfer-encoding"),
    ],
)
async def test_what_reaches_the_application_gets_the_same_shape(
    world: World, request_: bytes, status: int, field: str
) -> None:
    answer = await converse(world.client.port, request_)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json) == {"code", "message", "details"}
    assert set(answer.fields) == {field}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    ],
)
async def test_the_server_itself_refuses_what_is_no_http(
    world: World, request_: bytes, status: int
) -> None:
    answer = await converse(world.client.port, request_)
    assert (answer.status, answer.body) == (status, b"")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"/" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_beyond_the_buffer_or_another_protocol_is_cut_off(
    world: World, request_: bytes
) -> None:
    try:
        answer = await converse(world.client.port, request_)
    except (asyncio.IncompleteReadError, ConnectionError):
        return  # The server closed with bytes unread, so the system drops the answer.
    assert answer.status in (414, 431)


async def test_a_body_larger_than_its_limit_is_413_even_in_chunks(world: World) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = await converse(
        world.client.port,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        *([chunk] * 20),
        b"0\r\n\r\n",
    )
    assert (answer.status, set(answer.fields)) == (413, {"body"})


async def test_a_client_that_sends_all_of_a_large_body_still_reads_413(world: World) -> None:
    body = b'"' + b"x" * (2 * 1024 * 1024) + b'"'
    answer = await world.client.post("/v1/everything", body)
    assert (answer.status, set(answer.fields)) == (413, {"body"})


async def test_a_slow_body_is_408_and_a_slow_head_is_cut_off(world: World) -> None:
    body = HEAD + b"Content-Length: 10\r\n\r\n{"
    heads = (b"", b"GET /v1/bo", b"GET / HTTP/1.1\r\nHost: ")
    async with gateway_for(world.upstream, world.registry, gateway_read_seconds=1) as hasty:
        talks = [converse(hasty.client.port, start) for start in (body, *heads)]
        answer, *cut_off = await asyncio.gather(*talks, return_exceptions=True)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.reason) == (408, "DEADLINE_EXCEEDED")
    assert answer.headers["connection"] == "close"
    assert [type(each) for each in cut_off] == [asyncio.IncompleteReadError] * 3


async def test_a_body_a_byte_at_a_time_is_a_body(world: World) -> None:
    parts = [bytes([byte]) for byte in b'{"one":"x"}']
    answer = await converse(world.client.port, HEAD + b"Content-Length: 11\r\n\r\n", *parts)
    assert answer.json["one"] == "x"


async def test_several_requests_share_a_connection_in_order(world: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.client.port)
    names = [f"b{i}" for i in range(5)]
    for name in names:
        writer.write(f"GET /v1/books/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert [(await read_answer(reader)).json["name"] for _ in names] == names
    writer.close()


class Hanging:
    """A service that never answers, and notes its cancellation."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, request: bytes, context: Any) -> bytes:
        self.called.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return request


@pytest.mark.parametrize("request_", [b"GET /v1/books/x", b"POST /v1/books"])
async def test_a_client_that_leaves_cancels_the_call(world: World, request_: bytes) -> None:
    hanging = Hanging()
    with world.upstream.behaving(hanging):
        _, writer = await asyncio.open_connection("127.0.0.1", world.client.port)
        writer.write(request_ + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        async with asyncio.timeout(20):
            await hanging.called.wait()
            writer.close()
            await hanging.cancelled.wait()


async def test_a_call_that_takes_too_long_is_504(world: World) -> None:
    hanging = Hanging()
    with world.upstream.behaving(hanging):
        answer = await world.client.send("GET", "/v1/books/x", headers={"Request-Timeout": "0.2"})
    assert (answer.status, answer.reason) == (504, "DEADLINE_EXCEEDED")


async def test_a_client_that_does_not_read_holds_up_nobody(world: World) -> None:
    async def large(request: bytes, context: Any) -> bytes:
        return b"\x0a\x80\x80\x40" + b"x" * (1024 * 1024)

    with world.upstream.behaving(large):
        _, writer = await asyncio.open_connection("127.0.0.1", world.client.port, limit=1024)
        for _ in range(20):
            writer.write(b"GET /v1/books/x HTTP/1.1\r\nHost: x\r\n\r\n")
        await writer.drain()
        answer = await world.client.get("/v1/books/y")
        assert answer.status == 200
    writer.transport.abort()
    assert (await world.client.get("/v1/books/z")).json["name"] == "z"


async def test_more_requests_than_the_limit_are_429(world: World) -> None:
    hanging = Hanging()
    async with gateway_for(world.upstream, world.registry, gateway_requests=1) as small:
        with world.upstream.behaving(hanging):
            first = asyncio.create_task(small.client.get("/v1/books/x"))
            async with asyncio.timeout(20):
                await hanging.called.wait()
            second = await small.client.get("/v1/books/y")
            assert (second.status, second.reason) == (429, "TOO_MANY_REQUESTS")
            assert second.headers["retry-after"] == "1"
            assert (await small.client.get("/healthz")).status == 200
            first.cancel()
            async with asyncio.timeout(20):
                await hanging.cancelled.wait()


async def refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return True
    writer.close()
    return False


async def test_requests_in_flight_end_before_the_gateway_does(world: World) -> None:
    release = asyncio.Event()
    called = asyncio.Event()

    async def release_once_it_stops(port: int) -> None:
        await until_found(lambda: refuses(port))
        release.set()

    async def slow(request: bytes, context: Any) -> bytes:
        called.set()
        await release.wait()
        return request

    with world.upstream.behaving(slow):
        async with gateway_for(world.upstream, world.registry, stop_grace_seconds=60) as stopping:
            running = asyncio.create_task(stopping.client.get("/v1/books/x"))
            await called.wait()
            releasing = asyncio.create_task(release_once_it_stops(stopping.client.port))
        await releasing
        assert (await running).status == 200
    with pytest.raises(ConnectionError):
        await stopping.client.get("/healthz")


async def test_a_response_larger_than_the_limit_is_no_traceback(world: World) -> None:
    async def huge(request: bytes, context: Any) -> bytes:
        return b"\x0a\x80\x80\x80\x04" + b"x" * (8 * 1024 * 1024)

    with world.upstream.behaving(huge):
        answer = await world.client.get("/v1/books/x")
    assert answer.status in (429, 500)


async def test_the_worst_bodies_are_read_in_bounded_time(world: World) -> None:
    size = 1024 * 1024 - 100
    bodies = [
        b"[" * size,
        b"[]," * (size // 3),
        b'{"tags":[' + b'"",' * (size // 3 - 10) + b'""]}',
        b'{"struct":{' + b",".join(b'"%d":[{}]' % i for i in range(50_000)) + b"}}",
        b'"' + b"\\" * size,
        b'{"list":[' + b"1e1," * (size // 4 - 10) + b"1]}",
    ]
    for body in bodies:
        answer = await world.client.post("/v1/everything", body)  # the client has a limit
        assert answer.status in (200, 400)
