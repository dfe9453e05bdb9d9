"""Answers: statuses, headers, entity tags, compression, media types, CORS, files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from lockstep_gateway.http.negotiation import accepts, accepts_gzip, entity_tag, is_json, none_match

from tests.gateway.world import World, compile_protos, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_fields_without_presence_are_always_printed(world: World) -> None:
    answer = await world.client.get("/v1/books?pageSize=0")
    assert answer.json == {"pageSize": 0, "pageToken": ""}


async def test_wide_numbers_are_texts(world: World) -> None:
    answer = await world.client.get("/v1/everything?int64Value=5")
    assert answer.json["int64Value"] == "5"


async def test_head_is_get_without_the_body(world: World) -> None:
    got = await world.client.get("/v1/books/dune")
    head = await world.client.send("HEAD", "/v1/books/dune")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_head_of_an_error_has_no_body_either(world: World) -> None:
    head = await world.client.send("HEAD", "/nope")
    assert (head.status, head.body) == (404, b"")


async def test_options_names_the_methods(world: World) -> None:
    answer = await world.client.send("OPTIONS", "/v1/books/dune")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"
    assert "access-control-allow-origin" not in answer.headers


async def test_an_etag_is_sent_and_known_states_are_304(world: World) -> None:
    answer = await world.client.get("/v1/books/dune?etag=abc")
    assert answer.headers["etag"] == '"abc"'
    for known in ('"abc"', 'W/"abc"', '"x", "abc"', "*"):
        again = await world.client.get("/v1/books/dune?etag=abc", If_None_Match=known)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", '"abc"')
    other = await world.client.get("/v1/books/dune?etag=abc", If_None_Match='"ab"')
    assert other.status == 200


async def test_only_reads_are_304(world: World) -> None:
    body = {"etag": "abc"}
    answer = await world.client.post("/v1/books/dune:lend", body, If_None_Match='"abc"')
    assert answer.status == 200


async def test_large_answers_are_compressed_for_those_who_take_it(world: World) -> None:
    target = f"/v1/books/{'x' * 2000}?etag=abc"
    plain = await world.client.get(target)
    small = await world.client.get(target, Accept_Encoding="br, gzip;q=0.5")
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert small.headers["etag"] == 'W/"abc"'
    assert "accept-encoding" in small.headers["vary"]
    assert gzip.decompress(small.body) == plain.body
    refused = await world.client.get(target, Accept_Encoding="gzip;q=0")
    assert "content-encoding" not in refused.headers
    little = await world.client.get("/v1/books/dune", Accept_Encoding="gzip")
    assert "content-encoding" not in little.headers


@pytest.mark.parametrize(
    ("accept", "json", "problem"),
    [
        ("", True, False),
        ("*/*", True, False),
        ("application/*", True, False),
        ("application/json", True, False),
        ("APPLICATION/JSON", True, False),
        ("text/html, application/json;q=0.1", True, False),
        ("text/html, */*;q=0.8", True, False),
        ("application/problem+json", True, True),
        ("application/json, application/problem+json", True, True),
        ("application/json, application/problem+json;q=0.5", True, False),
        ("text/html", False, False),
        ("application/json;q=0", False, False),
        ("*/*, application/json;q=0", False, False),
        ("application/xml, text/*", False, False),
    ],
)
async def test_accept_is_read_as_rfc_9110_says(accept: str, json: bool, problem: bool) -> None:
    assert accepts(accept) == (json, problem)


async def test_who_takes_no_json_gets_406(world: World) -> None:
    answer = await world.client.get("/v1/books/dune", Accept="text/html")
    assert (answer.status, set(answer.fields)) == (406, {"Accept"})


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ('Application/JSON ; Charset="UTF-8"', True),
        ("application/merge-patch+json", True),
        ("application/json; charset=latin-1", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
        ("text/plain", False),
        ("application/jsonx", False),
        ("application/grpc", False),
        ("", False),
    ],
)
async def test_content_types_of_json(content_type: str, expected: bool) -> None:
    assert is_json(content_type) is expected


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "text/plain", "application/grpc", "application/xml"],
)
async def test_bodies_of_other_types_are_415(world: World, content_type: str) -> None:
    answer = await world.client.post("/v1/everything", b"{}", Content_Type=content_type)
    assert (answer.status, set(answer.fields)) == (415, {"Content-Type"})


async def test_grpc_is_415_even_without_a_body(world: World) -> None:
    answer = await world.client.get("/v1/books/dune", Content_Type="application/grpc+proto")
    assert answer.status == 415


async def test_compressed_bodies_are_415(world: World) -> None:
    body = gzip.compress(b"{}")
    answer = await world.client.post("/v1/everything", body, Content_Encoding="gzip")
    assert (answer.status, set(answer.fields)) == (415, {"Content-Encoding"})


async def test_a_body_without_a_type_is_json(world: World) -> None:
    answer = await world.client.raw(
        b'POST /v1/everything HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{"one":"x"}'
    )
    assert answer.json["one"] == "x"


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("abc", '"abc"'),
        ('"abc"', '"abc"'),
        ('W/"abc"', 'W/"abc"'),
        ("", ""),
        ("a b", ""),
        ("\u00e9", ""),
        ('a"b', ""),
        ("a\r\nx: y", ""),
    ],
)
async def test_etags_that_are_no_header_are_left_out(text: str, tag: str) -> None:
    assert entity_tag(text) == tag


async def test_tags_are_compared_weakly() -> None:
    assert none_match('W/"a"', '"a"')
    assert none_match('"b", "a"', 'W/"a"')
    assert not none_match("a", '"a"')
    assert not none_match("", '"a"')
    assert not accepts_gzip("identity")


async def test_a_request_may_come_in_chunks(world: World) -> None:
    answer = await world.client.raw(
        b"POST /v1/everything HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'5\r\n{"one\r\n6\r\n":"x"}\r\n0\r\n\r\n'
    )
    assert answer.json["one"] == "x"


async def test_browsers_of_other_origins_may_not_read_unless_set(world: World) -> None:
    answer = await world.client.get("/v1/books/dune", Origin="https://shop.example")
    assert "access-control-allow-origin" not in answer.headers


async def test_browsers_of_set_origins_may_read(world: World) -> None:
    origin = "https://shop.example"
    async with gateway_for(world.upstream, world.registry, gateway_origins=[origin]) as shop:
        for target in ("/v1/books/dune", "/nope"):
            answer = await shop.client.get(target, Origin=origin)
            assert answer.headers["access-control-allow-origin"] == origin
            assert "etag" in answer.headers["access-control-expose-headers"]
            assert "origin" in answer.headers["vary"]
        other = await shop.client.get("/v1/books/dune", Origin="https://evil.example")
        assert "access-control-allow-origin" not in other.headers
        preflight = await shop.client.send(
            "OPTIONS",
            "/v1/books/dune",
            headers={"Origin": origin, "Access-Control-Request-Method": "DELETE"},
        )
        assert preflight.status == 204
        assert "DELETE" in preflight.headers["access-control-allow-methods"]
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in preflight.headers


async def test_every_origin_may_be_set(world: World) -> None:
    async with gateway_for(world.upstream, world.registry, gateway_origins="*") as open_one:
        answer = await open_one.client.get("/v1/books/dune", Origin="https://any.example")
        assert answer.headers["access-control-allow-origin"] == "*"


OPTIONS = """
syntax = "proto3";
package acme.library.v1;
import "google/api/annotations.proto";
import "lockstep/options/v1/options.proto";
service Library {
  rpc Create(Thing) returns (Thing) {
    option (google.api.http) = {post: "/v1/things" body: "*"};
    option (lockstep.options.v1.method) = {
      access: ACCESS_PUBLIC success_status: 201 location: "/v1/things/{inner.id}/{name}"
    };
  }
  rpc Get(Thing) returns (Thing) {
    option (google.api.http) = {get: "/v1/things/{name}"};
    option (lockstep.options.v1.method) = {access: ACCESS_PUBLIC cache_seconds: 60};
  }
  rpc Delete(Thing) returns (Thing) {
    option (google.api.http) = {delete: "/v1/things/{name}"};
    option (lockstep.options.v1.method) = {access: ACCESS_PUBLIC success_status: 204};
  }
}
message Thing { string name = 1; Inner inner = 2; }
message Inner { int32 id = 1; }
"""


async def test_options_of_a_method_set_status_location_and_how_long_to_keep_it(
    world: World, tmp_path: Path
) -> None:
    from lockstep_gateway.binding import descriptors

    (tmp_path / "a.proto").write_text(OPTIONS)
    (tmp_path / "lockstep").symlink_to(Path(__file__).parents[2] / "protos" / "lockstep")
    registry = descriptors.load(compile_protos(tmp_path, tmp_path / "a.binpb", "a.proto"))
    async with gateway_for(world.upstream, registry) as things:
        body: dict[str, Any] = {"name": "a/b \u00e9", "inner": {"id": 5}}
        answer = await things.client.post("/v1/things", body)
        assert answer.status == 201
        assert answer.headers["location"] == "/v1/things/5/a%2Fb%20%C3%A9"
        without = await things.client.post("/v1/things", {"name": "x"})
        assert (without.status, "location" in without.headers) == (201, False)
        nothing = await things.client.send("DELETE", "/v1/things/x")
        assert (nothing.status, nothing.body) == (204, b"")
        assert nothing.headers["cache-control"] == "private, no-cache"
        kept = await things.client.get("/v1/things/x")
        assert kept.headers["cache-control"] == "public, max-age=60, immutable"


async def test_files_of_a_browser_client_are_served_beside_the_api(
    world: World, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<p>hello")
    (site / "app.js").write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    async with gateway_for(world.upstream, world.registry, gateway_static=site) as web:
        index = await web.client.get("/")
        assert (index.status, index.body) == (200, b"<p>hello")
        assert index.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in index.headers["content-security-policy"]
        assert index.headers["x-request-id"]
        script = await web.client.get("/app.js")
        assert script.headers["content-type"].startswith("text/javascript")
        again = await web.client.get("/app.js", If_None_Match=script.headers["etag"])
        assert again.status == 304
        head = await web.client.send("HEAD", "/app.js")
        assert (head.status, head.body) == (200, b"")
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/nope", "/a\\b"):
            answer = await web.client.get(path)
            assert answer.status in (400, 404), path
            assert b"secret" not in answer.body.replace(b"secret.txt", b"")
        assert (await web.client.get("/nope.html")).reason == "ROUTE_NOT_FOUND"
        assert (await web.client.post("/app.js", {})).status == 404
        assert (await web.client.get("/v1/books/dune")).json["name"] == "dune"


async def test_the_docs_page_names_no_other_host(world: World) -> None:
    page = await world.client.get("/docs")
    assert page.status == 200
    assert b"//" not in page.body.replace(b"<!doctype", b"")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    for name in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon.png"):
        answer = await world.client.get(f"/docs/{name}", Accept_Encoding="gzip")
        assert answer.status == 200
        assert f'"docs/{name}"'.encode() in page.body
    again = await world.client.get("/docs", If_None_Match=page.headers["etag"])
    assert again.status == 304
