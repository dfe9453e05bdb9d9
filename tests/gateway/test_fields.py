"""Header fields that come in several lines, and the lists of them that browsers get."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
from lockstep_gateway.http.deadline import READERS
from lockstep_gateway.http.fields import LISTS, ONCE, Fields
from lockstep_gateway.http.headers import PASSED_OUT, HeaderPolicy
from pydantic import ValidationError

from services.gateway.lockstep import GatewaySettings
from tests.gateway.http import Answer
from tests.gateway.world import World, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def get(world: World, *lines: str) -> Answer:
    head = "".join(f"{each}\r\n" for each in ("Host: x", *lines))
    return await world.client.raw(f"GET /v1/books/dune HTTP/1.1\r\n{head}\r\n".encode())


@pytest.mark.parametrize("types", [("application/json", "text/html"), ("text/html", "*/*")])
async def test_the_lines_of_accept_are_one_list_in_either_order(
    world: World, types: tuple[str, str]
) -> None:
    for one, other in (types, types[::-1]):
        assert (await get(world, f"Accept: {one}", f"Accept: {other}")).status == 200
    assert (await get(world, "Accept: text/html", "Accept: text/plain")).status == 406


async def test_any_of_two_lines_of_tags_may_match(world: World) -> None:
    async def tagged(request: bytes, context: Any) -> bytes:
        return b"\n\x04dune\x12\x017"

    with world.upstream.behaving(tagged):
        for tags in (('"7"', '"1"'), ('"1"', '"7"')):
            answer = await get(world, *(f"If-None-Match: {each}" for each in tags))
            assert answer.status == 304
        assert (await get(world, 'If-None-Match: "1"', 'If-None-Match: "2"')).status == 200


async def test_lines_of_encodings_are_one_list(world: World) -> None:
    async def long(request: bytes, context: Any) -> bytes:
        return b"\n\x80\x10" + b"x" * 2048

    with world.upstream.behaving(long):
        answer = await get(world, "Accept-Encoding: br", "Accept-Encoding: gzip")
        assert answer.headers["content-encoding"] == "gzip"


# The server itself joins equal lengths (RFC 9110 8.6).
@pytest.mark.parametrize("name", sorted(each.decode() for each in ONCE - {b"content-length"}))
async def test_what_comes_once_is_refused_twice(world: World, name: str) -> None:
    world.upstream.calls.clear()
    answer = await get(world, f"{name}: a", f"{name}: a")
    assert (answer.status, answer.fields[name]) == (400, "must be given once")
    assert world.upstream.calls == []


async def test_what_may_be_left_out_is_left_out_when_it_comes_twice(world: World) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await get(world, f"traceparent: {trace}", f"traceparent: {trace}")
    assert answer.status == 200
    assert "traceparent" not in world.upstream.metadata
    answer = await get(world, "X-Request-Id: a", "X-Request-Id: b")
    assert answer.headers["x-request-id"] not in ("a", "b")


async def test_the_lines_of_an_unknown_header_are_joined(world: World) -> None:
    async with gateway_for(world.upstream, world.registry, gateway_headers="x-tenant") as tenant:
        assert (await get(tenant, "X-Tenant: a", "X-Tenant: b")).status == 200
    assert world.upstream.metadata["x-tenant"] == "a, b"


async def test_no_field_is_a_list_and_comes_once() -> None:
    assert not LISTS & ONCE


async def test_a_field_has_one_value() -> None:
    fields = Fields([(b"accept", b"a"), (b"x", b"1"), (b"accept", b"b"), (b"x", b"2")])
    assert (fields.text(b"accept"), fields.text(b"x"), fields.text(b"y")) == ("a, b", "", "")
    assert fields.joined(b"x") == b"1, 2"


async def test_a_browser_may_send_what_is_read_and_read_what_is_sent(world: World) -> None:
    origin = "https://shop.example"
    extra = "X-Tenant,Grpc-Metadata-Color"
    async with gateway_for(
        world.upstream,
        world.registry,
        gateway_origins=origin,
        gateway_headers=extra,
        gateway_headers_out="X-Shelf",
    ) as open_:
        preflight = await open_.client.send(
            "OPTIONS",
            "/v1/books/dune",
            headers={"Origin": origin, "Access-Control-Request-Method": "PATCH"},
        )
        answer = await open_.client.get("/v1/books/dune", Origin=origin)
    allowed = set(preflight.headers["access-control-allow-headers"].split(", "))
    policy = HeaderPolicy(["X-Tenant", "Grpc-Metadata-Color"])
    assert allowed == set(policy.read)
    assert {"x-tenant", "grpc-metadata-color", "if-match", "content-type", *READERS} <= allowed
    exposed = set(answer.headers["access-control-expose-headers"].split(", "))
    assert exposed == {*PASSED_OUT, "x-shelf", "x-request-id"}


async def test_what_a_setting_names_goes_out_line_by_line(world: World) -> None:
    async def behave(request: bytes, context: Any) -> bytes:
        sent = [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-shelf", "7"), ("x-other", "8")]
        await context.send_initial_metadata([*sent, ("etag", "one"), ("etag", "two")])
        return request

    names = "Set-Cookie,x-shelf"
    with world.upstream.behaving(behave):
        async with gateway_for(world.upstream, world.registry, gateway_headers_out=names) as open_:
            url = f"http://127.0.0.1:{open_.client.port}/v1/books/dune"
            async with httpx.AsyncClient() as client:
                answer = await client.get(url)
        unnamed = await world.client.get("/v1/books/dune")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-shelf"] == "7"
    assert answer.headers["etag"] == "two"
    assert "x-other" not in answer.headers
    assert not {"set-cookie", "x-shelf"} & unnamed.headers.keys()


@pytest.mark.parametrize(
    "name", ["content-length", "Connection", "grpc-status", "x-request-id", "a b", "x-bin", "vary"]
)
async def test_what_the_gateway_sends_itself_cannot_be_named(name: str) -> None:
    with pytest.raises(ValidationError, match=r"cannot be passed out"):
        GatewaySettings(gateway_headers_out=(name,))


async def test_a_thousand_idle_connections_end_in_time_and_stall_nobody(world: World) -> None:
    async with gateway_for(world.upstream, world.registry, gateway_read_seconds=2) as hasty:
        opened = [
            await asyncio.open_connection("127.0.0.1", hasty.client.port) for _ in range(1000)
        ]
        assert (await hasty.client.get("/v1/books/dune")).status == 200

        async def end(reader: asyncio.StreamReader) -> None:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""

        async with asyncio.timeout(20):
            await asyncio.gather(*(end(reader) for reader, _ in opened))
        for _, writer in opened:
            writer.close()
        assert (await hasty.client.get("/v1/books/dune")).status == 200
