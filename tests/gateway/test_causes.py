"""Nothing that gRPC itself says passes as the answer of a service."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from grpc import StatusCode
from lockstep_gateway.http import causes
from lockstep_gateway.http.causes import Cause
from protobuf import Registry

from tests.gateway import http2
from tests.gateway.http import Answer
from tests.gateway.http2 import GRPC, OK, Script, goaway, headers, message, reset, scripted
from tests.gateway.test_errors import STATUS_OF_CODE, bare, failing
from tests.gateway.world import SERVICE, Upstreams, World, echoing, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")

INFO = "type.googleapis.com/google.rpc.ErrorInfo"
WORDS = "The words of a service."
# The text of a crash, or of gRPC, would come with these codes, so their words are replaced.
OWN_WORDS = {
    StatusCode.CANCELLED: (503, "UPSTREAM_UNAVAILABLE", "The service did not answer."),
    StatusCode.UNAVAILABLE: (503, "UPSTREAM_UNAVAILABLE", "The service did not answer."),
    StatusCode.DEADLINE_EXCEEDED: (504, "DEADLINE_EXCEEDED", "The time ran out."),
    StatusCode.UNKNOWN: (500, "INTERNAL", "Something unexpected happened."),
    StatusCode.INTERNAL: (500, "INTERNAL", "Something unexpected happened."),
    StatusCode.DATA_LOSS: (500, "INTERNAL", "Something unexpected happened."),
}
STORE = f"/{SERVICE}/Store"
TOO_LARGE = (500, "ANSWER_TOO_LARGE")


def check_shape(answer: Answer) -> None:
    """Every failure has an ErrorInfo, and each 429 and 503 a Retry-After."""
    assert answer.json.keys() == {"code", "message", "details"}
    infos = [each for each in answer.json["details"] if each.get("@type") == INFO]
    assert len(infos) == 1
    assert infos[0]["reason"]
    assert infos[0]["domain"]
    assert answer.json["message"]
    assert ("retry-after" in answer.headers) == (answer.status in (429, 503))


@pytest.mark.parametrize("code", STATUS_OF_CODE, ids=lambda code: code.name)
async def test_a_bare_status_of_a_service(world: World, code: StatusCode) -> None:
    expected = OWN_WORDS.get(code, (STATUS_OF_CODE[code], code.name, WORDS))
    with world.upstream.behaving(bare(code, WORDS)):
        answer = await world.client.get("/v1/books/dune")
    check_shape(answer)
    assert (answer.status, answer.reason, answer.json["message"]) == expected


@pytest.mark.parametrize("code", STATUS_OF_CODE, ids=lambda code: code.name)
@pytest.mark.parametrize(
    "details",
    [
        [error_details_pb2.BadRequest()],
        [any_pb2.Any()],
        [any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")],
        [],
    ],
    ids=["another", "empty", "broken", "none"],
)
async def test_a_status_with_details_and_no_reason(
    world: World, code: StatusCode, details: list[Any]
) -> None:
    with world.upstream.behaving(failing(code, WORDS, *details)):
        answer = await world.client.get("/v1/books/dune")
    assert (answer.status, answer.json["message"]) == (STATUS_OF_CODE[code], WORDS)
    assert answer.reason == code.name
    assert len(answer.json["details"]) == 1 + len(details)
    assert ("retry-after" in answer.headers) == (answer.status in (429, 503))


async def test_the_wait_that_a_service_tells_in_a_header_stays(world: World) -> None:
    async def refuse(request: bytes, context: Any) -> bytes:
        await context.send_initial_metadata((("retry-after", "7"),))
        await context.abort(StatusCode.RESOURCE_EXHAUSTED, WORDS)
        return b""

    with world.upstream.behaving(refuse):
        answer = await world.client.get("/v1/books/dune")
    assert answer.headers["retry-after"] == "7"


@dataclass(frozen=True)
class Provoked:
    """A way to make gRPC say something, and the answer of the gateway."""

    code: StatusCode
    expected: tuple[int, str]
    cause: Cause | None = None
    script: Script | None = None
    server: tuple[tuple[str, int], ...] = ()
    channel: tuple[tuple[str, int], ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()
    body: Any = None
    trailers: bool = False


EXHAUSTED, UNIMPLEMENTED = StatusCode.RESOURCE_EXHAUSTED, StatusCode.UNIMPLEMENTED
UNAVAILABLE = (503, "UPSTREAM_UNAVAILABLE")
REQUEST = (413, "INVALID_FIELD")
INTERNAL = (500, "INTERNAL")
LARGE = {"stringValue": "x" * 10_000}


def http_status(status: int) -> Script:
    fields = [(":status", str(status)), ("content-type", "text/html")]
    return lambda stream: headers(stream, fields) + http2.frame(http2.DATA, 1, stream, b"secret")


def after_reset(code: int) -> Script:
    return lambda stream: headers(stream, GRPC) + reset(stream, code)


def trailing(*fields: tuple[str, str]) -> Script:
    return lambda stream: headers(stream, [*GRPC, *fields], end=True)


PROVOKED = {
    "the channel receives too much": Provoked(
        EXHAUSTED,
        TOO_LARGE,
        Cause.ANSWER_TOO_LARGE,
        channel=(("grpc.max_receive_message_length", 1000),),
        settings=(("gateway_answer_bytes", 1024),),
    ),
    "the channel receives too many trailers": Provoked(
        EXHAUSTED, TOO_LARGE, Cause.ANSWER_TOO_LARGE, trailers=True
    ),
    "the server sends too much": Provoked(
        EXHAUSTED,
        TOO_LARGE,
        Cause.ANSWER_TOO_LARGE,
        server=(("grpc.max_send_message_length", 1000),),
    ),
    "the channel sends too much": Provoked(
        EXHAUSTED,
        REQUEST,
        Cause.REQUEST_TOO_LARGE,
        channel=(("grpc.max_send_message_length", 1000),),
        settings=(("gateway_body_bytes", 4 * 1024 * 1024),),
        body={"numbers": [-1] * 500_000},  # three bytes of JSON each, and ten of the message
    ),
    "the server receives too much": Provoked(
        EXHAUSTED,
        REQUEST,
        Cause.REQUEST_TOO_LARGE,
        server=(("grpc.max_receive_message_length", 1000),),
    ),
    "the server receives too many headers": Provoked(
        EXHAUSTED,
        (431, "INVALID_FIELD"),
        Cause.HEADERS_TOO_LARGE,
        server=(("grpc.absolute_max_metadata_size", 1024), ("grpc.max_metadata_size", 1000)),
    ),
    "the connection closes": Provoked(StatusCode.UNAVAILABLE, UNAVAILABLE, script=lambda _: b""),
    "the server goes away": Provoked(
        StatusCode.UNAVAILABLE, UNAVAILABLE, script=lambda _: goaway(0, "secret")
    ),
    "no status comes": Provoked(StatusCode.UNKNOWN, INTERNAL, script=trailing()),
    "a status is not a number": Provoked(
        StatusCode.INTERNAL, INTERNAL, script=trailing(("grpc-status", "secret"))
    ),
    "a status has no name": Provoked(
        StatusCode.UNKNOWN, INTERNAL, script=trailing(("grpc-status", "99"))
    ),
    "a message is compressed wrongly": Provoked(
        StatusCode.INTERNAL,
        INTERNAL,
        script=lambda stream: (
            headers(stream, GRPC) + message(stream, b"abc", flag=1) + headers(stream, OK, end=True)
        ),
    ),
    **{
        f"a proxy answers {status}": Provoked(code, expected, cause, script=http_status(status))
        for status, code, expected, cause in [
            (401, StatusCode.UNAUTHENTICATED, UNAVAILABLE, Cause.TRANSPORT),
            (403, StatusCode.PERMISSION_DENIED, UNAVAILABLE, Cause.TRANSPORT),
            (404, UNIMPLEMENTED, UNAVAILABLE, Cause.TRANSPORT),
            (429, StatusCode.UNAVAILABLE, UNAVAILABLE, None),
            (500, StatusCode.UNKNOWN, INTERNAL, None),
            (502, StatusCode.UNAVAILABLE, UNAVAILABLE, None),
            (503, StatusCode.UNAVAILABLE, UNAVAILABLE, None),
        ]
    },
    **{
        f"a stream ends with {number}": Provoked(code, expected, cause, script=after_reset(number))
        for number, code, expected, cause in [
            (0, StatusCode.INTERNAL, INTERNAL, None),
            (2, StatusCode.INTERNAL, INTERNAL, None),
            (7, StatusCode.UNAVAILABLE, UNAVAILABLE, None),
            (8, StatusCode.CANCELLED, UNAVAILABLE, None),
            (11, EXHAUSTED, UNAVAILABLE, Cause.TRANSPORT),
            (12, StatusCode.PERMISSION_DENIED, UNAVAILABLE, Cause.TRANSPORT),
        ]
    },
}

# As grpcio's server, its generated servicers, grpc-go and grpc-java write them. Their servers
# send these texts like the words of a service.
SENT = [
    (UNIMPLEMENTED, "Method not found!", 501, "METHOD_NOT_IMPLEMENTED"),
    (UNIMPLEMENTED, "Method not implemented!", 501, "METHOD_NOT_IMPLEMENTED"),
    (UNIMPLEMENTED, "Method not found: a.B/C", 501, "METHOD_NOT_IMPLEMENTED"),
    (UNIMPLEMENTED, "unknown method C for service a.B", 501, "METHOD_NOT_IMPLEMENTED"),
    (UNIMPLEMENTED, "unknown service a.B", 501, "METHOD_NOT_IMPLEMENTED"),
    (EXHAUSTED, "Concurrent RPC limit exceeded!", 429, "TOO_MANY_REQUESTS"),
    (EXHAUSTED, "grpc: received message larger than max (9 vs. 4)", 413, "INVALID_FIELD"),
    (EXHAUSTED, "gRPC message exceeds maximum size 4: 9", 413, "INVALID_FIELD"),
    (EXHAUSTED, "grpc: trying to send message larger than max (9 vs. 4)", *TOO_LARGE),
]


@contextlib.asynccontextmanager
async def upstream_of(case: Provoked) -> AsyncIterator[Upstreams]:
    if case.script is not None:
        async with scripted(case.script) as port:
            yield Upstreams(port)
        return

    async def echo(request: bytes, context: Any) -> bytes:
        if case.trailers:
            context.set_trailing_metadata((("x-large", "y" * 70_000),))
        return request

    async with echoing(options=case.server) as upstream:
        upstream.behaviour = echo
        yield upstream


async def failed_call(port: int, path: str, *channel: tuple[str, int]) -> grpc.aio.AioRpcError:
    """Call without a gateway."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), *channel]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as opened:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = opened.unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"x" * 2000, timeout=10, metadata=(("x-a", "y" * 2000),))
    return raised.value


def row_of(code: StatusCode, text: str | None) -> tuple[StatusCode, str] | None:
    """Return the row of the table that recognises a text."""
    found = (pattern for pattern, _ in causes.TEXTS.get(code, ()) if re.match(pattern, text or ""))
    return next(((code, pattern) for pattern in found), None)


async def test_the_installed_grpc_speaks_as_the_table_says() -> None:
    """Each row is provoked, or is one that the server of another language sends."""
    rows = {row_of(code, text) for code, text, *_ in SENT}
    for name, case in PROVOKED.items():
        async with upstream_of(case) as upstream:
            error = await failed_call(upstream.port, STORE, *case.channel)
        text = error.details() or ""
        assert (name, error.code()) == (name, case.code)
        assert (name, causes.cause_of(error.code(), text)) == (name, case.cause)
        rows.add(row_of(error.code(), text))
    table = {(code, pattern) for code, rows in causes.TEXTS.items() for pattern, _ in rows}
    assert rows - {None} == table


async def test_the_server_of_the_installed_grpc_sends_these_texts() -> None:
    sent = {(code, text) for code, text, *_ in SENT}
    holding, free = asyncio.Event(), asyncio.Event()

    async def hold(request: bytes, context: Any) -> bytes:
        holding.set()
        await free.wait()
        return request

    async with echoing(maximum_concurrent_rpcs=1) as upstream:
        error = await failed_call(upstream.port, "/other.Service/Nope")
        assert (error.code(), error.details()) in sent
        upstream.behaviour = hold
        async with grpc.aio.insecure_channel(f"127.0.0.1:{upstream.port}") as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(STORE)
            first = call(b"")
            await holding.wait()
            error = await failed_call(upstream.port, STORE)
            free.set()
            await first
        assert (error.code(), error.details()) in sent


@pytest.mark.parametrize("case", PROVOKED.values(), ids=PROVOKED)
async def test_what_grpc_says_does_not_pass(library: Registry, case: Provoked) -> None:
    async with (
        upstream_of(case) as upstream,
        gateway_for(upstream, library, is_own=False, **dict(case.settings)) as world,
    ):
        with structlog.testing.capture_logs() as logged:
            answer = await world.client.post(
                "/v1/everything",
                case.body or LARGE,
                Accept_Language="y" * 2000,
                Request_Timeout="8",
            )
    check_shape(answer)
    assert (answer.status, answer.reason) == case.expected
    causes = [each["cause"] for each in logged if each.get("cause")]
    assert len(causes) == (case.expected == UNAVAILABLE), "the log tells what gRPC said"
    assert b"secret" not in answer.body
    assert b"larger than max" not in answer.body
    assert b"Received" not in answer.body
    assert b"removed" not in answer.body


@pytest.mark.parametrize(("code", "text", "status", "reason"), SENT)
async def test_what_a_server_of_grpc_says_does_not_pass(
    world: World, code: StatusCode, text: str, status: int, reason: str
) -> None:
    with world.upstream.behaving(bare(code, text)):
        answer = await world.client.get("/v1/books/dune")
    check_shape(answer)
    assert (answer.status, answer.reason) == (status, reason)
    assert text.encode() not in answer.body


@pytest.mark.parametrize("size", [1023, 1024, 1025, 2000, 4096, 4097, 9000])
async def test_the_gateway_bounds_the_answer_itself(
    world: World, library: Registry, size: int
) -> None:
    async def long(request: bytes, context: Any) -> bytes:
        return (
            b"\x52" + varint(size - 1 - len(varint(size))) + b"a" * (size - 1 - len(varint(size)))
        )

    async with gateway_for(world.upstream, library, gateway_answer_bytes=1024) as small:
        with world.upstream.behaving(long):
            answer = await small.client.get("/v1/everything")
    if size <= 1024:
        assert answer.status == 200
    else:
        check_shape(answer)
        assert (answer.status, answer.reason) == TOO_LARGE


def varint(number: int) -> bytes:
    if number < 128:
        return bytes([number])
    return bytes([number % 128 + 128]) + varint(number // 128)


async def test_an_answer_above_the_default_of_grpc_passes(world: World) -> None:
    text = b"a" * 5_000_000

    async def long(request: bytes, context: Any) -> bytes:
        return b"\x52" + varint(len(text)) + text

    with world.upstream.behaving(long):
        answer = await world.client.get("/v1/everything")
    assert answer.status == 200
    assert len(answer.json["stringValue"]) == len(text)


@pytest.mark.parametrize(
    "script",
    [
        trailing(("grpc-status", "0")),
        lambda stream: (
            headers(stream, GRPC) + message(stream, b"\xff") + headers(stream, OK, end=True)
        ),
        # A Timestamp in the year 10000, which has no JSON form.
        lambda stream: (
            headers(stream, GRPC)
            + message(stream, b"\xaa\x01\x07\x08\x80\x94\xc3\xb7\xd5\x07")
            + headers(stream, OK, end=True)
        ),
    ],
    ids=["none", "garbage", "no JSON"],
)
async def test_a_wrong_answer_is_the_upstreams(
    library: Registry, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    async with scripted(script) as port, gateway_for(Upstreams(port), library) as world:
        answer = await world.client.get("/v1/everything")
    check_shape(answer)
    assert answer.status == 500
    assert answer.json["message"] == f"The answer of {SERVICE}.Query is not valid."
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
