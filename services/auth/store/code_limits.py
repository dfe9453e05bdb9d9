"""The SQL of the limits of mailed codes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import CODE_LIMITS
from services.auth.store.places import ByAccount
from services.kernel.db.cleaner import old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoRow, Statement


@dataclass(frozen=True, slots=True)
class CodeLimits:
    """The times of the last sent and wrong codes of an e-mail and purpose, perhaps in a place."""

    sends: list[datetime]
    failures: list[datetime]
    now: datetime


@dataclass(frozen=True, slots=True)
class LimitsKey:
    """The pseudonyms of limits, and of the account that they belong to."""

    key_hmac: bytes
    account_hmac: bytes


@dataclass(frozen=True, slots=True)
class _Key:
    key_hmac: bytes


@dataclass(frozen=True, slots=True)
class _NewLimits:
    key_hmac: bytes
    sends: list[datetime]
    failures: list[datetime]


_LOCK = Statement(
    insert(CODE_LIMITS)
    .values(
        key_hmac=bindparam("key_hmac"),
        account_hmac=bindparam("account_hmac"),
        send_times=text("'{}'"),
        failure_times=text("'{}'"),
        update_time=func.saga_now(),
    )
    .on_conflict_do_update(
        constraint="pk_code_limits",
        set_={"update_time": func.saga_now(), "account_hmac": bindparam("account_hmac")},
    )
    .returning(
        CODE_LIMITS.c.send_times.label("sends"),
        CODE_LIMITS.c.failure_times.label("failures"),
        func.saga_now().label("now"),
    ),
    LimitsKey,
    CodeLimits,
)
_READ = Statement(
    select(
        CODE_LIMITS.c.send_times.label("sends"),
        CODE_LIMITS.c.failure_times.label("failures"),
        func.saga_now().label("now"),
    ).where(CODE_LIMITS.c.key_hmac == bindparam("key_hmac")),
    _Key,
    CodeLimits,
)
_STORE = Statement(
    update(CODE_LIMITS)
    .where(CODE_LIMITS.c.key_hmac == bindparam("key_hmac"))
    .values(send_times=bindparam("sends"), failure_times=bindparam("failures")),
    _NewLimits,
    NoRow,
)
_CLEAR = Statement(
    delete(CODE_LIMITS).where(CODE_LIMITS.c.account_hmac == bindparam("account_hmac")),
    ByAccount,
    NoRow,
)
OLD = old_rows("code limits", CODE_LIMITS, CODE_LIMITS.c.update_time, age="2 days")


async def lock(tx: Transaction, key: LimitsKey) -> CodeLimits:
    """Lock limits until the transaction ends, and return them."""
    row = await tx.first(_LOCK, key)
    assert row is not None
    return row


async def read(reader: Reader, key: LimitsKey) -> CodeLimits | None:
    """Return limits without a lock, or None when nothing was counted."""
    return await reader.first(_READ, _Key(key.key_hmac))


async def store(
    tx: Transaction, key: LimitsKey, *, sends: list[datetime], failures: list[datetime]
) -> None:
    """Store limits that are locked."""
    await tx.execute(_STORE, _NewLimits(key.key_hmac, sends, failures))


async def clear(tx: Transaction, account_hmac: bytes) -> None:
    """Forget all limits of an account."""
    await tx.execute(_CLEAR, ByAccount(account_hmac))
