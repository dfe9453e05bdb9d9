"""The way to PostgreSQL: transactions, time limits, retries.

This is the one place that meets lost connections, repeats transactions (40001, 40P01)
and leaves commits unknown. So it is also the place where a test interferes, as `Observer`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, NoReturn, Protocol, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from services.kernel.db.connection import Connection
from services.kernel.db.failure import TryAgain, failure_of, must_leave
from services.kernel.db.limits import DIRECT, LIMITS, SessionRules, TimeLimits
from services.kernel.db.pool_metrics import PoolFigures
from services.kernel.db.requirements import (
    ServerFacts,
    check_refusal,
    check_rights,
    check_session,
)
from services.kernel.db.statement import Statement
from services.kernel.db.urls import parse
from services.kernel.errors import DatabaseUnavailable

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
Work = Callable[["Transaction"], Awaitable[T]]
Observer = Callable[[str], Awaitable[None]]

TRANSACTION_TRIES = 6
RETRY_PAUSE_SECONDS = 0.02
WAITING_PER_CONNECTION = 20


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
        rules: How the sessions begin.
        options: More settings of the sessions, as `-c name=value`.
        limits: The time that the database may take.
        waiting: The most requests that wait for a connection; None: 20 for each connection.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        connections: int = 10,
        observer: Observer | None = None,
        rules: SessionRules = DIRECT,
        options: str = "",
        limits: TimeLimits = LIMITS,
        waiting: int | None = None,
    ) -> None:
        self.name = name
        self._url = url
        self._is_pooled = rules.is_pooled
        self._parameters: dict[str, Any] = {
            **replace(rules, options=f"{rules.options} {options}").parameters(
                parse(url).get("options", ""), limits
            ),
            "autocommit": True,
            "row_factory": namedtuple_row,
            "cursor_factory": psycopg.AsyncRawCursor,
        }
        self._observer = observer
        self._limits = limits
        self._running: set[asyncio.Task[Any]] = set()
        self._generation = 0
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            connection_class=Connection,
            configure=self._configure,
            min_size=1,
            max_size=connections,
            max_waiting=connections * WAITING_PER_CONNECTION if waiting is None else waiting,
            open=False,
            timeout=limits.turn_seconds,
            reconnect_timeout=limits.reconnect_seconds,
            reconnect_failed=_go_on_connecting,
            name=name,
            kwargs=self._parameters,
        )

    @property
    def pool_figures(self) -> PoolFigures:
        """What the pool of connections knows about itself now."""
        stats = self._pool.get_stats()
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        return PoolFigures(
            used=size - idle,
            idle=idle,
            most=stats.get("pool_max", 0),
            waiting=stats.get("requests_waiting", 0),
            timeouts=stats.get("requests_errors", 0),
        )

    async def require(self) -> None:
        """Refuse a server that cannot be used. One that does not answer may come later.

        Raises:
            DatabaseUnfit: The text says what is needed.
        """
        try:
            connection = await Connection.connect(self._url, **self._parameters)
        except psycopg.OperationalError as error:
            check_refusal(error)
            return
        try:
            facts = await self._checked(connection)
            await check_rights(connection, facts)
        except psycopg.OperationalError:
            return  # the server has left
        finally:
            await connection.close()

    async def open(self) -> None:
        """Start to connect; a database that is down does not stop the service."""
        await self._pool.open()

    async def close(self) -> None:
        """Wait for running transactions, which the server bounds, then disconnect."""
        if self._running:
            await asyncio.wait(self._running, timeout=10.0)
        await self._pool.close()

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
        return await self._owned(self._tries(name, work), name)

    async def abandon(self, name: str) -> None:
        """Give up the transactions with this name, and replace all connections."""
        for task in list(self._running):
            if task.get_name() == name:
                task.cancel()
        self._generation += 1
        await self._pool.drain()

    async def _owned(self, coroutine: Coroutine[Any, Any, T], name: str) -> T:
        task = asyncio.create_task(coroutine, name=name)
        self._running.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # read it: asyncio logs exceptions that nobody has read

    async def _tries(self, name: str, work: Work[T]) -> T:
        return await self._repeated(lambda: self._attempt(name, work))

    async def _repeated(self, attempt: Callable[[], Awaitable[T]]) -> T:
        for number in range(1, TRANSACTION_TRIES + 1):
            try:
                return await attempt()
            except TryAgain as error:
                if number == TRANSACTION_TRIES:
                    raise DatabaseUnavailable from error
            await asyncio.sleep(random.uniform(0, RETRY_PAUSE_SECONDS * number))
        raise AssertionError("unreachable")

    async def _attempt(self, name: str, work: Work[T]) -> T:
        connection = await self._borrow()
        try:
            await connection.command(b"BEGIN")
            result = await work(Transaction(connection, f"{self.name}.{name}", self._observer))
            await self._commit(connection, name)
            return result
        except psycopg.Error as error:
            await self._fail(connection, error)
        except BaseException:
            await _roll_back(connection)
            raise
        finally:
            await self._pool.putconn(connection)

    async def _commit(self, connection: Connection, name: str) -> None:
        if self._observer is not None:
            await self._observer(f"{self.name}.{name}.commit.sent")
        try:
            tag = await connection.command(b"COMMIT")
        except psycopg.Error as error:
            await self._fail(connection, error, in_commit=True)
        if tag != b"COMMIT":
            raise RuntimeError(f"{name} swallowed an error of SQL, so the server rolled it back")
        if self._observer is not None:
            await self._observer(f"{self.name}.{name}.commit.acked")

    async def _read(self, statement: Statement[A, B], parameters: A) -> list[B]:
        return await self._repeated(lambda: self._read_once(statement, parameters))

    async def _read_once(self, statement: Statement[A, B], parameters: A) -> list[B]:
        connection = await self._borrow()
        try:
            cursor = await statement.run(connection, parameters)
            return await cursor.fetchall()
        except psycopg.Error as error:
            await self._fail(connection, error)
        finally:
            # A caller may be cancelled at any time, and the pool would lose the connection.
            await asyncio.shield(self._pool.putconn(connection))

    async def _borrow(self) -> Connection:
        task = asyncio.current_task()
        assert task is not None
        cancelled = task.cancelling()
        try:
            connection = await self._pool.getconn()
        except (PoolTimeout, TooManyRequests, PoolClosed) as error:
            raise DatabaseUnavailable from error
        if task.cancelling() > cancelled:
            # The pool waits by `wait_for`. Up to Python 3.11 that forgets a cancellation
            # which comes together with the connection.
            await asyncio.shield(self._pool.putconn(connection))
            raise asyncio.CancelledError
        return connection

    async def _fail(
        self, connection: Connection, error: psycopg.Error, *, in_commit: bool = False
    ) -> NoReturn:
        """Leave the connection in order or for good, and raise the error for the caller."""
        failure = failure_of(error, is_closed=connection.closed, in_commit=in_commit)
        if connection.closed:
            await self._renew(connection)
        elif must_leave(error):
            await connection.close()
        else:
            await _roll_back(connection)
        if failure is None:
            raise error
        raise failure from error

    async def _renew(self, lost: Connection) -> None:
        """Replace all connections, because after a restart of the server each would fail."""
        if lost.generation == self._generation:
            self._generation += 1
            await self._pool.drain()

    async def _configure(self, connection: Connection) -> None:
        connection.generation = self._generation
        try:
            await self._checked(connection)
        except BaseException:
            await connection.close()
            raise

    async def _checked(self, connection: Connection) -> ServerFacts:
        """Make sure that a new session has what safety rests on."""
        connection.answer_seconds = self._limits.answer_seconds
        return await check_session(connection, self._limits, is_pooled=self._is_pooled)


async def _go_on_connecting(pool: AsyncConnectionPool[Connection]) -> None:
    # Only a caller who waits makes the pool grow. Callers who have given up still count as
    # waiting, and when they are too many, the pool refuses all others.
    await pool.check()


async def _roll_back(connection: Connection) -> None:
    if connection.pgconn.transaction_status in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
        return
    try:
        await connection.execute(b"ROLLBACK")
    except psycopg.Error:
        await connection.close()
