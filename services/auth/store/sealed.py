"""The SQL of sealed rows, whichever they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, select, update

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


_MAILS = Statement(
    select(OUTBOX.c.id, OUTBOX.c.sealed)
    .where(OUTBOX.c.id > bindparam("after"))
    .order_by(OUTBOX.c.id)
    .limit(bindparam("limit")),
    _After,
    SealedRow,
)
_REPLACE_MAIL = Statement(
    update(OUTBOX)
    .where(OUTBOX.c.id == bindparam("row_id"), OUTBOX.c.sealed == bindparam("old"))
    .values(sealed=bindparam("new")),
    _Replaced,
    NoRow,
)
_SEEDS = Statement(
    select(TOTPS.c.user_id.label("id"), TOTPS.c.sealed)
    .where(TOTPS.c.user_id > bindparam("after"))
    .order_by(TOTPS.c.user_id)
    .limit(bindparam("limit")),
    _After,
    SealedRow,
)
_REPLACE_SEED = Statement(
    update(TOTPS)
    .where(TOTPS.c.user_id == bindparam("row_id"), TOTPS.c.sealed == bindparam("old"))
    .values(sealed=bindparam("new")),
    _Replaced,
    NoRow,
)
_SECRETS = Statement(
    select(WEBHOOKS.c.id, WEBHOOKS.c.sealed)
    .where(WEBHOOKS.c.id > bindparam("after"))
    .order_by(WEBHOOKS.c.id)
    .limit(bindparam("limit")),
    _After,
    SealedRow,
)
_REPLACE_SECRET = Statement(
    update(WEBHOOKS)
    .where(WEBHOOKS.c.id == bindparam("row_id"), WEBHOOKS.c.sealed == bindparam("old"))
    .values(sealed=bindparam("new")),
    _Replaced,
    NoRow,
)
MAILS: Final = SealedTable(_MAILS, _REPLACE_MAIL)
SEEDS: Final = SealedTable(_SEEDS, _REPLACE_SEED)
SECRETS: Final = SealedTable(_SECRETS, _REPLACE_SECRET)


async def page(
    reader: Reader, table: SealedTable, *, after: UUID | None, limit: int
) -> list[SealedRow]:
    """Return the rows after an id, in the order of ids."""
    return await reader.all(table.page, _After(after or _FIRST, limit))


async def replace(tx: Transaction, table: SealedTable, row: SealedRow, anew: bytes) -> None:
    """Replace what a row has sealed; nothing when it was replaced or removed since."""
    await tx.execute(table.replace, _Replaced(row.id, row.sealed, anew))
