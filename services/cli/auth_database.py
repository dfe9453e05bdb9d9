"""Auth's database, for the commands that change what no service can change while it runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from services.kernel.db.database import Database

T = TypeVar("T")


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
