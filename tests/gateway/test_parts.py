"""Answers that are not a whole message in JSON: files (google.api.HttpBody), and parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.api import httpbody_pb2
from lockstep_gateway.binding import descriptors

from tests.gateway.test_causes import check_shape
from tests.gateway.test_errors import bare
from tests.gateway.world import PROTOS, Upstreams, World, compile_protos, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICE = "acme.features.v1.Library"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def features(
    upstream: Upstreams, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    out = tmp_path_factory.mktemp("features") / "features.binpb"
    registry = descriptors.load(compile_protos(PROTOS, out, "acme/features/v1/features.proto"))
    async with gateway_for(upstream, registry, service=SERVICE) as world:
        yield world


def file(data: bytes, content_type: str = "") -> bytes:
    return httpbody_pb2.HttpBody(content_type=content_type, data=data).SerializeToString()


def answering(answer: bytes) -> Any:
    async def behave(request: bytes, context: Any) -> bytes:
        return answer

    return behave


def part(world: World, **fields: Any) -> bytes:
    """Write the message that parts are taken of."""
    message = world.registry.message("acme.features.v1.Part")
    book = world.registry.message("acme.features.v1.Book")
    body = world.registry.message("google.api.HttpBody")
    assert message is not None
    assert book is not None
    assert body is not None
    if "book" in fields:
        fields["book"] = book.type(**fields["book"])
    if "file" in fields:
        fields["file"] = body.type(**fields["file"])
    made: bytes = message.type(**fields).to_binary()
    return made


@pytest.mark.parametrize(
    ("data", "content_type", "expected"),
    [
        (b"\x89PNG\x00\xff", "image/png", "image/png"),
        (b"a,b\r\n", "text/csv; charset=utf-8", "text/csv; charset=utf-8"),
        (b"", "", "application/octet-stream"),
        (b"{not json", "application/json", "application/json"),
    ],
)
async def test_a_file_is_answered_as_it_is(
    features: World, data: bytes, content_type: str, expected: str
) -> None:
    with features.upstream.behaving(answering(file(data, content_type))):
        answer = await features.client.get("/v1/files/x", Accept="text/html")
    assert (answer.status, answer.body) == (200, data)
    assert answer.headers["content-type"] == expected
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_head_of_a_file_has_its_length(features: World) -> None:
    with features.upstream.behaving(answering(file(b"12345", "text/plain"))):
        answer = await features.client.send("HEAD", "/v1/files/x")
    assert (answer.headers["content-length"], answer.body) == ("5", b"")


@pytest.mark.parametrize("content_type", ["text", "a/b\r\nx: y", "a/b\x00", "/", "text/html\nx"])
async def test_a_type_that_is_none_is_a_wrong_answer(features: World, content_type: str) -> None:
    with features.upstream.behaving(answering(file(b"x", content_type))):
        answer = await features.client.get("/v1/files/x")
    check_shape(answer)
    assert answer.json["message"] == f"The answer of {SERVICE}.GetFile is not valid."


async def test_the_failure_of_a_file_has_the_shape_of_all(features: World) -> None:
    with features.upstream.behaving(bare(grpc.StatusCode.NOT_FOUND, "There is no such file.")):
        answer = await features.client.get("/v1/files/x", Accept="image/png")
    check_shape(answer)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        ("/v1/parts/x", {"book": {"id": "1", "etag": "x"}}, {"id": "1", "etag": "x"}),
        ("/v1/parts/x", {}, None),
        ("/v1/parts/x/ids", {"ids": ["é", "b"]}, ["é", "b"]),
        ("/v1/parts/x/ids", {}, []),
        ("/v1/parts/x/count", {"count": 2**62}, str(2**62)),
        ("/v1/parts/x/count", {}, "0"),
    ],
)
async def test_a_part_is_answered_alone(
    features: World, path: str, fields: dict[str, Any], expected: Any
) -> None:
    with features.upstream.behaving(answering(part(features, **fields))):
        answer = await features.client.get(path)
    assert (answer.status, answer.json) == (200, expected)
    assert answer.headers["content-type"] == "application/json"


async def test_the_etag_is_that_of_the_part(features: World) -> None:
    made = part(features, book={"id": "1", "etag": "in"}, ids=["a"], etag="out")
    with features.upstream.behaving(answering(made)):
        book = await features.client.get("/v1/parts/x")
        ids = await features.client.get("/v1/parts/x/ids")
        same = await features.client.get("/v1/parts/x", If_None_Match='"in"')
    assert book.headers["etag"] == '"in"'
    assert "etag" not in ids.headers
    assert same.status == 304


async def test_a_file_may_be_a_part(features: World) -> None:
    made = part(features, file={"content_type": "text/plain", "data": b"hello"})
    with features.upstream.behaving(answering(made)):
        answer = await features.client.get("/v1/parts/x/file")
    assert (answer.headers["content-type"], answer.body) == ("text/plain", b"hello")
    with features.upstream.behaving(answering(part(features))):
        assert (await features.client.get("/v1/parts/x/file")).body == b""


async def test_the_document_describes_files_and_parts(features: World) -> None:
    paths = (await features.client.get("/openapi.json")).json["paths"]

    def content(path: str) -> Any:
        return paths[path]["get"]["responses"]["200"]["content"]

    schema = {"type": "string", "format": "binary"}
    assert content("/v1/files/{id}") == {"application/octet-stream": {"schema": schema}}
    book = {"$ref": "#/components/schemas/Book"}
    assert content("/v1/parts/{id}") == {"application/json": {"schema": book}}
    ids = {"type": "array", "items": {"type": "string"}}
    assert content("/v1/parts/{id}/ids") == {"application/json": {"schema": ids}}
