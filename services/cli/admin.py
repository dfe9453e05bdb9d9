"""`lockstep admin`: the administrators."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from services.cli import invitations
from services.cli.imports import import_users
from services.cli.tables import JsonOption, Record, show

if TYPE_CHECKING:
    import grpc
    from lockstep.auth.v1 import auth_service_pb2 as auth_pb
    from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc


app = typer.Typer(
    no_args_is_help=True, help="Appoint administrators; invite, import and help people."
)

app.command(name="import")(import_users)
app.command()(invitations.invite)
app.command(name="invitations")(invitations.list_invitations)
app.command(name="end-invitation")(invitations.end_invitation)

T = TypeVar("T")
ADMINISTRATORS: Final = {
    "id": "User",
    "email": "E-mail",
    "full_name": "Name",
    "status": "Status",
    "create_time": "Made",
}
EmailOption = Annotated[str, typer.Option("--email", help="e-mail address of the account")]


@app.command()
def create(
    email: EmailOption,
    first_name: Annotated[str, typer.Option(help="first name")] = "System",
    last_name: Annotated[str, typer.Option(help="last name")] = "Administrator",
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="read the password from standard input")
    ] = False,
) -> None:
    """Register an account, through the running services, and make it an administrator."""
    from services.cli.errors import CommandError

    password = _password(from_stdin=password_stdin)
    if not password:
        raise CommandError("the password is empty: type one, or pipe one into --password-stdin")
    asyncio.run(_register(email, password, first_name, last_name))
    _give_role(email, is_admin=True)


@app.command()
def promote(email: EmailOption) -> None:
    """Make an account an administrator."""
    _give_role(email, is_admin=True)


@app.command()
def demote(email: EmailOption) -> None:
    """Make an administrator a customer; one administrator must remain."""
    _give_role(email, is_admin=False)


@app.command(name="show")
def show_account(email: EmailOption, *, as_json: JsonOption = False) -> None:
    """Show how an account stands: status, sessions, counters, and mail that waits."""
    from lockstep.auth.v1 import auth_service_pb2 as auth_pb

    from services.cli import account

    request = auth_pb.GetUserAccessRequest(email=_checked(email))
    rows = account.rows_of(_ask(email, lambda auth: auth.GetUserAccess(request)))
    show(rows, account.COLUMNS, empty="there is nothing to show", as_json=as_json)


@app.command()
def unlock(email: EmailOption) -> None:
    """Clear the counters of an account: wrong passwords, wrong codes, codes sent."""
    from lockstep.auth.v1 import auth_service_pb2 as auth_pb

    request = auth_pb.UnlockUserRequest(email=_checked(email))
    user = _ask(email, lambda auth: auth.UnlockUser(request))
    typer.echo(f"unlocked {user.email} ({user.id})")


@app.command(name="resend-code")
def resend_code(email: EmailOption) -> None:
    """Mail a new code for the newest open flow of an account, or for a sign-up."""
    from lockstep.auth.v1 import auth_service_pb2 as auth_pb

    request = auth_pb.ResendCodeRequest(email=_checked(email))
    sent = _ask(email, lambda auth: auth.ResendCode(request))
    typer.echo(f"mailed a new code ({sent.purpose}) for the flow of {email}")


@app.command(name="reset-mfa")
def reset_mfa(email: EmailOption) -> None:
    """Take the second factor off an account; its sessions end, and the owner gets a mail."""
    from lockstep.auth.v1 import auth_service_pb2 as auth_pb

    request = auth_pb.ResetMfaRequest(email=_checked(email))
    user = _ask(email, lambda auth: auth.ResetMfa(request))
    typer.echo(f"{user.email} ({user.id}) has no second factor")


@app.command(name="list")
def list_administrators(*, as_json: JsonOption = False) -> None:
    """List administrators, the oldest account first."""
    from services.cli.operator import ask

    rows: list[Record] = [
        {
            "id": user.id,
            "email": user.email,
            "full_name": user.full_name,
            "status": user.status,
            "create_time": user.create_time.ToDatetime(UTC),
        }
        for user in reversed(ask("auth", _administrators))
    ]
    show(rows, ADMINISTRATORS, empty="there are no administrators", as_json=as_json)


async def _administrators(channel: "grpc.aio.Channel") -> "list[auth_pb.User]":
    from lockstep.auth.v1 import auth_service_pb2 as auth_pb
    from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc

    from services.cli.operator import rows

    stub = auth_grpc.AuthServiceStub(channel)
    return await rows(stub.ListUsers, auth_pb.ListUsersRequest(role="admin"), "users")


def _give_role(email: str, *, is_admin: bool) -> None:
    from lockstep.auth.v1 import auth_service_pb2 as auth_pb

    email = _checked(email)
    if is_admin:
        user = _ask(email, lambda auth: auth.PromoteUser(auth_pb.PromoteUserRequest(email=email)))
    else:
        user = _ask(email, lambda auth: auth.DemoteUser(auth_pb.DemoteUserRequest(email=email)))
    if user.role in {"admin", "customer"}:
        typer.echo(f"{'promoted' if is_admin else 'demoted'} {user.email} ({user.id})")
    else:
        typer.echo(f"{user.email} ({user.id}) stays a {user.role}: only administrators are demoted")


def _checked(email: str) -> str:
    from services.auth.domain.emails import allow_domains, parse_email
    from services.auth.settings import AuthSettings
    from services.cli.errors import CommandError
    from services.common.settings import load

    allow_domains(load(AuthSettings).reserved_domains)
    if parse_email(email) is None:
        raise CommandError(f"{email} is not an e-mail address")
    return email


def _ask(email: str, call: "Callable[[auth_grpc.AuthServiceAsyncStub], Awaitable[T]]") -> T:
    """Call Auth about the account of an e-mail, as the operator.

    Raises:
        CommandError: There is no such account, or the call failed.
    """
    from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc

    from services.cli.errors import CommandError
    from services.cli.failures import NotFoundError
    from services.cli.operator import ask

    try:
        return ask("auth", lambda channel: call(auth_grpc.AuthServiceStub(channel)))
    except NotFoundError as failed:
        raise CommandError(f"there is no account of {email}") from failed


async def _register(email: str, password: str, first_name: str, last_name: str) -> None:
    from lockstep.auth.v1 import auth_service_pb2 as auth_pb
    from lockstep.auth.v1 import auth_service_pb2_grpc as auth_grpc

    from services.cli.errors import CommandError
    from services.cli.failures import CallError
    from services.cli.operator import call_as_anybody

    # This role requires no field but the names.
    request = auth_pb.RegisterRequest(
        email=email, password=password, role="creator", first_name=first_name, last_name=last_name
    )
    try:
        await call_as_anybody(
            "auth", lambda channel: auth_grpc.AuthServiceStub(channel).Register(request)
        )
    except CallError as failed:
        if failed.error.reason == "EMAIL_TAKEN":
            told = f"{email} has an account: use `lockstep admin promote`"
            raise CommandError(told) from failed
        raise


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed
