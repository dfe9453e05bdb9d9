"""Lending connections: to how many, in which order, and how none gets lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg_pool import PoolTimeout, TooManyRequests
from sqlalchemy import literal, select

from services.cli.postgres import THROWAWAY, EmbeddedPostgres
from services.kernel.db.connection import Connection
from services.kernel.db.database import WAITING_PER_CONNECTION, Database, Transaction
from services.kernel.db.limits import TimeLimits
from services.kernel.db.statement import NoParameters, Statement
from services.kernel.errors import DatabaseUnavailable

CONNECTIONS = 2
QUICK = TimeLimits(turn_seconds=0.5, reconnect_seconds=0.1)


@dataclass(frozen=True, slots=True)
class One:
    one: int


ONE = Statement(select(literal(1).label("one")), NoParameters, One)


@pytest.fixture
async def database(postgres: EmbeddedPostgres) -> AsyncIterator[Database]:
    database = Database(postgres.url("postgres"), name="test", connections=CONNECTIONS)
    await database.open()
    yield database
    await database.close()


async def read(database: Database) -> None:
    assert await database.all(ONE, NoParameters()) == [One(1)]


@asynccontextmanager
async def all_lent(
    database: Database, connections: int = CONNECTIONS
) -> AsyncIterator[asyncio.Event]:
    """Have every connection in use until the event is set."""
    begun, end = asyncio.Barrier(connections + 1), asyncio.Event()

    async def hold(tx: Transaction) -> None:
        await begun.wait()
        await end.wait()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(database.transact("hold", hold))
        await begun.wait()
        yield end
        end.set()


async def until_waiting(database: Database, number: int) -> None:
    async with asyncio.timeout(20):
        while database._pool.get_stats()["requests_waiting"] < number:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


async def test_callers_are_served_in_the_order_in_which_they_came(
    postgres: EmbeddedPostgres,
) -> None:
    database = Database(postgres.url("postgres"), name="test", connections=1)
    await database.open()
    served: list[int] = []

    async def use(number: int) -> None:
        await read(database)
        served.append(number)

    async with asyncio.TaskGroup() as group, all_lent(database, connections=1) as end:
        for number in range(5):
            group.create_task(use(number))
            await until_waiting(database, number + 1)
        end.set()
    assert served == [0, 1, 2, 3, 4]
    await database.close()


async def test_the_wait_for_a_connection_has_an_end(postgres: EmbeddedPostgres) -> None:
    database = Database(
        postgres.url("postgres"), name="test", connections=CONNECTIONS, limits=QUICK
    )
    await database.open()
    await asyncio.gather(*(read(database) for _ in range(CONNECTIONS)))
    async with all_lent(database):
        with pytest.raises(DatabaseUnavailable) as caught:
            await read(database)
    assert isinstance(caught.value.__cause__, PoolTimeout)
    await read(database)
    await database.close()


async def test_the_queue_has_an_end(database: Database) -> None:
    limit = CONNECTIONS * WAITING_PER_CONNECTION
    async with all_lent(database) as end:
        waiting = [asyncio.ensure_future(read(database)) for _ in range(limit)]
        await until_waiting(database, limit)
        with pytest.raises(DatabaseUnavailable) as caught:
            await read(database)
        assert isinstance(caught.value.__cause__, TooManyRequests)
        end.set()
        await asyncio.gather(*waiting)


async def test_a_caller_who_leaves_the_queue_does_leave_and_takes_no_connection_along(
    database: Database,
) -> None:
    """Up to Python 3.11 `wait_for` forgets a cancellation when it is done in the same moment."""
    step = 0
    while True:
        async with all_lent(database) as end:
            leaving = asyncio.ensure_future(read(database))
            await until_waiting(database, 1)
            end.set()
            for _ in range(step):
                await asyncio.sleep(0)
            if leaving.done():
                break
            leaving.cancel()
            await asyncio.wait([leaving])
            assert leaving.cancelled(), step
        step += 1
    assert step > 3
    async with all_lent(database):
        pass


@pytest.mark.parametrize("times", [1, 2])
async def test_a_read_that_is_cancelled_at_any_step_costs_no_connection(
    database: Database, times: int
) -> None:
    step = 0
    while True:
        leaving = asyncio.ensure_future(read(database))
        for _ in range(step):
            await asyncio.sleep(0)
        if leaving.done():
            break
        for _ in range(times):
            leaving.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([leaving])
        await read(database)
        step += 1
    assert step > 3
    async with all_lent(database):
        pass


async def test_a_read_that_is_cancelled_while_it_gives_back_its_connection_does_give_it_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_on_its_way, may_arrive = asyncio.Event(), asyncio.Event()
    put = database._pool.putconn

    async def slow_put(connection: Connection) -> None:
        is_on_its_way.set()
        await may_arrive.wait()
        await put(connection)

    monkeypatch.setattr(database._pool, "putconn", slow_put)
    leaving = asyncio.ensure_future(read(database))
    await is_on_its_way.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    may_arrive.set()
    async with all_lent(database):
        pass


async def test_a_server_that_was_away_while_many_waited_in_vain_is_found_again(
    tmp_path: Path,
) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", options=THROWAWAY)
    server.prepare()
    database = Database(server.url("postgres"), name="test", connections=1, limits=QUICK)
    await database.open()
    try:
        calls = [read(database) for _ in range(2 * WAITING_PER_CONNECTION)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(each, DatabaseUnavailable) for each in outcomes)
        # The pool has given up for good when it tries no more, and nobody can ask it to.
        seen = database._pool.get_stats().get("connections_errors", 0)
        async with asyncio.timeout(20):
            while database._pool.get_stats()["connections_errors"] < seen + 5:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        with pytest.raises(DatabaseUnavailable) as caught:
            await read(database)
        assert isinstance(caught.value.__cause__, TooManyRequests)
        server.start()
        async with asyncio.timeout(30):
            while True:
                try:
                    await read(database)
                    break
                except DatabaseUnavailable:
                    await asyncio.sleep(0.01)
    finally:
        await database.close()
        server.destroy()


async def test_a_closed_database_is_unavailable(postgres: EmbeddedPostgres) -> None:
    database = Database(postgres.url("postgres"), name="test")
    await database.open()
    await database.close()
    with pytest.raises(DatabaseUnavailable):
        await read(database)
