"""The SQL of sealed rows, whichever they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Column, Executable, bindparam, select, update

from services.auth.model import OUTBOX, TOTPS, WEBHOOKS
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement

_FIRST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, repr=False)
class SealedRow:
    """A row, and what it has sealed."""

    id: UUID
    sealed: bytes


@dataclass(frozen=True, slots=True)
class _After:
    after: UUID
    limit: int


@dataclass(frozen=True, slots=True, repr=False)
class _Replaced:
    row_id: UUID
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class SealedTable:
    """The statements of one table with sealed rows."""

    page: Statement[_After, SealedRow]
    replace: Statement[_Replaced, NoRow]


def _page(row_id: Column[UUID], sealed: Column[bytes]) -> Executable:
    return (
        select(row_id.label("id"), sealed)
        .where(row_id > bindparam("after"))
        .order_by(row_id)
        .limit(bindparam("limit"))
    )


def _replace(row_id: Column[UUID], sealed: Column[bytes]) -> Executable:
    return (
        update(row_id.table)
        .where(row_id == bindparam("row_id"), sealed == bindparam("old"))
        .values(sealed=bindparam("new"))
    )


MAILS: Final = SealedTable(
    Statement(_page(OUTBOX.c.id, OUTBOX.c.sealed), _After, SealedRow),
    Statement(_replace(OUTBOX.c.id, OUTBOX.c.sealed), _Replaced, NoRow),
)
SEEDS: Final = SealedTable(
    Statement(_page(TOTPS.c.user_id, TOTPS.c.sealed), _After, SealedRow),
    Statement(_replace(TOTPS.c.user_id, TOTPS.c.sealed), _Replaced, NoRow),
)
SECRETS: Final = SealedTable(
    Statement(_page(WEBHOOKS.c.id, WEBHOOKS.c.sealed), _After, SealedRow),
    Statement(_replace(WEBHOOKS.c.id, WEBHOOKS.c.sealed), _Replaced, NoRow),
)


async def page(
    reader: Reader, table: SealedTable, *, after: UUID | None, limit: int
) -> list[SealedRow]:
    """Return the rows after an id, in the order of ids."""
    return await reader.all(table.page, _After(after or _FIRST, limit))


async def replace(tx: Transaction, table: SealedTable, row: SealedRow, anew: bytes) -> None:
    """Replace what a row has sealed; nothing when it was replaced or removed since."""
    await tx.execute(table.replace, _Replaced(row.id, row.sealed, anew))
