"""`If-Match`: a change is made on the state that the caller names, or not at all."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from lockstep_gateway.binding import descriptors
from lockstep_gateway.http.conditions import EtagForms, etag_path

from services.gateway import lockstep
from tests.gateway.http import Answer
from tests.gateway.world import World, gateway_for

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHANGES = [
    ("PATCH", "/v1/books/dune", {"title": "New"}),
    ("PUT", "/v1/books/dune", {"title": "New"}),
    ("DELETE", "/v1/books/dune", None),
    ("POST", "/v1/books/dune:lend", {}),
]
WITHOUT_ETAG = [
    ("POST", "/v1/books", {"book": {"title": "New"}}),
    ("POST", "/v1/shelves/s/books", {"title": "New"}),
    ("POST", "/v1/everything", {"one": "x"}),
]


class Books:
    """A service with one book, whose etag it checks."""

    def __init__(self, world: World, etag: str, *, reason: str = "ETAG_MISMATCH") -> None:
        self.etag = etag
        self._upstream = world.upstream
        self.changes = 0
        self._reason = reason

    async def __call__(self, request: bytes, context: Any) -> bytes:
        if self._upstream.method == "GetBook":
            return b"\n\x04dune\x12" + bytes([len(self.etag)]) + self.etag.encode()
        expected = self.etag.encode()
        # The echo has no types: an etag stands in the message behind its tag and its length.
        if not any(
            tag + bytes([len(expected)]) + expected in request for tag in (b"\x12", b"\x3a")
        ):
            await self._refuse(context)
        self.changes += 1
        return request

    async def _refuse(self, context: Any) -> None:
        if not self._reason:
            await context.abort(grpc.StatusCode.ABORTED, "another etag")
        info = any_pb2.Any()
        info.Pack(error_details_pb2.ErrorInfo(reason=self._reason, domain="library"))
        status = status_pb2.Status(code=10, message="another etag", details=[info])
        await context.abort_with_status(rpc_status.to_status(status))


async def change(
    world: World, change: tuple[str, str, Any], if_match: str, body: dict[str, str] | None = None
) -> Answer:
    method, path, content = change
    if content is not None:
        content = {**content, **(body or {})}
    return await world.client.send(method, path, content, headers={"If-Match": if_match})


@pytest.mark.parametrize("changing", CHANGES, ids=lambda each: each[0])
@pytest.mark.parametrize("etag", ["7", '"7"', 'W/"7"'])
@pytest.mark.parametrize("is_read_before", [True, False])
async def test_what_the_gateway_gave_works_when_it_comes_back(
    world: World, changing: tuple[str, str, Any], etag: str, is_read_before: bool
) -> None:
    books = Books(world, etag)
    async with gateway_for(world.upstream, world.registry) as fresh:
        with world.upstream.behaving(books):
            given = 'W/"7"' if etag.startswith("W/") else '"7"'
            if is_read_before:
                assert (await fresh.client.get("/v1/books/dune")).headers["etag"] == given
            for count, form in enumerate([given, f"{given}, ", f'"1", {given}'], start=1):
                assert (await change(fresh, changing, form)).status == 200, form
                assert books.changes == count
            answer = await change(fresh, changing, '"6"')
            assert (answer.status, books.changes) == (412, 3)
            assert answer.reason == "ETAG_MISMATCH"


async def test_a_tag_that_compression_made_weak_still_works(world: World) -> None:
    books = Books(world, "7")
    with world.upstream.behaving(books):
        assert (await change(world, CHANGES[0], 'W/"7"')).status == 200
        assert (await change(world, CHANGES[0], 'W/"6"')).status == 412
    assert books.changes == 1


async def test_a_mismatch_costs_one_call_when_the_form_is_known(world: World) -> None:
    books = Books(world, "7")
    async with gateway_for(world.upstream, world.registry) as fresh:
        with world.upstream.behaving(books):
            await fresh.client.get("/v1/books/dune")
            world.upstream.calls.clear()
            assert (await change(fresh, CHANGES[0], '"6"')).status == 412
    assert len(world.upstream.calls) == 1


async def test_two_lines_are_one_list(world: World) -> None:
    books = Books(world, "7")
    head = b"DELETE /v1/books/dune HTTP/1.1\r\nHost: x\r\n"
    with world.upstream.behaving(books):
        lines = b'If-Match: "1"\r\nIf-Match: "7"\r\n'
        assert (await world.client.raw(head + lines + b"\r\n")).status == 200
        lines = b'If-Match: "1"\r\nIf-Match: "2"\r\n'
        assert (await world.client.raw(head + lines + b"\r\n")).status == 412


@pytest.mark.parametrize(("reason", "status"), [("", 412), ("ETAG_MISMATCH", 412), ("BUSY", 409)])
async def test_only_a_mismatch_is_412(world: World, reason: str, status: int) -> None:
    with world.upstream.behaving(Books(world, "7", reason=reason)):
        assert (await change(world, CHANGES[0], '"6"')).status == status
        without = await world.client.send("PATCH", "/v1/books/dune", {"etag": "6"})
        assert without.status == 409


async def test_an_etag_in_the_body_may_have_the_form_of_the_header(world: World) -> None:
    books = Books(world, "7")
    with world.upstream.behaving(books):
        for etag in ("7", '"7"', 'W/"7"'):
            answer = await world.client.send("PATCH", "/v1/books/dune", {"etag": etag})
            assert answer.status == 200, etag
        assert (await world.client.send("DELETE", "/v1/books/dune?etag=%227%22")).status == 200
        agreed = await change(world, CHANGES[0], '"1", "7"', {"etag": "7"})
        assert agreed.status == 200
        other = await change(world, CHANGES[0], '"1"', {"etag": "7"})
        assert (other.status, set(other.fields)) == (400, {"if-match"})
    assert books.changes == 5


async def test_a_star_is_met_by_whatever_is_there(world: World) -> None:
    world.upstream.calls.clear()
    assert (await change(world, CHANGES[0], "*")).status == 200
    assert len(world.upstream.calls) == 1


@pytest.mark.parametrize("changing", WITHOUT_ETAG, ids=lambda each: each[1])
async def test_where_no_etag_can_be_checked_nothing_is_called(
    world: World, changing: tuple[str, str, Any]
) -> None:
    world.upstream.calls.clear()
    for if_match in ('"7"', "*"):
        answer = await change(world, changing, if_match)
        assert (answer.status, set(answer.fields)) == (400, {"if-match"})
    assert world.upstream.calls == []


@pytest.mark.parametrize("if_match", ["7", '"7', "W/7", '"7" "8"', "*, *", ",".join(['"7"'] * 11)])
async def test_what_is_no_list_of_tags_is_400(world: World, if_match: str) -> None:
    world.upstream.calls.clear()
    answer = await change(world, CHANGES[0], if_match)
    assert (answer.status, set(answer.fields)) == (400, {"if-match"})
    assert world.upstream.calls == []


async def test_every_change_of_ours_takes_an_etag_or_refuses_the_header() -> None:
    registry = descriptors.load(lockstep.own_descriptors())
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for service in descriptors.services(registry):
        for rpc in descriptors.rpcs(registry, service, descriptors.Refusals()):
            for binding in rpc.bindings:
                if binding.method != "GET":
                    found[etag_path(rpc.desc.input, binding) is not None].add(rpc.desc.name)
    assert {"UpdateProduct", "DeleteProduct", "UpdateProfile"} <= found[True]
    assert not {"CreateProduct", "Register", "AddCartItem", "PlaceOrder"} & found[True]


async def test_the_document_tells_where_it_counts(world: World) -> None:
    paths = (await world.client.get("/openapi.json")).json["paths"]
    for path, method, counts in [
        ("/v1/books", "post", False),
        ("/v1/everything", "post", False),
        ("/v1/everything", "get", False),
    ]:
        assert_document(paths[path][method], counts=counts)
    [book] = [
        item for path, item in paths.items() if path.startswith("/v1/books/{") and "patch" in item
    ]
    for method in ("patch", "put", "delete"):
        assert_document(book[method], counts=True)
    assert_document(book["get"], counts=False)


def assert_document(operation: dict[str, Any], *, counts: bool) -> None:
    names = {each["name"] for each in operation["parameters"] if each["in"] == "header"}
    assert ("If-Match" in names) is counts
    assert ("412" in operation["responses"]) is counts


async def test_forms() -> None:
    forms = EtagForms()
    assert forms.texts("a", '"7"') == ["7", '"7"']
    forms.learn("a", "7")
    forms.learn("b", '"7"')
    assert (forms.texts("a", 'W/"7"'), forms.texts("b", 'W/"7"')) == (["7"], ['W/"7"', '"7"'])
