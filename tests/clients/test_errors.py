from __future__ import annotations

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from lockstep.auth.v1.auth_service_pb2 import LoginRequest
from lockstep.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from lockstep_clients import (
    FieldViolation,
    InvalidArgument,
    LockstepError,
    NotFound,
    Unavailable,
    connect,
)

from tests.clients.fake_server import FakeServer


async def error_of(server: FakeServer, failure: grpc.StatusCode | Status) -> LockstepError:
    server.failures = [failure]
    async with connect(server.address) as channel:
        with pytest.raises(LockstepError) as caught:
            await AuthServiceStub(channel).Login(LoginRequest())
    return caught.value


def status(code: grpc.StatusCode, *details: Message) -> Status:
    packed = [AnyMessage() for _ in details]
    for any_, detail in zip(packed, details, strict=True):
        any_.Pack(detail)
    return Status(code=code.value[0], message="No.", details=packed)


async def test_an_error_carries_all_that_the_server_said(server: FakeServer) -> None:
    error = await error_of(
        server,
        status(
            grpc.StatusCode.INVALID_ARGUMENT,
            ErrorInfo(reason="INVALID_FIELD", metadata={"trace_id": "abc", "limit": "3"}),
            BadRequest(
                field_violations=[
                    BadRequest.FieldViolation(field="email", description="is missing"),
                    BadRequest.FieldViolation(field="password", description="is too short"),
                ]
            ),
            RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
        ),
    )
    assert isinstance(error, InvalidArgument)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert error.message == "No."
    assert error.violations == [
        FieldViolation("email", "is missing"),
        FieldViolation("password", "is too short"),
    ]
    assert error.metadata == {"trace_id": "abc", "limit": "3"}
    assert error.retry_after_seconds == 1.5
    assert error.trace_id == "abc"
    assert str(error) == "INVALID_ARGUMENT INVALID_FIELD: No."


async def test_the_grpc_error_stays_the_cause(server: FakeServer) -> None:
    error = await error_of(server, grpc.StatusCode.NOT_FOUND)
    assert isinstance(error.__cause__, grpc.aio.AioRpcError)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code != grpc.StatusCode.OK])
async def test_every_code_has_a_class_of_its_own(server: FakeServer, code: grpc.StatusCode) -> None:
    error = await error_of(server, code)
    assert error.code == code
    assert type(error).__name__.lower() == code.name.replace("_", "").lower()


async def test_details_of_unknown_types_are_left_out(server: FakeServer) -> None:
    unknown = AnyMessage(type_url="type.googleapis.com/some.Thing", value=b"\xff")
    failure = status(grpc.StatusCode.NOT_FOUND, Duration(seconds=1))
    failure.details.append(unknown)
    error = await error_of(server, failure)
    assert isinstance(error, NotFound)
    assert (error.reason, error.violations, error.retry_after_seconds) == ("", [], None)


async def test_a_malformed_detail_hides_no_other(server: FakeServer) -> None:
    failure = status(grpc.StatusCode.NOT_FOUND, ErrorInfo(reason="USER_NOT_FOUND"))
    failure.details.append(
        AnyMessage(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff")
    )
    error = await error_of(server, failure)
    assert (error.reason, error.violations) == ("USER_NOT_FOUND", [])


async def test_a_malformed_status_leaves_code_and_message(server: FakeServer) -> None:
    server.trailing = (("grpc-status-details-bin", b"\xff"),)
    error = await error_of(server, grpc.StatusCode.NOT_FOUND)
    assert isinstance(error, NotFound)
    assert error.message == "told to fail"


async def test_a_service_that_is_not_there_is_unavailable_without_a_reason() -> None:
    server = FakeServer()
    async with server:
        pass
    async with connect(server.address) as channel:
        with pytest.raises(Unavailable) as caught:
            await AuthServiceStub(channel).Login(LoginRequest())
    assert caught.value.reason == ""


async def test_an_answer_still_has_its_metadata(server: FakeServer) -> None:
    server.trailing = (("served-by", "one"),)
    async with connect(server.address) as channel:
        call = AuthServiceStub(channel).Login(LoginRequest())
        await call
        assert ("served-by", "one") in list(await call.trailing_metadata())
