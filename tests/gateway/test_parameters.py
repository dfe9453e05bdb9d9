"""System parameters: what generated clients and analytics add to every request."""

from __future__ import annotations

import asyncio

import pytest
from lockstep_gateway.binding.system import GOOGLES

from tests.gateway.test_requests import message
from tests.gateway.world import World, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")

RED = b"\x60\x01\x82\x01\x01\x02"  # color and colors


@pytest.mark.parametrize("name", GOOGLES)
async def test_the_parameters_that_google_documents_are_ignored(world: World, name: str) -> None:
    answer = await world.client.get(f"/v1/books/dune?{name}=secret&{name}=again")
    assert answer.status == 200
    answer = await world.client.post(f"/v1/everything?{name}=secret", {"int32Value": 1})
    assert answer.status == 200
    assert message(world, "Store", world.upstream.calls[-1][1]) == {"int32Value": 1}


async def test_any_other_parameter_is_named(world: World) -> None:
    answer = await world.client.get("/v1/books/dune?utm_source=x&_=1&Alt=json&$altx=1")
    assert set(answer.fields) == {"utm_source", "_", "Alt", "$altx"}


async def test_the_list_is_a_setting(world: World) -> None:
    names = ("utm_*", "_", "name", "odd_name")
    async with gateway_for(
        world.upstream, world.registry, gateway_ignored_parameters=names
    ) as gateway:
        ignored = await gateway.client.get("/v1/books/dune?utm_source=x&utm_=y&_=1&odd_name=x")
        named = await gateway.client.get("/v1/books/dune?$alt=json&utm=x")
        in_path = await gateway.client.get("/v1/books/dune?name=x")
        field = await gateway.client.get("/v1/everything?odd_name=x")
    assert ignored.status == 200
    assert set(named.fields) == {"$alt", "utm"}
    # A field of the same name wins.
    assert in_path.fields == {"name": "must not be a query parameter: it is in the path"}
    assert field.json["ODD"] == "x"


@pytest.mark.parametrize(
    ("query", "color"),
    [
        ("$alt=json;enum-encoding=int", 1),
        ("%24alt=json%3Benum-encoding%3Dint", 1),
        ("alt=json;enum-encoding=int", 1),
        ("$alt=json", "COLOR_RED"),
        ("$alt=json;enum-encoding=string", "COLOR_RED"),
        ("key=enum-encoding=int", "COLOR_RED"),
    ],
)
async def test_enums_are_numbers_where_a_client_asks_for_them(
    world: World, query: str, color: int | str
) -> None:
    async def red(request: bytes, context: object) -> bytes:
        return RED

    with world.upstream.behaving(red):
        answer = await world.client.get(f"/v1/everything?{query}")
    assert answer.json["color"] == color
    assert answer.json["colors"] == ([2] if color == 1 else ["COLOR_BLUE"])


async def test_enums_keep_their_names_if_the_parameter_is_not_ignored(world: World) -> None:
    async with gateway_for(
        world.upstream, world.registry, gateway_ignored_parameters=()
    ) as gateway:
        answer = await gateway.client.get("/v1/everything?$alt=json;enum-encoding=int")
    assert set(answer.fields) == {"$alt"}


@pytest.mark.parametrize(("text", "value"), [("True", True), ("False", False), ("true", True)])
async def test_booleans_in_paths_are_taken_as_googles_clients_write_them(
    world: World, text: str, value: bool
) -> None:
    answer = await world.client.get(f"/v1/by-number/1/{text}/2")
    assert answer.json["boolValue"] is value
    assert (await world.client.get("/v1/by-number/1/TRUE/2")).status == 400


@pytest.mark.parametrize("name", ["labels[a]", "labels.a", "places[1].city", "nested.labels[a]"])
async def test_a_part_of_a_map_must_be_in_a_body(world: World, name: str) -> None:
    answer = await world.client.get(f"/v1/everything?{name}=b")
    assert answer.fields == {name: "is a part of a map, which must be in a body"}


async def test_values_are_not_logged(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for path in ("/v1/books/dune", "/v1/nowhere"):
        await world.client.get(f"{path}?access_token=very-secret&key=very-secret&nope=very-secret")
    printed = ""
    async with asyncio.timeout(10):
        while not all(each in printed for each in ("/v1/books/{name}", "/v1/nowhere")):
            read = capsys.readouterr()
            printed += read.out + read.err
            await asyncio.sleep(0.01)
    assert "very-secret" not in printed
