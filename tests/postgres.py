"""A real PostgreSQL for tests: a server for each pytest process, a database for each test."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from services.cli.postgres import THROWAWAY, EmbeddedPostgres

_numbers = itertools.count(1)


@contextmanager
def shared_postgres() -> Iterator[EmbeddedPostgres]:
    """Run a throwaway server; each xdist worker has its own, started in less than a second."""
    with tempfile.TemporaryDirectory(prefix="lockstep-tests-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", options=THROWAWAY)
        try:
            server.start()
            yield server
        finally:
            server.destroy()


def make_template(server: EmbeddedPostgres, name: str, fill: Callable[[str], None]) -> str:
    """Make the database `name` once, filled by `fill(url)`, for `fresh_database`."""
    server.create_databases([name])
    fill(server.url(name))
    return name


@contextmanager
def fresh_database(server: EmbeddedPostgres, template: str = "template1") -> Iterator[str]:
    """Yield the URL of a copy of `template`, and drop it at the end, even while it is in use."""
    name = f"{template}_{next(_numbers)}"
    _run(server, "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, template)
    try:
        yield server.url(name)
    finally:
        _run(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _run(server: EmbeddedPostgres, statement: str, *names: str) -> None:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def set_clock_offset(url: str, offset: str) -> None:
    """Move the clock of a database, for the sessions that begin from now on."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET lockstep.clock_offset = '{offset}'".encode())
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
