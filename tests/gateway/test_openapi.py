"""The OpenAPI document describes exactly the served RPCs."""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import schemathesis
from lockstep_gateway.binding import descriptors
from lockstep_gateway.binding.descriptors import Rpc
from lockstep_gateway.binding.routes import Match
from lockstep_gateway.http.config import ApiInfo
from lockstep_gateway.openapi.comments import summary
from lockstep_gateway.openapi.document import EVERY_METHOD, document
from lockstep_gateway.openapi.info import info_object
from lockstep_gateway.openapi.names import pascal
from openapi_spec_validator import validate
from schemathesis.core.result import Ok

from services.gateway.lockstep import METHOD_OPTION
from tests.gateway.openapi_checks import documents
from tests.gateway.test_start import FakeChannels
from tests.gateway.world import SERVICE, World, gateway_for

METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}


def served(registry: Any, packages: str) -> list[Rpc]:
    return [
        rpc
        for service in descriptors.services(registry)
        if service.type_name.startswith(packages)
        for rpc in descriptors.rpcs(registry, service, method_option=METHOD_OPTION)
    ]


@pytest.fixture(scope="module")
def own() -> Any:
    data = importlib.resources.files("lockstep_clients") / "lockstep.binpb"
    return descriptors.load(data.read_bytes())


@pytest.fixture(scope="module")
def own_document(own: Any) -> dict[str, Any]:
    return document(own, served(own, "lockstep."), title="Own")


@pytest.fixture(scope="module")
def library_document(library: Any) -> dict[str, Any]:
    return document(library, served(library, SERVICE), title="Library")


@pytest.fixture(scope="module")
def features_document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return dict(documents(tmp_path_factory.mktemp("features")))["features"]


@pytest.fixture(params=["own_document", "library_document", "features_document"])
def any_document(request: pytest.FixtureRequest) -> dict[str, Any]:
    made: dict[str, Any] = request.getfixturevalue(request.param)
    return made


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def test_it_is_valid(any_document: dict[str, Any]) -> None:
    validate(any_document)
    assert any_document["openapi"] == "3.1.0"


def test_every_operation_has_an_id_of_its_own_and_says_what_it_does(
    any_document: dict[str, Any],
) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(any_document)]
    assert len(ids) == len(set(ids))
    for _, _, operation in operations(any_document):
        assert operation["summary"]
        assert operation["tags"]
        assert operation["responses"]


def test_every_reference_leads_somewhere(any_document: dict[str, Any]) -> None:
    text = repr(any_document)
    for reference in re.findall(r"'\$ref': '#/components/(\w+)/([^']+)'", text):
        kind, name = reference
        assert name in any_document["components"][kind], reference


@pytest.mark.parametrize("name", ["own", "library"])
def test_every_route_is_described_and_every_operation_is_served(
    request: pytest.FixtureRequest, name: str
) -> None:
    from lockstep_gateway.binding.protojson import MessageForms
    from lockstep_gateway.build import Shared, build_router, find_api
    from lockstep_gateway.http.errors import Failures
    from lockstep_gateway.http.upstream import Upstream

    registry = request.getfixturevalue(name)
    described = request.getfixturevalue(f"{name}_document")
    rpcs = served(registry, "lockstep." if name == "own" else SERVICE)
    places = {
        rpc.desc.parent.type_name: Upstream(rpc.desc.parent.type_name, "127.0.0.1:1")
        for rpc in rpcs
    }
    api = find_api(registry, places, method_option=METHOD_OPTION)
    shared = Shared(FakeChannels(), MessageForms(registry), Failures("x", registry))
    router = build_router(api, shared)
    found = set()
    for method, path, operation in operations(described):
        sample = re.sub(r"\{[^}]*\}", "1", path)
        match = router.find(method.removeprefix("x-").upper(), sample)
        assert isinstance(match, Match), (method, path)
        assert operation["operationId"].startswith(ids_of(match.target.name))
        found.add((method.removeprefix("x-").upper(), match.target.name, match.target.path))
    expected = {
        (method, rpc.name, binding.path)
        for rpc in api.rpcs
        for binding in rpc.bindings
        for method in (EVERY_METHOD if binding.method == "*" else [binding.method])
    }
    assert found == expected


def test_path_parameters_are_those_of_the_path(any_document: dict[str, Any]) -> None:
    for method, path, operation in operations(any_document):
        named = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert re.findall(r"\{([^}]*)\}", path) == named, (method, path)


IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def test_names_are_identifiers_and_unique_to_every_reader(any_document: dict[str, Any]) -> None:
    """Generators make identifiers and files of names, without a regard to case."""
    ids = [each["operationId"] for _, _, each in operations(any_document)]
    schemas = list(any_document["components"]["schemas"])
    tags = [each["name"] for each in any_document["tags"]]
    for names in (ids, schemas, tags):
        assert all(map(IDENTIFIER.fullmatch, names))
        assert len({each.replace("_", "").lower() for each in names}) == len(names)
    for _, path, operation in operations(any_document):
        in_path = re.findall(r"\{([^}]*)\}", path)
        assert all(map(IDENTIFIER.fullmatch, in_path)), path
        others = {
            re.sub(r"\.(.)", lambda match: match[1].upper(), each["name"])
            for each in operation["parameters"]
            if each["in"] != "path"
        }
        assert not others & set(in_path), path
        assert len(set(in_path)) == len(in_path), path


def test_every_component_is_used(any_document: dict[str, Any]) -> None:
    used = set(re.findall(r'"#/components/([^"]+)"', json.dumps(any_document)))
    for kind in ("schemas", "responses"):
        assert {f"{kind}/{name}" for name in any_document["components"][kind]} <= used


def test_every_operation_says_whether_it_needs_a_token(own_document: dict[str, Any]) -> None:
    allowed: list[Any] = [[], [{"bearer": []}]]
    assert all(each["security"] in allowed for _, _, each in operations(own_document))


def test_schemathesis_reads_every_operation(any_document: dict[str, Any]) -> None:
    read = list(schemathesis.openapi.from_dict(any_document).get_all_operations())
    real = [path for method, path, _ in operations(any_document) if method in METHODS]
    assert sorted(each.ok().path for each in read if isinstance(each, Ok)) == sorted(real)


def test_the_path_of_the_rule_is_kept(own_document: dict[str, Any]) -> None:
    found = own_document["paths"]["/v1/products/{productId}"]
    assert set(found) >= {"get", "patch", "delete"}
    assert found["patch"]["x-path-template"] == "/v1/products/{product.id}"


@pytest.mark.parametrize(
    ("services", "version"),
    [
        (["acme.v1.A"], "v1"),
        (["acme.v2beta1.A", "acme.x.v2beta1.B"], "v2beta1"),
        (["acme.v1.A", "acme.v2.B"], "v1"),
        (["acme.A"], "v1"),
        ([], "v1"),
    ],
)
def test_the_version_is_that_of_the_packages(services: list[str], version: str) -> None:
    rpcs: Any = [
        SimpleNamespace(desc=SimpleNamespace(parent=SimpleNamespace(type_name=each)))
        for each in services
    ]
    assert info_object(ApiInfo(), "A", rpcs)["version"] == version


def test_the_facts_on_the_api_are_settings() -> None:
    info = ApiInfo("A", "3.1", "What it does.", "https://acme.example", "MIT")
    assert info_object(info, "B", []) == {
        "title": "A",
        "version": "3.1",
        "description": "What it does.",
        "contact": {"url": "https://acme.example"},
        "license": {"name": "MIT", "identifier": "MIT"},
    }
    assert info_object(ApiInfo(contact="a@b.example"), "B", [])["contact"] == {
        "email": "a@b.example"
    }


async def test_the_settings_reach_the_document(world: World) -> None:
    async with gateway_for(
        world.upstream, world.registry, gateway_api_title="Books", gateway_api_version="7"
    ) as gateway:
        info = (await gateway.client.get("/openapi.json")).json["info"]
    assert (info["title"], info["version"]) == ("Books", "7")


def test_the_forms_of_fields(library_document: dict[str, Any]) -> None:
    properties = library_document["components"]["schemas"]["Everything"]["properties"]
    assert properties["int64Value"]["type"] == "string"
    assert properties["int32Value"] == {
        "type": "integer",
        "format": "int32",
        "minimum": -(2**31),
        "maximum": 2**31 - 1,
    }
    assert properties["time"]["format"] == "date-time"
    assert properties["wrappedNumber"]["type"] == "integer"
    assert properties["color"] == {"$ref": "#/components/schemas/Color"}
    assert library_document["components"]["schemas"]["Color"]["enum"][1] == "COLOR_RED"
    assert properties["places"]["additionalProperties"]["$ref"].endswith("/Place")
    assert properties["tags"] == {"type": "array", "items": {"type": "string"}}
    assert properties["ODD"] == {"type": "string"}
    assert properties["nested"] == {"$ref": "#/components/schemas/Everything"}


def test_requests_are_strict_and_answers_are_complete(library_document: dict[str, Any]) -> None:
    schemas = library_document["components"]["schemas"]
    assert schemas["EverythingInput"]["additionalProperties"] is False
    assert schemas["EverythingInput"]["not"]["anyOf"]
    assert "required" not in schemas["EverythingInput"]
    assert "int32Value" in schemas["Everything"]["required"]
    assert "maybe" not in schemas["Everything"]["required"]
    assert schemas["BookInput"]["required"] == ["title"]


def test_a_patch_requires_nothing(library_document: dict[str, Any]) -> None:
    patch = library_document["paths"]["/v1/books/{name}"]["patch"]
    schema = patch["requestBody"]["content"]["application/json"]["schema"]
    assert "required" not in schema
    assert "name" not in schema["properties"]


def test_comments_become_descriptions(library_document: dict[str, Any]) -> None:
    get = library_document["paths"]["/v1/books/{name}"]["get"]
    assert get["summary"] == "Gets a book"
    assert get["description"] == "Gets a book. The name is one segment."
    assert library_document["tags"][0]["description"] == "Echoes books. Nothing is kept."
    schema = library_document["components"]["schemas"]["Book"]
    assert schema["description"] == "A book."
    assert schema["properties"]["title"]["description"] == "Its title."


def test_query_parameters_are_what_the_query_takes(library_document: dict[str, Any]) -> None:
    parameters = library_document["paths"]["/v1/books"]["get"]["parameters"]
    names = {each["name"] for each in parameters}
    assert names == {
        "pageSize",
        "pageToken",
        "filter.authorName",
        "filter.colors",
        "filter.after",
    }
    create = library_document["paths"]["/v1/shelves/{shelf}/books"]["post"]["parameters"]
    assert {each["name"] for each in create} == {"shelf", "validateOnly"}
    everything = library_document["paths"]["/v1/everything"]["get"]["parameters"]
    names = {each["name"] for each in everything}
    assert {"place.city", "tags", "time", "wrappedText", "third.city"} <= names
    assert not {"labels", "any", "morePlaces", "place", "nested.int32Value"} & names


def ids_of(rpc: str) -> tuple[str, str]:
    """Return the ids that an operation may have; the long one if another service has the name."""
    service, method = rpc.rsplit(".", 2)[1:]
    return f"{service}_{method}", pascal(rpc)


def test_access_decides_about_security(own: Any, own_document: dict[str, Any]) -> None:
    rules: dict[str, Any] = {}
    for rpc in served(own, "lockstep."):
        rules |= dict.fromkeys(ids_of(rpc.name), rpc.rule)
    for _, _, operation in operations(own_document):
        rule = rules[re.sub(r"_\d+$", "", operation["operationId"])]
        assert bool(operation.get("security")) is (rule.access != "ACCESS_PUBLIC")
        assert str(rule.success_status) in operation["responses"]
        names = {each["name"] for each in operation["parameters"]}
        assert ("Idempotency-Key" in names) is rule.takes_idempotency_key
        assert {"400", "404", "429", "500", "503", "504", "default"} <= set(operation["responses"])


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("Gets a book.", "Gets a book"),
        ("Gets a\nbook. More.", "Gets a book"),
        ("Gets v1.2 of it.\n\nMore.", "Gets v1.2 of it"),
        ("", ""),
    ],
)
def test_the_first_sentence_is_the_summary(comment: str, expected: str) -> None:
    assert summary(comment) == expected


@pytest.mark.asyncio(loop_scope="session")
async def test_the_document_is_served(world: World) -> None:
    answer = await world.client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    validate(answer.json)
    assert answer.json["info"]["title"] == "Acme"
    assert f"/{'v1/books'}" in answer.json["paths"]
