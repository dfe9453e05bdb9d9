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
from lockstep_clients.deadlines import current_deadline

from tests.clients.fake_server import FakeServer


async def seconds_remaining(server: FakeServer, *, timeout_seconds: float | None = None) -> float:
    """Call PhoneExists, which may take 2 s, and return how long the server was given."""
    async with connect(server.address) as channel:
        request = PhoneExistsRequest()
        await ProfileServiceStub(channel).PhoneExists(request, timeout=timeout_seconds)
    return given(server)


def given(server: FakeServer) -> float:
    """Return what the server was given; gRPC rounds a timeout up, by less than 1 %."""
    remaining = server.calls[-1].seconds_remaining
    assert remaining is not None
    return remaining / 1.01


async def test_a_call_without_a_timeout_gets_that_of_its_method(server: FakeServer) -> None:
    assert 1.5 < await seconds_remaining(server) <= 2


async def test_a_method_whose_proto_names_no_deadline_gets_five_seconds(server: FakeServer) -> None:
    async with connect(server.address) as channel:
        await AuthServiceStub(channel).GetUser(GetUserRequest())
    assert 4.5 < given(server) <= 5


async def test_a_caller_may_ask_for_less(server: FakeServer) -> None:
    assert 0.5 < await seconds_remaining(server, timeout_seconds=1) <= 1


async def test_a_caller_can_not_ask_for_more(server: FakeServer) -> None:
    assert await seconds_remaining(server, timeout_seconds=60) <= 2


async def test_the_budget_of_the_caller_is_passed_on_less_a_margin(server: FakeServer) -> None:
    current_deadline.set(time.monotonic() + 1)
    assert 0.5 < await seconds_remaining(server) <= 0.98


async def test_a_budget_does_not_lengthen_a_deadline(server: FakeServer) -> None:
    current_deadline.set(time.monotonic() + 60)
    assert await seconds_remaining(server) <= 2


@pytest.mark.parametrize("left_seconds", [0.01, 0, -1])
async def test_without_time_left_nothing_is_sent(server: FakeServer, left_seconds: float) -> None:
    current_deadline.set(time.monotonic() + left_seconds)
    with pytest.raises(DeadlineExceeded) as caught:
        await seconds_remaining(server)
    assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert server.calls == []


async def test_a_late_answer_raises_the_typed_error(server: FakeServer) -> None:
    server.gate.clear()
    with pytest.raises(DeadlineExceeded):
        await seconds_remaining(server, timeout_seconds=0.2)


async def test_calls_made_at_once_keep_to_their_own_budgets(
    server: FakeServer, opened: AsyncExitStack
) -> None:
    channel = await opened.enter_async_context(connect(server.address))
    stub = ProfileServiceStub(channel)

    async def call(phone: str, left_seconds: float) -> None:
        current_deadline.set(time.monotonic() + left_seconds)
        await stub.PhoneExists(PhoneExistsRequest(), metadata=(("phone", phone),))

    await asyncio.gather(call("short", 0.5), call("long", 1.5))
    seconds = {call.metadata["phone"]: call.seconds_remaining or 0 for call in server.calls}
    assert seconds["short"] < 0.5 < seconds["long"]


async def test_a_method_of_a_foreign_service_gets_five_seconds(server: FakeServer) -> None:
    async with connect(server.address) as channel:
        path = "/acme.library.v1.LibraryService/GetBook"
        get_book: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        assert await get_book(b"") == b""
    assert 4.5 < given(server) <= 5
