"""`lockstep sagas`: shows sagas, and makes stuck ones due."""

import asyncio
from typing import Annotated, Final

import typer

from services.cli import tables
from services.cli.tables import JsonOption

app = typer.Typer(no_args_is_help=True, help="Look at sagas, and make stuck ones due.")

STATES: Final = ("running", "compensating", "done", "aborted")
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
    from services.cli import saga_rows

    rows = asyncio.run(saga_rows.list_sagas(state=state, kind=kind, parked=parked, limit=limit))
    tables.show(rows, COLUMNS, empty="there are no such sagas", as_json=as_json)


@app.command()
def show(
    saga_id: Annotated[str, typer.Argument(help="id of the saga")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show one saga."""
    from services.cli import saga_rows

    tables.show_one(asyncio.run(saga_rows.get_saga(saga_id)), as_json=as_json)


@app.command()
def retry(
    saga_id: Annotated[str, typer.Argument(help="id of the saga")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Make an unfinished saga due now."""
    from services.cli import saga_rows

    tables.show_one(asyncio.run(saga_rows.retry_saga(saga_id)), as_json=as_json)
