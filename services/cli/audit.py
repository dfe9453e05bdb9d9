"""`lockstep audit`: the audit log of accounts."""

import json
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

if TYPE_CHECKING:
    from services.auth.store.audit import Entry


def audit(
    event: Annotated[str | None, typer.Option(help="such as authn_login_fail")] = None,
    user: Annotated[UUID | None, typer.Option(help="id of a user")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="most entries to show")] = 50,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="print a JSON object on each line")
    ] = False,
) -> None:
    """Show the audit log, the newest entries first."""
    from services.auth.store import audit as store
    from services.cli.admin import run

    entries = run(lambda database: store.latest(database, event=event, user_id=user, limit=limit))
    if as_json:
        for entry in entries:
            typer.echo(json.dumps(_fields(entry)))
    else:
        _print_table([_fields(entry) for entry in entries])


def _print_table(rows: list[dict[str, str]]) -> None:
    from rich.table import Table

    from services.cli.screen import console

    table = Table("Time", "Event", "User", "Account", "Actor", "Client IP", "Detail")
    for row in rows:
        table.add_row(*row.values())
    console().print(table)


def _fields(entry: "Entry") -> dict[str, str]:
    return {
        "time": entry.create_time.astimezone().isoformat(" ", "milliseconds"),
        "event": entry.event,
        "user": str(entry.user_id or ""),
        "account": entry.account or "",
        "actor": entry.actor or "",
        "address": entry.client_ip or "",
        "detail": " ".join(f"{name}={value}" for name, value in entry.detail.items()),
    }
