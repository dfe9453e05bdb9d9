"""The SQL of the deliveries of webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import (
    DateTime,
    Integer,
    Interval,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from services.auth.model import WEBHOOK_DELIVERIES as DELIVERIES
from services.auth.model import WEBHOOKS
from services.kernel.db.cleaner import at_most, old_rows
from services.kernel.db.database import Reader, Transaction
from services.kernel.db.statement import NoParameters, NoRow, Statement
from services.kernel.db.tables import clock_once

WAITING: Final = "WAITING"
DELIVERED: Final = "DELIVERED"
FAILED: Final = "FAILED"
LAST_PLACE: Final = 2**63 - 1
# The clocks of the databases of two services may differ by as much.
CLOCKS_APART: Final = "5 minutes"
REMOVED_AT_ONCE: Final = 1000
COUNTED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """An event for all webhooks that want it."""

    event_id: UUID
    type: str
    subject: str
    body: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that is due at a webhook."""

    event_id: UUID
    body: str
    attempts: int


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as administrators see it."""

    event_id: UUID
    place: int
    type: str
    subject: str
    state: str
    attempts: int
    last_status: int | None
    last_error: str | None
    next_attempt_time: datetime | None
    create_time: datetime
    end_time: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an attempt.

    Attributes:
        status: The HTTP status of the answer; None without one.
        error: Why it failed; None when it did not.
        pause: The time until the next attempt.
        allowed: The time for which attempts are made.
    """

    webhook_id: UUID
    event_id: UUID
    status: int | None
    error: str | None
    pause: timedelta
    allowed: timedelta


@dataclass(frozen=True, slots=True)
class WebhookBacklog:
    """How many deliveries wait, of webhooks that get events."""

    deliveries: int


@dataclass(frozen=True, slots=True)
class _ByWebhook:
    webhook_id: UUID


@dataclass(frozen=True, slots=True)
class _ByEvent:
    webhook_id: UUID
    event_id: UUID


@dataclass(frozen=True, slots=True)
class _DeliveriesPage:
    webhook_id: UUID
    before: int
    limit: int


@dataclass(frozen=True, slots=True)
class _PageOfState:
    webhook_id: UUID
    state: str
    before: int
    limit: int


@dataclass(frozen=True, slots=True)
class _Removed:
    webhook_id: UUID
    limit: int


_OF_WEBHOOK = DELIVERIES.c.webhook_id == bindparam("webhook_id")
_OF_EVENT = DELIVERIES.c.event_id == bindparam("event_id")
# A literal, because it is the condition of an index.
STATE_WAITING: Final = literal_column(f"'{WAITING}'", Text)
_WAITS = DELIVERIES.c.state == STATE_WAITING
_SHOWN = (
    DELIVERIES.c.event_id,
    DELIVERIES.c.place,
    DELIVERIES.c.type,
    DELIVERIES.c.subject,
    DELIVERIES.c.state,
    DELIVERIES.c.attempts,
    DELIVERIES.c.last_status,
    DELIVERIES.c.last_error,
    case((_WAITS, DELIVERIES.c.next_attempt_time), else_=null()).label("next_attempt_time"),
    DELIVERIES.c.create_time,
    DELIVERIES.c.end_time,
)
_type, _time = bindparam("type", type_=Text), bindparam("time", type_=DateTime(timezone=True))
_QUEUE = Statement(
    insert(DELIVERIES)
    .from_select(
        ["webhook_id", "event_id", "type", "subject", "body"],
        select(
            WEBHOOKS.c.id,
            bindparam("event_id", type_=Uuid),
            _type,
            bindparam("subject", type_=Text),
            bindparam("body", type_=Text),
        ).where(
            WEBHOOKS.c.disabled_reason.is_(None),
            WEBHOOKS.c.since - literal_column(f"interval '{CLOCKS_APART}'", Interval) <= _time,
            or_(
                func.cardinality(WEBHOOKS.c.types) == literal_column("0", Integer),
                _type == func.any(WEBHOOKS.c.types),
            ),
        ),
    )
    .on_conflict_do_nothing(),
    QueuedEvent,
    NoRow,
)
# An event waits for the earlier ones of its subject. Other subjects pass it.
_EARLIER = DELIVERIES.alias("earlier")
_NEXT = Statement(
    select(DELIVERIES.c.event_id, DELIVERIES.c.body, DELIVERIES.c.attempts)
    .where(
        _OF_WEBHOOK,
        _WAITS,
        DELIVERIES.c.next_attempt_time <= clock_once(),
        ~exists(
            select(literal_column("1"))
            .select_from(_EARLIER)
            .where(
                _EARLIER.c.webhook_id == DELIVERIES.c.webhook_id,
                _EARLIER.c.subject == DELIVERIES.c.subject,
                _EARLIER.c.state == STATE_WAITING,
                _EARLIER.c.place < DELIVERIES.c.place,
            )
            .correlate(DELIVERIES)
        ),
    )
    .order_by(DELIVERIES.c.place)
    .limit(literal_column("1")),
    _ByWebhook,
    Delivery,
)
_error, _now = bindparam("error", type_=Text), func.saga_now()
_begin = func.coalesce(DELIVERIES.c.first_attempt_time, _now)
_is_over = _begin <= _now - cast(bindparam("allowed"), Interval)
_TRIED = Statement(
    update(DELIVERIES)
    .where(_OF_WEBHOOK, _OF_EVENT, _WAITS)
    .values(
        attempts=DELIVERIES.c.attempts + 1,
        first_attempt_time=_begin,
        last_status=bindparam("status", type_=Integer),
        last_error=_error,
        next_attempt_time=_now + bindparam("pause", type_=Interval),
        state=case(
            (_error.is_(None), literal_column(f"'{DELIVERED}'", Text)),
            (_is_over, literal_column(f"'{FAILED}'", Text)),
            else_=STATE_WAITING,
        ),
        end_time=case((or_(_error.is_(None), _is_over), _now), else_=null()),
    ),
    Attempt,
    NoRow,
)
_AGAIN = Statement(
    update(DELIVERIES)
    .where(_OF_WEBHOOK, _OF_EVENT)
    .values(
        state=WAITING,
        attempts=0,
        first_attempt_time=None,
        end_time=None,
        next_attempt_time=func.saga_now(),
    )
    .returning(*_SHOWN),
    _ByEvent,
    DeliveryRow,
)
_BEFORE = (_OF_WEBHOOK, DELIVERIES.c.place < bindparam("before"))
_LIST = Statement(
    select(*_SHOWN).where(*_BEFORE).order_by(DELIVERIES.c.place.desc()).limit(bindparam("limit")),
    _DeliveriesPage,
    DeliveryRow,
)
_LIST_OF_STATE = Statement(
    select(*_SHOWN)
    .where(*_BEFORE, DELIVERIES.c.state == bindparam("state"))
    .order_by(DELIVERIES.c.place.desc())
    .limit(bindparam("limit")),
    _PageOfState,
    DeliveryRow,
)
_REMOVE = Statement(delete(DELIVERIES).where(at_most(DELIVERIES, _OF_WEBHOOK)), _Removed, NoRow)
_WAITING = (
    select(literal_column("1").label("one"))
    .select_from(DELIVERIES.join(WEBHOOKS))
    .where(_WAITS, WEBHOOKS.c.disabled_reason.is_(None))
    .limit(literal_column(str(COUNTED_MAX)))
    .subquery()
)
BACKLOG = Statement(
    select(func.count().label("deliveries")).select_from(_WAITING), NoParameters, WebhookBacklog
)
OLD = old_rows("webhook deliveries", DELIVERIES, DELIVERIES.c.create_time, age="14 days")


async def queue(tx: Transaction, event: QueuedEvent) -> int:
    """Queue an event once for each webhook that wants it, and return for how many."""
    return await tx.execute(_QUEUE, event)


async def next_due(reader: Reader, webhook_id: UUID) -> Delivery | None:
    """Return the next event that is due at a webhook."""
    return await reader.first(_NEXT, _ByWebhook(webhook_id))


async def note(tx: Transaction, attempt: Attempt) -> None:
    """Note what came of an attempt."""
    await tx.execute(_TRIED, attempt)


async def send_again(tx: Transaction, webhook_id: UUID, event_id: UUID) -> DeliveryRow | None:
    """Make a delivery due now, whatever became of it; None when there is none."""
    return await tx.first(_AGAIN, _ByEvent(webhook_id, event_id))


async def list_deliveries(
    reader: Reader, webhook_id: UUID, *, state: str | None, before: int, limit: int
) -> list[DeliveryRow]:
    """Return the deliveries of a webhook before a place, newest first."""
    if state is None:
        return await reader.all(_LIST, _DeliveriesPage(webhook_id, before, limit))
    return await reader.all(_LIST_OF_STATE, _PageOfState(webhook_id, state, before, limit))


async def remove_some(tx: Transaction, webhook_id: UUID) -> int:
    """Remove some deliveries of a webhook, and return the number."""
    return await tx.execute(_REMOVE, _Removed(webhook_id, REMOVED_AT_ONCE))
