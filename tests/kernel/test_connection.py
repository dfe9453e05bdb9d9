"""Connections that wait, on both event loops; the server answers late, unasked or never."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import uvloop
from sqlalchemy import Integer, bindparam, literal, select

from services.cli.postgres import EmbeddedPostgres
from services.kernel.db.connection import Connection
from services.kernel.db.statement import Statement


@dataclass(frozen=True, slots=True)
class By:
    by: int


@dataclass(frozen=True, slots=True)
class Quotient:
    value: int


DIVIDE = Statement(
    select((literal(10) // bindparam("by", type_=Integer)).label("value")), By, Quotient
)


Scenario = Callable[[Connection], Coroutine[Any, Any, None]]


def on_both_loops(scenario: Scenario) -> Callable[..., None]:
    """Run a test on asyncio's own loop, and on the one of the services."""

    def test(run: Callable[[Coroutine[Any, Any, None]], None], postgres: EmbeddedPostgres) -> None:
        async def connected() -> None:
            async with await connect(postgres.url("postgres")) as connection:
                await scenario(connection)

        run(connected())

    loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
    marked: Callable[..., None] = loops(test)
    return marked


async def connect(url: str) -> Connection:
    return await Connection.connect(url, autocommit=True, cursor_factory=psycopg.AsyncRawCursor)


async def one(connection: Connection, query: str, *values: Any) -> Any:
    row = await (await connection.execute(query.encode(), values)).fetchone()
    assert row is not None
    return row[0]


async def end(connection: Connection) -> None:
    """Make the server end a connection, and wait until it has."""
    async with await connect(connection.info.dsn) as other:
        pid = connection.info.backend_pid
        await other.execute(b"SELECT pg_terminate_backend($1, 5000)", [pid])


def is_registered(connection: Connection) -> bool:
    return connection._loop is not None


@on_both_loops
async def test_the_socket_stays_registered_between_statements(connection: Connection) -> None:
    await one(connection, "SELECT 1")
    assert is_registered(connection)


@on_both_loops
async def test_a_statement_that_is_too_long_to_be_sent_at_once_is_sent(
    connection: Connection,
) -> None:
    assert await one(connection, "SELECT length($1)", "x" * 20_000_000) == 20_000_000
    assert await one(connection, "SELECT 1") == 1


@on_both_loops
async def test_a_long_answer_arrives_whole(connection: Connection) -> None:
    answer = await one(connection, "SELECT repeat('x', 20_000_000)")
    assert len(answer) == 20_000_000


@on_both_loops
async def test_a_cancelled_statement_ends_and_leaves_the_connection_usable(
    connection: Connection,
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await connection.execute(b"SELECT pg_sleep(60)")
    assert await one(connection, "SELECT 1") == 1


@on_both_loops
async def test_a_server_that_leaves_an_idle_connection_does_not_keep_the_loop_busy(
    connection: Connection,
) -> None:
    await one(connection, "SELECT 1")
    await end(connection)
    async with asyncio.timeout(5):
        while is_registered(connection):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
    with pytest.raises(psycopg.OperationalError):
        await connection.execute(b"SELECT 1")
    assert connection.closed


@on_both_loops
async def test_a_connection_lost_in_a_statement_says_so_and_lets_go_of_the_socket(
    connection: Connection,
) -> None:
    statement = asyncio.create_task(connection.execute(b"SELECT pg_sleep(60)"))
    await asyncio.sleep(0)
    await end(connection)
    with pytest.raises(psycopg.OperationalError):
        await statement
    assert not is_registered(connection)


@on_both_loops
async def test_a_closed_connection_lets_go_of_its_socket(connection: Connection) -> None:
    await one(connection, "SELECT 1")
    await connection.close()
    assert not is_registered(connection)


@on_both_loops
async def test_what_arrives_unasked_does_not_disturb_what_is_asked_next(
    connection: Connection,
) -> None:
    await connection.execute(b"LISTEN news")
    async with await connect(connection.info.dsn) as other:
        for number in range(3):
            await other.execute(b"NOTIFY news, 'something'")
            await asyncio.sleep(0.01)
            assert await one(connection, "SELECT $1::int", number) == number


@on_both_loops
async def test_a_wait_for_a_notification_ends_in_time(connection: Connection) -> None:
    await one(connection, "SELECT 1")
    assert [each async for each in connection.notifies(timeout=0.01)] == []
    assert await one(connection, "SELECT 1") == 1


@on_both_loops
async def test_a_statement_that_failed_can_be_run_again(connection: Connection) -> None:
    async def divided(by: int) -> int:
        row = await (await DIVIDE.run(connection, By(by))).fetchone()
        assert row is not None
        return row.value

    assert await divided(2) == 5
    with pytest.raises(psycopg.errors.DivisionByZero):
        await divided(0)
    assert await divided(5) == 2


@on_both_loops
async def test_a_command_tells_how_it_ended(connection: Connection) -> None:
    assert await connection.command(b"BEGIN") == b"BEGIN"
    with pytest.raises(psycopg.errors.DivisionByZero):
        await connection.execute(b"SELECT 1 / 0")
    assert await connection.command(b"COMMIT") == b"ROLLBACK"


@on_both_loops
async def test_a_command_that_fails_raises_what_a_statement_would(connection: Connection) -> None:
    await connection.execute(
        b"CREATE TEMPORARY TABLE t (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    )
    await connection.command(b"BEGIN")
    await connection.execute(b"INSERT INTO t VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        await connection.command(b"COMMIT")
    await end(connection)
    with pytest.raises(psycopg.OperationalError):
        await connection.command(b"BEGIN")


@on_both_loops
async def test_a_socket_that_libpq_has_closed_by_itself_is_let_go_of(
    connection: Connection,
) -> None:
    """Another file may get its number, and the loop would not report its events."""
    await connection.command(b"BEGIN")
    assert is_registered(connection)
    # The loop does not run meanwhile, so libpq reads the error and the end at once.
    with psycopg.connect(connection.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        await connection.command(b"COMMIT")
    assert not is_registered(connection)
