"""Answers that are not a whole message in JSON: files (google.api.HttpBody), and parts."""

from __future__ import annotations

import asyncio
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


def sent(world: World, name: str) -> Any:
    """Return the request that the service got last."""
    message = world.registry.message(name)
    assert message is not None
    return message.type.from_binary(world.upstream.calls[-1][1])


@pytest.mark.parametrize("data", [b"\x89PNG\x00\xff", b"", b"  ", b"{not json", b"x" * 300_000])
async def test_a_file_arrives_as_it_is(features: World, data: bytes) -> None:
    answer = await features.client.send(
        "POST", "/v1/upload", data, headers={"Content-Type": "image/png"}
    )
    assert (answer.status, answer.body) == (200, data)
    assert answer.headers["content-type"] == "image/png"
    got = sent(features, "google.api.HttpBody")
    assert (got.data, got.content_type) == (data, "image/png")


async def test_a_file_may_be_a_field_beside_path_and_query(features: World) -> None:
    headers = {"Content-Type": 'text/csv; charset="utf-8"'}
    target = "/v1/files/7?note=hello&updateMask=note"
    for method in ("POST", "PATCH"):
        answer = await features.client.send(method, target, b"a,b\r\n", headers=headers)
        assert answer.status == 200
        got = sent(features, "acme.features.v1.UploadRequest")
        assert (got.id, got.note, list(got.update_mask.paths)) == ("7", "hello", ["note"])
        assert (got.file.data, got.file.content_type) == (b"a,b\r\n", headers["Content-Type"])


async def test_a_patch_with_a_file_infers_no_mask(features: World) -> None:
    await features.client.send("PATCH", "/v1/files/7", b"x", headers={"Content-Type": "a/b"})
    got = sent(features, "acme.features.v1.UploadRequest")
    assert got.update_mask is None


async def test_a_file_needs_no_content_type(features: World) -> None:
    answer = await features.client.raw(
        b"POST /v1/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "POST"
    )
    assert (answer.status, answer.body) == (200, b"abc")
    assert sent(features, "google.api.HttpBody").content_type == ""


async def test_a_json_file_is_no_message(features: World) -> None:
    answer = await features.client.post("/v1/upload", {"data": "eA==", "nope": [1]})
    assert answer.status == 200
    assert answer.json == {"data": "eA==", "nope": [1]}


async def test_a_message_with_a_file_is_json_if_the_whole_is_the_body(features: World) -> None:
    body = {"file": {"contentType": "a/b", "data": "eA=="}, "note": "n"}
    assert (await features.client.post("/v1/files/7:json", body)).status == 200
    got = sent(features, "acme.features.v1.UploadRequest")
    assert (got.id, got.file.data, got.note) == ("7", b"x", "n")
    refused = await features.client.send(
        "POST", "/v1/files/7:json", b"x", headers={"Content-Type": "image/png"}
    )
    assert (refused.status, set(refused.fields)) == (415, {"Content-Type"})


async def test_a_patch_of_a_whole_request_infers_the_mask_of_its_only_message(
    features: World,
) -> None:
    body = {"file": {"contentType": "a/b"}, "note": "n"}
    assert (await features.client.send("PATCH", "/v1/files/7:json", body)).status == 200
    got = sent(features, "acme.features.v1.UploadRequest")
    assert list(got.update_mask.paths) == ["content_type"]


async def test_no_part_overrides_the_type_of_a_file(features: World) -> None:
    target = "/v1/files/7/image%2Fpng"
    same = await features.client.send("POST", target, b"x", headers={"Content-Type": "image/png"})
    assert same.status == 200
    other = await features.client.send("POST", target, b"x", headers={"Content-Type": "image/gif"})
    assert (other.status, set(other.fields)) == (400, {"file.contentType"})
    twice = await features.client.send("POST", "/v1/files/7?file.data=eA%3D%3D", b"x")
    assert (twice.status, set(twice.fields)) == (400, {"file.data"})
    whole = await features.client.send("POST", "/v1/upload?contentType=a/b", b"x")
    assert (whole.status, set(whole.fields)) == (400, {"contentType"})


@pytest.mark.parametrize(
    ("headers", "status", "field"),
    [
        ({"Content-Type": "nonsense"}, 415, "Content-Type"),
        ({"Content-Type": "a/b\xe9"}, 415, "Content-Type"),
        ({"Content-Type": "application/grpc"}, 415, "Content-Type"),
        ({"Content-Type": "a/b", "Content-Encoding": "gzip"}, 415, "Content-Encoding"),
    ],
)
async def test_a_file_that_cannot_be_taken_calls_nothing(
    features: World, headers: dict[str, str], status: int, field: str
) -> None:
    features.upstream.calls.clear()
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"POST /v1/upload HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 1\r\n\r\nx"
    answer = await features.client.raw(request.encode("latin-1"), "POST")
    assert (answer.status, set(answer.fields)) == (status, {field})
    assert features.upstream.calls == []


@pytest.mark.parametrize("target", ["/v1/upload", "/v1/files/7"])
async def test_a_file_above_the_limit_is_413(features: World, target: str) -> None:
    features.upstream.calls.clear()
    headers = {"Content-Type": "image/png"}
    answer = await features.client.send("POST", target, b"x" * (1024 * 1024 + 1), headers=headers)
    assert (answer.status, set(answer.fields)) == (413, {"body"})
    assert features.upstream.calls == []
    fits = await features.client.send("POST", target, b"x" * (1024 * 1024), headers=headers)
    assert fits.status == 200


async def test_a_file_of_another_length_than_declared_calls_nothing(features: World) -> None:
    features.upstream.calls.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", features.client.port)
    writer.write(b"POST /v1/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    writer.write_eof()
    async with asyncio.timeout(10):
        await reader.read(-1)
    writer.close()
    assert features.upstream.calls == []
