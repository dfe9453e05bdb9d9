"""The saga of what is shipped: its sellers may spend their shares.

It goes forward only: FulfilOrder has committed it with the shipment, which has its id.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.commerce.domain import shares
from services.commerce.sagas.kinds import RELEASE, OrderPayload
from services.commerce.sagas.wallets import Wallets
from services.commerce.store import fulfilment, orders
from services.kernel.db.database import Transaction
from services.kernel.sagas.model import Nothing, RunningSaga
from services.kernel.sagas.protocol import ForwardOnlySaga


@dataclass(frozen=True, slots=True)
class ReleaseSaga(ForwardOnlySaga[OrderPayload, Nothing]):
    """See the module."""

    wallets: Wallets

    kind = RELEASE

    async def forward(self, saga: RunningSaga[OrderPayload]) -> None:
        """Release the shares of the shipment; who was forgotten meanwhile gets none."""
        order = await orders.get_known(saga.database, saga.payload.order_id)
        lines = await fulfilment.lines(saga.database, saga.payload.order_id)
        given = shares.of_shipments(lines).get(saga.id)
        if given and order.debit_id is not None:
            await self.wallets.release(shipment_id=saga.id, debit_id=order.debit_id, shares=given)

    async def complete(
        self,
        tx: Transaction,  # noqa: ARG002 - the shipment is committed
        saga: RunningSaga[OrderPayload],  # noqa: ARG002 - as above
    ) -> Nothing:
        """Change nothing."""
        return Nothing()
