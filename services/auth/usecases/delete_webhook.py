"""Delete a webhook."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.audit import Audit
from services.auth.domain.webhooks import note_change
from services.auth.errors import WebhookNotFound
from services.auth.store import webhook_deliveries, webhooks
from services.auth.store.webhook_deliveries import REMOVED_AT_ONCE
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class DeleteWebhook:
    """Deletes webhooks with all their deliveries."""

    database: Database
    audit: Audit

    async def __call__(self, webhook_id: UUID, *, caller: Caller, client_ip: str | None) -> None:
        """Delete a webhook. After a failure a repeat goes on.

        Raises:
            WebhookNotFound: There is no such webhook.
            SessionEnded: The caller's account has gone meanwhile.
        """

        async def disable(tx: Transaction) -> None:
            if await webhooks.lock(tx, webhook_id) is None:
                raise WebhookNotFound
            await webhooks.disable(tx, webhook_id, reason=webhooks.BY_ADMINISTRATOR)

        async def remove_some(tx: Transaction) -> int:
            return await webhook_deliveries.remove_some(tx, webhook_id)

        async def remove(tx: Transaction) -> None:
            if not await webhooks.remove(tx, webhook_id):
                raise WebhookNotFound
            await note_change(
                self.audit, tx, webhook_id, "deleted", caller=caller, client_ip=client_ip
            )

        await self.database.transact("webhook.disable", disable)
        while await self.database.transact("webhook.empty", remove_some) == REMOVED_AT_ONCE:
            pass
        await self.database.transact("webhook.delete", remove)
