"""The SQL of wallets: accounts that users own.

For the order of locks see `transfers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, delete, exists, func, insert, or_, select, update

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement
from services.kernel.ids import new_id
from services.profile.model import (
    ACCOUNTS,
    FORFEITED,
    TRANSFERS,
    NewTransfer,
    TransferKind,
    TransferState,
    Wallet,
)


@dataclass(frozen=True, slots=True)
class _ByWallet:
    wallet_id: UUID


@dataclass(frozen=True, slots=True)
class _WalletInsert:
    id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class _LockedWallet:
    id: UUID
    balance: int


@dataclass(frozen=True, slots=True)
class _Forfeit:
    id: UUID
    wallet_id: UUID
    amount: int
    fingerprint: str


_OF_USER = ACCOUNTS.c.user_id == bindparam("user_id")
_BY_ID = ACCOUNTS.c.id == bindparam("wallet_id")

_OPEN = Statement(
    insert(ACCOUNTS).values(
        id=bindparam("id"), kind="wallet", user_id=bindparam("user_id"), balance=0
    ),
    _WalletInsert,
    NoRow,
)
_GET = Statement(
    select(ACCOUNTS.c.id, ACCOUNTS.c.user_id, ACCOUNTS.c.balance, ACCOUNTS.c.update_time).where(
        _OF_USER
    ),
    ByUser,
    Wallet,
)
_LOCK = Statement(
    select(ACCOUNTS.c.id, ACCOUNTS.c.balance).where(_OF_USER).with_for_update(),
    ByUser,
    _LockedWallet,
)
_DELETE_UNUSED = Statement(
    delete(ACCOUNTS).where(
        _BY_ID,
        ~exists().where(
            or_(
                TRANSFERS.c.debit_account_id == bindparam("wallet_id"),
                TRANSFERS.c.credit_account_id == bindparam("wallet_id"),
            )
        ),
    ),
    _ByWallet,
    NoRow,
)
_CLOSE = Statement(
    update(ACCOUNTS)
    .where(_BY_ID)
    .values(user_id=None, balance=0, update_time=func.clock_timestamp()),
    _ByWallet,
    NoRow,
)
_FORFEIT = Statement(
    insert(TRANSFERS).values(
        id=bindparam("id"),
        kind=TransferKind.FORFEIT.value,
        state=TransferState.POSTED.value,
        debit_account_id=bindparam("wallet_id"),
        credit_account_id=FORFEITED,
        amount=bindparam("amount"),
        reference="",
        fingerprint=bindparam("fingerprint"),
    ),
    _Forfeit,
    NoRow,
)


async def open_new(tx: Transaction, user_id: UUID) -> None:
    """Give a user an empty wallet."""
    await tx.execute(_OPEN, _WalletInsert(new_id(), user_id))


async def get(reader: Reader, user_id: UUID) -> Wallet | None:
    """Return a user's wallet, or None."""
    return await reader.first(_GET, ByUser(user_id))


async def close(tx: Transaction, user_id: UUID) -> None:
    """Close a user's wallet, if there is one: forfeit its money, and forget its owner.

    Remove it instead when no transfer refers to it.
    """
    # From the lock on, no new transfer can refer to the wallet.
    wallet = await tx.first(_LOCK, ByUser(user_id))
    if wallet is None or await tx.execute(_DELETE_UNUSED, _ByWallet(wallet.id)):
        return
    await tx.execute(_CLOSE, _ByWallet(wallet.id))
    if wallet.balance:
        new = NewTransfer(id=new_id(), kind=TransferKind.FORFEIT, amount=wallet.balance)
        await tx.execute(_FORFEIT, _Forfeit(new.id, wallet.id, new.amount, new.fingerprint))
