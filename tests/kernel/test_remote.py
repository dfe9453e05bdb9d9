from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import lockstep_clients as clients
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from lockstep_clients.errors import LockstepError

from services.common.errors import AuthUnavailable
from services.kernel.errors import (
    DatabaseUnavailable,
    DomainError,
    Forbidden,
    IllegalState,
    Internal,
    InvalidField,
    InvalidToken,
    SagaCancelled,
    SagaNotFound,
    TooManyRequests,
    Violation,
)
from services.kernel.rpc.call import Call
from services.kernel.sagas.protocol import Rejected
from services.kernel.sagas.remote import as_domain_error, needed, saga_step
from tests.kernel.probe import World, probing


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with probing() as world:
        yield world


def fail_with(w: World, error: Exception) -> None:
    async def behaviour(request: StringValue, call: Call) -> StringValue:
        raise error

    w.servicer.behaviour = behaviour


@pytest.mark.parametrize(
    "error",
    [
        IllegalState("Sold out.", metadata={"left": "0"}),
        InvalidField(Violation("a", "is bad")),
        SagaCancelled(),
        SagaNotFound(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_explicit_refusal_is_a_rejection_and_passed_on_whole(
    w: World, error: DomainError
) -> None:
    fail_with(w, error)
    with pytest.raises(Rejected) as caught, saga_step():
        await w.call()
    assert caught.value.error.record() == error.record()


@pytest.mark.parametrize(
    "error",
    [DatabaseUnavailable(), Internal(), TooManyRequests(), Forbidden(), InvalidToken()],
    ids=lambda error: type(error).__name__,
)
async def test_anything_else_is_a_maybe(w: World, error: DomainError) -> None:
    fail_with(w, error)
    with pytest.raises(LockstepError) as caught, saga_step():
        await w.call()
    assert caught.value.code is error.code


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_only_six_codes_say_that_a_step_was_not_done(code: grpc.StatusCode) -> None:
    explicit = {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "ABORTED",
    }
    found: list[type[LockstepError]] = [LockstepError, *LockstepError.__subclasses__()]
    kinds = {kind.code: kind for kind in found}
    if code not in kinds:
        assert code is grpc.StatusCode.OK
        return
    expected: type[Exception] = Rejected if code.name in explicit else LockstepError
    with pytest.raises(expected), saga_step():
        raise kinds[code]


async def test_no_answer_in_time_is_a_maybe(w: World) -> None:
    async def wait(request: StringValue, call: Call) -> StringValue:
        await asyncio.Event().wait()
        return request

    w.servicer.behaviour = wait
    with pytest.raises(clients.DeadlineExceeded), saga_step():
        await w.call(seconds=0.2)


async def test_what_is_needed_and_fails_in_any_way_is_unavailable(w: World) -> None:
    for error in (IllegalState(), Internal(), Forbidden()):
        fail_with(w, error)
        with pytest.raises(AuthUnavailable) as caught, needed(AuthUnavailable):
            await w.call()
        assert isinstance(caught.value.__cause__, LockstepError)


def test_what_succeeds_is_left_alone() -> None:
    with saga_step(), needed(AuthUnavailable):
        pass
    with pytest.raises(ZeroDivisionError), saga_step(), needed(AuthUnavailable):
        raise ZeroDivisionError


async def test_the_trace_id_of_another_service_is_not_passed_on(w: World) -> None:
    fail_with(w, IllegalState(metadata={"left": "0"}, retry_after_seconds=2.5))
    error = await w.refused()
    assert error.trace_id
    passed_on = as_domain_error(error)
    assert passed_on.metadata == {"left": "0"}
    assert passed_on.retry_after_seconds == 2.5
