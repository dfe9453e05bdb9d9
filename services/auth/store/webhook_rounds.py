"""The SQL of those who work on the queues of webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Interval,
    and_,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    select,
    update,
)

from services.auth.model import WEBHOOK_DELIVERIES, WEBHOOKS
from services.auth.store.webhook_deliveries import STATE_WAITING
from services.auth.store.webhooks import BY_ID, ENABLED, ById
from services.kernel.db.database import Transaction
from services.kernel.db.statement import NoParameters, NoRow, Statement
from services.kernel.db.tables import clock_once, seconds_since


@dataclass(frozen=True, slots=True, repr=False)
class ClaimedWebhook:
    """A webhook whose queue this process works on for now.

    Attributes:
        has_old_secret: Whether the secret before the present one still signs.
    """

    id: UUID
    url: str
    sealed: bytes
    has_old_secret: bool


@dataclass(frozen=True, slots=True)
class WebhookState:
    """What a failure has made of a webhook.

    Attributes:
        failures: The failures since the last success.
        is_enabled: Whether it still gets events.
        has_failed_long: Whether each attempt has failed for as long as is allowed.
    """

    failures: int
    is_enabled: bool
    has_failed_long: bool


@dataclass(frozen=True, slots=True)
class WebhookStanding:
    """How the webhooks do.

    Attributes:
        enabled: How many get events.
        disabled: How many were disabled, other than by an administrator.
        failing_seconds: The longest time for which one has taken nothing.
    """

    enabled: int
    disabled: int
    failing_seconds: float


@dataclass(frozen=True, slots=True)
class _WebhookClaim:
    lease: timedelta
    limit: int


@dataclass(frozen=True, slots=True)
class _Pause:
    webhook_id: UUID
    pause: timedelta


@dataclass(frozen=True, slots=True)
class _Failure:
    webhook_id: UUID
    allowed: timedelta


_HAS_WORK = exists(
    select(literal_column("1"))
    .where(
        WEBHOOK_DELIVERIES.c.webhook_id == WEBHOOKS.c.id,
        WEBHOOK_DELIVERIES.c.state == STATE_WAITING,
        WEBHOOK_DELIVERIES.c.next_attempt_time <= clock_once(),
    )
    .correlate(WEBHOOKS)
)
_DUE = (
    select(WEBHOOKS.c.id)
    .where(ENABLED, WEBHOOKS.c.next_round_time <= clock_once(), _HAS_WORK)
    .order_by(WEBHOOKS.c.next_round_time)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_CLAIM = Statement(
    update(WEBHOOKS)
    .where(WEBHOOKS.c.id == func.any(func.array(_DUE.scalar_subquery())))
    .values(next_round_time=func.saga_now() + bindparam("lease", type_=Interval))
    .returning(
        WEBHOOKS.c.id,
        WEBHOOKS.c.url,
        WEBHOOKS.c.sealed,
        func.coalesce(
            WEBHOOKS.c.old_secret_until > func.saga_now(), literal_column("false", Boolean)
        ).label("has_old_secret"),
    ),
    _WebhookClaim,
    ClaimedWebhook,
)
_END_ROUND = Statement(
    update(WEBHOOKS)
    .where(BY_ID)
    .values(next_round_time=func.saga_now() + bindparam("pause", type_=Interval)),
    _Pause,
    NoRow,
)
_SUCCEED = Statement(
    update(WEBHOOKS)
    .where(BY_ID, WEBHOOKS.c.failures > literal_column("0"))
    .values(failures=0, failing_since=None),
    ById,
    NoRow,
)
_FAIL = Statement(
    update(WEBHOOKS)
    .where(BY_ID)
    .values(
        failures=WEBHOOKS.c.failures + 1,
        failing_since=func.coalesce(WEBHOOKS.c.failing_since, func.saga_now()),
    )
    .returning(
        WEBHOOKS.c.failures,
        ENABLED.label("is_enabled"),
        (WEBHOOKS.c.failing_since <= func.saga_now() - cast(bindparam("allowed"), Interval)).label(
            "has_failed_long"
        ),
    ),
    _Failure,
    WebhookState,
)
STANDING = Statement(
    select(
        func.count().filter(ENABLED).label("enabled"),
        func.count()
        .filter(and_(~ENABLED, WEBHOOKS.c.disabled_reason != literal_column("'administrator'")))
        .label("disabled"),
        seconds_since(func.min(WEBHOOKS.c.failing_since).filter(ENABLED)).label("failing_seconds"),
    ).select_from(WEBHOOKS),
    NoParameters,
    WebhookStanding,
)


async def claim(tx: Transaction, *, lease: timedelta, limit: int) -> list[ClaimedWebhook]:
    """Claim webhooks that have something to send and that no other process works on."""
    return await tx.all(_CLAIM, _WebhookClaim(lease=lease, limit=limit))


async def end_round(tx: Transaction, webhook_id: UUID, *, pause: timedelta) -> None:
    """Let any process work on a webhook again after a pause."""
    await tx.execute(_END_ROUND, _Pause(webhook_id, pause))


async def succeed(tx: Transaction, webhook_id: UUID) -> None:
    """Note that the receiver has taken something."""
    await tx.execute(_SUCCEED, ById(webhook_id))


async def fail(tx: Transaction, webhook_id: UUID, *, allowed: timedelta) -> WebhookState | None:
    """Note that an attempt has failed; None when the webhook is gone."""
    return await tx.first(_FAIL, _Failure(webhook_id, allowed))
