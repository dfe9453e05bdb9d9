"""A table with one number a row, for the tests of the way to PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Table,
    bindparam,
    func,
    insert,
    literal,
    select,
    update,
)

from services.kernel.db.database import Database, Reader
from services.kernel.db.statement import NoParameters, NoRow, Statement
from services.kernel.rpc.server import Probe


@dataclass(frozen=True, slots=True)
class RowId:
    row: int


@dataclass(frozen=True, slots=True)
class Row:
    id: int
    n: int


@dataclass(frozen=True, slots=True)
class Total:
    total: int


ROWS = Table("rows", MetaData(), Column("id", Integer, primary_key=True), Column("n", Integer))
COUNT = Statement(select(func.count().label("total")).select_from(ROWS), NoParameters, Total)
INSERT = Statement(insert(ROWS).values(id=bindparam("row"), n=0), RowId, NoRow)
ADD = Statement(
    update(ROWS).where(ROWS.c.id == bindparam("row")).values(n=ROWS.c.n + 1), RowId, NoRow
)
ALL = Statement(select(ROWS), NoParameters, Row)
HAS = Statement(
    select(func.count().label("total")).select_from(ROWS).where(ROWS.c.id == bindparam("row")),
    RowId,
    Total,
)


PING = Statement(select(literal(1).label("total")), NoParameters, Total)


def fill(url: str) -> None:
    """Make the table."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE rows (id integer PRIMARY KEY, n integer)")


def database_probe(database: Database) -> Probe:
    """Return a probe that fails unless the database answers."""

    async def probe() -> None:
        await database.first(PING, NoParameters())

    return probe


async def count(reader: Reader) -> int:
    """Count the rows."""
    row = await reader.first(COUNT, NoParameters())
    assert row is not None
    return row.total
