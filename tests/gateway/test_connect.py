"""The Connect protocol: a client that is not ours, and the examples of the specification."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import pytest_asyncio
from connectrpc.client import ConnectClient
from connectrpc.code import Code
from connectrpc.codec import proto_json_codec
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from protobuf import DescService

from tests.gateway.test_errors import bare
from tests.gateway.world import SERVICE, World, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")

GET_BOOK = f"/{SERVICE}/GetBook"
STORE = f"/{SERVICE}/Store"
PROTO = "application/proto"


@dataclass
class Caller:
    """A client of the Connect project, with the messages of the tests."""

    client: ConnectClient
    world: World

    async def call(self, method_name: str, /, **fields: Any) -> Any:
        service = self.world.registry.service(SERVICE)
        assert isinstance(service, DescService)
        method = next(each for each in service.methods if each.name == method_name)
        info = MethodInfo(
            name=method_name,
            service_name=SERVICE,
            input=method.input.type,
            output=method.output.type,
            idempotency_level=IdempotencyLevel.UNKNOWN,
            stream_type=StreamType.UNARY,
        )
        request = method.input.type(**fields)
        return await self.client.execute_unary(request=request, method=info, timeout_ms=5000)


@pytest_asyncio.fixture(loop_scope="session", params=["proto", "json"])
async def caller(world: World, request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    codec = proto_json_codec() if request.param == "json" else None
    base = f"http://127.0.0.1:{world.client.port}"
    async with ConnectClient(base, codec=codec) as client:
        yield Caller(client, world)


async def test_a_client_of_another_project_calls(caller: Caller) -> None:
    assert (await caller.call("GetBook", name="dune")).name == "dune"
    assert caller.world.upstream.calls[-1][3] is not None
    assert caller.world.upstream.calls[-1][3] < 6
    stored = await caller.call("Store", string_value="x" * 50_000, int64_value=2**60)
    assert (stored.string_value, stored.int64_value) == ("x" * 50_000, 2**60)


async def test_a_client_of_another_project_reads_failures(caller: Caller) -> None:
    async def refuse(request: bytes, context: Any) -> bytes:
        info = error_details_pb2.ErrorInfo(reason="BOOK_LENT", domain="acme")
        status = status_pb2.Status(code=9, message="It is lent.")
        status.details.add().Pack(info)
        await context.abort_with_status(rpc_status.to_status(status))
        return request

    with caller.world.upstream.behaving(refuse), pytest.raises(ConnectError) as raised:
        await caller.call("GetBook", name="dune")
    assert (raised.value.code, raised.value.message) == (Code.FAILED_PRECONDITION, "It is lent.")
    [detail] = raised.value.details
    assert detail.type_name == "google.rpc.ErrorInfo"
    assert b"BOOK_LENT" in detail.message_bytes


@pytest.mark.parametrize("code", [each for each in grpc.StatusCode if each.value[0]])
async def test_every_code_has_its_name(caller: Caller, code: grpc.StatusCode) -> None:
    with caller.world.upstream.behaving(bare(code, "text")), pytest.raises(ConnectError) as raised:
        await caller.call("GetBook", name="dune")
    # gRPC itself cancels calls when a service stops. The client is still waiting.
    expected = "unavailable" if code is grpc.StatusCode.CANCELLED else code.name.lower()
    assert raised.value.code.value == expected


async def test_the_example_of_the_specification(world: World) -> None:
    answer = await world.client.raw(
        b"POST " + GET_BOOK.encode() + b" HTTP/1.1\r\nHost: demo\r\n"
        b"Content-Type: application/json\r\nConnect-Protocol-Version: 1\r\n"
        b'Content-Length: 15\r\n\r\n{"name":"Buf" }',
        "POST",
    )
    assert (answer.status, answer.json["name"]) == (200, "Buf")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{}", {"Content-Type": "text/plain"}, 415, "invalid_argument"),
        (b"{}", {"Content-Type": "application/grpc"}, 415, "invalid_argument"),
        (b"{}", {"Content-Encoding": "br"}, 415, "invalid_argument"),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "invalid_argument"),
        (gzip.compress(b"{}", mtime=0)[:-3], {"Content-Encoding": "gzip"}, 400, "invalid_argument"),
        (
            gzip.compress(b"{}", mtime=0) + b"x",
            {"Content-Encoding": "gzip"},
            400,
            "invalid_argument",
        ),
        (
            gzip.compress(b" " * 2**24, mtime=0),
            {"Content-Encoding": "gzip"},
            413,
            "invalid_argument",
        ),
        (b"{", {}, 400, "invalid_argument"),
        (b'{"nope": 1}', {}, 400, "invalid_argument"),
        (b"\xff\xff", {"Content-Type": PROTO}, 400, "invalid_argument"),
        (b"{}", {"Connect-Timeout-Ms": "0"}, 400, "invalid_argument"),
        (b"{}", {"Connect-Timeout-Ms": "1s"}, 400, "invalid_argument"),
        (b"{}", {"Connect-Timeout-Ms": "12345678901"}, 400, "invalid_argument"),
    ],
)
async def test_what_is_wrong_is_refused_and_nothing_called(
    world: World, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    world.upstream.calls.clear()
    answer = await world.client.send("POST", STORE, body, headers=headers)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    info, *_ = answer.json["details"]
    assert info["type"] == "google.rpc.ErrorInfo"
    read = error_details_pb2.ErrorInfo.FromString(base64.b64decode(info["value"] + "=="))
    assert read.reason == info["debug"]["reason"] == "INVALID_FIELD"
    assert world.upstream.calls == []


async def test_a_body_may_be_compressed(world: World) -> None:
    body = gzip.compress(json.dumps({"stringValue": "x" * 1000}).encode())
    answer = await world.client.send("POST", STORE, body, headers={"Content-Encoding": "gzip"})
    assert (answer.status, answer.json["stringValue"]) == (200, "x" * 1000)


async def test_an_answer_above_the_limit_is_an_error(world: World) -> None:
    async with gateway_for(world.upstream, world.registry, gateway_answer_bytes=1024) as small:
        for headers in ({"Content-Type": PROTO}, {}):
            data = b"\x0a\xd0\x0f" + b"x" * 2000 if headers else b'{"name":"%s"}' % (b"x" * 2000)
            answer = await small.client.send("POST", GET_BOOK, data, headers=headers)
            assert (answer.status, answer.json["code"]) == (500, "internal")


async def test_only_methods_that_a_rule_reaches_are_served(world: World) -> None:
    world.upstream.calls.clear()
    assert (await world.client.post(f"/{SERVICE}/Hidden", {})).status == 404
    assert (await world.client.get(GET_BOOK)).status == 405
    assert world.upstream.calls == []


async def test_a_setting_switches_it_off(world: World) -> None:
    async with gateway_for(world.upstream, world.registry, gateway_connect=False) as without:
        assert (await without.client.post(GET_BOOK, {})).status == 404


async def test_browsers_may_send_its_headers(world: World) -> None:
    origin = "https://shop.example"
    async with gateway_for(world.upstream, world.registry, gateway_origins=[origin]) as shop:
        answer = await shop.client.send(
            "OPTIONS",
            GET_BOOK,
            headers={"Origin": origin, "Access-Control-Request-Method": "POST"},
        )
    allowed = answer.headers["access-control-allow-headers"]
    assert {"connect-protocol-version", "connect-timeout-ms"} <= set(allowed.split(", "))
