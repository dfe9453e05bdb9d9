"""`lockstep audit`: the audit log of accounts."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import typer

from services.cli.tables import JsonOption, show

if TYPE_CHECKING:
    from services.kernel.audit.store import AuditEntry

COLUMNS: Final = {
    "time": "Time",
    "event": "Event",
    "user": "User",
    "account": "Account",
    "actor": "Actor",
    "address": "Client IP",
    "detail": "Detail",
}


def audit(
    event: Annotated[str | None, typer.Option(help="such as authn_login_fail")] = None,
    user: Annotated[UUID | None, typer.Option(help="id of a user")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="most entries to show")] = 50,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show the audit log, the newest entries first."""
    from services.cli.admin import run
    from services.kernel.audit.store import EntryFilters, list_entries
    from services.kernel.paging import NEWEST

    filters = EntryFilters(event=event, user_id=user)
    entries = run(lambda database: list_entries(database, filters, before=NEWEST, limit=limit))
    rows = [_fields(entry) for entry in entries]
    show(rows, COLUMNS, empty="there are no such entries", as_json=as_json)


def _fields(entry: "AuditEntry") -> dict[str, str | datetime]:
    return {
        "time": entry.create_time,
        "event": entry.event,
        "user": str(entry.user_id or ""),
        "account": entry.account or "",
        "actor": entry.actor or "",
        "address": entry.client_ip or "",
        "detail": " ".join(f"{name}={value}" for name, value in entry.detail.items()),
    }
