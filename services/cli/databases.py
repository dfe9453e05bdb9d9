"""The databases as the command reaches them: it finds them, makes them and looks into them."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import psycopg

from services.cli.errors import CommandError
from services.cli.postgres import create_databases
from services.common.settings import variable
from services.kernel.db.requirements import (
    DatabaseUnfit,
    check_migrator,
    check_server,
    place_of,
    read_facts,
)
from services.kernel.db.urls import on_database, parse
from services.kernel.ids import process_name

MAINTENANCE: Final = "postgres"
CONNECT_SECONDS: Final = 10
READ_SECONDS: Final = 5.0
_EXISTS: Final = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)"
_MAY_CREATE: Final = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"

Connection = psycopg.Connection[tuple[Any, ...]]


def connect(url: str, *, autocommit: bool = True) -> Connection:
    """Connect as the command does, also through a pooler, which keeps no prepared statements.

    Raises:
        psycopg.OperationalError: The server cannot be reached, or refuses.
    """
    return psycopg.connect(
        url,
        autocommit=autocommit,
        connect_timeout=CONNECT_SECONDS,
        application_name=session_name(),
        prepare_threshold=None,
    )


def read_rows(
    url: str, statement: str, parameters: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Read rows, and change nothing. A lock of others, such as a migration's, has an end here.

    Raises:
        psycopg.Error: The server refuses, or has no answer in `READ_SECONDS`.
    """
    with connect(url, autocommit=False) as connection:
        # For this transaction alone, because a pooler gives the session to others.
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute(f"SET LOCAL statement_timeout = {READ_SECONDS * 1000:.0f}".encode())
        return connection.execute(statement.encode(), parameters).fetchall()


def session_name() -> str:
    """Return what a server calls the sessions of this command."""
    return process_name("lockstep")


def make_missing(urls: Iterable[tuple[str, str]]) -> None:
    """Create the databases that are missing, once every server has been found to be fit.

    Args:
        urls: The name of the setting and the URL of each database.

    Raises:
        CommandError: A server or a role is of no use, and the text says why. Nothing was made.
    """
    missing = [url for setting, url in urls if _is_missing(setting, url)]
    for url in missing:
        create_databases(on_database(url, MAINTENANCE), [parse(url)["dbname"]])


def _is_missing(setting: str, url: str) -> bool:
    try:
        if not _is_known_missing(url):
            # A role without access to the maintenance database makes its databases before.
            with connect(url) as connection:
                check_migrator(connection)
            return False
    except (psycopg.Error, DatabaseUnfit) as error:
        raise CommandError(f"cannot migrate: {in_a_line(error)} (see {setting})") from error
    return True


def _is_known_missing(url: str) -> bool:
    """Return whether the server says that there is no such database, and lets it be made.

    Raises:
        DatabaseUnfit: The server is too old, or the role may not make the database.
    """
    name = parse(url).get("dbname")
    try:
        maintenance = connect(on_database(url, MAINTENANCE))
    except psycopg.OperationalError:
        return False
    with maintenance:
        check_server(read_facts(maintenance))
        if name is None or maintenance.execute(_EXISTS, [name]).fetchone() == (True,):
            return False
        if maintenance.execute(_MAY_CREATE).fetchone() != (True,):
            raise DatabaseUnfit(
                f"there is no database {name} at {place_of(maintenance.info)}, and the role "
                f"{maintenance.info.user} must have CREATEDB to make it"
            )
    return True


def in_a_line(error: Exception) -> str:
    """Return the text of an error as one line."""
    return " ".join(str(error).split())


def setting_of(service: str) -> str:
    """Return the name of the setting that says where a service's database is."""
    name = variable(f"{service}_migrate_database_url")
    return name if os.environ.get(name) else variable(f"{service}_database_url")
