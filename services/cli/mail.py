"""`lockstep mail`: reads the mail that the sink of `lockstep up` has taken."""

from email.message import EmailMessage
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Read the mail in the sink.")


@app.command(name="list")
def list_mail(
    limit: Annotated[int, typer.Option(min=1, help="most mails")] = 20,
) -> None:
    """List mail, newest first."""
    from rich.table import Table

    from services.cli.screen import console

    table = Table("Mail", "To", "Subject", "Sent")
    for path in _newest_first()[:limit]:
        message = _read(path)
        table.add_row(path.stem, message["to"], message["subject"], message["date"])
    console().print(table)


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
) -> None:
    """Print a mail as text."""
    from services.cli.errors import CommandError

    if name is None and not latest and to is None:
        raise CommandError("no mail is named: give a name, --to ADDRESS or --latest")
    for path in _newest_first():
        message = _read(path)
        if path.stem == (name or path.stem) and (to or "").lower() in message["to"].lower():
            _print(message)
            return
    raise CommandError(f"there is no such mail in {_folder()}")


def _print(message: EmailMessage) -> None:
    for header in ("From", "To", "Subject", "Date"):
        typer.echo(f"{header}: {message[header] or ''}")
    body = message.get_body(("plain", "html"))
    typer.echo("")
    typer.echo(body.get_content() if body is not None else "")


def _newest_first() -> list[Path]:
    return sorted(_folder().glob("*.eml"), reverse=True)


def _read(path: Path) -> EmailMessage:
    from email import message_from_bytes, policy

    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    for header in ("To", "Subject", "Date"):
        if message[header] is None:
            message[header] = ""
    return message


def _folder() -> Path:
    from services.common.settings import CommonSettings, load

    return load(CommonSettings).home / "mail"
