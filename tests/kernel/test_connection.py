"""Connections on both event loops, while servers answer late, stay silent or leave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg
import pytest
import uvloop
from sqlalchemy import Integer, bindparam, literal, select

from services.cli.postgres import EmbeddedPostgres
from services.kernel.db.connection import WATCHED_SECONDS, Connection, NoAnswer
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


@contextlib.contextmanager
def frozen(connection: Connection) -> Iterator[None]:
    """Stop the server's process of a connection: its kernel still takes bytes."""
    backend = psutil.Process(connection.info.backend_pid)
    backend.suspend()
    try:
        yield
    finally:
        backend.resume()


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
async def test_a_statement_that_is_cancelled_twice_costs_the_connection_and_no_time(
    connection: Connection,
) -> None:
    statement = asyncio.create_task(connection.execute(b"SELECT pg_sleep(60)"))
    await asyncio.sleep(0)
    for _ in range(2):
        statement.cancel()
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await asyncio.wait([statement])
    assert statement.cancelled()
    assert connection.closed


@on_both_loops
async def test_a_server_that_leaves_an_idle_connection_is_noticed_at_the_next_statement(
    connection: Connection,
) -> None:
    await one(connection, "SELECT 1")
    await end(connection)
    with pytest.raises(psycopg.OperationalError):
        await connection.execute(b"SELECT 1")
    assert connection.closed


@on_both_loops
async def test_a_connection_lost_in_a_statement_says_so(connection: Connection) -> None:
    statement = asyncio.create_task(connection.execute(b"SELECT pg_sleep(60)"))
    await asyncio.sleep(0)
    await end(connection)
    with pytest.raises(psycopg.OperationalError):
        await statement
    assert connection.closed


@on_both_loops
async def test_a_server_that_says_nothing_is_given_up(connection: Connection) -> None:
    for text in (b"BEGIN", b"SELECT 1", b"COMMIT", b"ROLLBACK"):
        for run in (Connection.command, Connection.execute):
            async with await connect(connection.info.dsn) as silent:
                silent.answer_seconds = 0.05
                with frozen(silent), pytest.raises(NoAnswer):
                    await run(silent, text)
                assert silent.closed


def is_watched(connection: Connection) -> bool:
    """Return whether the event loop has the socket, as far as the connection knows."""
    return connection._watch._loop is not None


@on_both_loops
async def test_the_event_loop_keeps_the_socket_from_answer_to_answer(
    connection: Connection,
) -> None:
    await one(connection, "SELECT 1")
    assert is_watched(connection)


@on_both_loops
async def test_an_answer_arrives_although_the_event_loop_has_lost_the_socket(
    connection: Connection,
) -> None:
    await one(connection, "SELECT 1")
    asyncio.get_running_loop().remove_reader(connection.pgconn.socket)
    assert await one(connection, "SELECT 2") == 2


@on_both_loops
async def test_an_answer_arrives_that_comes_later_than_most(connection: Connection) -> None:
    assert await one(connection, f"SELECT 3 FROM pg_sleep({2 * WATCHED_SECONDS})") == 3
    assert await one(connection, "SELECT 4") == 4


@on_both_loops
async def test_the_event_loop_has_the_socket_of_no_connection_that_has_ended(
    connection: Connection,
) -> None:
    async def leave(other: Connection) -> None:
        await other.close()

    async def lose(other: Connection) -> None:
        await end(other)
        with pytest.raises(psycopg.OperationalError):
            await one(other, "SELECT 1")

    async def cancel(other: Connection) -> None:
        statement = asyncio.create_task(one(other, "SELECT pg_sleep(60)"))
        await asyncio.sleep(0)
        for _ in range(2):
            statement.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([statement])

    for finish in (leave, lose, cancel):
        other = await connect(connection.info.dsn)
        await one(other, "SELECT 1")
        await finish(other)
        assert other.closed
        assert not is_watched(other)


@on_both_loops
async def test_what_arrives_unasked_keeps_the_event_loop_busy_but_once(
    connection: Connection,
) -> None:
    await connection.execute(b"LISTEN news")
    async with await connect(connection.info.dsn) as other:
        await other.execute(b"NOTIFY news, 'something'")
        async with asyncio.timeout(5):
            while is_watched(connection):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
    assert await one(connection, "SELECT 1") == 1


@on_both_loops
async def test_a_task_that_caught_its_cancellation_counts_it_once(connection: Connection) -> None:
    async def statement() -> int:
        with contextlib.suppress(asyncio.CancelledError):
            await one(connection, "SELECT pg_sleep(60)")
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    running = asyncio.create_task(statement())
    await asyncio.sleep(0)
    running.cancel()
    assert await running == 1


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
