"""`lockstep outbox`: mail that waits to be sent; nobody sees its contents."""

from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Final

import typer

from services.cli import tables
from services.cli.tables import JsonOption, Record

if TYPE_CHECKING:
    import grpc
    from lockstep.auth.v1 import auth_service_pb2 as auth_pb
    from lockstep.auth.v1 import mail_service_pb2 as mail_pb

app = typer.Typer(
    invoke_without_command=True, help="Show mail that waits to be sent, and send it again."
)

COLUMNS: Final = {
    "id": "Mail",
    "create_time": "Waits since",
    "attempts": "Attempts",
    "next_try_time": "Next try",
    "expire_time": "Given up at",
    "last_error": "Last error",
}


@app.callback()
def outbox(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="most mails")] = 50,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show mail that waits to be sent, the oldest first."""
    if context.invoked_subcommand is not None:
        return
    from services.cli.operator import ask

    found = ask("auth", lambda channel: _waiting(channel, limit))
    tables.show(map(_row, found), COLUMNS, empty="no mail waits", as_json=as_json)


@app.command()
def retry() -> None:
    """Make all mail that was postponed due now, such as when the mail server is back."""
    from services.cli.operator import ask

    due = ask("auth", _retry).mails
    typer.echo(f"{due} {'mail is' if due == 1 else 'mails are'} due now")


async def _waiting(channel: "grpc.aio.Channel", limit: int) -> "list[auth_pb.WaitingMail]":
    from lockstep.auth.v1 import mail_service_pb2 as mail_pb
    from lockstep.auth.v1 import mail_service_pb2_grpc as mail_grpc

    from services.cli.operator import rows

    list_mail = mail_grpc.MailServiceStub(channel).ListWaitingMail
    return await rows(list_mail, mail_pb.ListWaitingMailRequest(), "mails", limit=limit)


async def _retry(channel: "grpc.aio.Channel") -> "mail_pb.RetryWaitingMailResponse":
    from lockstep.auth.v1 import mail_service_pb2 as mail_pb
    from lockstep.auth.v1 import mail_service_pb2_grpc as mail_grpc

    request = mail_pb.RetryWaitingMailRequest()
    return await mail_grpc.MailServiceStub(channel).RetryWaitingMail(request)


def _row(mail: "auth_pb.WaitingMail") -> Record:
    return {
        "id": mail.id,
        "create_time": mail.create_time.ToDatetime(UTC),
        "attempts": mail.attempts,
        "next_try_time": mail.next_try_time.ToDatetime(UTC),
        "expire_time": mail.expire_time.ToDatetime(UTC),
        "last_error": mail.last_error or None,
    }
