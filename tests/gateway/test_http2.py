"""HTTP/2, where a setting allows it: the cases of HTTP/1.1 that have a meaning there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset

from tests.gateway.cases.http1 import BODY, SMUGGLED, STORED
from tests.gateway.world import World, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")

Head = list[tuple[str, str]]


@dataclass
class Stream:
    """An answer, or the reset of its stream."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_reset: bool = False

    @property
    def fields(self) -> set[str]:
        details = json.loads(self.body)["details"]
        return {each["field"] for detail in details for each in detail.get("fieldViolations", ())}


class Connection:
    """A connection that sends what a test says, also what no client would send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._h2 = H2Connection(
            H2Configuration(
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                header_encoding="utf-8",
            )
        )
        self._h2.initiate_connection()

    def begin(self, head: Head, *, ends: bool) -> int:
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, head, end_stream=ends)
        self.flush()
        return stream

    def data(self, stream: int, data: bytes, *, ends: bool) -> None:
        self._h2.send_data(stream, data, end_stream=ends)
        self.flush()

    def trailers(self, stream: int, fields: Head) -> None:
        self._h2.send_headers(stream, fields, end_stream=True)
        self.flush()

    def reset(self, stream: int) -> None:
        self._h2.reset_stream(stream, error_code=8)
        self.flush()

    def flush(self) -> None:
        self.writer.write(self._h2.data_to_send())

    async def answers(self, *streams: int) -> list[Stream]:
        found = {stream: Stream() for stream in streams}
        waiting = set(streams)
        async with asyncio.timeout(20):
            while waiting:
                data = await self._reader.read(65536)
                assert data, "the connection has ended"
                for event in self._h2.receive_data(data):
                    self._take(event, found, waiting)
                self.flush()
        return list(found.values())

    def _take(self, event: Any, found: dict[int, Stream], waiting: set[int]) -> None:
        answer = found.get(getattr(event, "stream_id", 0) or 0)
        if answer is None:
            return
        match event:
            case ResponseReceived():
                answer.headers = {str(name): str(value) for name, value in event.headers}
                answer.status = int(answer.headers[":status"])
            case DataReceived():
                answer.body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                waiting.discard(event.stream_id)
            case StreamReset():
                answer.is_reset = True
                waiting.discard(event.stream_id)


@pytest_asyncio.fixture(loop_scope="session")
async def two(world: World) -> AsyncIterator[World]:
    world.upstream.calls.clear()
    async with gateway_for(world.upstream, world.registry, gateway_http2=True) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="session")
async def connection(two: World) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", two.client.port)
    yield Connection(reader, writer)
    writer.close()


def calls(world: World) -> list[tuple[str, bytes]]:
    return [(method.rpartition("/")[2], message) for method, message, _, _ in world.upstream.calls]


def head(path: str, method: str = "GET", *more: tuple[str, str], authority: str = "x") -> Head:
    pseudo = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]
    return [*pseudo, *more]


JSON = ("content-type", "application/json")


async def test_a_client_may_use_either_version(two: World) -> None:
    base = f"http://127.0.0.1:{two.client.port}"
    async with httpx.AsyncClient(http1=False, http2=True, base_url=base) as client:
        answer = await client.get("/v1/books/dune")
        assert (answer.http_version, answer.json()["name"]) == ("HTTP/2", "dune")
        stored = await client.post("/v1/everything", json={"one": "x" * 50_000})
        assert stored.json()["one"] == "x" * 50_000
        gone = await client.post("/v1/everything", content=b" " * 2_000_000)
        assert gone.status_code == 413
        assert "connection" not in gone.headers
        answers = await asyncio.gather(*(client.get(f"/v1/books/{i}") for i in range(50)))
    assert [each.json()["name"] for each in answers] == [str(i) for i in range(50)]
    assert (await two.client.get("/v1/books/dune")).json["name"] == "dune"


@pytest.mark.parametrize("size", [1, 4, 99])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_is_read_however_it_is_cut(
    two: World, connection: Connection, size: int, declared: bool
) -> None:
    length = [("content-length", str(len(BODY)))] if declared else []
    stream = connection.begin(head("/v1/everything", "POST", JSON, *length), ends=False)
    parts = [BODY[i : i + size] for i in range(0, len(BODY), size)]
    for part in parts[:-1]:
        connection.data(stream, part, ends=False)
        await connection.writer.drain()
    connection.data(stream, parts[-1], ends=True)
    [answer] = await connection.answers(stream)
    assert answer.status == 200
    assert calls(two) == [("Store", STORED)]


async def test_trailers_are_no_headers(two: World, connection: Connection) -> None:
    stream = connection.begin(head("/v1/everything", "POST", JSON), ends=False)
    connection.data(stream, BODY, ends=False)
    connection.trailers(stream, [("authorization", "Bearer stolen"), ("accept", "text/html")])
    [answer] = await connection.answers(stream)
    assert answer.status == 200
    assert calls(two) == [("Store", STORED)]
    assert "authorization" not in two.upstream.metadata


@pytest.mark.parametrize(("declared", "body"), [(12, BODY), (10, BODY), (1, b""), (0, BODY)])
async def test_a_body_of_another_length_calls_nothing(
    two: World, connection: Connection, declared: int, body: bytes
) -> None:
    length = ("content-length", str(declared))
    stream = connection.begin(head("/v1/everything", "POST", JSON, length), ends=False)
    connection.data(stream, body, ends=True)
    [answer] = await connection.answers(stream)
    assert answer.is_reset or answer.status == 400
    assert calls(two) == []


async def test_a_request_in_a_body_is_a_body(two: World, connection: Connection) -> None:
    stream = connection.begin(head("/v1/everything", "POST", JSON), ends=False)
    connection.data(stream, SMUGGLED, ends=True)
    [answer] = await connection.answers(stream)
    assert answer.status == 400
    assert calls(two) == []


@pytest.mark.parametrize(
    ("request_", "status", "field"),
    [
        (head("/v1/books/a", authority="a b"), 400, "host"),
        (head("/v1/books/a", authority="a/b"), 400, "host"),
        ([each for each in head("/v1/books/a") if each[0] != ":authority"], 400, "host"),
        (head("/v1/books/a", "GET", ("host", "a"), ("host", "b")), 400, "host"),
        (head("/" + "a" * 20_000), 414, "url"),
        (head("/v1/books/a", "GET", ("x", "a" * 33_000)), 431, "headers"),
        (head("/v1/books/a", "GET", ("authorization", "a"), ("authorization", "b")), 400,
         "authorization"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_refused_and_nothing_called(
    two: World, connection: Connection, request_: Head, status: int, field: str
) -> None:
    [answer] = await connection.answers(connection.begin(request_, ends=True))
    # The server itself may refuse what is no request, by a reset of the stream.
    assert answer.is_reset or (answer.status, answer.fields) == (status, {field})
    assert calls(two) == []


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (head("*", "OPTIONS"), 204),
        (head("/healthz", "FOO"), 405),
        (head("/healthz", "get"), 405),
        (head("/nowhere", "FOO"), 404),
    ],
)
async def test_targets_and_methods(connection: Connection, request_: Head, status: int) -> None:
    [answer] = await connection.answers(connection.begin(request_, ends=True))
    assert answer.status == status


async def test_a_client_that_leaves_cancels_its_call(two: World) -> None:
    called, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(request: bytes, context: Any) -> bytes:
        called.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return request

    with two.upstream.behaving(hang):
        reader, writer = await asyncio.open_connection("127.0.0.1", two.client.port)
        Connection(reader, writer).begin(head("/v1/books/a"), ends=True)
        async with asyncio.timeout(5):
            await called.wait()
            writer.transport.abort()
            await cancelled.wait()


async def test_a_stream_that_is_given_up_disturbs_no_other(
    two: World, connection: Connection
) -> None:
    given_up = connection.begin(head("/v1/everything", "POST", JSON), ends=False)
    connection.data(given_up, BODY[:4], ends=False)
    connection.reset(given_up)
    [answer] = await connection.answers(connection.begin(head("/v1/books/a"), ends=True))
    assert answer.status == 200
    assert calls(two) == [("GetBook", b"\n\x01a")]
