from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import grpc
import pytest
from lockstep.auth.v1.auth_service_pb2 import GetUserRequest
from lockstep.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from lockstep.profile.v1.profile_service_pb2 import PhoneExistsRequest
from lockstep.profile.v1.profile_service_pb2_grpc import ProfileServiceStub
from lockstep_clients import DeadlineExceeded, connect
from lockstep_clients.deadlines import MARGIN_SECONDS, current_deadline

from tests.clients.fake_server import FakeServer


async def call(server: FakeServer, *, timeout_seconds: float | None = None) -> None:
    """Call PhoneExists, which may take 2 s."""
    async with connect(server.address) as channel:
        request = PhoneExistsRequest()
        await ProfileServiceStub(channel).PhoneExists(request, timeout=timeout_seconds)


@pytest.mark.parametrize(
    ("asked_seconds", "seconds"),
    [(None, 2), (1, 1), (60, 2)],
)
async def test_a_call_gets_the_time_of_its_method_or_less_if_asked_for(
    server: FakeServer, asked_seconds: float | None, seconds: float
) -> None:
    began = time.monotonic()
    await call(server, timeout_seconds=asked_seconds)
    assert server.calls[0].was_given(seconds, since=began)


async def test_a_method_whose_proto_names_no_deadline_gets_five_seconds(server: FakeServer) -> None:
    began = time.monotonic()
    async with connect(server.address) as channel:
        await AuthServiceStub(channel).GetUser(GetUserRequest())
    assert server.calls[0].was_given(5, since=began)


@pytest.mark.parametrize(("left_seconds", "seconds"), [(1, 1 - MARGIN_SECONDS), (60, 2)])
async def test_the_budget_of_the_caller_is_passed_on_less_a_margin_and_lengthens_nothing(
    server: FakeServer, left_seconds: float, seconds: float
) -> None:
    began = time.monotonic()
    current_deadline.set(began + left_seconds)
    await call(server)
    assert server.calls[0].was_given(seconds, since=began)


@pytest.mark.parametrize("left_seconds", [0.01, 0, -1])
async def test_without_time_left_nothing_is_sent(server: FakeServer, left_seconds: float) -> None:
    current_deadline.set(time.monotonic() + left_seconds)
    with pytest.raises(DeadlineExceeded) as caught:
        await call(server)
    assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert server.calls == []


async def test_a_late_answer_raises_the_typed_error(server: FakeServer) -> None:
    server.gate.clear()
    with pytest.raises(DeadlineExceeded):
        await call(server, timeout_seconds=0.2)


async def test_calls_made_at_once_keep_to_their_own_budgets(
    server: FakeServer, opened: AsyncExitStack
) -> None:
    channel = await opened.enter_async_context(connect(server.address))
    stub = ProfileServiceStub(channel)

    began = time.monotonic()

    async def call_with(left_seconds: float) -> None:
        current_deadline.set(began + left_seconds)
        await stub.PhoneExists(PhoneExistsRequest(), metadata=(("left", str(left_seconds)),))

    await asyncio.gather(call_with(1.0), call_with(1.9))
    assert len(server.calls) == 2
    for each in server.calls:
        left_seconds = float(each.metadata["left"])
        assert each.was_given(left_seconds - MARGIN_SECONDS, since=began)


async def test_a_method_of_a_foreign_service_gets_five_seconds(server: FakeServer) -> None:
    began = time.monotonic()
    async with connect(server.address) as channel:
        path = "/acme.library.v1.LibraryService/GetBook"
        get_book: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        assert await get_book(b"") == b""
    assert server.calls[0].was_given(5, since=began)
