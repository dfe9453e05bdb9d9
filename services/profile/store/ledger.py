"""The SQL that writes transfers: the ledger that every balance follows from.

For the order of locks see `transfers`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import BigInteger, DateTime, Text, Uuid, bindparam, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.database import Transaction
from services.kernel.db.statement import ByUser, Statement
from services.kernel.events.writer import Fact
from services.kernel.sagas.barrier import too_late
from services.profile import events
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

A = TypeVar("A")


@dataclass(frozen=True, slots=True, kw_only=True)
class _TransferInsert:
    id: UUID
    kind: TransferKind
    state: TransferState
    debit_account_id: UUID | None
    credit_account_id: UUID
    amount: int
    reference: str
    original_id: UUID | None
    refusal_reason: str | None
    fingerprint: str
    actor: str
    credit_balance: int | None
    not_after: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Debit:
    id: UUID
    user_id: UUID
    amount: int
    reference: str
    fingerprint: str
    actor: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class _Inserted:
    debit_account_id: UUID | None
    debit_balance: int | None
    create_time: datetime
    is_late: bool | None


@dataclass(frozen=True, slots=True)
class _Credit:
    wallet_id: UUID
    amount: int


@dataclass(frozen=True, slots=True)
class _CreditOfUser:
    user_id: UUID
    amount: int


@dataclass(frozen=True, slots=True)
class _AccountId:
    id: UUID


@dataclass(frozen=True, slots=True)
class _Credited:
    id: UUID
    balance: int


_AMOUNT = bindparam("amount", type_=BigInteger)
# The coordinator compares it with its own clock (see `sagas.clocks`).
_NOW = {"create_time": func.saga_now()}
_INSERTED = (
    TRANSFERS.c.debit_account_id,
    TRANSFERS.c.debit_balance,
    TRANSFERS.c.create_time,
    (func.saga_now() > bindparam("not_after", type_=DateTime(timezone=True))).label("is_late"),
)
_OF_USER = ACCOUNTS.c.user_id == bindparam("user_id")
_CREDITED = {
    "balance": ACCOUNTS.c.balance + _AMOUNT,
    "update_time": func.clock_timestamp(),
}

_INSERT = Statement(
    insert(TRANSFERS)
    .values(
        {
            each.name: bindparam(each.name)
            for each in fields(_TransferInsert)
            if each.name != "not_after"
        }
        | _NOW
    )
    .returning(*_INSERTED),
    _TransferInsert,
    _Inserted,
)
_TAKEN = (
    update(ACCOUNTS)
    .where(_OF_USER, ACCOUNTS.c.balance >= _AMOUNT)
    .values(balance=ACCOUNTS.c.balance - _AMOUNT, update_time=func.clock_timestamp())
    .returning(ACCOUNTS.c.id, ACCOUNTS.c.balance)
    .cte("taken")
)
_DEBITED = {
    "id": bindparam("id", type_=Uuid),
    "kind": literal(TransferKind.DEBIT.value),
    "state": literal(TransferState.POSTED.value),
    "debit_account_id": _TAKEN.c.id,
    "credit_account_id": literal(SALES),
    "amount": _AMOUNT,
    "reference": bindparam("reference", type_=Text),
    "fingerprint": bindparam("fingerprint", type_=Text),
    "actor": bindparam("actor", type_=Text),
    "debit_balance": _TAKEN.c.balance,
    **_NOW,
}
# The debit is one statement, because the wallet is locked from here to the commit.
_DEBIT = Statement(
    insert(TRANSFERS).from_select(list(_DEBITED), select(*_DEBITED.values())).returning(*_INSERTED),
    _Debit,
    _Inserted,
)
_GIVE = Statement(
    update(ACCOUNTS)
    .where(ACCOUNTS.c.id == bindparam("wallet_id"), ACCOUNTS.c.user_id.is_not(None))
    .values(_CREDITED)
    .returning(ACCOUNTS.c.id, ACCOUNTS.c.balance),
    _Credit,
    _Credited,
)
_GIVE_USER = Statement(
    update(ACCOUNTS).where(_OF_USER).values(_CREDITED).returning(ACCOUNTS.c.id, ACCOUNTS.c.balance),
    _CreditOfUser,
    _Credited,
)
# The lock keeps the wallet until the refusal that refers to it is committed.
_KEEP_WALLET = Statement(
    select(ACCOUNTS.c.id).where(_OF_USER).with_for_update(read=True, key_share=True),
    ByUser,
    _AccountId,
)


class IdTaken(Exception):
    """Another transfer has the id; the transaction is over."""


async def debit(tx: Transaction, new: NewTransfer, *, not_after: datetime) -> Transfer | None:
    """Take money out of a wallet; change nothing and return None if it holds too little.

    Raises:
        SagaCancelled: The debit comes too late.
        IdTaken: Another transfer has the id.
    """
    assert new.user_id is not None
    given = _Debit(
        id=new.id,
        user_id=new.user_id,
        amount=new.amount,
        reference=new.reference,
        fingerprint=new.fingerprint,
        actor=new.actor,
        not_after=not_after,
    )
    inserted = await _insert(tx, _DEBIT, given)
    if inserted is None:
        return None
    return _made(
        new,
        TransferState.POSTED,
        inserted,
        wallet_id=inserted.debit_account_id,
        balance_after=inserted.debit_balance,
    )


async def refuse(tx: Transaction, new: NewTransfer, *, not_after: datetime) -> Transfer:
    """Record for ever that a debit was refused.

    Raises:
        SagaCancelled: The debit comes too late.
        IdTaken: Another transfer has the id.
    """
    assert new.user_id is not None
    wallet = await tx.first(_KEEP_WALLET, ByUser(new.user_id))
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
    """Put money into a wallet; change nothing and return None if the user has none.

    Raises:
        IdTaken: Another transfer has the id.
    """
    assert new.user_id is not None
    wallet = await tx.first(_GIVE_USER, _CreditOfUser(new.user_id, new.amount))
    if wallet is None:
        return None
    return await _record(
        tx,
        new,
        TransferState.POSTED,
        wallet_id=wallet.id,
        accounts=(TREASURY, wallet.id),
        balance_after=wallet.balance,
    )


async def give_back(tx: Transaction, new: NewTransfer, *, wallet_id: UUID) -> Fact:
    """Give back money of a locked debit: to its wallet, or to suspense if that is closed.

    Returns what is to be told of it.

    Raises:
        IdTaken: Another transfer has the id.
    """
    wallet = await tx.first(_GIVE, _Credit(wallet_id, new.amount))
    credited = SUSPENSE if wallet is None else wallet.id
    await _record(
        tx,
        new,
        TransferState.POSTED,
        wallet_id=credited,
        accounts=(SALES, credited),
        balance_after=None if wallet is None else wallet.balance,
    )
    return fact_of(new, wallet_id=credited)


def fact_of(new: NewTransfer, *, wallet_id: UUID | None, is_pending: bool = False) -> Fact:
    """Return the event of a transfer. The wallet is locked.

    Args:
        new: The transfer.
        wallet_id: The wallet.
        is_pending: Whether it was money that the wallet's owner may not spend yet.
    """
    assert wallet_id is not None
    return events.transfer_posted(
        new.id,
        wallet_id=wallet_id,
        kind=new.kind,
        amount=new.amount,
        original_id=new.original_id,
        is_pending=is_pending,
    )


async def refuse_refund(tx: Transaction, new: NewTransfer, *, wallet_id: UUID) -> Transfer:
    """Record for ever that a refund of a locked debit was refused: a seller lacks the money.

    Raises:
        IdTaken: Another transfer has the id.
    """
    return await _record(
        tx,
        new,
        TransferState.REFUSED,
        wallet_id=wallet_id,
        accounts=(SALES, wallet_id),
        refusal_reason=BalanceTooLow.reason,
    )


async def _record(
    tx: Transaction,
    new: NewTransfer,
    state: TransferState,
    *,
    wallet_id: UUID | None,
    accounts: tuple[UUID | None, UUID],
    balance_after: int | None = None,
    refusal_reason: str | None = None,
    not_after: datetime | None = None,
) -> Transfer:
    given = _TransferInsert(
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
        actor=new.actor,
        credit_balance=balance_after,
        not_after=not_after,
    )
    inserted = await _insert(tx, _INSERT, given)
    assert inserted is not None
    return _made(
        new,
        state,
        inserted,
        wallet_id=wallet_id,
        balance_after=balance_after,
        refusal_reason=refusal_reason,
    )


async def _insert(
    tx: Transaction, statement: Statement[A, _Inserted], given: A
) -> _Inserted | None:
    try:
        inserted = await tx.first(statement, given)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name == TRANSFERS.primary_key.name:
            raise IdTaken from error
        raise
    if inserted is not None and inserted.is_late:
        raise too_late(inserted.create_time)
    return inserted


def _made(
    new: NewTransfer,
    state: TransferState,
    inserted: _Inserted,
    *,
    wallet_id: UUID | None,
    balance_after: int | None = None,
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
        create_time=inserted.create_time,
        original_id=new.original_id,
        actor=new.actor,
        balance_after=balance_after,
    )
