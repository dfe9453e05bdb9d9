"""The writer of events.

Write in the transaction that makes the change final, after it has locked the row of the subject:
T2 for a saga, and T1 only for one that goes forward only. The order of a subject's events is that
of these locks (ADR 11). A transaction tells once, all that it has to tell, so that its events cost
one statement. A function that finds a fact returns it; the use case or the saga tells it.

    paid = Fact(f"orders/{order.id}", events_pb2.OrderPaid(order_id=str(order.id)))
    await tell(tx, paid, *sold_out, saga_id=saga.id)

A message holds ids, amounts and words of our own. It never says who somebody is: an erased
account must not live on with those who have read its events.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

from google.protobuf.message import Message

from services.kernel.db.database import Transaction
from services.kernel.events.store import NewEvents, insert_events
from services.kernel.ids import new_id
from services.kernel.rpc import tracing


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that has happened to a subject.

    Attributes:
        subject: The thing that it happened to, such as `orders/` and an id.
        message: What has happened; the name of the message is the event's type.
        key: What makes two events the same one, if it is not the saga.
    """

    subject: str
    message: Message
    key: UUID | None = None

    @property
    def type(self) -> str:
        """The event's type."""
        return self.message.DESCRIPTOR.full_name


async def tell(tx: Transaction, *facts: Fact, saga_id: UUID | None = None) -> None:
    """Write an event for each fact, all in one statement; without facts do nothing.

    Args:
        tx: The transaction that makes them final.
        facts: What has happened, in the order in which it is told.
        saga_id: The saga that did it. A repeat of its T2 writes the same events once.
    """
    if not facts:
        return
    here = tracing.place()
    events = NewEvents(
        ids=[_id_of(fact, saga_id) for fact in facts],
        types=[fact.type for fact in facts],
        subjects=[fact.subject for fact in facts],
        payloads=[fact.message.SerializeToString(deterministic=True) for fact in facts],
        saga_id=saga_id,
        trace_id=None if here is None else here.trace_id,
    )
    await insert_events(tx, events)


def _id_of(fact: Fact, saga_id: UUID | None) -> UUID:
    same = fact.key or saga_id
    return new_id() if same is None else uuid5(same, f"{fact.type} {fact.subject}")
