"""The SQL of wallets: accounts that users own.

Locks are taken in one order everywhere: the debit that is taken or given back, then
the wallet, then new transfers.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import bindparam, delete, exists, func, insert, or_, select, update

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.untyped import Untyped
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

_OF_USER = ACCOUNTS.c.user_id == bindparam("user_id")
_BY_ID = ACCOUNTS.c.id == bindparam("wallet_id")

_OPEN = Untyped(
    insert(ACCOUNTS).values(
        id=bindparam("id"), kind="wallet", user_id=bindparam("user_id"), balance=0
    )
)
_GET = Untyped(
    select(ACCOUNTS.c.id, ACCOUNTS.c.user_id, ACCOUNTS.c.balance, ACCOUNTS.c.update_time).where(
        _OF_USER
    )
)
_LOCK = Untyped(select(ACCOUNTS.c.id, ACCOUNTS.c.balance).where(_OF_USER).with_for_update())
_DELETE_UNUSED = Untyped(
    delete(ACCOUNTS).where(
        _BY_ID,
        ~exists().where(
            or_(
                TRANSFERS.c.debit_account_id == bindparam("wallet_id"),
                TRANSFERS.c.credit_account_id == bindparam("wallet_id"),
            )
        ),
    )
)
_CLOSE = Untyped(
    update(ACCOUNTS)
    .where(_BY_ID)
    .values(user_id=None, balance=0, update_time=func.clock_timestamp())
)
_FORFEIT = Untyped(
    insert(TRANSFERS).values(
        id=bindparam("id"),
        kind=TransferKind.FORFEIT.value,
        state=TransferState.POSTED.value,
        debit_account_id=bindparam("wallet_id"),
        credit_account_id=FORFEITED,
        amount=bindparam("amount"),
        reference="",
        fingerprint=bindparam("fingerprint"),
    )
)


async def open_new(tx: Transaction, user_id: UUID) -> None:
    """Give a user an empty wallet."""
    await tx.execute(_OPEN, id=new_id(), user_id=user_id)


async def get(reader: Reader, user_id: UUID) -> Wallet | None:
    """Return a user's wallet, or None."""
    row = await reader.first(_GET, user_id=user_id)
    return None if row is None else Wallet(*row)


async def close(tx: Transaction, user_id: UUID) -> None:
    """Close a user's wallet, if there is one: what it holds is forfeited, its owner forgotten.

    A wallet that nothing refers to is removed.
    """
    # Whether transfers refer to it is asked after they can't begin to any more.
    wallet = await tx.first(_LOCK, user_id=user_id)
    if wallet is None or await tx.execute(_DELETE_UNUSED, wallet_id=wallet.id):
        return
    await tx.execute(_CLOSE, wallet_id=wallet.id)
    if wallet.balance:
        forfeit = NewTransfer(id=new_id(), kind=TransferKind.FORFEIT, amount=wallet.balance)
        await tx.execute(
            _FORFEIT,
            id=forfeit.id,
            wallet_id=wallet.id,
            amount=forfeit.amount,
            fingerprint=forfeit.fingerprint,
        )
