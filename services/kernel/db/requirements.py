"""What a server must be, so that safety does not rest on what nobody has checked.

A command or a service that meets another server refuses it in one line, before it writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from services.kernel.db.limits import TimeLimits

VERSION_LEAST: Final = 18
ENCODING: Final = "UTF8"

FACTS: Final = b"""
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
       pg_encoding_to_char(encoding)::text, current_user::text, datname::text,
       coalesce(current_schema(), '')::text, pg_backend_pid(),
       extract(epoch FROM current_setting('statement_timeout')::interval)::float8,
       extract(epoch FROM current_setting('lock_timeout')::interval)::float8,
       extract(epoch FROM current_setting('idle_in_transaction_session_timeout')::interval)::float8
  FROM pg_database WHERE datname = current_database()
"""
# A service only reads these tables.
MIGRATED_ONLY: Final = ("alembic_version", "least_code")
# The other tables that a service could not read or write.
CLOSED_TABLES: Final = b"""
SELECT relname::text FROM pg_class
 WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
   AND NOT (has_table_privilege(oid, 'SELECT')
            AND (relname IN ('alembic_version', 'least_code')
                 OR has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE')
                    AND has_table_privilege(oid, 'DELETE')))
 ORDER BY relname
"""
# Tables that a migration could not change.
FOREIGN_TABLES: Final = b"""
SELECT relname::text FROM pg_class
 WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
   AND NOT pg_has_role(relowner, 'USAGE')
 ORDER BY relname
"""
MAY_CREATE: Final = b"SELECT has_schema_privilege(current_schema(), 'CREATE')"


class DatabaseUnfit(Exception):
    """A server cannot be used. The text is one line: the server, and what is needed."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself and of a session.

    Attributes:
        place: The host and the port, or the folder of the socket.
        version_number: The version as one number, such as 180001.
        schema: Where tables without a schema are; empty if the role may use none.
        backend: The process that serves the session.
        statement_seconds: The time for a statement; 0 means no limit, as with the next two.
    """

    place: str
    version_number: int
    version: str
    encoding: str
    role: str
    database: str
    schema: str
    backend: int
    statement_seconds: float
    lock_seconds: float
    idle_seconds: float


def place_of(info: psycopg.ConnectionInfo) -> str:
    """Name the server of a connection."""
    return info.host if info.host.startswith("/") else f"{info.host}:{info.port}"


def check_server(facts: ServerFacts) -> None:
    """Refuse a server that is too old or has another encoding.

    Raises:
        DatabaseUnfit: The server cannot be used.
    """
    if facts.version_number < VERSION_LEAST * 10_000:
        raise DatabaseUnfit(
            f"PostgreSQL at {facts.place} is version {facts.version}, "
            f"and must be {VERSION_LEAST} or newer"
        )
    if facts.encoding != ENCODING:
        raise DatabaseUnfit(
            f"{_database(facts)} has the encoding {facts.encoding}, and must have {ENCODING}"
        )


def check_limits(facts: ServerFacts, limits: TimeLimits) -> None:
    """Refuse a session that lacks a limit, or has a longer one than was asked for.

    Raises:
        DatabaseUnfit: Statements could outlast the wait for them, or zombies could hold locks.
    """
    pairs = {
        "statement_timeout": (facts.statement_seconds, limits.statement_seconds),
        "lock_timeout": (facts.lock_seconds, limits.lock_seconds),
        "idle_in_transaction_session_timeout": (facts.idle_seconds, limits.idle_seconds),
    }
    for name, (found, wanted) in pairs.items():
        if not 0 < found <= wanted:
            raise DatabaseUnfit(
                f"{_database(facts)} gives sessions {name} = {found:g} s, and it must be "
                f"at most {wanted:g} s and not 0: run `lockstep migrate`, "
                "or set it for the role"
            )


def check_tables(facts: ServerFacts, closed: list[str]) -> None:
    """Refuse a role that may not work with the tables of the service.

    Args:
        facts: The facts.
        closed: The tables that the role may not read or write.

    Raises:
        DatabaseUnfit: The role lacks rights.
    """
    if not facts.schema:
        raise DatabaseUnfit(_needs(facts, "USAGE on the schema of the tables"))
    if closed:
        tables = ", ".join(closed)
        raise DatabaseUnfit(_needs(facts, f"SELECT, INSERT, UPDATE and DELETE on {tables}"))


def check_pooler(facts: ServerFacts, info: psycopg.ConnectionInfo, *, is_pooled: bool) -> None:
    """Refuse a pooler that nobody has told of: it loses prepared statements and options.

    A pooler answers with a number of its own for the process that serves the session.

    Raises:
        DatabaseUnfit: There is a pooler.
    """
    if facts.backend != info.backend_pid and not is_pooled:
        raise DatabaseUnfit(
            f"a pooler answers at {facts.place}: the setting DATABASE_POOLER must be on"
        )


def check_refusal(error: psycopg.OperationalError) -> None:
    """Refuse a pooler that refuses the options of a session. libpq gives no SQLSTATE here.

    Raises:
        DatabaseUnfit: There is a pooler.
    """
    text = " ".join(str(error).split())
    if "unsupported startup parameter" in text:
        raise DatabaseUnfit(
            f"a pooler takes no options: the setting DATABASE_POOLER must be on ({text})"
        ) from error


async def check_session(
    connection: psycopg.AsyncConnection[Any], limits: TimeLimits, *, is_pooled: bool
) -> ServerFacts:
    """Refuse a session on which a service could not work safely.

    Raises:
        DatabaseUnfit: The text says what is needed.
    """
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(FACTS)
        row = await cursor.fetchone()
    assert row is not None
    facts = facts_of(connection.info, row)
    check_server(facts)
    check_pooler(facts, connection.info, is_pooled=is_pooled)
    check_limits(facts, limits)
    return facts


async def check_rights(connection: psycopg.AsyncConnection[Any], facts: ServerFacts) -> None:
    """Refuse a role that may not work with the tables of the service.

    Raises:
        DatabaseUnfit: The role lacks rights.
    """
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(CLOSED_TABLES)
        check_tables(facts, [name for (name,) in await cursor.fetchall()])


def check_migrator(connection: psycopg.Connection[tuple[object, ...]]) -> ServerFacts:
    """Refuse a server, a database or a role with which no migration can work.

    Raises:
        DatabaseUnfit: The text says what is needed.
    """
    facts = read_facts(connection)
    check_server(facts)
    if facts.backend != connection.info.backend_pid:
        raise DatabaseUnfit(
            f"a pooler answers at {facts.place}, and migrations must reach PostgreSQL itself"
        )
    if not facts.schema:
        raise DatabaseUnfit(_needs(facts, "USAGE on the schema of the tables"))
    if connection.execute(MAY_CREATE).fetchone() != (True,):
        raise DatabaseUnfit(_needs(facts, f"CREATE on the schema {facts.schema}"))
    foreign = [str(name) for (name,) in connection.execute(FOREIGN_TABLES)]
    if foreign:
        raise DatabaseUnfit(_needs(facts, f"the ownership of {', '.join(foreign)}"))
    return facts


def read_facts(connection: psycopg.Connection[tuple[object, ...]]) -> ServerFacts:
    """Ask a server for its facts."""
    row = connection.execute(FACTS).fetchone()
    assert row is not None
    return facts_of(connection.info, row)


def facts_of(info: psycopg.ConnectionInfo, row: tuple[object, ...]) -> ServerFacts:
    """Return the facts that a row of `FACTS` gives."""
    # Of a database with the encoding SQL_ASCII texts come as bytes.
    values = [each.decode(errors="replace") if isinstance(each, bytes) else each for each in row]
    return ServerFacts(place_of(info), *values)  # type: ignore[arg-type] # as FACTS selects


def _database(facts: ServerFacts) -> str:
    return f"the database {facts.database} at {facts.place}"


def _needs(facts: ServerFacts, what: str) -> str:
    return f"the role {facts.role} must have {what} in {_database(facts)}"
