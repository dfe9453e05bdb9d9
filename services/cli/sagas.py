"""`lockstep sagas`: shows sagas, and makes stuck ones due."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from services.cli import tables
from services.cli.tables import JsonOption, Value

if TYPE_CHECKING:
    from lockstep.saga.v1 import saga_service_pb2 as saga_pb
    from lockstep.saga.v1 import saga_service_pb2_grpc as saga_grpc

app = typer.Typer(no_args_is_help=True, help="Look at sagas, and make stuck ones due.")

COORDINATORS: Final = ("auth", "commerce")
COLUMNS: Final = {
    "service": "Service",
    "id": "Saga",
    "kind": "Kind",
    "state": "State",
    "parked": "Parked",
    "attempts": "Attempts",
    "reason": "Reason",
    "create_time": "Made",
    "next_run_time": "Next try",
}
STATE_PREFIX: Final = "SAGA_STATE_"
STATES: Final = ("running", "compensating", "done", "aborted")

T = TypeVar("T")


@app.command(name="list")
def list_sagas(
    state: Annotated[str | None, typer.Option(help=", ".join(STATES))] = None,
    kind: Annotated[str, typer.Option(help="such as registration")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100, help="most sagas of a service")] = 20,
    *,
    parked: Annotated[bool, typer.Option("--parked", help="list parked sagas alone")] = False,
    as_json: JsonOption = False,
) -> None:
    """List sagas, newest first."""
    from lockstep.saga.v1 import saga_service_pb2 as saga_pb

    request = saga_pb.ListSagasRequest(
        state=_state(state), kind=kind, parked=parked, page_size=limit
    )
    rows = [
        _fields(service, saga)
        for service in _coordinators()
        for saga in _ask(service, lambda stub: stub.ListSagas(request)).sagas
    ]
    tables.show(rows, COLUMNS, empty="there are no such sagas", as_json=as_json)


@app.command()
def show(
    saga_id: Annotated[str, typer.Argument(help="id of the saga")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show one saga."""
    from lockstep.saga.v1 import saga_service_pb2 as saga_pb

    request = saga_pb.GetSagaRequest(saga_id=saga_id)
    found = _find(lambda stub: stub.GetSaga(request))
    tables.show_one(_fields(*found), as_json=as_json)


@app.command()
def retry(
    saga_id: Annotated[str, typer.Argument(help="id of the saga")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Make an unfinished saga due now."""
    from lockstep.saga.v1 import saga_service_pb2 as saga_pb

    request = saga_pb.RetrySagaRequest(saga_id=saga_id)
    found = _find(lambda stub: stub.RetrySaga(request))
    tables.show_one(_fields(*found), as_json=as_json)


def _find(
    call: Callable[["saga_grpc.SagaServiceAsyncStub"], Awaitable["saga_pb.Saga"]],
) -> tuple[str, "saga_pb.Saga"]:
    """Ask each coordinator for a saga until one has it."""
    from lockstep_clients import NotFound

    from services.cli.errors import CommandError

    for service in _coordinators():
        try:
            return service, _ask(service, call)
        except NotFound:
            continue
    raise CommandError(f"there is no such saga in {' or '.join(_coordinators())}")


def _ask(service: str, call: Callable[["saga_grpc.SagaServiceAsyncStub"], Awaitable[T]]) -> T:
    """Call a coordinator; see `operator.ask`."""
    from lockstep.saga.v1 import saga_service_pb2_grpc as saga_grpc

    from services.cli.operator import ask

    return ask(service, lambda channel: call(saga_grpc.SagaServiceStub(channel)))


def _coordinators() -> list[str]:
    from services.cli.system import is_installed

    return [service for service in COORDINATORS if is_installed(service)]


def _fields(service: str, saga: "saga_pb.Saga") -> dict[str, Value]:
    """Return the fields of a saga by their names; None for one that has no value."""
    from datetime import UTC

    present = {field.name for field, _ in saga.ListFields()}
    found: dict[str, Value] = {"service": service}
    for field in saga.DESCRIPTOR.fields:
        value = getattr(saga, field.name)
        if field.message_type is not None:
            found[field.name] = value.ToDatetime(UTC) if field.name in present else None
        else:
            found[field.name] = value
    return found | {"state": _state_name(saga)}


def _state(name: str | None) -> "saga_pb.SagaState.ValueType":
    from lockstep.saga.v1 import saga_service_pb2 as saga_pb

    from services.cli.errors import CommandError

    if name is None:
        return saga_pb.SAGA_STATE_UNSPECIFIED
    if name.lower() not in STATES:
        raise CommandError(f"there is no state {name}: use {', '.join(STATES)}")
    return saga_pb.SagaState.Value(f"{STATE_PREFIX}{name.upper()}")


def _state_name(saga: "saga_pb.Saga") -> str:
    from lockstep.saga.v1 import saga_service_pb2 as saga_pb

    return saga_pb.SagaState.Name(saga.state).removeprefix(STATE_PREFIX).lower()
