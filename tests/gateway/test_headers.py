"""The headers that pass, the time of a call, and the answers to bad headers."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from lockstep_gateway.http.deadline import grpc_timeout_seconds, request_timeout_seconds
from lockstep_gateway.http.fields import Fields
from lockstep_gateway.http.headers import HeaderPolicy
from lockstep_gateway.http.upstream import Upstream

from services.gateway.lockstep import RESERVED_HEADERS, GatewaySettings, proof_by
from tests.gateway.http import Client
from tests.gateway.world import SERVICE, World, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_listed_headers_reach_the_service(world: World) -> None:
    sent = {
        "authorization": "Bearer x",
        "idempotency-key": "k 1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=b",
        "accept-language": "en",
        "x-request-id": "r 1",
    }
    await world.client.send("GET", "/v1/books/dune", headers=sent)
    assert {key: world.upstream.metadata.get(key) for key in sent} == sent


async def test_no_other_header_does(world: World) -> None:
    sent = {
        "cookie": "a=b",
        "x-lockstep-service": "forged",
        "x-lockstep-client-address": "10.0.0.1",
        "X-Lockstep-Anything": "x",
        "grpc-metadata-x": "y",
        "x-forwarded-for": "10.0.0.1",
        "grpc-encoding": "gzip",
        "grpc-status-details-bin": "AAAA",
        "x-http-method-override": "DELETE",
        "via": "x",
    }
    await world.client.send("GET", "/v1/books/dune", headers=sent)
    ours = {"x-request-id", "user-agent"}
    assert {key for key in world.upstream.metadata if not key.startswith("grpc-accept")} == ours
    assert world.upstream.method == "GetBook"


async def test_further_headers_pass_where_they_are_set(world: World) -> None:
    names = "X-Tenant, Grpc-Metadata-Color"
    async with gateway_for(world.upstream, world.registry, gateway_headers=names) as tenant:
        headers = {"x-tenant": "a", "grpc-metadata-color": "red", "grpc-metadata-size": "5"}
        await tenant.client.send("GET", "/v1/books/dune", headers=headers)
    metadata = world.upstream.metadata
    assert (metadata["x-tenant"], metadata["color"]) == ("a", "red")
    assert "size" not in metadata


@pytest.mark.parametrize(
    "name",
    [
        "x-lockstep-service",
        "grpc-metadata-x-lockstep-service",
        "grpc-timeout",
        "data-bin",
        "host",
        "te",
        "a b",
        "",
        "grpc-metadata-",
    ],
)
async def test_headers_that_must_not_pass_cannot_be_set(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be passed on"):
        HeaderPolicy([name], reserved=RESERVED_HEADERS)


async def test_a_request_id_is_made_and_echoed(world: World) -> None:
    answer = await world.client.get("/v1/books/dune")
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    assert world.upstream.metadata["x-request-id"] == answer.headers["x-request-id"]


async def test_a_request_id_is_echoed_on_failures_too(world: World) -> None:
    answer = await world.client.send("GET", "/nope", headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"


@pytest.mark.parametrize("value", [b"\xc3\xa9", b"a\tb", b"x" * 129, b""])
async def test_a_request_id_that_is_no_printable_ascii_is_replaced(
    world: World, value: bytes
) -> None:
    answer = await world.client.raw(
        b"GET /v1/books/dune HTTP/1.1\r\nHost: x\r\nX-Request-Id: " + value + b"\r\n\r\n"
    )
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize("value", [b"caf\xc3\xa9", b"\xff", b"a\tb"])
@pytest.mark.parametrize("name", ["authorization", "idempotency-key"])
async def test_values_that_matter_and_grpc_cannot_carry_are_400(
    world: World, name: str, value: bytes
) -> None:
    answer = await world.client.raw(
        f"GET /v1/books/dune HTTP/1.1\r\nHost: x\r\n{name}: ".encode() + value + b"\r\n\r\n"
    )
    assert (answer.status, set(answer.fields)) == (400, {name})


@pytest.mark.parametrize("value", [b"", b" "])
async def test_an_empty_authorization_is_an_absent_one(world: World, value: bytes) -> None:
    answer = await world.client.raw(
        b"GET /v1/books/dune HTTP/1.1\r\nHost: x\r\nAuthorization:" + value + b"\r\n\r\n"
    )
    assert answer.status == 200
    assert "authorization" not in world.upstream.metadata


async def test_values_that_do_not_matter_and_grpc_cannot_carry_are_dropped(world: World) -> None:
    answer = await world.client.raw(
        b"GET /v1/books/dune HTTP/1.1\r\nHost: x\r\nAccept-Language: \xc3\xa9\r\n\r\n"
    )
    assert answer.status == 200
    assert "accept-language" not in world.upstream.metadata


async def test_a_header_that_matters_comes_once(world: World) -> None:
    answer = await world.client.raw(
        b"GET /v1/books/dune HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n"
    )
    assert (answer.status, set(answer.fields)) == (400, {"authorization"})


async def test_a_service_may_set_listed_headers_only(world: World) -> None:
    async def behave(request: bytes, context: Any) -> bytes:
        await context.send_initial_metadata(
            [("location", "/x"), ("set-cookie", "a=b"), ("x-secret", "y"), ("retry-after", "7")]
        )
        return request

    with world.upstream.behaving(behave):
        answer = await world.client.get("/v1/books/dune")
    assert (answer.headers["location"], answer.headers["retry-after"]) == ("/x", "7")
    assert "set-cookie" not in answer.headers
    assert "x-secret" not in answer.headers


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1S", 1),
        ("500m", 0.5),
        ("1M", 60),
        ("2H", 7200),
        ("250000u", 0.25),
        ("99999999n", 0.099999999),
    ],
)
async def test_grpc_timeouts(text: str, seconds: float) -> None:
    assert grpc_timeout_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "0S", "S", "1", "1s", "-1S", "+1S", "1.5S", " 1S", "1S ", "123456789S", "\u06611S"]
)
async def test_other_grpc_timeouts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        grpc_timeout_seconds(text)


@pytest.mark.parametrize(
    "text", ["", "0", "0.0", "-1", "+1", "1s", ".5", "1.", "1e3", "nan", "inf", "1,5", "\u0661"]
)
async def test_other_request_timeouts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        request_timeout_seconds(text)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 10),
        ({"Request-Timeout": "2.5"}, 2.5),
        ({"Grpc-Timeout": "3S"}, 3),
        ({"Grpc-Timeout": "3S", "Request-Timeout": "1"}, 1),
        ({"Request-Timeout": "99999999"}, 10),
        ({"Grpc-Timeout": "99999999H"}, 10),
    ],
)
async def test_the_service_gets_the_time_that_the_client_has(
    world: World, headers: dict[str, str], seconds: float
) -> None:
    began = time.monotonic()
    await world.client.send("GET", "/v1/books/dune", headers=headers)
    left = world.upstream.calls[-1][3]
    assert left is not None
    took = time.monotonic() - began
    # gRPC rounds a timeout up, by less than 1 %.
    assert seconds - took <= left <= 1.01 * seconds


@pytest.mark.parametrize(
    ("name", "value"), [("Request-Timeout", "soon"), ("Grpc-Timeout", "5"), ("Grpc-Timeout", "0S")]
)
async def test_a_malformed_timeout_is_400(world: World, name: str, value: str) -> None:
    answer = await world.client.send("GET", "/v1/books/dune", headers={name: value})
    assert (answer.status, set(answer.fields)) == (400, {name.lower()})


PROXIES = HeaderPolicy(trusted_proxies=["10.0.0.0/8", "::1/128"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("::1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["x, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
async def test_only_trusted_proxies_say_who_the_client_is(
    peer: str, forwarded: list[str], expected: str
) -> None:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    assert PROXIES.client_ip(peer, Fields(headers)) == expected


async def test_own_services_get_a_proof_and_the_address_of_the_client(world: World) -> None:
    from services.gateway.__main__ import running

    place = Upstream("library", f"127.0.0.1:{world.upstream.port}", proof_by(lambda: "proof"))
    settings = GatewaySettings(gateway_trusted_proxies=("127.0.0.0/8",))
    async with running(settings, world.registry, {SERVICE: place}, port=0) as port:
        await Client(port).send(
            "GET",
            "/v1/books/dune",
            headers={"X-Forwarded-For": "198.51.100.1", "x-lockstep-service": "forged"},
        )
    assert world.upstream.metadata["x-lockstep-service"] == "proof"
    assert world.upstream.metadata["x-lockstep-client-address"] == "198.51.100.1"
