"""Lending connections: the limit, the order, and bad connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from services.cli.postgres import EmbeddedPostgres
from services.kernel.db import pool as module
from services.kernel.db.connection import Connection
from services.kernel.db.pool import WAITING_PER_CONNECTION, Connections

AT_MOST = 2


@pytest.fixture
async def pool(postgres: EmbeddedPostgres) -> AsyncConnectionPool[Connection]:
    return AsyncConnectionPool(
        postgres.url("postgres"),
        connection_class=Connection,
        min_size=0,
        max_size=AT_MOST,
        timeout=2.0,
        open=False,
        kwargs={"autocommit": True},
    )


@pytest.fixture
async def connections(pool: AsyncConnectionPool[Connection]) -> AsyncIterator[Connections]:
    connections = Connections(pool, AT_MOST)
    await connections.open()
    yield connections
    await connections.close()


@asynccontextmanager
async def lent_by(connections: Connections) -> AsyncIterator[Connection]:
    connection = await connections.borrow()
    try:
        yield connection
    finally:
        await connections.put(connection)


async def until_somebody_waits(connections: Connections, number: int = 1) -> None:
    async with asyncio.timeout(5):
        while connections._waiting < number:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)


async def test_the_connection_that_was_used_last_is_used_next(connections: Connections) -> None:
    first, second = await connections.borrow(), await connections.borrow()
    await connections.put(second)
    await connections.put(first)
    assert await connections.borrow() is first
    await connections.put(first)


async def test_whoever_comes_first_is_served_first(connections: Connections) -> None:
    lent = [await connections.borrow() for _ in range(AT_MOST)]
    served: list[int] = []

    async def use(number: int) -> None:
        async with lent_by(connections):
            served.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(use(number))
            await until_somebody_waits(connections, number + 1)
        for connection in lent:
            await connections.put(connection)
    assert served == [0, 1, 2, 3, 4]


async def test_a_borrower_who_leaves_the_queue_takes_nothing_along(
    connections: Connections,
) -> None:
    lent = [await connections.borrow() for _ in range(AT_MOST)]
    for gets_its_turn in (False, True):
        leaving = asyncio.ensure_future(connections.borrow())
        await until_somebody_waits(connections)
        if gets_its_turn:
            await connections.put(lent.pop())
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
    async with lent_by(connections):
        pass
    await connections.put(lent.pop())
    for connection in [await connections.borrow() for _ in range(AT_MOST)]:
        await connections.put(connection)


async def test_the_wait_has_an_end(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    lent = [await connections.borrow() for _ in range(AT_MOST)]
    with pytest.raises(PoolTimeout):
        await connections.borrow()
    for connection in lent:
        await connections.put(connection)
    async with lent_by(connections):
        pass


async def test_the_queue_has_an_end(connections: Connections) -> None:
    lent = [await connections.borrow() for _ in range(AT_MOST)]
    limit = AT_MOST * WAITING_PER_CONNECTION
    waiting = [asyncio.ensure_future(connections.borrow()) for _ in range(limit)]
    await until_somebody_waits(connections, limit)
    with pytest.raises(TooManyRequests):
        await connections.borrow()
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    for connection in lent:
        await connections.put(connection)


async def test_a_connection_that_was_lost_is_replaced(connections: Connections) -> None:
    async with lent_by(connections) as connection:
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    async with lent_by(connections) as another:
        assert another is not connection
        await another.execute("SELECT 1")


async def test_a_transaction_that_was_left_open_is_not_passed_on(
    connections: Connections,
) -> None:
    async with lent_by(connections) as connection:
        await connection.execute("BEGIN")
    async with lent_by(connections) as next_one:
        assert next_one.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


async def test_the_pool_gets_back_what_nobody_needs(
    connections: Connections,
    pool: AsyncConnectionPool[Connection],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KEEP_SECONDS", 0.01)
    again = Connections(pool, AT_MOST)
    await again.open()
    async with lent_by(again):
        assert pool.get_stats()["pool_available"] == 0
    async with asyncio.timeout(5):
        while pool.get_stats()["pool_available"] != 1:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
    await again.close()


async def test_a_server_that_is_away_takes_away_nobodys_turn() -> None:
    pool = AsyncConnectionPool(
        "host=/nowhere", connection_class=Connection, max_size=4, timeout=0.05, open=False
    )
    connections = Connections(pool, 1)
    await connections.open()
    for _ in range(3):
        with pytest.raises(PoolTimeout):
            await connections.borrow()
    await connections.close()


async def test_what_comes_back_after_the_end_is_closed(
    pool: AsyncConnectionPool[Connection],
) -> None:
    connections = Connections(pool, AT_MOST)
    await connections.open()
    connection = await connections.borrow()
    await connections.close()
    await connections.put(connection)
    assert connection.closed


async def test_what_is_on_its_way_to_the_pool_at_the_end_is_closed(
    pool: AsyncConnectionPool[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_SECONDS", 0.01)
    on_its_way, may_arrive = asyncio.Event(), asyncio.Event()
    put = pool.putconn

    async def slow_put(connection: Connection) -> None:
        on_its_way.set()
        await may_arrive.wait()
        await put(connection)

    monkeypatch.setattr(pool, "putconn", slow_put)
    connections = Connections(pool, AT_MOST)
    await connections.open()
    connection = await connections.borrow()
    await connections.put(connection)
    await on_its_way.wait()
    closing = asyncio.ensure_future(connections.close())
    await connections._closing.wait()
    may_arrive.set()
    await closing
    assert connection.closed
