"""The currency of the money in a database: a part of what the stored numbers mean.

Amounts are stored as numbers of minor units. The row says of which currency, and how many
decimals it has. It is written at the first start, and decides from then on. So neither another
setting nor a later list of ISO 4217 gives stored money another meaning.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import psycopg
import structlog
from sqlalchemy import (
    Column,
    Index,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert

from services.common.currencies import digits_of, old_digits_of
from services.kernel.db.database import Database, Transaction
from services.kernel.db.statement import NoParameters, NoRow, Statement
from services.kernel.db.tables import NAMES, timestamp
from services.kernel.errors import DatabaseUnavailable
from services.kernel.money import Currency

WAIT_SECONDS: Final = 1.0

# A service whose database holds money takes this table over into its model.
LEDGER = Table(
    "ledger",
    MetaData(naming_convention=NAMES),
    Column("currency", Text, primary_key=True),
    Column("digits", Integer, nullable=False),
    timestamp("create_time", default=True),
    Index("uq_ledger_one", text("(true)"), unique=True),
)

log = structlog.get_logger("lockstep.ledger")


class WrongCurrency(Exception):
    """The money in a database is of another currency than the setting says."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What a database says of its money."""

    currency: str
    digits: int
    database: str


@dataclass(frozen=True, slots=True)
class HeldMoney:
    """Whether a database holds money."""

    is_held: bool


_GET = Statement(
    select(
        LEDGER.c.currency, LEDGER.c.digits, func.current_database(type_=Text).label("database")
    ).limit(1),
    NoParameters,
    LedgerRow,
)
_INSERT = Statement(
    insert(LEDGER)
    .values(currency=bindparam("code"), digits=bindparam("digits"))
    .on_conflict_do_nothing(),
    Currency,
    NoRow,
)


class Ledger:
    """The ledger in a service's database.

    Args:
        amount: Selects any amount that is stored.
    """

    def __init__(self, amount: Select[tuple[int]]) -> None:
        self._is_money_held = Statement(
            select(amount.exists().label("is_held")), NoParameters, HeldMoney
        )

    async def open(self, database: Database, code: str) -> Currency:
        """Return the currency of the money; wait while the database is down or behind.

        Raises:
            WrongCurrency: The money is of another currency than this one.
        """
        while True:
            try:
                return await self._open(database, code)
            except DatabaseUnavailable:
                log.warning("waiting for the database")
            except psycopg.errors.UndefinedTable:
                log.warning("waiting for the migration: run `lockstep migrate`")
            await asyncio.sleep(WAIT_SECONDS)

    async def _open(self, database: Database, code: str) -> Currency:
        async def work(tx: Transaction) -> LedgerRow:
            found = await tx.first(_GET, NoParameters())
            if found is None:
                await tx.execute(_INSERT, Currency(code, await self._digits(tx, code)))
                (found,) = await tx.all(_GET, NoParameters())
            return found

        row = await database.transact("ledger", work)
        if row.currency != code:
            raise WrongCurrency(
                f"LOCKSTEP_CURRENCY is {code}, the money in {row.database} is {row.currency}"
            )
        return Currency(row.currency, row.digits)

    async def _digits(self, tx: Transaction, code: str) -> int:
        """Return the decimals of money that is there already, or of the first to come."""
        (found,) = await tx.all(self._is_money_held, NoParameters())
        digits = digits_of(code)
        return old_digits_of(code) if found.is_held or digits is None else digits
