"""A rule that cannot be served is refused at a strict start, and else left out with a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog
from lockstep_gateway.binding import descriptors
from lockstep_gateway.binding.descriptors import DescriptorError
from lockstep_gateway.binding.protojson import MessageForms
from lockstep_gateway.build import Shared, build_router, find_api
from lockstep_gateway.http.errors import Failures
from lockstep_gateway.http.upstream import Channels, Upstream
from protobuf import Registry

from services.gateway.__main__ import running
from services.gateway.lockstep import METHOD_OPTION, GatewaySettings
from tests.gateway.http import Client
from tests.gateway.world import compile_protos

PROTO = """
syntax = "proto3";
package acme.v1;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/timestamp.proto";
import "lockstep/options/v1/options.proto";
service Library {
  rpc First(Request) returns (Request) { option (google.api.http) = {get: "/v1/first/{name}"}; }
  rpc Second(%s) returns (%s) { %s }
}
message Inner { string name = 1; }
message Request {
  string name = 1;
  repeated string tags = 2;
  map<string, string> labels = 3;
  Inner inner = 4;
  google.protobuf.Timestamp time = 5;
}
"""
OPTIONS = Path(__file__).parents[2] / "protos"


def http(rule: str) -> str:
    return f"option (google.api.http) = {{{rule}}};"


REFUSED = [
    (http('get: "v1"'), "expected `/`"),
    (http('get: "/**/a/**"'), "`**` comes twice"),
    (http('get: "/{name}/{name}"'), "a variable comes twice"),
    (http('get: "/{nope}"'), "`nope` names no field"),
    (http('get: "/{inner.nope}"'), "`inner.nope` names no field"),
    (http('get: "/{name.x}"'), "leads through `name`"),
    (http('get: "/{tags}"'), "`tags` is repeated, a map or a message"),
    (http('get: "/{labels}"'), "`labels` is repeated, a map or a message"),
    (http('get: "/{inner}"'), "`inner` is repeated, a map or a message"),
    (http('get: "/{time}"'), "`time` is repeated, a map or a message"),
    (http('get: "/{time.seconds}"'), "time.seconds"),
    (http('post: "/a" body: "nope"'), "names no field"),
    (http('post: "/a" body: "inner.name"'), "names no field"),
    (http('post: "/{name}" body: "name"'), "both the body and a variable"),
    (http('get: "/v1/first/{name}"'), "is a path of acme.v1.Library.First already"),
    (http('get: "/v1/first/*"'), "is a path of acme.v1.Library.First already"),
    (http('get: "/a" additional_bindings {get: "/a"}'), "already"),
    (
        http('get: "/a" additional_bindings {get: "/b" additional_bindings {get: "/c"}}'),
        "cannot hold additional bindings",
    ),
    (http('get: "/a" response_body: "nope"'), '`response_body: "nope"` names no field'),
    (http('get: "/a" response_body: "inner.name"'), "names no field"),
    (http('body: "*"'), "must have a path"),
    (http('custom {path: "/a"}'), "must have a kind"),
    (http('custom {path: "/a" kind: "A B"}'), "must have a kind that is an HTTP method"),
    (http('custom {path: "/a" kind: "CONNECT"}'), "must have a kind that is an HTTP method"),
    (
        http('get: "/a"') + "option (lockstep.options.v1.method) = {access: ACCESS_SERVICE};",
        "only services may call it",
    ),
    (
        http('get: "/a"') + 'option (lockstep.options.v1.method) = {location: "/x/{nope}"};',
        "`nope` names no field",
    ),
]


def build(tmp_path: Path, request: str, response: str, options: str) -> None:
    (tmp_path / "a.proto").write_text(PROTO % (request, response, options))
    (tmp_path / "lockstep").symlink_to(OPTIONS / "lockstep")
    registry = descriptors.load(compile_protos(tmp_path, tmp_path / "a.binpb", "a.proto"))
    places = {"acme.v1.Library": Upstream("library", "127.0.0.1:1")}
    shared = Shared(FakeChannels(), MessageForms(registry), Failures("x", registry))
    build_router(find_api(registry, places, method_option=METHOD_OPTION), shared)


class FakeChannels(Channels):
    def method(self, upstream: Upstream, path: str) -> Any:
        """Return nothing: no test calls a method."""


@pytest.mark.parametrize(("options", "reason"), REFUSED)
def test_a_rule_that_cannot_be_served_is_refused(tmp_path: Path, options: str, reason: str) -> None:
    with pytest.raises(DescriptorError) as raised:
        build(tmp_path, "Request", "Request", options)
    assert str(raised.value).startswith("acme.v1.Library.Second: ")
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("request_type", "response_type", "reason"),
    [
        ("stream Request", "Request", "streams of requests are not served"),
        ("stream Request", "stream Request", "streams of requests are not served"),
    ],
)
def test_what_is_not_done_yet_is_refused(
    tmp_path: Path, request_type: str, response_type: str, reason: str
) -> None:
    with pytest.raises(DescriptorError, match=reason):
        build(tmp_path, request_type, response_type, http('get: "/a"'))


def test_a_stream_without_a_rule_does_no_harm(tmp_path: Path) -> None:
    build(tmp_path, "Request", "stream Request", "")


MANY = """
syntax = "proto3";
package acme.v1;
import "google/api/annotations.proto";
service Library {
  rpc Good(Book) returns (Book) { option (google.api.http) = {get: "/v1/good/{name}"}; }
  rpc Half(Book) returns (Book) { option (google.api.http) = {
    get: "/v1/half/{name}"
    additional_bindings {get: "/v1/half/{nope}"}
    additional_bindings {get: "/v1/half/**/**"}
  }; }
  rpc Late(Book) returns (Book) { option (google.api.http) = {
    get: "/v1/late/{nope}"
    additional_bindings {get: "/v1/late/{name}"}
  }; }
  rpc Taken(Book) returns (Book) { option (google.api.http) = {get: "/v1/good/*"}; }
  rpc Upload(stream Book) returns (Book) { option (google.api.http) = {post: "/v1/up"}; }
  rpc Plain(Book) returns (Book);
}
message Book { string name = 1; }
"""
REASONS = {
    "acme.v1.Library.Half": ["`nope` names no field", "`**` comes twice"],
    "acme.v1.Library.Late": ["`nope` names no field"],
    "acme.v1.Library.Taken": ["is a path of acme.v1.Library.Good already"],
    "acme.v1.Library.Upload": ["streams"],
}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.proto").write_text(MANY)
    return descriptors.load(compile_protos(folder, folder / "many.binpb", "many.proto"))


PLACES = {"acme.v1.Library": Upstream("library", "127.0.0.1:1")}


def test_a_strict_start_refuses_everything_at_once(many: Registry) -> None:
    with pytest.raises(DescriptorError) as raised:
        find_api(many, PLACES, strict=True)
    first, *lines = str(raised.value).split("\n  ")
    assert first == "4 methods cannot be served"
    for line, (name, reasons) in zip(lines, REASONS.items(), strict=True):
        assert line.startswith(f"{name}: ")
        assert all(reason in line for reason in reasons)


@pytest.mark.asyncio
async def test_what_cannot_be_served_is_left_out_with_one_warning(many: Registry) -> None:
    settings = GatewaySettings(stop_grace_seconds=1)
    with structlog.testing.capture_logs() as logs:
        async with running(settings, many, PLACES, port=0) as port:
            client = Client(port)
            document = (await client.get("/openapi.json")).json
            statuses = {
                path: (await client.get(path)).status
                for path in ("/v1/good/x", "/v1/half/x", "/v1/late/x", "/v1/half/x/y", "/v1/up")
            }
    warnings = [each for each in logs if each["event"] == "left out"]
    assert [each["rpc"] for each in warnings] == list(REASONS)
    assert all(each["log_level"] == "warning" for each in warnings)
    for each in warnings:
        assert all(reason in each["reason"] for reason in REASONS[each["rpc"]])
    assert set(document["paths"]) == {"/v1/good/{name}", "/v1/half/{name}", "/v1/late/{name}"}
    assert statuses == {
        "/v1/good/x": 503,
        "/v1/half/x": 503,
        "/v1/late/x": 503,
        "/v1/half/x/y": 404,
        "/v1/up": 404,
    }


def test_the_case_of_a_method_is_kept(tmp_path: Path) -> None:
    options = http('custom {kind: "Shelve" path: "/a"}')
    (tmp_path / "a.proto").write_text(PROTO % ("Request", "Request", options))
    (tmp_path / "lockstep").symlink_to(OPTIONS / "lockstep")
    registry = descriptors.load(compile_protos(tmp_path, tmp_path / "a.binpb", "a.proto"))
    methods = [each.method for rpc in find_api(registry, PLACES).rpcs for each in rpc.bindings]
    assert methods == ["GET", "Shelve"]


@pytest.mark.parametrize("data", [b"nonsense", b"\x0a\x03abc", b"\xff" * 10])
def test_descriptors_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(DescriptorError, match="not a FileDescriptorSet"):
        descriptors.load(data)


def test_a_service_that_is_not_described_is_refused(library_file: Path) -> None:
    registry = descriptors.load(library_file.read_bytes())
    with pytest.raises(DescriptorError, match=r"no service acme\.Nope"):
        find_api(registry, {"acme.Nope": Upstream("nope", "127.0.0.1:1")})
