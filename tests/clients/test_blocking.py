"""The synchronous form of the client, against a real server and a fake one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.rpc.error_details_pb2 import ErrorInfo
from lockstep.auth.v1.auth_service_pb2 import GetUserRequest, LoginRequest, RegisterRequest
from lockstep.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from lockstep.commerce.v1.event_service_pb2_grpc import EventServiceStub
from lockstep.events.v1.event_pb2 import WatchEventsRequest, WatchEventsResponse
from lockstep.profile.v1.profile_service_pb2 import CreateProfileRequest
from lockstep.profile.v1.profile_service_pb2_grpc import ProfileServiceStub
from lockstep_clients import (
    DeadlineExceeded,
    LockstepError,
    NotFound,
    ServiceIdentity,
    Unavailable,
    bearer,
    connect_blocking,
)
from lockstep_clients.methods import methods

from tests.clients.fake_server import FakeServer
from tests.clients.test_errors import status

T = TypeVar("T")
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


async def calling(server: FakeServer, call: Callable[[grpc.Channel], T], **options: Any) -> T:
    """Run blocking code in a thread, beside the server."""

    def work() -> T:
        with connect_blocking(server.address, **options) as channel:
            return call(channel)

    return await asyncio.to_thread(work)


async def failing(server: FakeServer, call: Callable[[grpc.Channel], object]) -> LockstepError:
    with pytest.raises(LockstepError) as caught:
        await calling(server, call)
    return caught.value


async def test_a_call_has_the_deadline_of_its_method(server: FakeServer) -> None:
    began = time.monotonic()
    await calling(server, lambda it: AuthServiceStub(it).GetUser(GetUserRequest()))
    most = methods()["/lockstep.auth.v1.AuthService/GetUser"].timeout_seconds
    assert server.calls[0].was_given(most, since=began)


async def test_a_caller_may_ask_for_less_time(server: FakeServer) -> None:
    server.gate.clear()
    error = await failing(
        server, lambda it: AuthServiceStub(it).GetUser(GetUserRequest(), timeout=0.1)
    )
    assert isinstance(error, DeadlineExceeded)


async def test_without_time_no_call_is_sent(server: FakeServer) -> None:
    error = await failing(
        server, lambda it: AuthServiceStub(it).GetUser(GetUserRequest(), timeout=0.0)
    )
    assert error.reason == "DEADLINE_EXCEEDED"
    assert server.calls == []


async def test_a_safe_method_is_repeated_and_no_other(server: FakeServer) -> None:
    server.failures = [UNAVAILABLE, UNAVAILABLE]
    await calling(server, lambda it: AuthServiceStub(it).GetUser(GetUserRequest()))
    assert len(server.calls) == 3
    server.failures = [UNAVAILABLE]
    error = await failing(server, lambda it: AuthServiceStub(it).Login(LoginRequest()))
    assert isinstance(error, Unavailable)
    assert len(server.calls) == 4


async def test_an_error_is_typed_and_its_cause_is_grpcs(server: FakeServer) -> None:
    server.failures = [status(grpc.StatusCode.NOT_FOUND, ErrorInfo(reason="USER_NOT_FOUND"))]
    error = await failing(server, lambda it: AuthServiceStub(it).GetUser(GetUserRequest()))
    assert isinstance(error, NotFound)
    assert error.reason == "USER_NOT_FOUND"
    assert isinstance(error.__cause__, grpc.RpcError)


async def test_a_future_has_typed_errors_and_the_metadata_of_its_call(server: FakeServer) -> None:
    server.failures = [grpc.StatusCode.NOT_FOUND]

    def call(channel: grpc.Channel) -> None:
        stub = AuthServiceStub(channel)
        future: Any = stub.GetUser.future(GetUserRequest())
        assert isinstance(future.exception(), NotFound)
        with pytest.raises(NotFound):
            future.result()
        assert future.code() is grpc.StatusCode.NOT_FOUND
        future = stub.GetUser.future(GetUserRequest())
        future.result()
        assert future.exception() is None

    await calling(server, call)


async def test_with_call_gives_the_answer_and_the_call(server: FakeServer) -> None:
    server.trailing = (("x-told", "yes"),)

    def call(channel: grpc.Channel) -> dict[str, Any]:
        _, made = AuthServiceStub(channel).GetUser.with_call(GetUserRequest())
        return dict(made.trailing_metadata())

    assert (await calling(server, call))["x-told"] == "yes"


async def test_a_creating_call_gets_a_key_unless_it_has_one(server: FakeServer) -> None:
    await calling(server, lambda it: AuthServiceStub(it).Register(RegisterRequest()))
    mine = (("idempotency-key", "mine"),)
    await calling(server, lambda it: AuthServiceStub(it).Register(RegisterRequest(), metadata=mine))
    await calling(
        server, lambda it: AuthServiceStub(it).GetUser(GetUserRequest(), metadata=bearer("t"))
    )
    keys = [each.metadata.get("idempotency-key") for each in server.calls]
    assert len(str(keys[0])) == 36
    assert keys[1:] == ["mine", None]
    assert server.calls[2].metadata["authorization"] == "Bearer t"


async def test_a_service_proves_itself(server: FakeServer) -> None:
    identity = ServiceIdentity("auth", ec.generate_private_key(ec.SECP256R1()))
    await calling(
        server,
        lambda it: ProfileServiceStub(it).CreateProfile(CreateProfileRequest()),
        identity=identity,
    )
    assert server.calls[0].metadata["x-lockstep-service"] == identity.token("profile")


def watch(channel: grpc.Channel) -> list[WatchEventsResponse]:
    return list(EventServiceStub(channel).WatchEvents(WatchEventsRequest()))


async def test_a_stream_has_the_deadline_and_the_proof_of_a_call(server: FakeServer) -> None:
    identity = ServiceIdentity("auth", ec.generate_private_key(ec.SECP256R1()))
    began = time.monotonic()
    assert await calling(server, watch, identity=identity) == [WatchEventsResponse()]
    most = methods()[server.calls[0].path].timeout_seconds
    assert server.calls[0].was_given(most, since=began)
    assert server.calls[0].metadata["x-lockstep-service"] == identity.token("commerce")


async def test_the_failure_of_a_stream_is_typed(server: FakeServer) -> None:
    server.failures = [status(grpc.StatusCode.NOT_FOUND, ErrorInfo(reason="USER_NOT_FOUND"))]
    error = await failing(server, watch)
    assert isinstance(error, NotFound)
    assert error.reason == "USER_NOT_FOUND"
    assert isinstance(error.__cause__, grpc.RpcError)


async def test_without_time_no_stream_is_opened(server: FakeServer) -> None:
    def work(channel: grpc.Channel) -> object:
        return next(EventServiceStub(channel).WatchEvents(WatchEventsRequest(), timeout=0))

    assert isinstance(await failing(server, work), DeadlineExceeded)
    assert not server.calls
