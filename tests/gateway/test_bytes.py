"""HTTP/1.1 over sockets: each head x framing x cut into packets, and what is wrong or endless."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from tests.gateway.cases.http1 import (
    BODY,
    ENDLESS,
    FRAMINGS,
    HEADS,
    NEXT,
    NEXT_CALL,
    POST,
    WRONG,
    Framing,
    Head,
    Wrong,
    cuts,
)
from tests.gateway.http import Answer, read_answer
from tests.gateway.world import World, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")


# hyper reads zeros before a size without end. Chunks of one byte have a limit, but far away.
SLOW = ("chunk size", "chunks")
BOOK_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"


def calls(world: World) -> list[tuple[str, bytes]]:
    return [(method.rpartition("/")[2], message) for method, message, _, _ in world.upstream.calls]


async def write(writer: asyncio.StreamWriter, packets: list[bytes]) -> None:
    with contextlib.suppress(ConnectionError):
        for packet in packets:
            writer.write(packet)
            await writer.drain()
            await asyncio.sleep(0)  # not a wait: each packet is a write of its own


async def read_final(reader: asyncio.StreamReader) -> Answer:
    """Read an answer; skip those before it, such as 100 (Continue)."""
    while (answer := await read_answer(reader)).status < 200:
        pass
    return answer


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda each: each.name)
@pytest.mark.parametrize("head", HEADS, ids=lambda each: each.name)
async def test_a_request_is_read_to_its_end_and_no_further(
    world: World, head: Head, framing: Framing
) -> None:
    expected = [] if framing.message is None else [("Store", framing.message)]
    for cut, packets in cuts(head.with_framing(framing), framing.body):
        world.upstream.calls.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", world.client.port)
        async with asyncio.timeout(20):
            await write(writer, packets)
            if framing.is_last:
                # A client that goes on sending may lose the answer (RFC 9112 9.6).
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    answer = await read_final(reader)
                    assert answer.status == framing.status, cut
                    assert answer.headers["connection"] == "close", cut
                    assert await reader.read() == b"", cut
                assert calls(world) == expected, cut
            else:
                assert (await read_final(reader)).status == framing.status, cut
                assert (await read_final(reader)).json["name"] == "next", cut
                assert calls(world) == [*expected, NEXT_CALL], cut
        metadata = [each[2] for each in world.upstream.calls]
        assert not any("authorization" in each for each in metadata), cut
        writer.close()


async def converse(port: int, request: bytes, *, ends: bool = False) -> Answer:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await write(writer, [request])
            if ends:
                writer.write_eof()
            return await read_final(reader)
        finally:
            writer.close()


@pytest.mark.parametrize("wrong", WRONG, ids=lambda each: each.name)
async def test_what_is_wrong_is_refused_and_nothing_called(world: World, wrong: Wrong) -> None:
    world.upstream.calls.clear()
    answer = await converse(world.client.port, wrong.request)
    assert answer.status == wrong.status
    if wrong.field:
        assert set(answer.json) == {"code", "message", "details"}
        assert set(answer.fields) == {wrong.field}
    else:
        assert answer.body == b""
        assert answer.headers["connection"] == "close"
    assert calls(world) == []


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda each: each.name)
async def test_what_ends_early_calls_nothing(world: World, framing: Framing) -> None:
    whole = Head("plain").with_framing(framing) + framing.body
    world.upstream.calls.clear()
    for end in range(0, len(whole), 7):
        _, writer = await asyncio.open_connection("127.0.0.1", world.client.port)
        await write(writer, [whole[:end]])
        writer.transport.abort()
    reader, writer = await asyncio.open_connection("127.0.0.1", world.client.port)
    async with asyncio.timeout(20):
        await write(writer, [NEXT])
        assert (await read_final(reader)).status == 200
    writer.close()
    # The last cut may be the whole request. Less than the whole is no request.
    seen = [each for each in calls(world) if each != NEXT_CALL]
    assert seen in ([], [("Store", framing.message)])


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 12\r\n\r\n" + BODY,
        POST + b"Content-Length: 99\r\n\r\n{}",
        POST + b"Content-Length: 1\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nb\r\n" + BODY,
        POST + b"Transfer-Encoding: chunked\r\n\r\nb\r\n" + BODY + b"\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_a_body_shorter_than_it_says_is_400(world: World, request_: bytes) -> None:
    world.upstream.calls.clear()
    answer = await converse(world.client.port, request_, ends=True)
    assert (answer.status, set(answer.fields)) == (400, {"body"})
    assert calls(world) == []


@pytest.mark.parametrize(
    ("request_", "status", "allow"),
    [
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 204, None),
        (b"GET http://a HTTP/1.1\r\nHost: b\r\n\r\n", 404, None),
        (b"GET http://a/healthz HTTP/1.1\r\nHost: b\r\n\r\n", 200, None),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200, None),
        (b"GET /healthz HTTP/1.0\r\nHost:\r\n\r\n", 200, None),
        (b"GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200, None),
        (b"GET /healthz HTTP/1.1\r\nHost: a_b.example.:\r\n\r\n", 200, None),
        (b"get /v1/books/a HTTP/1.1\r\nHost: x\r\n\r\n", 405, BOOK_METHODS),
        (b"FOO /v1/books/a HTTP/1.1\r\nHost: x\r\n\r\n", 405, BOOK_METHODS),
        (b"FOO /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405, "GET, HEAD, OPTIONS"),
        (b"FOO /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, None),
    ],
)  # fmt: skip
async def test_targets_and_methods(
    world: World, request_: bytes, status: int, allow: str | None
) -> None:
    answer = await converse(world.client.port, request_)
    assert (answer.status, answer.headers.get("allow")) == (status, allow)


class Flood:
    """A client that sends a part of a request without end, in a thread of its own."""

    def __init__(self, port: int, part: str) -> None:
        start, again = ENDLESS[part]
        self._data = start, again * (64 * 1024 // len(again))
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.settimeout(60)
        self.blocks = 0
        self.ending = asyncio.create_task(asyncio.to_thread(self._send))

    def _send(self) -> None:
        """Send until the connection ends."""
        start, block = self._data
        with contextlib.suppress(ConnectionError):
            self._sock.sendall(start)
            while True:
                self._sock.sendall(block)
                self.blocks += 1

    async def end(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        await self.ending
        self._sock.close()


@pytest.mark.parametrize("part", ENDLESS)
async def test_what_never_ends_is_cut_off_and_stalls_nobody(world: World, part: str) -> None:
    # Time cuts nothing off here: who stalls the others does it for longer than they wait.
    patient: dict[str, Any] = {"gateway_read_seconds": 600, "gateway_idle_seconds": 600}
    async with gateway_for(world.upstream, world.registry, **patient) as gateway:
        world.upstream.calls.clear()
        flood = Flood(gateway.client.port, part)
        answered = 0
        try:
            async with asyncio.timeout(60):
                while answered < 5 or not (flood.blocks if part in SLOW else flood.ending.done()):
                    assert (await gateway.client.get("/healthz")).status == 200
                    answered += 1
        finally:
            await flood.end()
        assert calls(world) == []


@pytest.mark.parametrize("part", SLOW)
async def test_what_no_size_cuts_off_ends_in_time(world: World, part: str) -> None:
    async with gateway_for(world.upstream, world.registry, gateway_read_seconds=1) as gateway:
        flood = Flood(gateway.client.port, part)
        try:
            async with asyncio.timeout(30):
                await asyncio.shield(flood.ending)
        finally:
            await flood.end()


async def test_a_body_that_drips_after_the_answer_ends(world: World) -> None:
    heads = [
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: x\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        POST + b"Accept: text/html\r\n",
        POST.replace(b"json", b"grpc"),
    ]
    framings = [
        (b"Content-Length: 1000000\r\n\r\n", b"a"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ]
    drips = [drip(world, head + fields, again) for head in heads for fields, again in framings]
    for status in await asyncio.gather(*drips):
        assert status in (200, 404, 405, 406, 415)


async def drip(world: World, head: bytes, again: bytes) -> int:
    """Send bytes for as long as the connection is open, which must end; return the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.client.port)
    writer.write(head)
    async with asyncio.timeout(60):
        status = (await read_answer(reader)).status
        closed = asyncio.create_task(reader.read())
        while not closed.done():
            writer.write(again)
            await asyncio.wait([closed], timeout=0.1)
        await asyncio.gather(closed, return_exceptions=True)
    writer.close()
    return status


async def test_a_bad_request_behind_a_good_one_does_not_take_its_answer(world: World) -> None:
    async def slow(request: bytes, context: Any) -> bytes:
        await asyncio.sleep(0.2)  # the bad request is there long before the answer
        return request

    with world.upstream.behaving(slow):
        reader, writer = await asyncio.open_connection("127.0.0.1", world.client.port)
        async with asyncio.timeout(20):
            await write(writer, [NEXT + b"nonsense\r\n\r\n"])
            assert (await read_final(reader)).json["name"] == "next"
            rest = await reader.read()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 400 ")
    writer.close()
