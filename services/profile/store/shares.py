"""The SQL of sellers' shares: money of a debit that is pending, and then in a wallet.

For the order of locks see `transfers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement
from services.kernel.events.writer import Fact
from services.profile import events
from services.profile.model import (
    ACCOUNTS,
    TRANSFERS,
    NewTransfer,
    Transfer,
    TransferKind,
    TransferState,
)

_A, _T = ACCOUNTS.c, TRANSFERS.c


@dataclass(frozen=True, slots=True)
class _BySellers:
    seller_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class _Wanted:
    account_ids: list[UUID]
    user_ids: list[UUID]
    seller_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class Account:
    """An account that is locked: the wallet of a user, or what a seller may not spend yet.

    Attributes:
        wallet_id: The wallet itself, or that of the seller.
    """

    id: UUID
    user_id: UUID | None
    seller_id: UUID | None
    balance: int
    wallet_id: UUID


@dataclass(frozen=True, slots=True)
class Move:
    """A transfer that moves a share.

    Attributes:
        wallet_id: The wallet of the seller; suspense stands in for one that is closed.
        is_pending: Whether it moves no balance, but what the seller may not spend yet.
    """

    id: UUID
    debit_account_id: UUID
    credit_account_id: UUID
    amount: int
    wallet_id: UUID
    is_pending: bool


@dataclass(frozen=True, slots=True)
class _Moves:
    kind: TransferKind
    original_id: UUID
    reference: str
    ids: list[UUID]
    debited: list[UUID]
    credited: list[UUID]
    amounts: list[int]
    fingerprints: list[str]
    account_ids: list[UUID]
    deltas: list[int]
    actor: str


@dataclass(frozen=True, slots=True)
class _ByDebit:
    original_id: UUID


@dataclass(frozen=True, slots=True)
class _ByIds:
    ids: list[UUID]


@dataclass(frozen=True, slots=True)
class _KnownTransfer:
    id: UUID


@dataclass(frozen=True, slots=True)
class Held:
    """What an account has of the shares of a debit.

    It is below zero for suspense, which stands in for the account of a seller who is gone.
    """

    account_id: UUID
    amount: int


def _ids(name: str) -> object:
    return func.any(bindparam(name, type_=ARRAY(Uuid)))


_WALLET, _PENDING = ACCOUNTS.alias("wallet"), ACCOUNTS.alias("pending")
# The lock keeps the wallet from being closed until the account is committed.
_OPEN = Statement(
    insert(ACCOUNTS)
    .from_select(
        ["id", "kind", "seller_id", "balance"],
        select(func.uuidv7(), literal("pending"), _WALLET.c.user_id, literal(0))
        .outerjoin_from(_WALLET, _PENDING, _PENDING.c.seller_id == _WALLET.c.user_id)
        .where(_WALLET.c.user_id == _ids("seller_ids"), _PENDING.c.id.is_(None))
        .order_by(_WALLET.c.user_id)
        .with_for_update(read=True, key_share=True, of=_WALLET),
    )
    .on_conflict_do_nothing(),
    _BySellers,
    NoRow,
)
_OF_SELLER = select(_WALLET.c.id).where(_WALLET.c.user_id == _A.seller_id).correlate(ACCOUNTS)
_LOCK = Statement(
    select(
        _A.id,
        _A.user_id,
        _A.seller_id,
        _A.balance,
        func.coalesce(_OF_SELLER.scalar_subquery(), _A.id).label("wallet_id"),
    )
    .where(
        or_(
            _A.id == _ids("account_ids"),
            _A.user_id == _ids("user_ids"),
            _A.seller_id == _ids("seller_ids"),
        )
    )
    .order_by(_A.id)
    .with_for_update(key_share=True),
    _Wanted,
    Account,
)
_deltas = (
    func.unnest(
        bindparam("account_ids", type_=ARRAY(Uuid)), bindparam("deltas", type_=ARRAY(BigInteger))
    )
    .table_valued(column("id", Uuid), column("delta", BigInteger), name="deltas")
    .render_derived()
)
# System accounts store no balance.
_MOVED = (
    update(ACCOUNTS)
    .where(_A.id == _deltas.c.id, _A.balance.is_not(None))
    .values(balance=_A.balance + _deltas.c.delta, update_time=func.clock_timestamp())
    .returning(_A.id, _A.balance)
    .cte("moved")
)
_moves = (
    func.unnest(
        bindparam("ids", type_=ARRAY(Uuid)),
        bindparam("debited", type_=ARRAY(Uuid)),
        bindparam("credited", type_=ARRAY(Uuid)),
        bindparam("amounts", type_=ARRAY(BigInteger)),
        bindparam("fingerprints", type_=ARRAY(Text)),
    )
    .table_valued(
        column("id", Uuid),
        column("debit_account_id", Uuid),
        column("credit_account_id", Uuid),
        column("amount", BigInteger),
        column("fingerprint", Text),
        name="moves",
    )
    .render_derived()
)
_debited, _credited = _MOVED.alias("debited"), _MOVED.alias("credited")
_POSTED = {
    **{each.name: each for each in _moves.c},
    "debit_balance": _debited.c.balance,
    "credit_balance": _credited.c.balance,
    "kind": cast(bindparam("kind", type_=Text), Text),
    "state": literal(TransferState.POSTED.value),
    "original_id": cast(bindparam("original_id", type_=Uuid), Uuid),
    "reference": cast(bindparam("reference", type_=Text), Text),
    "actor": cast(bindparam("actor", type_=Text), Text),
    "create_time": func.saga_now(),
}
# One statement, because all buyers of a seller's goods wait for the account meanwhile.
_POST = Statement(
    insert(TRANSFERS).from_select(
        list(_POSTED),
        select(*_POSTED.values()).select_from(
            _moves.outerjoin(_debited, _debited.c.id == _moves.c.debit_account_id).outerjoin(
                _credited, _credited.c.id == _moves.c.credit_account_id
            )
        ),
    ),
    _Moves,
    NoRow,
)
_DEBIT = _T.original_id == bindparam("original_id", type_=Uuid)
_sides = union_all(
    select(_T.credit_account_id.label("account_id"), _T.amount).where(
        _DEBIT, or_(_T.kind == TransferKind.SALE.value, _T.kind == TransferKind.RELEASE.value)
    ),
    select(_T.debit_account_id, -_T.amount).where(
        _DEBIT,
        or_(_T.kind == TransferKind.RELEASE.value, _T.kind == TransferKind.SALE_REFUND.value),
    ),
).subquery("sides")
_HELD = Statement(
    select(_sides.c.account_id, func.sum(_sides.c.amount).cast(BigInteger).label("amount"))
    .group_by(_sides.c.account_id)
    .order_by(_sides.c.account_id),
    _ByDebit,
    Held,
)
_KNOWN = Statement(select(_T.id).where(_T.id == _ids("ids")), _ByIds, _KnownTransfer)


async def open_pending(tx: Transaction, seller_ids: Sequence[UUID]) -> None:
    """Give sellers who have a wallet an account for what they may not spend yet."""
    await tx.execute(_OPEN, _BySellers(list(seller_ids)))


async def lock(
    tx: Transaction,
    *,
    accounts: Sequence[UUID] = (),
    wallets: Sequence[UUID] = (),
    pending: Sequence[UUID] = (),
) -> list[Account]:
    """Lock accounts in the order of their ids, and return those that there are.

    Args:
        tx: The transaction.
        accounts: The ids of accounts.
        wallets: The users whose wallets to lock.
        pending: The sellers whose pending money to lock.
    """
    return await tx.all(_LOCK, _Wanted(list(accounts), list(wallets), list(pending)))


async def post(
    tx: Transaction,
    kind: TransferKind,
    moves: Sequence[Move],
    debit: NewTransfer | Transfer,
    *,
    actor: str,
) -> list[Fact]:
    """Move shares of a debit between accounts that are locked, and return what is to be told of it.

    Each account has one move, but for system accounts, which store no balance.
    """
    deltas = Counter[UUID]()
    for each in moves:
        deltas[each.debit_account_id] -= each.amount
        deltas[each.credit_account_id] += each.amount
    await tx.execute(
        _POST,
        _Moves(
            kind=kind,
            original_id=debit.id,
            reference=debit.reference,
            ids=[each.id for each in moves],
            debited=[each.debit_account_id for each in moves],
            credited=[each.credit_account_id for each in moves],
            amounts=[each.amount for each in moves],
            # Nobody sends such a transfer by its id, so its content is compared with nothing.
            fingerprints=[str(each.id) for each in moves],
            account_ids=list(deltas),
            deltas=list(deltas.values()),
            actor=actor,
        ),
    )
    return [_fact(kind, each, debit.id) for each in moves]


def _fact(kind: TransferKind, move: Move, debit_id: UUID) -> Fact:
    return events.transfer_posted(
        move.id,
        wallet_id=move.wallet_id,
        kind=kind,
        amount=move.amount,
        original_id=debit_id,
        is_pending=move.is_pending,
    )


async def held(reader: Reader, original_id: UUID) -> list[Held]:
    """Return where the shares of a debit are."""
    return await reader.all(_HELD, _ByDebit(original_id))


async def known(reader: Reader, ids: Sequence[UUID]) -> set[UUID]:
    """Return which of these transfers there are."""
    return {row.id for row in await reader.all(_KNOWN, _ByIds(list(ids)))}
