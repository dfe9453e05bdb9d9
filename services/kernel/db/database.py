"""The way to PostgreSQL: transactions, time limits, retries.

This is the one place that meets lost connections, repeats transactions (40001, 40P01)
and leaves commits unknown. So it is also the place where a test interferes, as `Observer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from services.kernel.db.connection import Connection
from services.kernel.db.pool import WAIT_SECONDS, Connections
from services.kernel.db.statement import Statement
from services.kernel.errors import CommitUnknown, DatabaseUnavailable

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
Work = Callable[["Transaction"], Awaitable[T]]
Observer = Callable[[str], Awaitable[None]]

TRANSACTION_TRIES = 6
RETRY_PAUSE_SECONDS = 0.02

# The server enforces these, so they hold when the client is paused (a zombie) or gone.
SERVER_LIMITS = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "5s",
}
_LIMITS = " ".join(f"-c {name}={value}" for name, value in SERVER_LIMITS.items())
# How long libpq waits for a silent peer: in seconds, the last one in milliseconds.
SOCKET_LIMITS = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 6000,
}

_REPEATABLE = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
_NOT_NOW = (
    PoolTimeout,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.QueryCanceled,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.ReadOnlySqlTransaction,
)


class Reader(Protocol):
    """Runs statements that read: a transaction, or the database for a single one."""

    async def all(self, statement: Statement[A, B], parameters: A, /) -> list[B]:
        """Return every row."""

    async def first(self, statement: Statement[A, B], parameters: A, /) -> B | None:
        """Return the first row, or None."""


class Transaction:
    """A transaction that has begun."""

    __slots__ = ("_connection", "_name", "_observer", "_sent")

    def __init__(self, connection: Connection, name: str, observer: Observer | None) -> None:
        """Work on a connection that has run BEGIN."""
        self._connection = connection
        self._name = name
        self._observer = observer
        self._sent = 0

    async def all(self, statement: Statement[A, B], parameters: A, /) -> list[B]:
        """Return every row."""
        cursor = await self._run(statement, parameters)
        return await cursor.fetchall()

    async def first(self, statement: Statement[A, B], parameters: A, /) -> B | None:
        """Return the first row, or None."""
        cursor = await self._run(statement, parameters)
        return await cursor.fetchone()

    async def execute(self, statement: Statement[A, B], parameters: A, /) -> int:
        """Return how many rows the statement changed."""
        return (await self._run(statement, parameters)).rowcount

    @property
    def connection(self) -> Connection:
        """Return the connection itself, for COPY, which is not a statement."""
        return self._connection

    async def _run(self, statement: Statement[A, B], parameters: A) -> psycopg.AsyncCursor[B]:
        if self._observer is not None:
            self._sent += 1
            await self._observer(f"{self._name}.statement#{self._sent}")
        return await statement.run(self._connection, parameters)


class Database:
    """A pool of connections to one database.

    Args:
        url: A PostgreSQL URL.
        name: The name of the database, for logs and the observer.
        connections: The most connections; as many statements run at once.
        observer: Awaited at every edge: a statement or a commit is sent, a commit is
            acknowledged. A test may pause, crash or break things there.
        options: More settings of the sessions, as `-c name=value`.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        connections: int = 10,
        observer: Observer | None = None,
        options: str = "",
    ) -> None:
        self.name = name
        self._observer = observer
        self._running: set[asyncio.Task[Any]] = set()
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            connection_class=Connection,
            min_size=1,
            max_size=connections,
            open=False,
            timeout=WAIT_SECONDS,
            reconnect_timeout=5.0,
            name=name,
            kwargs={
                **SOCKET_LIMITS,
                "autocommit": True,
                "row_factory": namedtuple_row,
                "cursor_factory": psycopg.AsyncRawCursor,
                "options": f"{_LIMITS} {options}",
            },
        )
        self.connections = Connections(pool, connections)

    async def open(self) -> None:
        """Start to connect; a database that is down does not stop the service."""
        await self.connections.open()

    async def close(self) -> None:
        """Wait for running transactions, which the server bounds, then disconnect."""
        if self._running:
            await asyncio.wait(self._running, timeout=10.0)
        await self.connections.close()

    async def all(self, statement: Statement[A, B], parameters: A, /) -> list[B]:
        """Run one reading statement and return every row.

        Raises:
            DatabaseUnavailable: The database did not answer in time.
        """
        return await self._read(statement, parameters)

    async def first(self, statement: Statement[A, B], parameters: A, /) -> B | None:
        """Run one reading statement and return the first row, or None.

        Raises:
            DatabaseUnavailable: The database did not answer in time.
        """
        rows = await self._read(statement, parameters)
        return rows[0] if rows else None

    async def transact(self, name: str, work: Work[T]) -> T:
        """Run `work` in a transaction of its own and commit it.

        The transaction runs in a task of its own. A caller that is cancelled stops
        waiting, and the transaction ends as it would have: psycopg may need ten seconds
        to cancel a statement, and a cancelled COMMIT may have committed. After a
        serialization failure, a deadlock or a connection lost before COMMIT, the
        transaction is repeated, so `work` may run more than once.

        Raises:
            DatabaseUnavailable: The transaction was not committed.
            CommitUnknown: The connection was lost during COMMIT.
        """
        return await self._owned(self._tries(name, work))

    async def _owned(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(coroutine)
        self._running.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # read it: asyncio logs exceptions that nobody has read

    async def _tries(self, name: str, work: Work[T]) -> T:
        for left in reversed(range(TRANSACTION_TRIES)):
            try:
                return await self._attempt(name, work)
            except CommitUnknown:
                raise
            except _REPEATABLE as error:
                if not left:
                    raise DatabaseUnavailable from error
            except _NOT_NOW as error:
                if not left or not _connection_was_lost(error):
                    raise DatabaseUnavailable from error
                await self._drop_dead_connections()
            await asyncio.sleep(random.uniform(0, RETRY_PAUSE_SECONDS * (TRANSACTION_TRIES - left)))
        raise AssertionError("unreachable")

    async def _attempt(self, name: str, work: Work[T]) -> T:
        connection = await self.connections.borrow()
        try:
            await connection.command(b"BEGIN")
            result = await work(Transaction(connection, f"{self.name}.{name}", self._observer))
            await self._commit(connection, name)
            return result
        except BaseException:
            await _roll_back(connection)
            raise
        finally:
            await self.connections.put(connection)

    async def _commit(self, connection: Connection, name: str) -> None:
        if self._observer is not None:
            await self._observer(f"{self.name}.{name}.commit.sent")
        try:
            tag = await connection.command(b"COMMIT")
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise CommitUnknown from error
        if tag != b"COMMIT":
            raise RuntimeError(f"{name} swallowed an error of SQL, so the server rolled it back")
        if self._observer is not None:
            await self._observer(f"{self.name}.{name}.commit.acked")

    async def _read(self, statement: Statement[A, B], parameters: A) -> list[B]:
        for left in reversed(range(TRANSACTION_TRIES)):
            try:
                return await self._read_once(statement, parameters)
            except _NOT_NOW as error:
                if not left or not _connection_was_lost(error):
                    raise DatabaseUnavailable from error
                await self._drop_dead_connections()
        raise AssertionError("unreachable")

    async def _read_once(self, statement: Statement[A, B], parameters: A) -> list[B]:
        connection = await self.connections.borrow()
        try:
            cursor = await statement.run(connection, parameters)
            return await cursor.fetchall()
        finally:
            await self.connections.put(connection)

    async def _drop_dead_connections(self) -> None:
        with contextlib.suppress(*_NOT_NOW):
            await self.connections.check()


async def _roll_back(connection: Connection) -> None:
    if connection.closed:
        return
    try:
        await connection.execute(b"ROLLBACK")
    except psycopg.Error:
        await connection.close()


def _connection_was_lost(error: Exception) -> bool:
    if isinstance(error, (PoolTimeout, TooManyRequests)):
        return False
    sqlstate = getattr(error, "sqlstate", None)
    # 57P01..57P03: the server shuts down or starts; 08xxx: the connection broke.
    return sqlstate is None or sqlstate.startswith("08") or sqlstate in _SHUTDOWN


_SHUTDOWN = {"57P01", "57P02", "57P03", "25P03"}
