"""The SQL of transfers: the ledger that every balance follows from.

Locks are taken in one order everywhere: the debit that is taken or given back, then
the wallet, then the ids of new transfers. So nobody ever waits in a circle.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import (
    BigInteger,
    DateTime,
    Text,
    Uuid,
    bindparam,
    case,
    delete,
    func,
    literal,
    select,
    text,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import Limit, NoRow, Statement
from services.kernel.db.untyped import Row, Untyped
from services.kernel.errors import SagaCancelled
from services.profile.errors import BalanceTooLow, WalletNotFound
from services.profile.model import (
    ACCOUNTS,
    SALES,
    SUSPENSE,
    TRANSFERS,
    TREASURY,
    NewTransfer,
    Transfer,
    TransferKind,
    TransferState,
)

_T = TRANSFERS.c
_REVERSAL = TRANSFERS.alias("reversal")
_WALLET_ID = case(
    {
        TransferKind.DEBIT.value: _T.debit_account_id,
        TransferKind.FORFEIT.value: _T.debit_account_id,
    },
    value=_T.kind,
    else_=_T.credit_account_id,
)
_STATE = case((_REVERSAL.c.id.is_not(None), TransferState.VOIDED.value), else_=_T.state)
_FIELDS = [field.name for field in fields(Transfer)]
_READ = (
    select(
        _T.id,
        ACCOUNTS.c.user_id,
        _WALLET_ID.label("wallet_id"),
        _T.kind,
        _T.amount,
        _STATE.label("state"),
        _T.reference,
        _T.refusal_reason,
        _T.fingerprint,
        _T.create_time,
    )
    .select_from(TRANSFERS)
    .outerjoin(ACCOUNTS, ACCOUNTS.c.id == _WALLET_ID)
    .outerjoin(
        _REVERSAL,
        (_REVERSAL.c.original_id == _T.id) & (_REVERSAL.c.kind == TransferKind.VOID.value),
    )
)

_ID = bindparam("id", type_=Uuid)
_AMOUNT = bindparam("amount", type_=BigInteger)
_OUTCOME = (
    _T.create_time,
    (func.saga_now() > bindparam("not_after", type_=DateTime(timezone=True))).label("is_late"),
)
_MOVED = {"update_time": func.clock_timestamp()}

_FIND = Untyped(_READ.where(_T.id == _ID))
_LOCK = Untyped(select(_T.id).where(_T.id == _ID).with_for_update())
_INSERT = Untyped(
    insert(TRANSFERS)
    .values(
        {
            name: bindparam(name)
            for name in (
                "id",
                "kind",
                "state",
                "debit_account_id",
                "credit_account_id",
                "amount",
                "reference",
                "original_id",
                "refusal_reason",
                "fingerprint",
            )
        }
    )
    .returning(*_OUTCOME)
)
_TAKEN = (
    update(ACCOUNTS)
    .where(ACCOUNTS.c.user_id == bindparam("user_id"), ACCOUNTS.c.balance >= _AMOUNT)
    .values(balance=ACCOUNTS.c.balance - _AMOUNT, **_MOVED)
    .returning(ACCOUNTS.c.id)
    .cte("taken")
)
_DEBITED = {
    "id": _ID,
    "kind": literal(TransferKind.DEBIT.value),
    "state": literal(TransferState.POSTED.value),
    "debit_account_id": _TAKEN.c.id,
    "credit_account_id": literal(SALES),
    "amount": _AMOUNT,
    "reference": bindparam("reference", type_=Text),
    "fingerprint": bindparam("fingerprint", type_=Text),
}
# One statement, because the wallet is locked from here to the commit.
_DEBIT = Untyped(
    insert(TRANSFERS)
    .from_select(list(_DEBITED), select(*_DEBITED.values()))
    .returning(_T.debit_account_id, *_OUTCOME)
)
_GIVE = Untyped(
    update(ACCOUNTS)
    .where(ACCOUNTS.c.id == bindparam("wallet_id"), ACCOUNTS.c.user_id.is_not(None))
    .values(balance=ACCOUNTS.c.balance + _AMOUNT, **_MOVED)
)
_GIVE_USER = Untyped(
    update(ACCOUNTS)
    .where(ACCOUNTS.c.user_id == bindparam("user_id"))
    .values(balance=ACCOUNTS.c.balance + _AMOUNT, **_MOVED)
    .returning(ACCOUNTS.c.id)
)
# Referred to by a refusal, it must not vanish meanwhile.
_KEEP_WALLET = Untyped(
    select(ACCOUNTS.c.id)
    .where(ACCOUNTS.c.user_id == bindparam("user_id"))
    .with_for_update(read=True, key_share=True)
)
_INSERT_TOMBSTONE = Untyped(
    insert(TRANSFERS)
    .values(
        id=_ID,
        kind=TransferKind.DEBIT.value,
        state=TransferState.VOIDED.value,
        amount=0,
        reference="",
        fingerprint="",
    )
    .on_conflict_do_nothing()
)
_GIVEN_BACK = Untyped(
    select(func.coalesce(func.sum(_T.amount), 0).cast(BigInteger).label("amount")).where(
        _T.original_id == bindparam("original_id")
    )
)
_BEFORE = tuple_(_T.create_time, _T.id) < tuple_(
    bindparam("before_time", type_=DateTime(timezone=True)), bindparam("before_id", type_=Uuid)
)
_NEWEST_FIRST = (_T.create_time.desc(), _T.id.desc())
_PAGE = union_all(
    *(
        select(_T.id)
        .where(side == bindparam("wallet_id"), _BEFORE)
        .order_by(*_NEWEST_FIRST)
        .limit(bindparam("limit"))
        .subquery()
        .select()
        for side in (_T.debit_account_id, _T.credit_account_id)
    )
).subquery("page")
_LIST = Untyped(
    _READ.join(_PAGE, _PAGE.c.id == _T.id).order_by(*_NEWEST_FIRST).limit(bindparam("limit"))
)
OLD_TOMBSTONES = Statement(
    delete(TRANSFERS).where(
        _T.id.in_(
            select(_T.id)
            .where(
                _T.state == TransferState.VOIDED.value,
                _T.create_time < func.saga_now() - text("interval '7 days'"),
            )
            .limit(bindparam("limit"))
        )
    ),
    Limit,
    NoRow,
)


class IdTaken(Exception):
    """The id belongs to a transfer that is there already; this transaction is over."""


async def find(reader: Reader, transfer_id: UUID) -> Transfer | None:
    """Return a transfer, or None."""
    return _transfer(await reader.first(_FIND, id=transfer_id))


async def lock(tx: Transaction, transfer_id: UUID) -> Transfer | None:
    """Return a transfer and keep others from taking or giving it back, or None."""
    await tx.execute(_LOCK, id=transfer_id)
    # A statement of its own, to see what was committed while that one waited.
    return await find(tx, transfer_id)


async def debit(tx: Transaction, new: NewTransfer, *, not_after: datetime) -> Transfer | None:
    """Take money out of a wallet; None, and nothing done, when it does not hold enough.

    Raises:
        SagaCancelled: It comes too late.
        IdTaken: See there.
    """
    row = await _insert(
        tx,
        _DEBIT,
        id=new.id,
        user_id=new.user_id,
        amount=new.amount,
        reference=new.reference,
        fingerprint=new.fingerprint,
        not_after=not_after,
    )
    if row is None:
        return None
    return _made(new, TransferState.POSTED, row, wallet_id=row.debit_account_id)


async def refuse(tx: Transaction, new: NewTransfer, *, not_after: datetime) -> Transfer:
    """Keep that a debit was refused, for ever.

    Raises:
        SagaCancelled: It comes too late.
        IdTaken: See there.
    """
    wallet = await tx.first(_KEEP_WALLET, user_id=new.user_id)
    wallet_id = None if wallet is None else wallet.id
    reason = WalletNotFound.reason if wallet is None else BalanceTooLow.reason
    return await _record(
        tx,
        new,
        TransferState.REFUSED,
        wallet_id=wallet_id,
        accounts=(wallet_id, SALES),
        refusal_reason=reason,
        not_after=not_after,
    )


async def top_up(tx: Transaction, new: NewTransfer) -> Transfer | None:
    """Put money into a wallet; None, and nothing done, when there is no such wallet.

    Raises:
        IdTaken: See there.
    """
    wallet = await tx.first(_GIVE_USER, user_id=new.user_id, amount=new.amount)
    if wallet is None:
        return None
    accounts = (TREASURY, wallet.id)
    return await _record(tx, new, TransferState.POSTED, wallet_id=wallet.id, accounts=accounts)


async def give_back(tx: Transaction, new: NewTransfer, *, wallet_id: UUID) -> None:
    """Give money of a locked debit back to its wallet, or to suspense when that is closed.

    Raises:
        IdTaken: See there.
    """
    is_open = await tx.execute(_GIVE, wallet_id=wallet_id, amount=new.amount)
    credited = wallet_id if is_open else SUSPENSE
    await _record(tx, new, TransferState.POSTED, wallet_id=credited, accounts=(SALES, credited))


async def given_back(tx: Transaction, original_id: UUID) -> int:
    """Return how much of a locked debit was refunded or voided."""
    row = await tx.first(_GIVEN_BACK, original_id=original_id)
    assert row is not None
    amount: int = row.amount
    return amount


async def insert_tombstone(tx: Transaction, transfer_id: UUID) -> None:
    """Leave a tombstone for a debit that may come later, unless the id is taken.

    Waits for a transfer with this id that is being made, which the next statement sees.
    """
    await tx.execute(_INSERT_TOMBSTONE, id=transfer_id)


async def list_newest(
    reader: Reader, wallet_id: UUID, *, before: tuple[datetime, UUID], limit: int
) -> list[Transfer]:
    """Return transfers of a wallet, the newest first, from a position on."""
    rows = await reader.all(
        _LIST, wallet_id=wallet_id, before_time=before[0], before_id=before[1], limit=limit
    )
    return [_of_row(row) for row in rows]


async def _record(
    tx: Transaction,
    new: NewTransfer,
    state: TransferState,
    *,
    wallet_id: UUID | None,
    accounts: tuple[UUID | None, UUID],
    refusal_reason: str | None = None,
    not_after: datetime | None = None,
) -> Transfer:
    row = await _insert(
        tx,
        _INSERT,
        id=new.id,
        kind=new.kind,
        state=state,
        debit_account_id=accounts[0],
        credit_account_id=accounts[1],
        amount=new.amount,
        reference=new.reference,
        original_id=new.original_id,
        refusal_reason=refusal_reason,
        fingerprint=new.fingerprint,
        not_after=not_after,
    )
    return _made(new, state, row, wallet_id=wallet_id, refusal_reason=refusal_reason)


async def _insert(tx: Transaction, statement: Untyped, **values: Any) -> Row | None:
    try:
        row = await tx.first(statement, **values)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name == TRANSFERS.primary_key.name:
            raise IdTaken from error
        raise
    if row is not None and row.is_late:
        raise SagaCancelled("The time of this saga is over.")
    return row


def _made(
    new: NewTransfer,
    state: TransferState,
    row: Row,
    *,
    wallet_id: UUID | None,
    refusal_reason: str | None = None,
) -> Transfer:
    return Transfer(
        id=new.id,
        user_id=new.user_id,
        wallet_id=wallet_id,
        kind=new.kind,
        amount=new.amount,
        state=state,
        reference=new.reference,
        refusal_reason=refusal_reason,
        fingerprint=new.fingerprint,
        create_time=row.create_time,
    )


def _transfer(row: Row | None) -> Transfer | None:
    return None if row is None else _of_row(row)


def _of_row(row: Row) -> Transfer:
    values = {name: getattr(row, name) for name in _FIELDS}
    return Transfer(**values | {"kind": TransferKind(row.kind), "state": TransferState(row.state)})
