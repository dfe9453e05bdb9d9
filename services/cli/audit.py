"""`lockstep audit`: the audit logs of all services."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import typer

from services.cli.durations import parse_moment
from services.cli.tables import JsonOption, show

if TYPE_CHECKING:
    import grpc
    from lockstep.audit.v1 import audit_pb2 as audit_pb

COLUMNS: Final = {
    "time": "Time",
    "service": "Service",
    "event": "Event",
    "user": "User",
    "account": "Account",
    "actor": "Actor",
    "address": "Client IP",
    "detail": "Detail",
}
SERVICES: Final = ("auth", "profile", "commerce")


def audit(
    service: Annotated[str | None, typer.Option(help=", ".join(SERVICES))] = None,
    event: Annotated[str, typer.Option(help="such as authn_login_fail")] = "",
    user: Annotated[UUID | None, typer.Option(help="id of the user to whom it happened")] = None,
    actor: Annotated[str, typer.Option(help="id of the user or name of the service")] = "",
    since: Annotated[
        datetime | None,
        typer.Option(parser=parse_moment, help="such as 2h, 7d or 2026-11-27T08:00:00Z"),
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="most entries to show")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show the audit logs, the newest entries first."""
    from lockstep.audit.v1 import audit_pb2 as audit_pb

    from services.cli.operator import ask

    request = audit_pb.ListAuditEventsRequest(user_id=str(user or ""), event=event, actor=actor)
    if since is not None:
        request.since.FromDatetime(since)
    rows = [
        _fields(each, entry)
        for each in _services(service)
        for entry in ask(each, partial(_entries, each, request, limit))
    ]
    rows.sort(key=lambda row: row["time"], reverse=True)
    show(rows[:limit], COLUMNS, empty="there are no such entries", as_json=as_json)


async def _entries(
    service: str,
    wanted: "audit_pb.ListAuditEventsRequest",
    limit: int,
    channel: "grpc.aio.Channel",
) -> "list[audit_pb.AuditEvent]":
    """Ask a service for its newest entries."""
    from importlib import import_module

    from services.cli.operator import rows

    module = import_module(f"lockstep.{service}.v1.audit_service_pb2_grpc")
    stub = module.AuditServiceStub(channel)
    return await rows(stub.ListAuditEvents, wanted, "audit_events", limit=limit)


def _services(name: str | None) -> tuple[str, ...]:
    from services.cli.errors import CommandError
    from services.cli.system import is_installed

    if name is None:
        return tuple(each for each in SERVICES if is_installed(each))
    if name not in SERVICES:
        raise CommandError(f"{name} has no audit log: use {', '.join(SERVICES)}")
    return (name,)


def _fields(service: str, entry: "audit_pb.AuditEvent") -> dict[str, str | datetime]:
    from datetime import UTC

    return {
        "time": entry.create_time.ToDatetime(UTC),
        "service": service,
        "event": entry.event,
        "user": entry.user_id,
        "account": entry.account,
        "actor": entry.actor,
        "address": entry.client_ip,
        "detail": " ".join(f"{fact.name}={fact.value}" for fact in entry.facts),
    }
