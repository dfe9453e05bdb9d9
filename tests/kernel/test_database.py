"""The way to PostgreSQL, with a server that breaks connections and restarts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import bindparam, column, func, literal, select, table

from services.cli.postgres import THROWAWAY, EmbeddedPostgres
from services.kernel.db.database import Database, Transaction
from services.kernel.db.statement import NoParameters, Statement
from services.kernel.errors import CommitUnknown, DatabaseUnavailable
from tests.kernel.rows import ADD, INSERT, ROWS, RowId, Total, count, fill
from tests.kernel.saga_world import Stop
from tests.postgres import fresh_database, make_template


@dataclass(frozen=True, slots=True)
class Number:
    n: int


@dataclass(frozen=True, slots=True)
class Plan:
    statement: str
    generic_plans: int


@dataclass(frozen=True, slots=True)
class Slept:
    slept: str


SUM = Statement(select(func.sum(ROWS.c.n).label("total")), NoParameters, Total)


async def total(database: Database) -> int:
    return (await database.all(SUM, NoParameters()))[0].total


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    return make_template(postgres, "database_template", fill)


@pytest.fixture
def url(postgres: EmbeddedPostgres, template: str, stack: ExitStack) -> str:
    return stack.enter_context(fresh_database(postgres, template))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(url, name="test", connections=4)
    await database.open()
    yield database
    await database.close()


async def kill_others(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_what_was_committed_is_read_back(database: Database) -> None:
    async def work(tx: Transaction) -> int:
        return await tx.execute(INSERT, RowId(1))

    assert await database.transact("insert", work) == 1
    assert await count(database) == 1


async def test_an_error_rolls_everything_back(database: Database) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute(INSERT, RowId(1))
        raise KeyError("oops")

    with pytest.raises(KeyError):
        await database.transact("insert", work)
    assert await count(database) == 0


async def test_a_statement_that_expands_at_execution_is_refused_when_it_is_written() -> None:
    with pytest.raises(TypeError, match="any_"):
        Statement(select(ROWS.c.n).where(ROWS.c.id.in_([1, 2])), NoParameters, Number)


async def test_a_statement_can_be_planned_for_the_parameters_of_every_call(
    database: Database,
) -> None:
    wide = select(ROWS.c.n).where(ROWS.c.id > bindparam("row"))
    prepared = Statement(wide, RowId, Number)
    anew = Statement(wide.limit(1), RowId, Number, is_planned_anew=True)
    plans = Statement(
        select(column("statement"), column("generic_plans")).select_from(
            table("pg_prepared_statements")
        ),
        NoParameters,
        Plan,
    )

    async def work(tx: Transaction) -> list[str]:
        for row in range(12):
            await tx.all(prepared, RowId(row))
            await tx.all(anew, RowId(row))
        return [
            each.statement for each in await tx.all(plans, NoParameters()) if each.generic_plans
        ]

    assert await database.transact("plans", work) == [prepared.sql.decode()]


async def test_reads_survive_connections_that_were_cut(database: Database, url: str) -> None:
    await asyncio.gather(*(count(database) for _ in range(8)))
    await kill_others(url)
    assert await count(database) == 0


async def test_transactions_survive_connections_that_were_cut(database: Database, url: str) -> None:
    async def work(tx: Transaction) -> None:
        await tx.execute(ADD, RowId(1))

    async def begin(tx: Transaction) -> None:
        await tx.execute(INSERT, RowId(1))

    await database.transact("begin", begin)
    await asyncio.gather(*(database.transact("add", work) for _ in range(8)))
    await kill_others(url)
    await database.transact("add", work)
    assert await total(database) == 9


async def test_a_connection_lost_in_the_middle_repeats_the_whole_transaction(url: str) -> None:
    cuts = 0

    async def cut_once(edge: str) -> None:
        nonlocal cuts
        if edge == "test.insert.statement#2" and not cuts:
            cuts += 1
            await kill_others(url)

    database = Database(url, name="test", connections=2, observer=cut_once)
    await database.open()

    async def work(tx: Transaction) -> None:
        await tx.execute(INSERT, RowId(1))
        await tx.execute(ADD, RowId(1))

    await database.transact("insert", work)
    assert await total(database) == 1
    await database.close()


async def test_a_connection_lost_in_commit_is_unknown_and_not_repeated(url: str) -> None:
    async def cut(edge: str) -> None:
        if edge.endswith("commit.sent"):
            await kill_others(url)

    database = Database(url, name="test", connections=2, observer=cut)
    await database.open()
    runs = 0

    async def work(tx: Transaction) -> None:
        nonlocal runs
        runs += 1
        await tx.execute(INSERT, RowId(1))

    with pytest.raises(CommitUnknown):
        await database.transact("insert", work)
    assert runs == 1
    await database.close()


async def test_deadlocks_are_repeated_until_both_are_through(database: Database) -> None:
    async def begin(tx: Transaction) -> None:
        await tx.execute(INSERT, RowId(1))
        await tx.execute(INSERT, RowId(2))

    await database.transact("begin", begin)
    both_hold_one = asyncio.Barrier(2)
    first_tries = {1: True, 2: True}

    async def cross(tx: Transaction, first: int, second: int) -> None:
        await tx.execute(ADD, RowId(first))
        if first_tries[first]:
            first_tries[first] = False
            await both_hold_one.wait()
        await tx.execute(ADD, RowId(second))

    await asyncio.gather(
        database.transact("a", lambda tx: cross(tx, 1, 2)),
        database.transact("b", lambda tx: cross(tx, 2, 1)),
    )
    assert await total(database) == 4


async def test_a_cancelled_caller_does_not_interrupt_the_transaction(url: str) -> None:
    """[R18 R19]"""
    stop = Stop("test.insert.commit.sent")
    database = Database(url, name="test", connections=2, observer=stop)
    await database.open()

    async def work(tx: Transaction) -> None:
        await tx.execute(INSERT, RowId(1))

    caller = asyncio.create_task(database.transact("insert", work))
    await stop.reached.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    stop.released.set()
    await database.close()  # waits for the transaction
    again = Database(url, name="test")
    await again.open()
    assert await count(again) == 1
    await again.close()


async def test_a_statement_that_takes_too_long_is_unavailable(url: str) -> None:
    database = Database(url, name="test", options="-c statement_timeout=20ms")
    await database.open()
    slow = Statement(select(func.pg_sleep(literal(5)).label("slept")), NoParameters, Slept)
    with pytest.raises(DatabaseUnavailable):
        await database.all(slow, NoParameters())
    await database.close()


async def test_a_restart_of_the_server_is_survived(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", options=THROWAWAY)
    server.start()
    try:
        server.create_databases(["restarted"])
        fill(server.url("restarted"))
        database = Database(server.url("restarted"), name="test", connections=4)
        await database.open()
        await asyncio.gather(*(count(database) for _ in range(8)))
        await asyncio.to_thread(server.stop)
        with pytest.raises(DatabaseUnavailable):
            await count(database)
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await count(database) == 0
                    break
                except DatabaseUnavailable:
                    continue
        await database.close()
    finally:
        server.destroy()


async def test_a_transaction_that_the_server_rolled_back_is_not_reported_as_committed(
    database: Database,
) -> None:
    async def swallow(tx: Transaction) -> None:
        with contextlib.suppress(psycopg.errors.DivisionByZero):
            await tx.connection.execute("SELECT 1 / 0")

    with pytest.raises(RuntimeError, match="swallowed"):
        await database.transact("swallow", swallow)
