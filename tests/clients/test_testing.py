"""Tests without a server, as those who call Lockstep write them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from lockstep.auth.v1.auth_service_pb2 import (
    GetUserRequest,
    LoginRequest,
    LoginResponse,
    RegisterRequest,
    RegisterResponse,
    User,
)
from lockstep.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from lockstep.commerce.v1.event_service_pb2_grpc import EventServiceStub
from lockstep.events.v1.event_pb2 import WatchEventsRequest, WatchEventsResponse
from lockstep_clients import (
    DeadlineExceeded,
    FieldViolation,
    InvalidArgument,
    NotFound,
    Unimplemented,
    bearer,
)
from lockstep_clients.testing import FakeLockstep, fake_lockstep

from tests.fences import fences

if TYPE_CHECKING:  # it exists for the type checker only
    from lockstep.auth.v1.auth_service_pb2_grpc import AuthServiceAsyncStub
    from lockstep.commerce.v1.event_service_pb2_grpc import EventServiceAsyncStub


@pytest.fixture
def fake() -> Iterator[FakeLockstep]:
    with fake_lockstep() as made:
        yield made


def test_calls_get_the_answers_in_turn_and_then_the_last(fake: FakeLockstep) -> None:
    fake.answer("AuthService/Login", LoginResponse(token="one"), LoginResponse(token="two"))
    stub = AuthServiceStub(fake.channel)
    tokens = [stub.Login(LoginRequest(email="a@example.com")).token for _ in range(3)]
    assert tokens == ["one", "two", "two"]
    assert [each.method for each in fake.calls] == ["/lockstep.auth.v1.AuthService/Login"] * 3
    assert fake.calls[0].request == LoginRequest(email="a@example.com")


def test_an_error_has_all_that_a_service_would_say(fake: FakeLockstep) -> None:
    fake.answer(
        "AuthService/Login",
        InvalidArgument(
            "No.",
            reason="INVALID_FIELD",
            metadata={"trace_id": "abc"},
            violations=[FieldViolation("email", "is missing")],
            retry_after_seconds=1.5,
        ),
    )
    with pytest.raises(InvalidArgument) as caught:
        AuthServiceStub(fake.channel).Login(LoginRequest())
    error = caught.value
    assert (error.message, error.reason, error.trace_id) == ("No.", "INVALID_FIELD", "abc")
    assert error.violations == [FieldViolation("email", "is missing")]
    assert error.retry_after_seconds == 1.5


def test_a_function_may_answer_by_the_request(fake: FakeLockstep) -> None:
    def find(request: GetUserRequest) -> User:
        if request.user_id != "me":
            raise NotFound(reason="USER_NOT_FOUND")
        return User(id="1")

    fake.answer("/lockstep.auth.v1.AuthService/GetUser", find)
    stub = AuthServiceStub(fake.channel)
    assert stub.GetUser(GetUserRequest(user_id="me"), metadata=bearer("t")).id == "1"
    assert fake.calls[0].metadata["authorization"] == "Bearer t"
    with pytest.raises(NotFound):
        stub.GetUser(GetUserRequest(user_id="you"))


def test_a_slow_answer_takes_fake_time_alone(fake: FakeLockstep) -> None:
    fake.answer("AuthService/GetUser", User(id="1"), seconds=2)
    stub = AuthServiceStub(fake.channel)
    assert stub.GetUser(GetUserRequest()).id == "1"
    assert fake.time.time() == 2
    with pytest.raises(DeadlineExceeded):
        stub.GetUser(GetUserRequest(), timeout=1)
    assert fake.time.time() == 3


def test_a_call_without_an_answer_fails_at_once(fake: FakeLockstep) -> None:
    with pytest.raises(Unimplemented, match=r"no answer to /lockstep.auth.v1.AuthService/Login"):
        AuthServiceStub(fake.channel).Login(LoginRequest())


def test_calls_have_the_keys_and_deadlines_of_a_real_channel(fake: FakeLockstep) -> None:
    fake.answer("AuthService/Register", RegisterResponse())
    AuthServiceStub(fake.channel).Register(RegisterRequest())
    assert len(str(fake.calls[0].metadata["idempotency-key"])) == 36
    assert fake.calls[0].timeout_seconds > 1


@pytest.mark.parametrize("method", ["AuthService/Nothing", "Login", ""])
def test_a_method_must_exist(fake: FakeLockstep, method: str) -> None:
    with pytest.raises(ValueError, match="must be the name of one method"):
        fake.answer(method, LoginResponse())


async def test_calls_may_be_awaited(fake: FakeLockstep) -> None:
    fake.answer("AuthService/Login", LoginResponse(token="one"), NotFound(reason="X"))
    stub = cast("AuthServiceAsyncStub", AuthServiceStub(fake.aio_channel))
    assert (await stub.Login(LoginRequest())).token == "one"
    with pytest.raises(NotFound):
        await stub.Login(LoginRequest(), timeout=1)


def test_the_example_of_the_page_works() -> None:
    page = (Path(__file__).parents[2] / "clients" / "python" / "README.md").read_text()
    (example,) = [each for each in fences(page, "python") if "fake_lockstep" in each]
    exec(compile(example, "README.md", "exec"), {})


WATCH = "lockstep.commerce.v1.EventService/WatchEvents"
PAGES = [WatchEventsResponse(next_cursor=each) for each in ("1", "2")]


def test_a_stream_gets_its_messages_and_its_failure(fake: FakeLockstep) -> None:
    fake.answer(WATCH, [*PAGES, NotFound("Gone.", reason="USER_NOT_FOUND")], PAGES[0], [])
    stub = EventServiceStub(fake.channel)

    call = iter(stub.WatchEvents(WatchEventsRequest()))
    assert [next(call), next(call)] == PAGES
    with pytest.raises(NotFound) as caught:
        next(call)
    assert caught.value.reason == "USER_NOT_FOUND"
    with pytest.raises(NotFound):
        next(call)
    assert list(stub.WatchEvents(WatchEventsRequest(after="2"))) == PAGES[:1]
    assert list(stub.WatchEvents(WatchEventsRequest())) == []
    assert [each.request for each in fake.calls][1] == WatchEventsRequest(after="2")


def test_a_slow_stream_takes_fake_time_alone(fake: FakeLockstep) -> None:
    fake.answer(WATCH, PAGES, seconds=90)
    stub = EventServiceStub(fake.channel)
    with pytest.raises(DeadlineExceeded):
        next(stub.WatchEvents(WatchEventsRequest(), timeout=60))


async def test_a_stream_may_be_awaited(fake: FakeLockstep) -> None:
    fake.answer(WATCH, lambda request: [*PAGES, InvalidArgument(request.after)])
    stub = cast("EventServiceAsyncStub", EventServiceStub(fake.aio_channel))
    found = []
    call = stub.WatchEvents(WatchEventsRequest(after="odd"))

    async def read() -> None:
        async for page in call:
            found.append(page)  # noqa: PERF401 - a list would not keep what came before the error

    with pytest.raises(InvalidArgument, match="odd"):
        await read()
    assert found == PAGES
    call.cancel()
