"""Mails about orders: what Commerce tells of an order, its buyer reads in a mail.

The mail is put into the outbox in the transaction that moves the cursor. A mark for each event
keeps a history that comes again, from a backup, from being mailed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Final
from uuid import UUID

from lockstep.events.v1 import commerce_events_pb2 as pb
from lockstep.events.v1 import event_pb2 as event_pb

from services.auth.domain import email_templates as mails
from services.auth.domain.email_templates import Mail
from services.auth.domain.outbox import Outbox
from services.auth.readers.event_reader import EventReader, ListEvents, always, never
from services.auth.store import event_cursors, order_mails, users
from services.auth.store.event_cursors import ReaderPlace
from services.kernel.db.database import Database, Transaction

PLACE: Final = ReaderPlace("order-mails", "commerce")
LIFE: Final = timedelta(days=3)

_OrderEvent = (
    pb.OrderPaid
    | pb.OrderFulfilled
    | pb.OrderPartlyCancelled
    | pb.OrderCancelled
    | pb.OrderReturned
)
_KINDS: Final[Mapping[str, tuple[type[_OrderEvent], Callable[[str, str], Mail]]]] = {
    kind.DESCRIPTOR.full_name: (kind, mail)
    for kind, mail in (
        (pb.OrderPaid, mails.order_paid),
        (pb.OrderFulfilled, mails.order_fulfilled),
        (pb.OrderPartlyCancelled, mails.order_partly_cancelled),
        (pb.OrderCancelled, mails.order_cancelled),
        (pb.OrderReturned, mails.order_returned),
    )
}
TYPES: Final = tuple(_KINDS)


@dataclass(frozen=True, slots=True)
class OrderMails:
    """Writes mails about orders to their buyers."""

    outbox: Outbox

    async def __call__(self, tx: Transaction, page: Sequence[event_pb.Event]) -> None:
        """Put a mail into the outbox for each event that has happened since the reader began."""
        since = await event_cursors.begin_time(tx, PLACE)
        told = {
            UUID(event.id): order
            for event in page
            if event.create_time.ToDatetime(tzinfo=UTC) >= since
            and (order := _order_of(event)) is not None
        }
        if not told:
            return
        new = await order_mails.mark(tx, list(told))
        buyers = await users.recipients(tx, {UUID(order.user_id) for order in told.values()})
        for event_id, order in told.items():
            buyer = buyers.get(UUID(order.user_id))
            if event_id in new and buyer is not None:
                await self.outbox.put(tx, self._mail(order), to=buyer, life=LIFE)

    def _mail(self, order: _OrderEvent) -> Mail:
        _, mail = _KINDS[order.DESCRIPTOR.full_name]
        return mail(order.order_number, self.outbox.link(f"orders/{order.order_id}") or "")


def order_mail_reader(
    database: Database, outbox: Outbox, list_events: ListEvents, *, is_on: bool
) -> EventReader:
    """Return the reader that mails about orders.

    Args:
        database: Auth's database.
        outbox: Gets the mails.
        list_events: ListEvents of Commerce.
        is_on: Whether there are such mails.
    """
    return EventReader(
        database,
        PLACE,
        list_events,
        OrderMails(outbox),
        types=TYPES,
        is_wanted=always if is_on else never,
    )


def _order_of(event: event_pb.Event) -> _OrderEvent | None:
    """Return what an event says of an order; None: nothing, or too little to tell its buyer."""
    if event.type not in _KINDS:
        return None
    order = _KINDS[event.type][0]()
    event.payload.Unpack(order)
    return order if order.user_id and order.order_number else None
