"""All failures have one shape, and none gives internals away."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_status import rpc_status
from lockstep_gateway.http.errors import json_path
from lockstep_gateway.http.upstream import Channels, Upstream

from tests.gateway.world import SERVICE, Upstreams, World, echoing, gateway_for
from tests.waiting import until_found

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOT_SERVING, SERVING = HealthCheckResponse.NOT_SERVING, HealthCheckResponse.SERVING

# google/rpc/code.proto
STATUS_OF_CODE = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}


def failing(code: grpc.StatusCode, text: str, *details: Any) -> Any:
    """Fail like a service that sends details."""
    status = status_pb2.Status(code=code.value[0], message=text)
    for detail in details:
        packed = detail
        if not isinstance(detail, any_pb2.Any):
            packed = any_pb2.Any()
            packed.Pack(detail)
        status.details.append(packed)

    async def behave(request: bytes, context: Any) -> bytes:
        await context.abort_with_status(rpc_status.to_status(status))
        return b""

    return behave


def bare(code: grpc.StatusCode, text: str, metadata: Any = ()) -> Any:
    async def behave(request: bytes, context: Any) -> bytes:
        await context.abort(code, text, tuple(metadata))
        return b""

    return behave


INFO = error_details_pb2.ErrorInfo(reason="NO", domain="acme", metadata={"a": "b"})


@pytest.mark.parametrize("code", STATUS_OF_CODE, ids=lambda code: code.name)
async def test_each_code_has_its_status(world: World, code: grpc.StatusCode) -> None:
    with world.upstream.behaving(failing(code, "No.", INFO)):
        answer = await world.client.get("/v1/books/dune")
    assert answer.status == STATUS_OF_CODE[code]
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "code": code.value[0],
        "message": "No.",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "NO",
                "domain": "acme",
                "metadata": {"a": "b"},
            }
        ],
    }


async def test_problem_details_where_they_are_asked_for(world: World) -> None:
    with world.upstream.behaving(failing(grpc.StatusCode.NOT_FOUND, "No.", INFO)):
        answer = await world.client.get("/v1/books/dune", Accept="application/problem+json")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == 404
    assert answer.json["title"] == "Not Found"
    assert answer.json["detail"] == "No."
    assert answer.json["code"] == 5
    assert answer.json["details"][0]["reason"] == "NO"


async def test_problem_details_of_the_gateways_own(world: World) -> None:
    answer = await world.client.get("/nope", Accept="application/problem+json")
    assert (answer.status, answer.json["title"]) == (404, "Not Found")
    assert answer.reason == "ROUTE_NOT_FOUND"


async def test_retry_info_becomes_retry_after_in_whole_seconds(world: World) -> None:
    wait = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=2, nanos=1))
    for code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE):
        with world.upstream.behaving(failing(code, "Wait.", wait)):
            answer = await world.client.get("/v1/books/dune")
        assert answer.headers["retry-after"] == "3"
    with world.upstream.behaving(failing(grpc.StatusCode.NOT_FOUND, "No.", wait)):
        assert "retry-after" not in (await world.client.get("/v1/books/dune")).headers


async def test_401_says_how_to_prove_who_one_is(world: World) -> None:
    with world.upstream.behaving(failing(grpc.StatusCode.UNAUTHENTICATED, "Who?")):
        answer = await world.client.get("/v1/books/dune")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_detail_of_an_unknown_type_is_kept_beside_the_others(world: World) -> None:
    strange = any_pb2.Any(type_url="type.googleapis.com/no.Such", value=b"\x01\x02")
    with world.upstream.behaving(failing(grpc.StatusCode.ABORTED, "No.", strange, INFO)):
        answer = await world.client.get("/v1/books/dune")
    assert answer.json["details"][0] == {
        "@type": "type.googleapis.com/no.Such",
        "value": "AQI=",
    }
    assert answer.reason == "NO"


async def test_a_detail_that_is_broken_does_no_harm(world: World) -> None:
    broken = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff\xff")
    with world.upstream.behaving(failing(grpc.StatusCode.ABORTED, "No.", broken, INFO)):
        answer = await world.client.get("/v1/books/dune")
    assert (answer.status, answer.json["message"], answer.reason) == (409, "No.", "NO")


async def test_status_details_that_are_no_status_do_no_harm(world: World) -> None:
    metadata = [("grpc-status-details-bin", b"\xff\xff")]
    with world.upstream.behaving(bare(grpc.StatusCode.NOT_FOUND, "No.", metadata)):
        answer = await world.client.get("/v1/books/dune")
    assert answer.status == 404


async def test_violations_get_the_json_names_of_their_fields(world: World) -> None:
    violations = error_details_pb2.BadRequest()
    for field in ("book.page_count", "book.author.full_name", "book.nope_x", "nope_x.y_z"):
        violations.field_violations.add(field=field, description="is bad")
    code = grpc.StatusCode.INVALID_ARGUMENT
    with world.upstream.behaving(failing(code, "Bad.", violations)):
        answer = await world.client.send("PUT", "/v1/books/dune", {})
    assert list(answer.fields) == [
        "book.pageCount",
        "book.author.fullName",
        "book.nope_x",
        "nope_x.y_z",
    ]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("int32_value", "", "int32Value"),
        ("more_places[2].city", "", "morePlaces[2].city"),
        ("nested.more_places[2]", "", "nested.morePlaces[2]"),
        ("odd_name", "", "ODD"),
        ("labels[a.b]", "", "labels[a.b]"),
        ("places.x", "", "places.x"),
        ("", "", ""),
        ("more_places", "nested", "morePlaces"),
    ],
)
async def test_paths_of_fields_get_json_names(
    world: World, path: str, body: str, expected: str
) -> None:
    message = world.registry.message("acme.library.v1.Everything")
    assert message is not None
    assert json_path(message, path, body) == expected


async def test_a_path_from_inside_the_body_is_understood(world: World) -> None:
    message = world.registry.message("acme.library.v1.UpdateRequest")
    assert message is not None
    assert json_path(message, "author.full_name", "book") == "author.fullName"


@pytest.mark.parametrize("code", ["UNKNOWN", "INTERNAL", "DATA_LOSS"])
async def test_the_text_of_a_crash_is_not_passed_on(world: World, code: str) -> None:
    with world.upstream.behaving(bare(grpc.StatusCode[code], "Traceback: secret")):
        answer = await world.client.get("/v1/books/dune")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert answer.reason == "INTERNAL"


async def test_an_exception_in_a_service_is_not_passed_on(world: World) -> None:
    async def crash(request: bytes, context: Any) -> bytes:
        raise RuntimeError("secret")

    with world.upstream.behaving(crash):
        answer = await world.client.get("/v1/books/dune")
    assert answer.status == 500
    assert b"secret" not in answer.body


async def test_a_response_that_is_no_message_is_an_internal_error(world: World) -> None:
    async def nonsense(request: bytes, context: Any) -> bytes:
        return b"\xff\xff\xff"

    with world.upstream.behaving(nonsense):
        answer = await world.client.get("/v1/books/dune")
    assert (answer.status, answer.reason) == (500, "INTERNAL")


async def test_a_service_that_is_down_is_503_in_the_same_shape(world: World) -> None:
    nobody = Upstreams(port=1)
    async with gateway_for(nobody, world.registry) as lonely:
        with structlog.testing.capture_logs() as logged:
            answer = await lonely.client.get("/v1/books/dune")
        assert (answer.status, answer.reason) == (503, "UPSTREAM_UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"
        assert b"127.0.0.1" not in answer.body
        line = next(each for each in logged if each.get("status") == 503)
        assert "127.0.0.1:1: Failed to connect to remote host" in line["cause"]
        ready = await lonely.client.get("/readyz")
        assert ready.status == 503
        assert f"{SERVICE} is UNAVAILABLE" in ready.json["message"]
        assert (await lonely.client.get("/healthz")).status == 200


@pytest.mark.parametrize(
    ("path", "status", "calls"), [("/v1/books/newest", 200, 3), ("/v1/books/dune", 503, 1)]
)
async def test_only_a_method_that_says_it_changes_nothing_is_repeated(
    world: World, path: str, status: int, calls: int
) -> None:
    refusals = [grpc.StatusCode.UNAVAILABLE] * 2

    async def refuse_twice(request: bytes, context: Any) -> bytes:
        if refusals:
            await context.abort(refusals.pop(), "Not now.")
        return request

    before = len(world.upstream.calls)
    with world.upstream.behaving(refuse_twice):
        answer = await world.client.get(path)
    assert answer.status == status
    assert len(world.upstream.calls) - before == calls


async def test_a_call_that_a_stopping_service_cancels_is_503(world: World) -> None:
    with world.upstream.behaving(bare(grpc.StatusCode.CANCELLED, "CANCELLED")):
        answer = await world.client.get("/v1/books/dune")
    assert (answer.status, answer.reason) == (503, "UPSTREAM_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"


async def test_a_service_that_is_not_serving_gets_no_calls(world: World) -> None:
    health = HealthServicer()
    await health.set("", NOT_SERVING)
    async with echoing(health) as ailing, gateway_for(ailing, world.registry) as gateway:
        answer = await gateway.client.get("/v1/books/dune")
        assert (answer.status, answer.reason) == (503, "UPSTREAM_UNAVAILABLE")
        ready = await gateway.client.get("/readyz")
        assert f"{SERVICE} is UNAVAILABLE" in ready.json["message"]
        assert ailing.calls == []

        await health.set("", SERVING)
        await until_found(
            lambda: gateway.client.get("/readyz"), lambda ready: ready.status == 200, seconds=10
        )
        assert (await gateway.client.get("/v1/books/dune")).status == 200


async def test_a_gateway_with_its_services_is_ready(world: World) -> None:
    answer = await world.client.get("/readyz")
    assert answer.json == {"status": "SERVING", "upstreams": {SERVICE: "SERVING"}}


@pytest.mark.parametrize("order", [1, -1])
async def test_a_name_serves_only_while_all_its_channels_do(world: World, order: int) -> None:
    channels = Channels()
    for port in (world.upstream.port, 1)[::order]:
        channels.method(Upstream("auth", f"127.0.0.1:{port}"), f"/service.Of{port}/Method")
    try:
        assert await channels.health() == {"auth": "UNAVAILABLE"}
    finally:
        await channels.close()


async def test_the_domain_of_own_errors_is_a_setting(world: World) -> None:
    async with gateway_for(
        world.upstream, world.registry, gateway_error_domain="acme.example"
    ) as own:
        answer = await own.client.get("/nope")
    assert answer.json["details"][0]["domain"] == "acme.example"
