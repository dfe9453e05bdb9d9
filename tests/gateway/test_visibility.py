"""Documents for each service, and for those who may read more (`google.api.visibility`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lockstep_gateway.binding import descriptors
from lockstep_gateway.build import find_api
from lockstep_gateway.http.config import ApiInfo
from lockstep_gateway.http.upstream import Upstream
from lockstep_gateway.openapi.docs import api_pages
from lockstep_gateway.openapi.document import document

from tests.gateway.http import Client
from tests.gateway.test_command import Foreign, gateway, serving
from tests.gateway.world import compile_protos

PROTO = """
syntax = "proto3";
package acme;
import "google/api/annotations.proto";
import "google/api/visibility.proto";
service Library {
  rpc Get(Query) returns (Book) { option (google.api.http) = {get: "/books/{name}"}; }
  rpc Burn(Book) returns (Book) {
    option (google.api.http) = {post: "/books:burn" body: "*"};
    option (google.api.method_visibility).restriction = "INTERNAL";
  }
}
service Partners {
  option (google.api.api_visibility).restriction = "PARTNER, INTERNAL";
  rpc Lend(Book) returns (Book) { option (google.api.http) = {post: "/loans" body: "*"}; }
}
message Query {
  string name = 1;
  string secret_filter = 2 [(google.api.field_visibility).restriction = "INTERNAL"];
}
message Book {
  string name = 1;
  oneof about {
    string title = 2;
    string secret_title = 3 [(google.api.field_visibility).restriction = "INTERNAL"];
    string other_title = 4;
  }
  repeated SecretNote notes = 5;
  Kind kind = 6;
  map<string, SecretNote> more = 7;
}
message SecretNote {
  option (google.api.message_visibility).restriction = "INTERNAL";
  string text = 1;
}
enum Kind {
  KIND_UNSPECIFIED = 0;
  KIND_SECRET = 1 [(google.api.value_visibility).restriction = "INTERNAL"];
}
"""
SERVICES = ("acme.Library", "acme.Partners")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder: Path = tmp_path_factory.mktemp("acme")
    (folder / "acme.proto").write_text(PROTO)
    return compile_protos(folder, folder / "set.binpb", "acme.proto")


def written(compiled: bytes, *labels: str) -> dict[str, Any]:
    registry = descriptors.load(compiled)
    api = find_api(registry, dict.fromkeys(SERVICES, Upstream("acme", "127.0.0.1:1")))
    return document(registry, api.rpcs, title="Acme", labels=labels)


def test_what_is_restricted_is_in_no_part_of_the_document(compiled: bytes) -> None:
    found = written(compiled)
    assert list(found["paths"]) == ["/books/{name}"]
    assert [each["name"] for each in found["tags"]] == ["Library"]
    text = json.dumps(found).lower()
    assert "secret" not in text
    assert "partner" not in text
    assert found["components"]["schemas"]["Kind"]["enum"] == ["KIND_UNSPECIFIED"]


def test_a_label_shows_what_has_it_and_no_more(compiled: bytes) -> None:
    found = written(compiled, "PARTNER")
    assert list(found["paths"]) == ["/books/{name}", "/loans"]
    assert "secret" not in json.dumps(found).lower()


def test_all_labels_show_all(compiled: bytes) -> None:
    found = written(compiled, "INTERNAL")
    assert list(found["paths"]) == ["/books/{name}", "/books:burn", "/loans"]
    assert set(found["components"]["schemas"]["BookInput"]["properties"]) == {
        *("name", "title", "secretTitle", "otherTitle", "notes", "kind", "more")
    }


def test_services_that_are_hidden_have_no_document_of_their_own(compiled: bytes) -> None:
    registry = descriptors.load(compiled)
    api = find_api(registry, dict.fromkeys(SERVICES, Upstream("acme", "127.0.0.1:1")))
    pages = api_pages(registry, api.rpcs, info=ApiInfo(), ignore_unknown=False)
    assert [each for each in pages if "json" in each] == [
        "/openapi.json",
        "/openapi/acme.Library.json",
    ]


async def test_each_service_and_each_audience_has_a_document(compiled: bytes) -> None:
    async with (
        serving(Foreign(compiled)) as foreign,
        gateway(
            f"127.0.0.1:{foreign.port}",
            api_visibility="PARTNER",
            api_audiences="INTERNAL",
            api_servers="https://api.example/v1,https://eu.example",
        ) as client,
    ):
        whole = await paths(client, "/openapi.json")
        assert whole == ["/books/{name}", "/loans"]
        assert await paths(client, "/openapi/acme.Library.json") == ["/books/{name}"]
        assert await paths(client, "/openapi/acme.Partners.json") == ["/loans"]
        internal = await paths(client, "/openapi/INTERNAL.json")
        assert internal == ["/books/{name}", "/books:burn", "/loans"]
        assert (await client.get("/openapi/PARTNER.json")).status == 404
        servers = (await client.get("/openapi.json")).json["servers"]
        assert [each["url"] for each in servers] == [
            "https://api.example/v1",
            "https://eu.example",
        ]
        # Who may read is not who may call.
        assert (await client.post("/books:burn", {"name": "dune"})).status == 200


async def paths(client: Client, path: str) -> list[str]:
    return list((await client.get(path)).json["paths"])
