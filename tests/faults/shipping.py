"""An order that is paid and shipped, of which others are told."""

from __future__ import annotations

import contextlib
from typing import Any, cast

from lockstep.commerce.v1 import order_service_pb2 as order_pb
from lockstep.commerce.v1 import order_service_pb2_grpc as order_grpc
from lockstep_clients import LockstepError

from services.kernel.ids import new_id
from services.kernel.rpc.call import UserPrincipal
from tests.faults.edges import Actor
from tests.faults.orders import Checkout
from tests.faults.wire import Wire
from tests.faults.world import World

_EVENTS = """
SELECT e.id::text, e.id AS event_id, e.type, e.subject, e.place, e.sequence, s.state AS saga_state
FROM commerce.events e LEFT JOIN commerce.sagas s ON s.id = e.saga_id
WHERE e.create_time >= %(begin)s ORDER BY e.sequence
"""


class Shipping(Checkout):
    """An order that is paid and shipped.

    Attributes:
        also: The letters of those who read events.
        telling: Parts of the names of transactions that change nothing but events and their ways.
    """

    also: tuple[str, ...] = ()
    telling: tuple[str, ...] = (".sequence.",)

    @property
    def replicas(self) -> list[str]:
        return [*super().replicas, *(f"{letter}{n}" for letter in self.also for n in (1, 2))]

    async def ask(self, wire: Any) -> Any:
        """Place an order, and ship it. What the answer to that promises, `fulfil` watches."""
        order = await super().ask(wire)
        staff = UserPrincipal(id=new_id(), session_id=new_id(), role="admin")
        orders = order_grpc.OrderServiceStub(
            cast(Any, Wire(self.world, self.world.run.client, staff))
        )
        with contextlib.suppress(LockstepError):
            await orders.FulfilOrder(order_pb.FulfilOrderRequest(order_id=order.id))
        return order

    def committed(self, world: World, actor: Actor, edge: str) -> None:
        if not any(name in edge for name in self.telling):
            super().committed(world, actor, edge)

    def told(self) -> list[Any]:
        """Return the events of Commerce, in the order of their numbers; the last have none yet."""
        return self.world.ground.rows(_EVENTS, begin=self.begin)

    def told_ever(self) -> list[Any]:
        """Return these events, and those of earlier runs that left their rows."""
        return self.world.ground.rows(_EVENTS, begin="-infinity")

    def is_more_after(self, cursor: str) -> bool:
        """Say whether there are events after a cursor, unless the clean-up may have them."""
        events = self.told()
        if not events or self.world.is_aged():
            return False
        last = events[-1].sequence
        return last is None or int(cursor.partition("-")[0] or 0) < last


def is_final(event: Any) -> bool:
    """Say whether what an event tells cannot be taken back."""
    return event.saga_state in ("DONE", None)
