"""The way of a share: pending with the sale, in the wallet once shipped, back with a refund.

The place of a seller who was forgotten is taken by suspense. Each transfer of a share has an id
that follows from the transfer that it belongs to and from the seller. Functions that move shares
return the facts to tell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final
from uuid import UUID, uuid5

from services.kernel.db.database import Transaction
from services.kernel.errors import IllegalState
from services.kernel.events.writer import Fact
from services.kernel.ids import new_id
from services.profile.model import (
    SALES,
    SUSPENSE,
    NewTransfer,
    Share,
    Transfer,
    TransferKind,
)
from services.profile.store import shares
from services.profile.store.shares import Account, Move

_NOBODY: Final = UUID(int=0)


def sellers_of(given: Collection[Share]) -> list[UUID]:
    """Return the sellers who are not forgotten."""
    return [each.seller_id for each in given if each.seller_id is not None]


def share_id(transfer_id: UUID, seller_id: UUID | None) -> UUID:
    """Return the id of the transfer that moves a seller's share."""
    return uuid5(transfer_id, str(seller_id or _NOBODY))


async def lock_for_sale(tx: Transaction, new: NewTransfer) -> list[Account]:
    """Lock the wallet of a buyer, and the accounts that the shares go to."""
    assert new.user_id is not None
    sellers = sellers_of(new.shares)
    await shares.open_pending(tx, sellers)
    return await shares.lock(tx, wallets=[new.user_id], pending=sellers)


async def sell(tx: Transaction, debit: NewTransfer, accounts: Sequence[Account]) -> list[Fact]:
    """Give sellers their shares of a debit, pending."""
    moves = [_given(debit.id, share, SALES, _pending(accounts, share)) for share in debit.shares]
    return await shares.post(tx, TransferKind.SALE, moves, debit, actor=debit.actor)


async def release(
    tx: Transaction, debit: Transfer, release_id: UUID, given: Sequence[Share], *, actor: str
) -> list[Fact]:
    """Move pending shares of a locked debit to the wallets of their sellers; repeats do nothing.

    Raises:
        IllegalState: Less than that is pending.
    """
    known = await shares.known(tx, [share_id(release_id, each.seller_id) for each in given])
    new = [each for each in given if share_id(release_id, each.seller_id) not in known]
    sellers = sellers_of(new)
    accounts = await shares.lock(tx, wallets=sellers, pending=sellers)
    held = {each.account_id: each.amount for each in await shares.held(tx, debit.id)}
    moves = []
    for share in new:
        pending, wallet = _pending(accounts, share), _wallet(accounts, share)
        if pending is None or wallet is None:
            continue  # the seller is gone, and what was pending is in suspense
        if held.get(pending.id, 0) < share.amount:
            raise IllegalState("Less than that is pending of this debit.")
        moves.append(_given(release_id, share, pending.id, wallet))
    if not moves:
        return []
    return await shares.post(tx, TransferKind.RELEASE, moves, debit, actor=actor)


async def take_back(
    tx: Transaction, debit: Transfer, refund: NewTransfer, accounts: Sequence[Account]
) -> list[Fact]:
    """Take the shares of a refund from their sellers."""
    find = _wallet if refund.is_released else _pending
    moves = [
        _taken(share_id(refund.id, share.seller_id), find(accounts, share), share.amount)
        for share in refund.shares
    ]
    return await shares.post(tx, TransferKind.SALE_REFUND, moves, debit, actor=refund.actor)


def can_pay(debit: Transfer, refund: NewTransfer, accounts: Sequence[Account]) -> bool:
    """Say whether sellers hold the shares that a refund takes back.

    A seller who is the buyer as well gets the refund first.
    """
    if not refund.is_released:
        return True  # what is pending cannot be spent
    for share in refund.shares:
        wallet = _wallet(accounts, share)
        if wallet is None:
            continue
        refunded = refund.amount if wallet.id == debit.wallet_id else 0
        if wallet.balance + refunded < share.amount:
            return False
    return True


async def lock_for_refund(tx: Transaction, debit: Transfer, refund: NewTransfer) -> list[Account]:
    """Lock the wallet of the buyer, and the accounts that the shares come from."""
    assert debit.wallet_id is not None
    sellers = sellers_of(refund.shares)
    return await shares.lock(
        tx,
        accounts=[debit.wallet_id],
        wallets=sellers if refund.is_released else (),
        pending=() if refund.is_released else sellers,
    )


async def undo(tx: Transaction, debit: Transfer, *, actor: str) -> list[Fact]:
    """Take back all shares of a locked debit; lock the accounts first, also that of the buyer.

    Shares that were released may be spent, so suspense stands in for them.
    """
    assert debit.wallet_id is not None
    held = await shares.held(tx, debit.id)
    if not held:
        return []
    accounts = await shares.lock(
        tx, accounts=[debit.wallet_id, *(each.account_id for each in held)]
    )
    pending = {each.id: each for each in accounts if each.seller_id is not None}
    taken = {
        pending[each.account_id]: each.amount
        for each in held
        if each.account_id in pending and each.amount > 0
    }
    moves = [_taken(new_id(), account, amount) for account, amount in taken.items()]
    rest = sum(each.amount for each in held) - sum(taken.values())
    if rest > 0:
        moves.append(_taken(new_id(), None, rest))
    if not moves:
        return []
    return await shares.post(tx, TransferKind.SALE_REFUND, moves, debit, actor=actor)


def _pending(accounts: Sequence[Account], share: Share) -> Account | None:
    return _first(accounts, lambda each: each.seller_id, share)


def _wallet(accounts: Sequence[Account], share: Share) -> Account | None:
    return _first(accounts, lambda each: each.user_id, share)


def _first(
    accounts: Sequence[Account], owner: Callable[[Account], UUID | None], share: Share
) -> Account | None:
    if share.seller_id is None:
        return None
    return next((each for each in accounts if owner(each) == share.seller_id), None)


def _given(transfer_id: UUID, share: Share, debited: UUID, account: Account | None) -> Move:
    """Return the transfer that gives a seller a share."""
    move_id = share_id(transfer_id, share.seller_id)
    return _move(move_id, share.amount, account, debited=debited, credited=_place(account))


def _taken(move_id: UUID, account: Account | None, amount: int) -> Move:
    """Return the transfer that takes a share from a seller."""
    return _move(move_id, amount, account, debited=_place(account), credited=SALES)


def _move(
    move_id: UUID, amount: int, account: Account | None, *, debited: UUID, credited: UUID
) -> Move:
    return Move(
        id=move_id,
        debit_account_id=debited,
        credit_account_id=credited,
        amount=amount,
        wallet_id=SUSPENSE if account is None else account.wallet_id,
        is_pending=account is not None and account.seller_id is not None,
    )


def _place(account: Account | None) -> UUID:
    return SUSPENSE if account is None else account.id
