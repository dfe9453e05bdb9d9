"""`lockstep outbox`: mail that waits to be sent; nobody sees its contents."""

from typing import Annotated, Final

import typer

from services.cli import tables
from services.cli.tables import JsonOption

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
    from services.auth.store import outbox as store
    from services.cli.admin import run

    rows = [
        {name: getattr(mail, name) for name in COLUMNS}
        for mail in run(lambda database: store.queue(database, limit=limit))
    ]
    tables.show(rows, COLUMNS, empty="no mail waits", as_json=as_json)


@app.command()
def retry() -> None:
    """Make all mail that was postponed due now, such as when the mail server is back."""
    from services.auth.store import outbox as store
    from services.cli.admin import run

    due = run(lambda database: database.transact("outbox retry", store.make_due))
    typer.echo(f"{due} {'mail is' if due == 1 else 'mails are'} due now")
