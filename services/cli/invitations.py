"""`lockstep admin invite`: invitations by mail."""

from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from services.cli.tables import JsonOption, Record, show

if TYPE_CHECKING:
    import grpc
    from lockstep.auth.v1 import invitation_service_pb2 as invitation_pb
    from lockstep.auth.v1 import invitation_service_pb2_grpc as invitation_grpc

T = TypeVar("T")
COLUMNS: Final = {
    "id": "Invitation",
    "email": "E-mail",
    "role": "Role",
    "language": "Language",
    "create_time": "Made",
    "expire_time": "Good until",
}


def invite(
    email: Annotated[str, typer.Option("--email", help="e-mail address to invite")],
    role: Annotated[str, typer.Option(help="customer, creator, brand or student")],
    language: Annotated[str, typer.Option(help="of the mail: en or de")] = "en",
    days: Annotated[int, typer.Option(min=1, max=30, help="days until it expires")] = 7,
) -> None:
    """Mail an invitation, with which a person registers."""
    from lockstep.auth.v1 import invitation_service_pb2 as invitation_pb

    request = invitation_pb.CreateInvitationRequest(
        email=email, role=role, language=language, days=days
    )
    made = _ask(lambda stub: stub.CreateInvitation(request))
    until = made.expire_time.ToDatetime(UTC).date().isoformat()
    typer.echo(f"invited {made.email} until {until} ({made.id})")


def list_invitations(*, as_json: JsonOption = False) -> None:
    """List the open invitations."""
    from services.cli.operator import ask

    rows = [_row(each) for each in reversed(ask("auth", _open))]
    show(rows, COLUMNS, empty="there are no open invitations", as_json=as_json)


def end_invitation(
    invitation_id: Annotated[str, typer.Argument(metavar="INVITATION", help="its id")],
) -> None:
    """End an invitation: its link is good no more."""
    from lockstep.auth.v1 import invitation_service_pb2 as invitation_pb

    from services.cli.errors import CommandError
    from services.cli.failures import NotFoundError

    request = invitation_pb.EndInvitationRequest(invitation_id=invitation_id)
    try:
        _ask(lambda stub: stub.EndInvitation(request))
    except NotFoundError as failed:
        raise CommandError(f"there is no open invitation {invitation_id}") from failed
    typer.echo(f"ended the invitation {invitation_id}")


async def _open(channel: "grpc.aio.Channel") -> "list[invitation_pb.Invitation]":
    from lockstep.auth.v1 import invitation_service_pb2 as invitation_pb
    from lockstep.auth.v1 import invitation_service_pb2_grpc as invitation_grpc

    from services.cli.operator import rows

    stub = invitation_grpc.InvitationServiceStub(channel)
    return await rows(stub.ListInvitations, invitation_pb.ListInvitationsRequest(), "invitations")


def _ask(call: "Callable[[invitation_grpc.InvitationServiceAsyncStub], Awaitable[T]]") -> T:
    from lockstep.auth.v1 import invitation_service_pb2_grpc as invitation_grpc

    from services.cli.operator import ask

    return ask("auth", lambda channel: call(invitation_grpc.InvitationServiceStub(channel)))


def _row(invitation: "invitation_pb.Invitation") -> Record:
    return {
        "id": invitation.id,
        "email": invitation.email,
        "role": invitation.role,
        "language": invitation.language,
        "create_time": invitation.create_time.ToDatetime(UTC),
        "expire_time": invitation.expire_time.ToDatetime(UTC),
    }
