"""The databases of all services in one, a schema each: one clock, and one look at all."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import quote

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import create_engine, make_url

from services.auth.model import METADATA as AUTH
from services.cli.postgres import EmbeddedPostgres
from services.commerce.model import METADATA as COMMERCE
from services.kernel.db.connection import Connection
from services.kernel.db.database import Database
from services.kernel.db.statement import Statement
from services.profile.model import METADATA as PROFILE
from tests.faults.edges import Actor, Run

A = TypeVar("A")
B = TypeVar("B")

METADATA = {"auth": AUTH, "profile": PROFILE, "commerce": COMMERCE}
SAGA_NOW = """
CREATE OR REPLACE FUNCTION {schema}.saga_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
  SELECT at FROM public.clock
$$
"""
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
        connection.execute("CREATE TABLE clock AS SELECT clock_timestamp() AS at")
        for schema in METADATA:
            connection.execute(f"CREATE SCHEMA {schema}".encode())
    for schema, metadata in METADATA.items():
        engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            connect_args={"options": f"-c search_path={schema}"},
        )
        metadata.create_all(engine)
        engine.dispose()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SAGA_NOW.format(schema=schema).encode())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ACCOUNTS.encode())
    return url


class Ground:
    """The tables of all services, looked at and prepared from outside, at once."""

    def __init__(self, url: str) -> None:
        # Nobody analyzes these tables, and what earlier schedules left must not be read again.
        self._connection = psycopg.connect(
            url, autocommit=True, row_factory=namedtuple_row, options="-c enable_seqscan=off"
        )
        self._ahead = 0.0

    def close(self) -> None:
        self._connection.close()

    def rows(self, sql: str, **parameters: Any) -> list[Any]:
        """Run a statement."""
        self.flush()
        cursor = self._connection.execute(sql.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, sql: str, **parameters: Any) -> Any:
        """Run a statement that returns one row."""
        return self.rows(sql, **parameters)[0]

    def jump(self, seconds: float) -> None:
        """Move the clock, before anybody looks at it."""
        self._ahead += seconds

    def flush(self) -> None:
        """Move the clock of the database to where it has to be."""
        if self._ahead:
            ahead, self._ahead = self._ahead, 0.0
            self._connection.execute(
                b"UPDATE clock SET at = at + make_interval(secs => %s)", [ahead]
            )

    def kill(self, sessions: list[str], *, idle_only: bool) -> None:
        """End the sessions that are doing something, or those that sit in a transaction.

        A session that does nothing holds nothing: whoever comes next may have it.
        """
        state = "state = 'idle in transaction'" if idle_only else "state <> 'idle'"
        ended = self.rows(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE application_name = ANY (%(sessions)s) AND {state}",
            sessions=sessions,
        )
        pids = [row.pid for row in ended]
        # The function could wait itself, but looks ten times a second only.
        while pids and self.rows("SELECT FROM pg_stat_activity WHERE pid = ANY (%(p)s)", p=pids):
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
    """Whose database it is for now."""

    name: str
    actor: Actor


class Stage(Protocol):
    """Where databases are used."""

    run: Run

    async def committing(self, owner: Owner, connection: Connection) -> None:
        """Note that a transaction is about to be committed."""

    def committed(self, actor: Actor, edge: str) -> None:
        """Look at the tables, because they have changed."""


class EdgeDatabase(Database):
    """A database whose commits can be lost, and whose reads wait for their actor.

    It outlives its owner: connecting costs more than a schedule.

    Args:
        url: The world's database.
        schema: The service's part of it.
        session: What its sessions are called at the server.
        stage: Where it is used.
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
            options=f"-c search_path={schema} -c application_name={session}",
        )
        self.session = session
        self._stage = stage

    def belong_to(self, owner: Owner) -> None:
        """Be used by somebody, under whose name its edges are passed."""
        self.owner = owner
        self.name = owner.name

    async def _observe(self, edge: str) -> None:
        await self._stage.run.at(self.owner.actor, edge)

    async def _read_once(self, statement: Statement[A, B], parameters: A) -> list[B]:
        await self._stage.run.gate(self.owner.actor)
        return await super()._read_once(statement, parameters)

    async def _commit(self, connection: Any, name: str) -> None:
        await super()._commit(cast(Any, _Committing(connection, self, name)), name)

    async def end(self) -> None:
        """Close, whatever is under way."""
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
            # It has happened, and whoever acts next acts on it.
            database._stage.committed(database.owner.actor, self._edge)
            await self._connection.close()
            raise psycopg.OperationalError("the connection was lost")
        return tag


def schema_url(url: str, schema: str) -> str:
    """Return the URL of one service's part."""
    return f"{url}&options={quote(f'-c search_path={schema}')}"
