"""The writer of events.

Write in the transaction that makes the change final, after it has locked the row of the subject:
T2 for a saga, and T1 only for one that goes forward only. The order of a subject's events is that
of these locks (ADR 11).

    paid = Fact(f"orders/{order.id}", events_pb2.OrderPaid(order_id=str(order.id)))
    await tell(tx, paid, saga_id=saga.id)

A message holds ids, amounts and words of our own. It never says who somebody is: an erased
account must not live on with those who have read its events.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

from google.protobuf.message import Message

from services.kernel.db.database import Transaction
from services.kernel.events.store import NewEvent, insert_event
from services.kernel.ids import new_id
from services.kernel.rpc import tracing


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that has happened to a subject.

    Attributes:
        subject: The thing that it happened to, such as `orders/` and an id.
        message: What has happened; the name of the message is the event's type.
    """

    subject: str
    message: Message


async def tell(
    tx: Transaction, fact: Fact, *, saga_id: UUID | None = None, key: UUID | None = None
) -> None:
    """Write an event.

    Args:
        tx: The transaction that makes it final.
        fact: What has happened.
        saga_id: The saga that did it. A repeat of its T2 writes the same event once.
        key: What makes two events the same one, if it is not the saga.
    """
    kind = fact.message.DESCRIPTOR.full_name
    here = tracing.place()
    same = key or saga_id
    event_id = new_id() if same is None else uuid5(same, f"{kind} {fact.subject}")
    await insert_event(
        tx,
        NewEvent(
            event_id=event_id,
            type=kind,
            subject=fact.subject,
            saga_id=saga_id,
            trace_id=None if here is None else here.trace_id,
            payload=fact.message.SerializeToString(deterministic=True),
        ),
    )
