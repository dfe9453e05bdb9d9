"""The requests of the tables: the message that arrives at the service, or the wrong fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gateway.cases import Case, bodies, matching, queries
from tests.gateway.world import SERVICE, World

pytestmark = pytest.mark.asyncio(loop_scope="session")

ARRIVING = [
    *matching.PATHS,
    *matching.DECODING,
    *queries.QUERIES,
    *queries.OTHER_PLACES,
    *bodies.BODIES,
    *bodies.PLACES,
]
REFUSED = [*queries.BAD_QUERIES, *bodies.BAD_BODIES, *matching.NOT_FOUND]


def message(world: World, rpc: str, data: bytes) -> Any:
    """Decode a message that arrived."""
    service = world.registry.service(SERVICE)
    assert service is not None
    method = next(each for each in service.methods if each.name == rpc)
    return json.loads(method.input.type.from_binary(data).to_json(registry=world.registry))


@pytest.mark.parametrize("case", [*ARRIVING, *REFUSED], ids=str)
async def test_a_request_arrives_as_the_table_says(world: World, case: Case) -> None:
    before = len(world.upstream.calls)
    method, target = case.request.split(" ")

    answer = await world.client.send(method, target, case.body, headers=case.headers)

    assert answer.status == case.status, answer.body
    if case.status == 200:
        path, data, _, _ = world.upstream.calls[-1]
        assert path == f"/{SERVICE}/{case.rpc}"
        assert message(world, case.rpc, data) == case.arrived
    else:
        assert len(world.upstream.calls) == before
        if case.fields:
            assert set(answer.fields) == case.fields
            for description in answer.fields.values():
                assert description.split(" ")[0] in ("must", "is", "cannot"), description


@pytest.mark.parametrize(("request_line", "allow"), matching.NOT_ALLOWED)
async def test_a_path_that_exists_under_other_methods_names_them(
    world: World, request_line: str, allow: str
) -> None:
    answer = await world.client.send(*request_line.split(" "))
    assert (answer.status, answer.headers["allow"], answer.reason) == (
        405,
        allow,
        "METHOD_NOT_FOUND",
    )


@pytest.mark.parametrize(("name", "body", "mask"), bodies.MASKS, ids=[m[0] for m in bodies.MASKS])
async def test_a_patch_without_a_mask_changes_what_its_body_holds(
    world: World, name: str, body: Any, mask: str | None
) -> None:
    answer = await world.client.send("PATCH", "/v1/books/dune", body)
    assert answer.status == 200, answer.body
    assert answer.json.get("updateMask") == mask


async def test_a_mask_that_is_given_wins(world: World) -> None:
    answer = await world.client.send("PATCH", "/v1/books/dune?updateMask=etag", {"title": "x"})
    assert answer.json["updateMask"] == "etag"


async def test_a_put_has_no_mask(world: World) -> None:
    answer = await world.client.send("PUT", "/v1/books/dune", {"title": "x"})
    assert "updateMask" not in answer.json


async def test_members_may_begin_with_either_case_where_that_is_set(
    world: World, library: Any
) -> None:
    from tests.gateway.world import gateway_for

    async with gateway_for(world.upstream, library, is_own=True) as folding:
        answer = await folding.client.post("/v1/everything", {"Int32Value": 1, "string_value": "x"})
        assert (answer.json["int32Value"], answer.json["stringValue"]) == (1, "x")
        twice = await folding.client.post("/v1/everything", {"Int32Value": 1, "int32Value": 1})
        assert set(twice.fields) == {"int32Value"}


async def test_unknown_members_are_dropped_where_that_is_set(world: World, library: Any) -> None:
    from tests.gateway.world import gateway_for

    async with gateway_for(world.upstream, library, gateway_ignore_unknown=True) as lenient:
        answer = await lenient.client.post("/v1/everything", {"nope": {"a": [1]}, "one": "x"})
        assert answer.json["one"] == "x"
        bad = await lenient.client.get("/v1/everything?nope=1")
        assert set(bad.fields) == {"nope"}
