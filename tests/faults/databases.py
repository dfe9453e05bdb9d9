"""The databases of all services in one, a schema each with a clock of its own, and one look."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import create_engine, make_url

from services.auth.model import METADATA as AUTH
from services.cli.postgres import EmbeddedPostgres
from services.commerce.model import METADATA as COMMERCE
from services.kernel.db.cleaner import ROWS_AT_ONCE, Cleanup
from services.kernel.db.connection import Connection
from services.kernel.db.database import Database
from services.kernel.db.statement import Limit, Statement
from services.profile.model import METADATA as PROFILE
from tests.faults.edges import Actor, Run

A = TypeVar("A")
B = TypeVar("B")

END_SECONDS_MAX = 60.0
"""The time in which a session that is ended must be gone, on any machine."""
METADATA = {"auth": AUTH, "profile": PROFILE, "commerce": COMMERCE}
# Virtual time, and how far the clock of each service's database is ahead of it.
CLOCK = """
CREATE TABLE public.clock AS SELECT clock_timestamp() AS at, interval '0' AS public,
  interval '0' AS auth, interval '0' AS profile, interval '0' AS commerce
"""
# They hide PostgreSQL's own, so that defaults of columns are on virtual time, too.
TIME = """
CREATE OR REPLACE FUNCTION {schema}.{name}() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT at + {schema} FROM public.clock
$$
"""
CLOCKS = ("clock_timestamp", "now", "saga_now")
# The system accounts that Profile's first migration makes.
ACCOUNTS = """
INSERT INTO profile.accounts (id, kind) VALUES
  ('00000000-0000-8000-8000-000000000001', 'treasury'),
  ('00000000-0000-8000-8000-000000000002', 'sales'),
  ('00000000-0000-8000-8000-000000000003', 'suspense'),
  ('00000000-0000-8000-8000-000000000004', 'forfeited') ON CONFLICT DO NOTHING
"""


def make_database(server: EmbeddedPostgres, name: str) -> str:
    """Make the database of a world, and return its URL."""
    server.create_databases([name])
    url = server.url(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(CLOCK.encode())
        _make_clocks(connection, "public")
        for schema in METADATA:
            connection.execute(f"CREATE SCHEMA {schema}".encode())
            _make_clocks(connection, schema)
        for schema, metadata in METADATA.items():
            engine = create_engine(
                make_url(url).set(drivername="postgresql+psycopg"),
                connect_args={"options": search_path(schema)},
            )
            metadata.create_all(engine)
            engine.dispose()
            _make_clocks(connection, schema)
        connection.execute(ACCOUNTS.encode())
    return url


def _make_clocks(connection: psycopg.Connection, schema: str) -> None:
    for name in CLOCKS:
        connection.execute(TIME.format(schema=schema, name=name).encode())


def search_path(schema: str) -> str:
    """Return the option of a session whose tables and clock are those of one service."""
    return f"-c search_path={schema},pg_catalog"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, such as `auth.users`."""

    table: str
    content: dict[str, Any]

    def __str__(self) -> str:
        """Return what tells the row from others."""
        shown = {key: value for key, value in self.content.items() if key in _TOLD}
        return f"{self.table} {shown}"


# The columns that a text about a row names.
_TOLD = ("id", "saga_id", "kind", "state", "status", "user_id", "email", "branch", "quantity")
TABLES = tuple(
    f"{schema}.{name}" for schema, metadata in METADATA.items() for name in metadata.tables
)
# What every installation has.
_KEPT = {
    "auth.roles": "false",
    "commerce.categories": "false",
    "profile.accounts": "balance IS NOT NULL",
    "auth.event_head": "false",
    "profile.event_head": "false",
    "commerce.event_head": "false",
}
_EVERYTHING = " UNION ALL ".join(
    f"SELECT '{table}' AS name, to_jsonb(t) AS content FROM {table} t" for table in TABLES
)
_CLEAR = ";".join(
    (
        "SET LOCAL session_replication_role = replica",  # in any order
        *(f"DELETE FROM {table} WHERE {_KEPT.get(table, 'true')}" for table in TABLES),
        "UPDATE clock SET auth = '0', profile = '0', commerce = '0'",
    )
)
# The table that a reading statement names first.
_FROM = re.compile(rb"\bFROM (\w+)")


class Ground:
    """The tables of all services, looked at and prepared from outside, at once."""

    def __init__(self, url: str) -> None:
        # Nobody analyzes these tables.
        options = f"{search_path('public')} -c enable_seqscan=off"
        self._connection = psycopg.connect(
            url, autocommit=True, row_factory=namedtuple_row, options=options
        )
        self._url, self._ahead = url, 0.0
        self._cleaning: dict[str, psycopg.Connection] = {}

    def close(self) -> None:
        for connection in (self._connection, *self._cleaning.values()):
            connection.close()

    def rows(self, sql: str, **parameters: Any) -> list[Any]:
        """Run a statement."""
        self.flush()
        cursor = self._connection.execute(sql.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, sql: str, **parameters: Any) -> Any:
        """Run a statement that returns one row."""
        return self.rows(sql, **parameters)[0]

    def jump(self, seconds: float) -> None:
        """Move all clocks, before anybody looks at one."""
        self._ahead += seconds

    def skew(self, schema: str, seconds: float) -> None:
        """Move the clock of one service's database."""
        self._connection.execute(
            f"UPDATE clock SET {schema} = make_interval(secs => %s)".encode(), [seconds]
        )

    def everything(self) -> list[Row]:
        """Return every row of every table."""
        return [Row(row.name, row.content) for row in self.rows(_EVERYTHING)]

    def clear(self) -> None:
        """Remove what runs have left, and let all clocks agree."""
        self._connection.execute(_CLEAR.encode())

    def flush(self) -> None:
        """Move the clocks of the databases to where they must be."""
        if self._ahead:
            ahead, self._ahead = self._ahead, 0.0
            self._connection.execute(
                b"UPDATE clock SET at = at + make_interval(secs => %s)", [ahead]
            )

    def sweep(self, schema: str, cleanups: Sequence[Cleanup]) -> None:
        """Let a service's own clean-ups do a round, before anybody else acts."""
        self.flush()
        if schema not in self._cleaning:
            options = f"{search_path(schema)} -c lock_timeout=20"
            self._cleaning[schema] = psycopg.connect(
                self._url, autocommit=True, options=options, cursor_factory=psycopg.RawCursor
            )
        for cleanup in cleanups:
            statement = cleanup.statement
            with contextlib.suppress(psycopg.errors.LockNotAvailable):  # the next round gets them
                while (
                    self._cleaning[schema]
                    .execute(statement.sql, statement._values(Limit(ROWS_AT_ONCE)))
                    .rowcount
                ):
                    pass

    def kill(self, sessions: list[str], *, idle_only: bool) -> None:
        """End the sessions that are doing something, or those that sit in a transaction.

        A session at rest holds nothing, so the next owner may have it.
        """
        state = "state = 'idle in transaction'" if idle_only else "state <> 'idle'"
        ended = self.rows(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE application_name = ANY (%(sessions)s) AND {state}",
            sessions=sessions,
        )
        self._wait_for_end([row.pid for row in ended])

    def kill_process(self, pid: int) -> None:
        """End a session that is at rest."""
        self.rows("SELECT pg_terminate_backend(%(pid)s)", pid=pid)
        self._wait_for_end([pid])

    def _wait_for_end(self, pids: list[int]) -> None:
        # PostgreSQL's function could wait itself, but looks ten times a second only.
        ends_at = time.monotonic() + END_SECONDS_MAX
        while pids and self.rows("SELECT FROM pg_stat_activity WHERE pid = ANY (%(p)s)", p=pids):
            assert time.monotonic() < ends_at, f"the sessions {pids} do not end"
            time.sleep(0.0005)

    def waiting(self) -> list[int]:
        """Return the processes of PostgreSQL that wait for a lock."""
        rows = self.rows(
            "SELECT pid FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return [row.pid for row in rows]

    def cancel(self, pids: list[int]) -> None:
        """End statements, as a lock_timeout does."""
        self.rows("SELECT pg_cancel_backend(pid) FROM unnest(%(pids)s) AS pid", pids=pids)


class Owner(Protocol):
    """The replica that uses a database for now."""

    name: str
    actor: Actor


class Stage(Protocol):
    """The place where databases are used."""

    run: Run
    ground: Ground

    async def committing(self, owner: Owner, connection: Connection) -> None:
        """Note that a transaction is about to be committed."""

    def committed(self, actor: Actor, edge: str) -> None:
        """Look at the tables, because they have changed."""


class EdgeDatabase(Database):
    """A database whose commits and reads are edges at which the connection can be lost.

    It outlives its owner: connecting costs more than a schedule.

    Args:
        url: The world's database.
        schema: The service's part of it.
        session: The name of its sessions at the server.
        stage: The place where it is used.
    """

    owner: Owner

    def __init__(
        self, url: str, *, schema: str, session: str, connections: int, stage: Stage
    ) -> None:
        super().__init__(
            url,
            name=session,
            connections=connections,
            observer=self._observe,
            options=f"{search_path(schema)} -c application_name={session}",
        )
        self.session = session
        self._stage = stage

    def belong_to(self, owner: Owner) -> None:
        """Pass edges under the name of this owner."""
        self.owner = owner
        self.name = owner.name

    async def _observe(self, edge: str) -> None:
        await self._stage.run.at(self.owner.actor, edge)
        self._stage.ground.flush()

    async def _read_once(self, statement: Statement[A, B], parameters: A) -> list[B]:
        found = _FROM.search(statement.sql)
        table = found[1].decode() if found else "nothing"
        await self._stage.run.at(self.owner.actor, f"{self.name}.{table}.read")
        self._stage.ground.flush()
        return await super()._read_once(statement, parameters)

    async def _borrow(self) -> Connection:
        connection = await super()._borrow()
        severed, task = self._stage.run.severed, asyncio.current_task()
        if task in severed:
            severed.remove(task)
            self._stage.ground.kill_process(connection.info.backend_pid)
        return connection

    async def _commit(self, connection: Any, name: str) -> None:
        await super()._commit(cast(Any, _Committing(connection, self, name)), name)

    async def end(self) -> None:
        """Close, whether or not statements are under way."""
        await self._pool.close(timeout=1.0)


class _Committing:
    def __init__(self, connection: Connection, database: EdgeDatabase, name: str) -> None:
        self._connection = connection
        self._database = database
        self._edge = f"{database.owner.name}.{name}.commit.lost"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def command(self, text: bytes) -> bytes | None:
        database = self._database
        fate = database._stage.run.doomed.pop(asyncio.current_task(), None)
        if fate == "cut":
            await self._connection.close()
        try:
            await database._stage.committing(database.owner, self._connection)
            tag = await self._connection.command(text)
        finally:
            database._stage.run.ended(asyncio.current_task())
        if fate == "lost":
            # The commit has happened, and the next actor sees it.
            database._stage.committed(database.owner.actor, self._edge)
            await self._connection.close()
            raise psycopg.OperationalError("the connection was lost")
        return tag
