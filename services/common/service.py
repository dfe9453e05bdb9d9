"""A service's process, from its settings to SIGTERM."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeVar

import uvloop
from sqlalchemy import literal, select

from services.common.keys import KeysError
from services.common.settings import CommonSettings, SettingsError, load
from services.kernel.db.database import Database
from services.kernel.db.statement import NoParameters, Statement
from services.kernel.logging import configure
from services.kernel.rpc.server import Probe
from services.kernel.signals import until_stopped


@dataclass(frozen=True, slots=True)
class PingRow:
    """The answer of a database that works."""

    one: int


# These services pass on calls of clients, and may name a client's IP.
PROXIES = frozenset({"gateway"})

_PING = Statement(select(literal(1).label("one")), NoParameters, PingRow)

S = TypeVar("S", bound=CommonSettings)


def run(
    name: str, settings_class: type[S], running: Callable[[S], AbstractAsyncContextManager[object]]
) -> None:
    """Run a service until SIGTERM or SIGINT; print a failure at start without a traceback.

    Args:
        name: The name of the service, for its logs.
        settings_class: The service's settings.
        running: Runs the service until the context ends.
    """

    async def serve() -> None:
        settings = load(settings_class)
        configure(service=name, level=settings.log_level, form=settings.log_format)
        async with running(settings):
            await until_stopped()

    try:
        uvloop.run(serve())
    except (SettingsError, KeysError, OSError) as error:
        sys.exit(f"{name}: {error}")


def database_probe(database: Database) -> Probe:
    """Return a probe that fails unless the database answers."""

    async def probe() -> None:
        await database.first(_PING, NoParameters())

    return probe


@contextlib.asynccontextmanager
async def opened(*databases: Database) -> AsyncIterator[None]:
    """Open databases, and close them in reverse order."""
    async with contextlib.AsyncExitStack() as stack:
        for database in databases:
            await database.open()
            stack.push_async_callback(database.close)
        yield
