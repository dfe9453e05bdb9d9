"""`lockstep outbox`: mail that waits to be sent; nobody sees its contents."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from services.cli import tables
from services.cli.tables import JsonOption

if TYPE_CHECKING:
    from services.kernel.db.database import Database

T = TypeVar("T")

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

    rows = [
        {name: getattr(mail, name) for name in COLUMNS}
        for mail in on_auth_database(lambda database: store.queue(database, limit=limit))
    ]
    tables.show(rows, COLUMNS, empty="no mail waits", as_json=as_json)


@app.command()
def retry() -> None:
    """Make all mail that was postponed due now, such as when the mail server is back."""
    from services.auth.store import outbox as store

    due = on_auth_database(lambda database: database.transact("outbox retry", store.make_due))
    typer.echo(f"{due} {'mail is' if due == 1 else 'mails are'} due now")


def on_auth_database(work: "Callable[[Database], Awaitable[T]]") -> T:
    """Run a task on Auth's database.

    Raises:
        CommandError: The task has failed.
    """
    from services.cli.errors import CommandError
    from services.cli.system import System, ensure_reachable
    from services.kernel.errors import DomainError

    async def connected(url: str) -> T:
        async with _database(url) as database:
            return await work(database)

    system = System()
    try:
        with system.running_postgres(["auth"]):
            ensure_reachable(system, "auth")
            return asyncio.run(connected(system.database_url("auth")))
    except DomainError as error:
        raise CommandError(error.message) from error


@contextlib.asynccontextmanager
async def _database(url: str) -> "AsyncIterator[Database]":
    from services.kernel.db.database import Database

    database = Database(url, name="operator", connections=1)
    await database.open()
    try:
        yield database
    finally:
        await database.close()
