"""Send an event to a webhook once more."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.audit import Audit
from services.auth.domain.webhooks import note_change
from services.auth.errors import WebhookDeliveryNotFound, WebhookNotFound
from services.auth.store import webhook_deliveries, webhooks
from services.auth.store.webhook_deliveries import DeliveryRow
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class SendWebhookAgain:
    """Makes deliveries due now, whatever became of them."""

    database: Database
    audit: Audit

    async def __call__(
        self, webhook_id: UUID, event_id: UUID, *, caller: Caller, client_ip: str | None
    ) -> DeliveryRow:
        """Make a delivery due now, and return it.

        Raises:
            WebhookNotFound: There is no such webhook.
            WebhookDeliveryNotFound: It has no such delivery.
            SessionEnded: The caller's account has gone meanwhile.
        """

        async def work(tx: Transaction) -> DeliveryRow:
            if await webhooks.lock(tx, webhook_id) is None:
                raise WebhookNotFound
            found = await webhook_deliveries.send_again(tx, webhook_id, event_id)
            if found is None:
                raise WebhookDeliveryNotFound
            await note_change(
                self.audit,
                tx,
                webhook_id,
                "sent again",
                caller=caller,
                client_ip=client_ip,
                event_id=str(event_id),
            )
            return found

        return await self.database.transact("webhook.again", work)
