"""Costly reads wait for their turn, and nothing else waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import psycopg
import pytest
from sqlalchemy import Text, cast, func, literal, select

from services.cli.postgres import EmbeddedPostgres
from services.kernel.db.costly import CostlyApart
from services.kernel.db.database import Database
from services.kernel.db.limits import TimeLimits
from services.kernel.db.statement import NoParameters, Statement
from tests.waiting import until

KEY = 0x10C_0057
PATIENT = TimeLimits(statement_seconds=60.0, lock_seconds=60.0, turn_seconds=60.0)


@dataclass(frozen=True, slots=True)
class Answer:
    answer: str


CHEAP = Statement(select(literal("cheap", Text).label("answer")), NoParameters, Answer)
# It takes as long as somebody else has the lock.
COSTLY = Statement(
    select(cast(func.pg_advisory_xact_lock(KEY), Text).label("answer")),
    NoParameters,
    Answer,
    is_costly=True,
)


@pytest.fixture
async def databases(postgres: EmbeddedPostgres) -> AsyncIterator[tuple[Database, Database]]:
    url = postgres.url("postgres")
    cheap = Database(url, name="cheap", connections=1, limits=PATIENT)
    costly = Database(url, name="costly", connections=1, limits=PATIENT)
    await cheap.open()
    await costly.open()
    yield cheap, costly
    await cheap.close()
    await costly.close()


async def test_costly_reads_run_one_after_the_other_and_hold_up_no_cheap_one(
    postgres: EmbeddedPostgres, databases: tuple[Database, Database]
) -> None:
    reader, (_, costly) = CostlyApart(*databases), databases
    async with await psycopg.AsyncConnection.connect(postgres.url("postgres")) as holder:
        await holder.execute("SELECT pg_advisory_xact_lock(%s)", [KEY])
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            reads = [
                group.create_task(read)
                for read in (
                    reader.all(COSTLY, NoParameters()),
                    reader.first(COSTLY, NoParameters()),
                )
            ]
            await until(lambda: costly.pool_figures.waiting)
            assert await reader.all(CHEAP, NoParameters()) == [Answer("cheap")]
            assert await reader.first(CHEAP, NoParameters()) == Answer("cheap")
            assert not any(read.done() for read in reads)
            await holder.rollback()
