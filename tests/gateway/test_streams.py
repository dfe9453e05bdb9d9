"""Streams of a service: a line of JSON, or an event, for each message."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc
import httpx
import pytest
import pytest_asyncio
import structlog
from google.api import httpbody_pb2
from lockstep_gateway.binding import descriptors

from tests.gateway.http import Client
from tests.gateway.test_errors import bare
from tests.gateway.world import PROTOS, Streamer, Upstreams, World, compile_protos, gateway_for
from tests.waiting import until_found

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICE = "acme.features.v1.Library"
WATCH = "/v1/things:watch"
SSE = {"Accept": "text/event-stream"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def features(
    upstream: Upstreams, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    out = tmp_path_factory.mktemp("features") / "features.binpb"
    registry = descriptors.load(compile_protos(PROTOS, out, "acme/features/v1/features.proto"))
    async with gateway_for(upstream, registry, service=SERVICE, gateway_http2=True) as world:
        yield world


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.asynccontextmanager
async def http_client(world: World, version: str = "HTTP/1.1") -> AsyncIterator[httpx.AsyncClient]:
    base = f"http://127.0.0.1:{world.client.port}"
    is_two = version == "HTTP/2"
    async with httpx.AsyncClient(http1=not is_two, http2=is_two, base_url=base) as client:
        yield client


def book(text: str) -> bytes:
    """Write a book with an id."""
    data = text.encode()
    return b"\x0a" + bytes([len(data)]) + data


def books(*ids: str) -> Streamer:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for each in ids:
            yield book(each)

    return stream


def failing(after: int, code: grpc.StatusCode, text: str) -> Streamer:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for i in range(after):
            yield book(str(i))
        await context.abort(code, text)

    return stream


def lines(text: str) -> list[Any]:
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def ids(text: str) -> list[str]:
    return [each["id"] for each in lines(text)]


async def test_each_message_is_a_line(features: World, version: str) -> None:
    with features.upstream.streaming(books("a", "b", "c")):
        async with http_client(features, version) as client:
            answer = await client.get(WATCH)
    assert (answer.http_version, answer.status_code) == (version, 200)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert "content-length" not in answer.headers
    assert ids(answer.text) == ["a", "b", "c"]


async def test_an_event_stream_comes_to_who_accepts_it(features: World, version: str) -> None:
    with features.upstream.streaming(books("a", "b")):
        async with http_client(features, version) as client:
            answer = await client.get(WATCH, headers=SSE)
    assert answer.headers["content-type"] == "text/event-stream"
    one, two, rest = answer.text.split("\n\n")
    assert rest == ""
    assert [each.partition(": ")[0] for each in (one, two)] == ["data", "data"]
    assert [json.loads(each.removeprefix("data: "))["id"] for each in (one, two)] == ["a", "b"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/x-ndjson"),
        ("application/json", "application/x-ndjson"),
        ("application/x-ndjson, text/event-stream;q=0.5", "application/x-ndjson"),
        ("application/json, text/event-stream", "text/event-stream"),
        ("text/event-stream;q=0, */*", "application/x-ndjson"),
    ],
)
async def test_accept_chooses_the_form(features: World, accept: str, expected: str) -> None:
    with features.upstream.streaming(books("a")):
        answer = await features.client.get(WATCH, Accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, expected)


@pytest.mark.parametrize("accept", ["text/html", "text/*", "text/event-stream;q=0"])
async def test_another_form_is_refused_and_nothing_called(features: World, accept: str) -> None:
    features.upstream.calls.clear()
    answer = await features.client.get(WATCH, Accept=accept)
    assert (answer.status, answer.fields) == (406, {"Accept": "must allow application/x-ndjson"})
    assert features.upstream.calls == []


async def test_a_post_may_be_answered_by_a_stream(features: World) -> None:
    with features.upstream.streaming(books("a")):
        answer = await features.client.post(WATCH, {"id": "x"})
    assert ids(answer.body.decode()) == ["a"]
    assert features.upstream.calls[-1][1] == book("x")


async def test_a_stream_may_show_a_part_of_each_message(features: World) -> None:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"\x22\x01x"
        yield b""

    with features.upstream.streaming(stream):
        answer = await features.client.get("/v1/things:texts")
    assert answer.body == b'"x"\nnull\n'


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_an_empty_stream_is_an_empty_answer(
    features: World, version: str, accept: str
) -> None:
    with features.upstream.streaming(books()):
        async with http_client(features, version) as client:
            answer = await client.get(WATCH, headers={"Accept": accept})
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_a_failure_before_the_first_message_is_one_of_the_call(
    features: World, version: str, accept: str
) -> None:
    with features.upstream.streaming(failing(0, grpc.StatusCode.NOT_FOUND, "No such book.")):
        async with http_client(features, version) as client:
            answer = await client.get(WATCH, headers={"Accept": accept})
    assert (answer.status_code, answer.json()["message"]) == (404, "No such book.")
    assert answer.headers["content-type"] == "application/json"


async def test_a_failure_in_the_middle_is_the_last_line(features: World, version: str) -> None:
    with features.upstream.streaming(failing(2, grpc.StatusCode.NOT_FOUND, "No more books.")):
        async with http_client(features, version) as client:
            answer = await client.get(WATCH)
    *given, last = lines(answer.text)
    assert [each["id"] for each in given] == ["0", "1"]
    assert set(last) == {"error"}
    assert (last["error"]["code"], last["error"]["message"]) == (5, "No more books.")
    assert last["error"]["details"][0]["reason"] == "NOT_FOUND"


async def test_a_failure_in_the_middle_is_an_event_of_its_own(
    features: World, version: str
) -> None:
    with features.upstream.streaming(failing(1, grpc.StatusCode.UNKNOWN, "KeyError: 'secret'")):
        async with http_client(features, version) as client:
            answer = await client.get(WATCH, headers=SSE)
    _, event, rest = answer.text.split("\n\n")
    assert rest == ""
    name, data = event.split("\n")
    assert name == "event: error"
    status = json.loads(data.removeprefix("data: "))
    assert (status["code"], status["details"][0]["reason"]) == (2, "INTERNAL")
    assert "secret" not in event


async def test_a_wrong_message_in_the_middle_ends_the_stream(features: World) -> None:
    gone = asyncio.Event()

    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            yield book("a")
            yield b"\xff\xff"
            await asyncio.Event().wait()
        finally:
            gone.set()

    with features.upstream.streaming(stream):
        answer = await features.client.get(WATCH)
        async with asyncio.timeout(10):
            await gone.wait()
    _, last = lines(answer.body.decode())
    assert last["error"]["details"][0]["reason"] == "INTERNAL"


@pytest.mark.parametrize("size", [70_000, 300_000])
async def test_a_message_above_the_limit_ends_the_stream(features: World, size: int) -> None:
    """The second size is also above the limit of the channel, which says so in its own words."""

    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield book("a")
        yield b"\x22\xe0\xa7\x12"[:1] + varint(size) + b"x" * size

    with features.upstream.streaming(stream):
        async with gateway_for(
            features.upstream, features.registry, service=SERVICE, gateway_answer_bytes=65_536
        ) as small:
            answer = await small.client.get(WATCH)
    first, last = lines(answer.body.decode())
    assert first["id"] == "a"
    assert last["error"]["details"][0]["reason"] == "ANSWER_TOO_LARGE"


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


async def test_nothing_is_compressed_or_held_back(features: World, version: str) -> None:
    more = asyncio.Event()

    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"\x22" + varint(5000) + b"x" * 5000
        await more.wait()
        yield book("b")

    with features.upstream.streaming(stream):
        async with (
            http_client(features, version) as client,
            client.stream("GET", WATCH, headers={"Accept-Encoding": "gzip"}) as answer,
        ):
            assert "content-encoding" not in answer.headers
            assert answer.headers["x-accel-buffering"] == "no"
            received = answer.aiter_lines()
            async with asyncio.timeout(10):
                assert json.loads(await anext(received))["text"] == "x" * 5000
                more.set()
                assert json.loads(await anext(received))["id"] == "b"


async def test_head_answers_without_a_body_and_ends_the_call(features: World, version: str) -> None:
    gone = asyncio.Event()

    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                yield book("a")
        finally:
            gone.set()

    with features.upstream.streaming(stream):
        async with http_client(features, version) as client, asyncio.timeout(10):
            answer = await client.head(WATCH)
            await gone.wait()
            # The connection is in order.
            assert (await client.get("/healthz")).status_code == 200
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert "content-length" not in answer.headers


async def test_head_has_the_status_of_a_failure(features: World) -> None:
    with features.upstream.streaming(failing(0, grpc.StatusCode.NOT_FOUND, "No.")):
        assert (await features.client.send("HEAD", WATCH)).status == 404


async def test_the_headers_of_a_service_pass(features: World) -> None:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata([("location", "/v1/here"), ("x-secret", "1")])
        yield book("a")

    with features.upstream.streaming(stream):
        answer = await features.client.get(WATCH, X_Request_Id="mine")
    assert answer.headers["location"] == "/v1/here"
    assert answer.headers["x-request-id"] == "mine"
    assert "x-secret" not in answer.headers


async def test_enums_come_as_numbers_if_asked_for(features: World) -> None:
    with features.upstream.streaming(books("a")):
        answer = await features.client.get(f"{WATCH}?$alt=json;enum-encoding=int")
    assert ids(answer.body.decode()) == ["a"]


async def test_the_time_of_a_stream_is_its_own(features: World) -> None:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield book("a")
        await asyncio.Event().wait()

    with features.upstream.streaming(stream):
        async with gateway_for(
            features.upstream,
            features.registry,
            service=SERVICE,
            gateway_deadline_seconds=0.1,
            gateway_stream_seconds=2,
        ) as hasty:
            answers = await asyncio.gather(
                hasty.client.get(WATCH), hasty.client.get(WATCH, Grpc_Timeout="1000m")
            )
    remaining = [call[3] for call in features.upstream.calls[-2:]]
    sooner, later = sorted(each for each in remaining if each is not None)
    assert sooner <= 1.01 < later <= 2.02  # gRPC rounds a timeout up, by less than 1 %
    for each in answers:
        first, last = lines(each.body.decode())
        assert first["id"] == "a"
        assert last["error"]["details"][0]["reason"] == "DEADLINE_EXCEEDED"


async def test_time_that_runs_out_before_the_first_message_is_504(features: World) -> None:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    with features.upstream.streaming(stream):
        answer = await features.client.get(WATCH, Grpc_Timeout="100m")
    assert (answer.status, answer.reason) == (504, "DEADLINE_EXCEEDED")


async def test_the_number_of_streams_is_limited_apart_from_calls(features: World) -> None:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield book("a")
        await asyncio.Event().wait()

    with features.upstream.streaming(stream):
        async with gateway_for(
            features.upstream,
            features.registry,
            service=SERVICE,
            gateway_streams=1,
            gateway_requests=1,
        ) as small:
            async with http_client(small) as client, client.stream("GET", WATCH) as answer:
                await anext(answer.aiter_lines())
                refused = await small.client.get(WATCH)
                assert (refused.status, refused.reason) == (429, "TOO_MANY_REQUESTS")
                assert (await small.client.get("/v1/things/x")).status == 200
            await until_served(small.client)


async def until_served(client: Client) -> None:
    """Wait until a stream that is over gives its place to another."""
    await until_found(partial(has_place, client), seconds=10)


async def has_place(client: Client) -> bool:
    """Tell whether a stream can begin."""
    return (await client.send("HEAD", WATCH)).status == 200


async def test_refusals_free_the_place(features: World) -> None:
    with features.upstream.streaming(failing(0, grpc.StatusCode.NOT_FOUND, "No.")):
        async with gateway_for(
            features.upstream, features.registry, service=SERVICE, gateway_streams=1
        ) as small:
            for _ in range(3):
                assert (await small.client.get(WATCH)).status == 404
                assert (await small.client.get(WATCH, Accept="text/html")).status == 406


async def test_the_log_tells_how_a_stream_ended(features: World) -> None:
    with structlog.testing.capture_logs() as logs:
        with features.upstream.streaming(books("a", "b")):
            await features.client.get(WATCH)
        with features.upstream.streaming(failing(1, grpc.StatusCode.NOT_FOUND, "No.")):
            await features.client.get(WATCH)
        async with asyncio.timeout(10):
            while len(told := [each for each in logs if each.get("route") == WATCH]) < 2:
                await features.client.get("/healthz")
    one, two = told
    assert (one["status"], one["messages"], one.get("error")) == (200, 2, None)
    assert (two["status"], two["messages"], two["error"]) == (200, 1, "NOT_FOUND")


def pieces(*data: bytes, content_type: str = "image/png") -> Streamer:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        for each in data:
            yield httpbody_pb2.HttpBody(content_type=content_type, data=each).SerializeToString()

    return stream


async def test_the_pieces_of_a_file_are_answered_as_they_are(features: World, version: str) -> None:
    with features.upstream.streaming(pieces(b"\x89PNG", b"", b"\x00\xff" * 100_000)):
        async with http_client(features, version) as client:
            answer = await client.get("/v1/files/x:read", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.content == b"\x89PNG" + b"\x00\xff" * 100_000


async def test_a_file_without_pieces_is_empty(features: World) -> None:
    with features.upstream.streaming(pieces()):
        answer = await features.client.get("/v1/files/x:read")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_a_file_that_ends_too_early_is_not_taken_for_a_whole_one(
    features: World, version: str
) -> None:
    async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        async for each in pieces(b"half")(request, context):
            yield each
        await context.abort(grpc.StatusCode.UNAVAILABLE, "The disk is gone.")

    with features.upstream.streaming(stream):
        async with http_client(features, version) as client:
            with pytest.raises(httpx.HTTPError):
                await client.get("/v1/files/x:read")
            assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("code", [each for each in grpc.StatusCode if each.value[0]])
async def test_every_code_in_the_middle_has_its_shape(
    features: World, code: grpc.StatusCode
) -> None:
    with features.upstream.streaming(failing(1, code, "text")):
        answer = await features.client.get(WATCH)
    _, last = lines(answer.body.decode())
    with features.upstream.behaving(bare(code, "text")):
        unary = await features.client.get("/v1/things/x")
    assert last["error"] == unary.json
