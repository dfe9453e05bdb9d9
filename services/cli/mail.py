"""`lockstep mail`: reads the mail that the sink of `lockstep up` has taken."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from services.cli import tables
from services.cli.durations import parse_duration
from services.cli.mailfolder import SunkMail, newest_first, read_mail
from services.cli.mailfolder import prune as prune_folder
from services.cli.tables import JsonOption, Record

app = typer.Typer(no_args_is_help=True, help="Read the mail in the sink, and delete old mail.")

COLUMNS: Final = {"mail": "Mail", "to": "To", "subject": "Subject", "sent": "Sent"}


@app.command(name="list")
def list_mail(
    limit: Annotated[int, typer.Option(min=1, help="most mails")] = 20,
    *,
    as_json: JsonOption = False,
) -> None:
    """List mail, newest first."""
    rows: list[Record] = [
        {"mail": mail.name, "to": mail.to, "subject": mail.subject, "sent": mail.time}
        for mail in map(read_mail, newest_first(_folder())[:limit])
    ]
    tables.show(rows, COLUMNS, empty=f"there is no mail in {_folder()}", as_json=as_json)


@app.command()
def show(
    name: Annotated[
        str | None, typer.Argument(help="name of a mail, from `lockstep mail list`")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="show the newest mail to this e-mail address")
    ] = None,
    *,
    latest: Annotated[bool, typer.Option("--latest", help="show the newest mail")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print a mail as text."""
    from services.cli.errors import CommandError

    if name is None and not latest and to is None:
        raise CommandError("no mail is named: give a name, --to ADDRESS or --latest")
    for path in newest_first(_folder()):
        if path.stem == (name or path.stem) and (mail := read_mail(path)).is_to(to or ""):
            if as_json:
                tables.show_one(_record(mail), as_json=True)
            else:
                _print(mail)
            return
    raise CommandError(f"there is no such mail in {_folder()}")


@app.command()
def prune(
    older_than: Annotated[
        timedelta,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="delete what is older, such as 7d or 12h"
        ),
    ],
) -> None:
    """Delete old mail: it may hold codes."""
    deleted = prune_folder(_folder(), older_than=older_than)
    typer.echo(f"deleted {deleted} {'mail' if deleted == 1 else 'mails'} in {_folder()}")


def _record(mail: SunkMail) -> tables.Record:
    return {
        "mail": mail.name,
        "sent": mail.time,
        "from": mail.sender,
        "to": mail.to,
        "subject": mail.subject,
        "text": "\n".join((mail.text or mail.html or "").splitlines()),
    }


def _print(mail: SunkMail) -> None:
    headers = {"From": mail.sender, "To": mail.to, "Subject": mail.subject, "Date": mail.date}
    for header, value in headers.items():
        typer.echo(f"{header}: {tables.visible(value)}")
    typer.echo("")
    for line in (mail.text or mail.html or "").splitlines():
        typer.echo(tables.visible(line))


def _folder() -> Path:
    from services.common.settings import CommonSettings, load

    return load(CommonSettings).home / "mail"
