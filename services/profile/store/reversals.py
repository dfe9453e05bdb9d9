"""The SQL of reversals: money of a top-up that goes back.

For the order of locks see `transfers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import psycopg
from sqlalchemy import BigInteger, Text, Uuid, bindparam, func, insert, literal, select, update

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import Statement
from services.profile.model import (
    ACCOUNTS,
    TRANSFERS,
    TREASURY,
    NewTransfer,
    TransferKind,
    TransferState,
)
from services.profile.store.ledger import IdTaken


@dataclass(frozen=True, slots=True)
class _Original:
    original_id: UUID


@dataclass(frozen=True, slots=True)
class _Reversed:
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reversal:
    id: UUID
    wallet_id: UUID
    amount: int
    reference: str
    original_id: UUID
    fingerprint: str
    actor: str


@dataclass(frozen=True, slots=True)
class _PostedReversal:
    id: UUID


_T = TRANSFERS.c
_AMOUNT = bindparam("amount", type_=BigInteger)
_REVERSED = Statement(
    select(func.coalesce(func.sum(_T.amount), 0).cast(BigInteger).label("amount")).where(
        _T.original_id == bindparam("original_id", type_=Uuid),
        _T.kind == TransferKind.REVERSAL.value,
    ),
    _Original,
    _Reversed,
)
_taken = (
    update(ACCOUNTS)
    .where(
        ACCOUNTS.c.id == bindparam("wallet_id", type_=Uuid),
        ACCOUNTS.c.user_id.is_not(None),
        ACCOUNTS.c.balance >= _AMOUNT,
    )
    .values(balance=ACCOUNTS.c.balance - _AMOUNT, update_time=func.clock_timestamp())
    .returning(ACCOUNTS.c.id, ACCOUNTS.c.balance)
    .cte("taken")
)
_POSTED = {
    "id": bindparam("id", type_=Uuid),
    "kind": literal(TransferKind.REVERSAL.value),
    "state": literal(TransferState.POSTED.value),
    "debit_account_id": _taken.c.id,
    "credit_account_id": literal(TREASURY),
    "amount": _AMOUNT,
    "reference": bindparam("reference", type_=Text),
    "original_id": bindparam("original_id", type_=Uuid),
    "fingerprint": bindparam("fingerprint", type_=Text),
    "actor": bindparam("actor", type_=Text),
    "debit_balance": _taken.c.balance,
    "create_time": func.saga_now(),
}
_REVERSE = Statement(
    insert(TRANSFERS).from_select(list(_POSTED), select(*_POSTED.values())).returning(_T.id),
    _Reversal,
    _PostedReversal,
)


async def reversed_amount(reader: Reader, original_id: UUID) -> int:
    """Return how much of a locked top-up went back."""
    row = await reader.first(_REVERSED, _Original(original_id))
    assert row is not None
    return row.amount


async def reverse(tx: Transaction, new: NewTransfer, *, wallet_id: UUID, amount: int) -> bool:
    """Take money of a locked top-up back; change nothing and return False if it was spent.

    Args:
        tx: The transaction.
        new: The reversal as the caller wants it.
        wallet_id: The wallet that was topped up.
        amount: The amount to take, in minor units.

    Raises:
        IdTaken: Another transfer has the id.
    """
    assert new.original_id is not None
    reversal = _Reversal(
        id=new.id,
        wallet_id=wallet_id,
        amount=amount,
        reference=new.reference,
        original_id=new.original_id,
        fingerprint=new.fingerprint,
        actor=new.actor,
    )
    try:
        posted = await tx.first(_REVERSE, reversal)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name == TRANSFERS.primary_key.name:
            raise IdTaken from error
        raise
    return posted is not None
