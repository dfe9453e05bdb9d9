"""The SQL that reads transfers, and the SQL of tombstones.

Every transaction takes its locks in one order: the debit, then the accounts by their ids, then
the ids of new transfers. So no two transactions wait for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Case,
    Column,
    bindparam,
    case,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.cleaner import BARRIERS_KEPT, old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement, newest_first
from services.profile.model import (
    ACCOUNTS,
    IS_TOMBSTONE,
    TRANSFERS,
    Transfer,
    TransferKind,
    TransferState,
)


@dataclass(frozen=True, slots=True)
class _TransferId:
    id: UUID


@dataclass(frozen=True, slots=True)
class _AmountGivenBack:
    amount: int


@dataclass(frozen=True, slots=True)
class _TransferPage:
    wallet_id: UUID
    before_time: datetime
    before_id: UUID
    limit: int


A = TypeVar("A")

_T = TRANSFERS.c
_REVERSAL = TRANSFERS.alias("reversal")
_FROM_WALLET = (
    TransferKind.DEBIT,
    TransferKind.FORFEIT,
    TransferKind.SALE_REFUND,
    TransferKind.REVERSAL,
)


def _of_wallet(debited: Column[A], credited: Column[A]) -> Case[A]:
    """Return the column of the side that is a wallet."""
    return case({each.value: debited for each in _FROM_WALLET}, value=_T.kind, else_=credited)


_WALLET_ID = _of_wallet(_T.debit_account_id, _T.credit_account_id)
_READ = (
    select(
        _T.id,
        ACCOUNTS.c.user_id,
        _WALLET_ID.label("wallet_id"),
        _T.kind,
        _T.amount,
        _T.state,
        _T.reference,
        _T.refusal_reason,
        _T.fingerprint,
        _T.create_time,
        _T.original_id,
        _REVERSAL.c.id.is_not(None).label("is_undone"),
        _T.actor,
        _of_wallet(_T.debit_balance, _T.credit_balance).label("balance_after"),
    )
    .select_from(TRANSFERS)
    .outerjoin(ACCOUNTS, ACCOUNTS.c.id == _WALLET_ID)
    .outerjoin(
        _REVERSAL,
        (_REVERSAL.c.original_id == _T.id) & (_REVERSAL.c.kind == TransferKind.VOID.value),
    )
)
_BY_ID = _T.id == bindparam("id")

_FIND = Statement(_READ.where(_BY_ID), _TransferId, Transfer)
_LOCK = Statement(select(_T.id).where(_BY_ID).with_for_update(), _TransferId, _TransferId)
_GIVEN_BACK = Statement(
    select(func.coalesce(func.sum(_T.amount), 0).cast(BigInteger).label("amount")).where(
        _T.original_id == bindparam("id"),
        or_(_T.kind == TransferKind.REFUND.value, _T.kind == TransferKind.VOID.value),
        _T.state == TransferState.POSTED.value,
    ),
    _TransferId,
    _AmountGivenBack,
)
_INSERT_TOMBSTONE = Statement(
    insert(TRANSFERS)
    .values(
        id=bindparam("id"),
        kind=TransferKind.DEBIT.value,
        state=TransferState.VOIDED.value,
        amount=0,
        reference="",
        fingerprint="",
    )
    .on_conflict_do_nothing(),
    _TransferId,
    NoRow,
)
_PAGE = union_all(
    *(
        newest_first(select(_T.id).where(side == bindparam("wallet_id")), TRANSFERS)
        .subquery()
        .select()
        for side in (_T.debit_account_id, _T.credit_account_id)
    )
).subquery("page")
_LIST = Statement(
    _READ.join(_PAGE, _PAGE.c.id == _T.id)
    .order_by(_T.create_time.desc(), _T.id.desc())
    .limit(bindparam("limit")),
    _TransferPage,
    Transfer,
)
OLD_TOMBSTONES = old_rows(
    "tombstones of debits", TRANSFERS, _T.create_time, age=BARRIERS_KEPT, only=IS_TOMBSTONE
)


async def find(reader: Reader, transfer_id: UUID) -> Transfer | None:
    """Return a transfer, or None."""
    return await reader.first(_FIND, _TransferId(transfer_id))


async def lock(tx: Transaction, transfer_id: UUID) -> Transfer | None:
    """Return a transfer, or None, and keep others from refunding or undoing it."""
    await tx.execute(_LOCK, _TransferId(transfer_id))
    # A statement of its own sees the commits that the lock waited for.
    return await find(tx, transfer_id)


async def given_back(tx: Transaction, original_id: UUID) -> int:
    """Return how much of a locked debit was refunded or voided."""
    row = await tx.first(_GIVEN_BACK, _TransferId(original_id))
    assert row is not None
    return row.amount


async def insert_tombstone(tx: Transaction, transfer_id: UUID) -> None:
    """Leave a tombstone for a debit that may come later, unless the id is taken.

    Waits for a transfer with this id that is being made; the next statement sees it.
    """
    await tx.execute(_INSERT_TOMBSTONE, _TransferId(transfer_id))


async def list_newest(
    reader: Reader, wallet_id: UUID, *, before: tuple[datetime, UUID], limit: int
) -> list[Transfer]:
    """Return transfers of a wallet, the newest first, from a position on."""
    return await reader.all(_LIST, _TransferPage(wallet_id, *before, limit))
