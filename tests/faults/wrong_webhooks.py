"""Wrong ways of events to webhooks; see `mutants` for what they are."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, literal_column, select

from services.auth.domain import webhook_sender
from services.auth.model import WEBHOOK_DELIVERIES as DELIVERIES
from services.auth.store import webhook_deliveries
from services.auth.store.webhook_deliveries import Attempt, Delivery
from services.commerce import events
from services.commerce.store import checkouts, orders
from services.commerce.store.fulfilment import OrderLine
from services.kernel.db.database import Database, Transaction
from services.kernel.db.statement import Statement
from services.kernel.events.writer import tell
from tests.faults.patching import patched


def mark_before_the_post() -> AbstractContextManager[None]:
    original = webhook_deliveries.next_due

    async def marked(database: Database, webhook_id: UUID) -> Delivery | None:
        delivery = await original(database, webhook_id)
        if delivery is not None:
            taken = Attempt(
                webhook_id=webhook_id,
                event_id=delivery.event_id,
                status=204,
                error=None,
                pause=timedelta(),
                allowed=webhook_sender.ALLOWED,
            )
            await database.transact("webhook.note", lambda tx: webhook_deliveries.note(tx, taken))
        return delivery

    return patched(webhook_deliveries, "next_due", marked)


def lease_shorter_than_a_post() -> AbstractContextManager[None]:
    return patched(webhook_sender, "LEASE", timedelta(seconds=1))


def pass_what_has_failed() -> AbstractContextManager[None]:
    due = Statement(
        select(DELIVERIES.c.event_id, DELIVERIES.c.body, DELIVERIES.c.attempts)
        .where(
            DELIVERIES.c.webhook_id == bindparam("webhook_id"),
            DELIVERIES.c.state == webhook_deliveries.STATE_WAITING,
            DELIVERIES.c.next_attempt_time <= func.saga_now(),
        )
        .order_by(DELIVERIES.c.place)
        .limit(literal_column("1")),
        webhook_deliveries._ByWebhook,
        Delivery,
    )
    return patched(webhook_deliveries, "_NEXT", due)


def tell_of_an_order_before_it_is_paid() -> AbstractContextManager[None]:
    original = checkouts.place

    async def place(tx: Transaction, *, debit_id: UUID, **rest: Any) -> list[OrderLine]:
        lines = await original(tx, debit_id=debit_id, **rest)
        order = await orders.get_known(tx, rest["order_id"])
        paid = events.order_paid(
            rest["order_id"], number=order.number, user_id=rest["user_id"], total=order.total
        )
        await tell(tx, paid, saga_id=debit_id)
        return lines

    return patched(checkouts, "place", place)
