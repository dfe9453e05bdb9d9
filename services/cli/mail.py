"""`lockstep mail`: reads the mail that the sink of `lockstep up` has taken."""

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Annotated, Final

import typer

from services.cli import tables
from services.cli.durations import parse_duration
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
        {
            "mail": path.stem,
            "to": str(message["to"]),
            "subject": str(message["subject"]),
            "sent": _sent(path, message),
        }
        for path in _newest_first()[:limit]
        for message in [_read(path)]
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


def _print(message: EmailMessage) -> None:
    for header in ("From", "To", "Subject", "Date"):
        typer.echo(f"{header}: {tables.visible(str(message[header] or ''))}")
    body = message.get_body(("plain", "html"))
    typer.echo("")
    for line in str(body.get_content() if body is not None else "").splitlines():
        typer.echo(tables.visible(line))


def _sent(path: Path, message: EmailMessage) -> datetime:
    """Return when a mail was sent; when the sink took it, if its date cannot be read."""
    found: datetime | None = getattr(message["date"], "datetime", None)
    if found is None:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


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
