"""The SQL of wallets: accounts that users own.

For the order of locks see `transfers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, delete, exists, func, insert, or_, select, update

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import ByUser, NoRow, Statement
from services.kernel.events.writer import Fact
from services.kernel.ids import new_id
from services.profile.model import (
    ACCOUNTS,
    FORFEITED,
    SUSPENSE,
    TRANSFERS,
    NewTransfer,
    TransferKind,
    TransferState,
    Wallet,
)
from services.profile.store import ledger


@dataclass(frozen=True, slots=True)
class _ByAccount:
    account_id: UUID


@dataclass(frozen=True, slots=True)
class _WalletInsert:
    id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class _LockedAccount:
    id: UUID
    kind: str
    balance: int


@dataclass(frozen=True, slots=True)
class _Forfeit:
    id: UUID
    account_id: UUID
    credit_account_id: UUID
    amount: int
    left: int
    fingerprint: str
    actor: str


_WALLET = "wallet"
_OF_USER = ACCOUNTS.c.user_id == bindparam("user_id")
_BY_ID = ACCOUNTS.c.id == bindparam("account_id")

_OPEN = Statement(
    insert(ACCOUNTS).values(
        id=bindparam("id"), kind=_WALLET, user_id=bindparam("user_id"), balance=0
    ),
    _WalletInsert,
    NoRow,
)
_PENDING = ACCOUNTS.alias("pending")
_GET = Statement(
    select(
        ACCOUNTS.c.id,
        ACCOUNTS.c.user_id,
        ACCOUNTS.c.balance,
        ACCOUNTS.c.update_time,
        func.coalesce(_PENDING.c.balance, 0).cast(BigInteger).label("pending"),
    )
    .select_from(ACCOUNTS)
    .outerjoin(_PENDING, _PENDING.c.seller_id == ACCOUNTS.c.user_id)
    .where(_OF_USER),
    ByUser,
    Wallet,
)
_LOCK = Statement(
    select(ACCOUNTS.c.id, ACCOUNTS.c.kind, ACCOUNTS.c.balance)
    .where(or_(_OF_USER, ACCOUNTS.c.seller_id == bindparam("user_id")))
    .order_by(ACCOUNTS.c.id)
    .with_for_update(),
    ByUser,
    _LockedAccount,
)
_DELETE_UNUSED = Statement(
    delete(ACCOUNTS).where(
        _BY_ID,
        ~exists().where(
            or_(
                TRANSFERS.c.debit_account_id == bindparam("account_id"),
                TRANSFERS.c.credit_account_id == bindparam("account_id"),
            )
        ),
    ),
    _ByAccount,
    NoRow,
)
_CLOSE = Statement(
    update(ACCOUNTS)
    .where(_BY_ID)
    .values(user_id=None, seller_id=None, balance=0, update_time=func.clock_timestamp()),
    _ByAccount,
    NoRow,
)
_FORFEIT = Statement(
    insert(TRANSFERS).values(
        id=bindparam("id"),
        kind=TransferKind.FORFEIT.value,
        state=TransferState.POSTED.value,
        debit_account_id=bindparam("account_id"),
        credit_account_id=bindparam("credit_account_id"),
        amount=bindparam("amount"),
        reference="",
        debit_balance=bindparam("left"),
        fingerprint=bindparam("fingerprint"),
        actor=bindparam("actor"),
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


async def close(
    tx: Transaction, user_id: UUID, *, actor: str, forfeit: int | None = None
) -> list[Fact]:
    """Close a user's accounts, if there are any, and forget their owner.

    What is pending goes to suspense: its sales may be cancelled yet. Returns what is to be told
    of the money.

    Args:
        tx: The transaction.
        user_id: The user.
        actor: Who asks for it, as transfers have it.
        forfeit: The balance that is forfeited; more came late, and goes to suspense. None: all.
    """
    locked = await tx.all(_LOCK, ByUser(user_id))
    if not locked:
        return []
    # From the lock on, no new transfer can refer to the wallet, and no sale can open an account
    # for what is pending. One that was opened while the lock was awaited is seen now.
    accounts = {each.id: each for each in [*locked, *await tx.all(_LOCK, ByUser(user_id))]}
    (wallet_id,) = (each.id for each in accounts.values() if each.kind == _WALLET)
    facts = list[Fact]()
    for account in accounts.values():
        facts += await _close(tx, account, wallet_id, forfeit, actor)
    return facts


async def _close(
    tx: Transaction, account: _LockedAccount, wallet_id: UUID, forfeit: int | None, actor: str
) -> list[Fact]:
    """Close a locked account, or remove it when no transfer refers to it."""
    if await tx.execute(_DELETE_UNUSED, _ByAccount(account.id)):
        return []
    await tx.execute(_CLOSE, _ByAccount(account.id))
    forfeited = 0
    is_pending = account.kind != _WALLET
    if not is_pending:
        forfeited = account.balance if forfeit is None else min(account.balance, forfeit)
    facts, left = list[Fact](), account.balance
    for credited, amount in ((FORFEITED, forfeited), (SUSPENSE, account.balance - forfeited)):
        if amount:
            left -= amount
            new = NewTransfer(id=new_id(), kind=TransferKind.FORFEIT, amount=amount)
            moved = _Forfeit(new.id, account.id, credited, amount, left, new.fingerprint, actor)
            await tx.execute(_FORFEIT, moved)
            facts.append(ledger.fact_of(new, wallet_id=wallet_id, is_pending=is_pending))
    return facts
