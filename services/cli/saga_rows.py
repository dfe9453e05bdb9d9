"""The sagas of all coordinators, as `lockstep sagas` and the local page show them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC
from typing import Final, TypeVar

from lockstep.saga.v1 import saga_service_pb2 as saga_pb
from lockstep.saga.v1 import saga_service_pb2_grpc as saga_grpc

from services.cli.errors import CommandError
from services.cli.failures import NotFoundError
from services.cli.operator import call_as_operator
from services.cli.sagas import STATES
from services.cli.system import COORDINATORS, is_installed
from services.cli.tables import Value

STATE_PREFIX: Final = "SAGA_STATE_"

T = TypeVar("T")
SagaFields = dict[str, Value]
"""The fields of a saga by their names, and its service; None for one that has no value."""
SagaCall = Callable[["saga_grpc.SagaServiceAsyncStub"], Awaitable[T]]


async def list_sagas(
    *, state: str | None = None, kind: str = "", parked: bool = False, limit: int = 20
) -> list[SagaFields]:
    """Return the newest sagas of each coordinator.

    Args:
        state: One of `STATES`; None: all.
        kind: The kind; empty: all.
        parked: Whether to list parked sagas alone.
        limit: The most sagas of a coordinator.

    Raises:
        CommandError: There is no such state, or a coordinator cannot be asked.
    """
    request = saga_pb.ListSagasRequest(
        state=_state(state), kind=kind, parked=parked, page_size=limit
    )
    services = coordinators()
    asked = [_ask(service, lambda stub: stub.ListSagas(request)) for service in services]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    found: list[SagaFields] = []
    for service, answer in zip(services, answers, strict=True):
        if isinstance(answer, BaseException):
            raise answer  # of the first service that failed, whichever failed sooner
        found += [_fields(service, saga) for saga in answer.sagas]
    return found


async def get_saga(saga_id: str) -> SagaFields:
    """Return a saga.

    Raises:
        CommandError: No coordinator has it, or one cannot be asked.
    """
    request = saga_pb.GetSagaRequest(saga_id=saga_id)
    return await _find(lambda stub: stub.GetSaga(request))


async def retry_saga(saga_id: str) -> SagaFields:
    """Make an unfinished saga due now.

    Raises:
        CommandError: No coordinator has it, one cannot be asked, or it has ended.
    """
    request = saga_pb.RetrySagaRequest(saga_id=saga_id)
    return await _find(lambda stub: stub.RetrySaga(request))


def coordinators() -> list[str]:
    """Return the names of the services that coordinate sagas."""
    return [service for service in COORDINATORS if is_installed(service)]


async def _find(call: SagaCall[saga_pb.Saga]) -> SagaFields:
    """Ask each coordinator for a saga until one has it."""
    for service in coordinators():
        with suppress(NotFoundError):
            return _fields(service, await _ask(service, call))
    raise CommandError(f"there is no such saga in {' or '.join(coordinators())}")


async def _ask(service: str, call: SagaCall[T]) -> T:
    return await call_as_operator(service, lambda channel: call(saga_grpc.SagaServiceStub(channel)))


def _fields(service: str, saga: saga_pb.Saga) -> SagaFields:
    present = {field.name for field, _ in saga.ListFields()}
    found: SagaFields = {"service": service}
    for field in saga.DESCRIPTOR.fields:
        value = getattr(saga, field.name)
        if field.message_type is not None:
            found[field.name] = value.ToDatetime(UTC) if field.name in present else None
        else:
            found[field.name] = value
    state = saga_pb.SagaState.Name(saga.state).removeprefix(STATE_PREFIX).lower()
    return found | {"state": state}


def _state(name: str | None) -> saga_pb.SagaState.ValueType:
    if name is None:
        return saga_pb.SAGA_STATE_UNSPECIFIED
    if name.lower() not in STATES:
        raise CommandError(f"there is no state {name}: use {', '.join(STATES)}")
    return saga_pb.SagaState.Value(f"{STATE_PREFIX}{name.upper()}")
