"""Mark products of an order as shipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import TypeAdapter

from services.commerce import events
from services.commerce.domain import order_rules, shares
from services.commerce.domain.standing import OrderStanding
from services.commerce.model import Order, OrderState
from services.commerce.sagas.kinds import RELEASE, OrderPayload
from services.commerce.store import fulfilment, orders
from services.commerce.store.fulfilment import LockedOrder, NewShipment
from services.kernel.audit import log
from services.kernel.audit.log import Facts
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import EtagMismatch
from services.kernel.events.writer import tell
from services.kernel.rpc.call import Caller, Origin
from services.kernel.sagas import store as saga_store
from services.kernel.sagas.idempotency import RequestKey
from services.kernel.sagas.requests import transact_once

_CODEC = TypeAdapter(Order)


@dataclass(frozen=True, slots=True)
class FulfilOrder:
    """Ships what is paid: sellers their own lines, administrators all."""

    database: Database

    async def __call__(
        self,
        *,
        caller: Caller,
        order_id: UUID,
        product_ids: Sequence[UUID],
        tracking: str,
        origin: Origin,
        key: RequestKey | None,
    ) -> Order:
        """Ship products of an order and return it. Its sellers may spend their shares soon.

        Args:
            caller: The caller.
            order_id: The order.
            product_ids: The products; none: all that the caller may ship.
            tracking: The carrier's name for the shipment.
            origin: The caller, for the audit log.
            key: Names the request.

        Raises:
            OrderNotFound: There is no such order, or the caller has nothing to do with it.
            Forbidden: The caller sells nothing in it.
            IllegalState: It is not paid, or a product is shipped or cancelled already.
            InvalidField: A product is not the caller's.
            SessionEnded, EtagMismatch: The buyer's account was deleted at the same moment.
        """
        standing = await OrderStanding.of(self.database, caller, order_id)
        sold = standing.sold

        async def ship(tx: Transaction) -> Order:
            order = await fulfilment.lock(tx, order_id)
            if order.user_id != standing.buyer_id:
                raise EtagMismatch
            order_rules.ensure_paid(order.state, "shipped")
            lines = await fulfilment.lines(tx, order_id)
            chosen = order_rules.to_ship(lines, product_ids, sold)
            await _ship(tx, order, chosen, tracking)
            facts: Facts = {"order": str(order_id), "lines": len(chosen)}
            await log.write(tx, "order_shipped", facts, user_id=order.user_id, **log.by(origin))
            return await orders.get_known(tx, order_id)

        # All of the order is kept with the key, so that it goes when the buyer is forgotten.
        order = await transact_once(
            self.database, "FulfilOrder", key, ship, _CODEC, lock=standing.lock
        )
        return standing.seen(order)


async def _ship(tx: Transaction, order: LockedOrder, chosen: Sequence[UUID], tracking: str) -> None:
    """Write a shipment of a locked order, and the saga that lets its sellers spend their shares."""
    release = RELEASE.new(OrderPayload(order_id=order.id), user_id=None)
    await fulfilment.ship(tx, NewShipment(release.id, order.id, tracking), chosen)
    lines = await fulfilment.lines(tx, order.id)
    if release.id in shares.of_shipments(lines):
        await saga_store.leave(tx, release)
    state = order_rules.state_of(lines, is_open=False)
    await fulfilment.set_state(tx, order.id, state, refund_id=None)
    if state is OrderState.FULFILLED:
        await tell(tx, events.order_fulfilled(order))
