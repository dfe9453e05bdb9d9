"""The SQL of webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import (
    Interval,
    Text,
    bindparam,
    case,
    delete,
    func,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.auth.model import WEBHOOKS
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoParameters, NoRow, Statement

WEBHOOKS_MAX: Final = 50
ADVISORY_LOCK: Final = 0x10C_E4E7
BY_ADMINISTRATOR: Final = "administrator"
BY_FAILURES: Final = "failures"
BY_GONE: Final = "gone"


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook as administrators see it."""

    id: UUID
    url: str
    description: str
    types: list[str]
    disabled_reason: str | None
    failing_since: datetime | None
    old_secret_until: datetime | None
    create_time: datetime


@dataclass(frozen=True, slots=True, repr=False)
class NewWebhook:
    """A webhook to insert."""

    webhook_id: UUID
    url: str
    description: str
    types: list[str]
    sealed: bytes
    disabled_reason: str | None


@dataclass(frozen=True, slots=True)
class ById:
    """The parameter of a statement about one webhook."""

    webhook_id: UUID


@dataclass(frozen=True, slots=True)
class _Count:
    number: int


@dataclass(frozen=True, slots=True)
class _Locked:
    is_locked: bool


@dataclass(frozen=True, slots=True)
class _Changed:
    webhook_id: UUID
    url: str
    description: str
    types: list[str]


@dataclass(frozen=True, slots=True, repr=False)
class _NewSecret:
    webhook_id: UUID
    sealed: bytes
    overlap: timedelta | None


@dataclass(frozen=True, slots=True, repr=False)
class _Sealed:
    sealed: bytes


@dataclass(frozen=True, slots=True)
class _Disabled:
    webhook_id: UUID
    reason: str


BY_ID = WEBHOOKS.c.id == bindparam("webhook_id")
ENABLED = WEBHOOKS.c.disabled_reason.is_(None)
_SHOWN = (
    WEBHOOKS.c.id,
    WEBHOOKS.c.url,
    WEBHOOKS.c.description,
    WEBHOOKS.c.types,
    WEBHOOKS.c.disabled_reason,
    WEBHOOKS.c.failing_since,
    case(
        (WEBHOOKS.c.old_secret_until > func.saga_now(), WEBHOOKS.c.old_secret_until), else_=null()
    ).label("old_secret_until"),
    WEBHOOKS.c.create_time,
)
# No row stands for all webhooks, so this lock does. PostgreSQL's function returns nothing.
_LOCK_ALL = Statement(
    select(func.pg_advisory_xact_lock(ADVISORY_LOCK).is_not(None).label("is_locked")),
    NoParameters,
    _Locked,
)
_COUNT = Statement(select(func.count().label("number")).select_from(WEBHOOKS), NoParameters, _Count)
_INSERT = Statement(
    insert(WEBHOOKS)
    .values(
        id=bindparam("webhook_id"),
        url=bindparam("url"),
        description=bindparam("description"),
        types=bindparam("types", type_=ARRAY(Text)),
        sealed=bindparam("sealed"),
        disabled_reason=bindparam("disabled_reason"),
    )
    .returning(*_SHOWN),
    NewWebhook,
    WebhookRow,
)
_LIST = Statement(
    select(*_SHOWN).order_by(WEBHOOKS.c.create_time.desc(), WEBHOOKS.c.id.desc()),
    NoParameters,
    WebhookRow,
)
_GET = Statement(select(*_SHOWN).where(BY_ID), ById, WebhookRow)
_LOCK = Statement(select(*_SHOWN).where(BY_ID).with_for_update(), ById, WebhookRow)
_CHANGE = Statement(
    update(WEBHOOKS)
    .where(BY_ID)
    .values(
        url=bindparam("url"),
        description=bindparam("description"),
        types=bindparam("types", type_=ARRAY(Text)),
    ),
    _Changed,
    NoRow,
)
_ENABLE = Statement(
    update(WEBHOOKS)
    .where(BY_ID)
    .values(
        disabled_reason=None,
        since=func.saga_now(),
        failing_since=None,
        failures=0,
        next_round_time=func.saga_now(),
    ),
    ById,
    NoRow,
)
_DISABLE = Statement(
    update(WEBHOOKS).where(BY_ID).values(disabled_reason=bindparam("reason")), _Disabled, NoRow
)
_DELETE = Statement(delete(WEBHOOKS).where(BY_ID), ById, NoRow)
_SEALED = Statement(select(WEBHOOKS.c.sealed).where(BY_ID).with_for_update(), ById, _Sealed)
_ROTATE = Statement(
    update(WEBHOOKS)
    .where(BY_ID)
    .values(
        sealed=bindparam("sealed"),
        old_secret_until=func.saga_now() + bindparam("overlap", type_=Interval),
    )
    .returning(*_SHOWN),
    _NewSecret,
    WebhookRow,
)
_ANY_ENABLED = Statement(
    select(func.count().label("number")).select_from(WEBHOOKS).where(ENABLED),
    NoParameters,
    _Count,
)


async def insert_webhook(tx: Transaction, new: NewWebhook) -> WebhookRow:
    """Insert a webhook."""
    row = await tx.first(_INSERT, new)
    assert row is not None
    return row


async def count_locked(tx: Transaction) -> int:
    """Return the number of webhooks, which no other transaction adds to before this one ends.

    The lock is a statement of its own: the count's snapshot must be later.
    """
    await tx.first(_LOCK_ALL, NoParameters())
    row = await tx.first(_COUNT, NoParameters())
    return 0 if row is None else row.number


async def list_webhooks(reader: Reader) -> list[WebhookRow]:
    """Return all webhooks, newest first."""
    return await reader.all(_LIST, NoParameters())


async def get(reader: Reader, webhook_id: UUID) -> WebhookRow | None:
    """Return a webhook."""
    return await reader.first(_GET, ById(webhook_id))


async def lock(tx: Transaction, webhook_id: UUID) -> WebhookRow | None:
    """Return a webhook, locked."""
    return await tx.first(_LOCK, ById(webhook_id))


async def change(
    tx: Transaction, webhook_id: UUID, *, url: str, description: str, types: list[str]
) -> None:
    """Change what an administrator may change."""
    await tx.execute(_CHANGE, _Changed(webhook_id, url, description, types))


async def enable(tx: Transaction, webhook_id: UUID) -> None:
    """Let a webhook get events from now on."""
    await tx.execute(_ENABLE, ById(webhook_id))


async def disable(tx: Transaction, webhook_id: UUID, *, reason: str) -> None:
    """Let a webhook get nothing."""
    await tx.execute(_DISABLE, _Disabled(webhook_id, reason))


async def remove(tx: Transaction, webhook_id: UUID) -> bool:
    """Remove a webhook with its deliveries; False when there is none."""
    return await tx.execute(_DELETE, ById(webhook_id)) == 1


async def lock_sealed(tx: Transaction, webhook_id: UUID) -> bytes | None:
    """Return the encrypted secrets of a webhook, locked."""
    row = await tx.first(_SEALED, ById(webhook_id))
    return None if row is None else row.sealed


async def rotate(
    tx: Transaction, webhook_id: UUID, *, sealed: bytes, overlap: timedelta | None
) -> WebhookRow:
    """Replace the secrets; the old one signs as well for this time."""
    row = await tx.first(_ROTATE, _NewSecret(webhook_id, sealed, overlap))
    assert row is not None
    return row


async def is_any_enabled(reader: Reader) -> bool:
    """Return whether any webhook gets events."""
    row = await reader.first(_ANY_ENABLED, NoParameters())
    return row is not None and row.number > 0
