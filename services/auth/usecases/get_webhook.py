"""Get a webhook."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.errors import WebhookNotFound
from services.auth.store import webhooks
from services.auth.store.webhooks import WebhookRow
from services.kernel.db.database import Database


@dataclass(frozen=True, slots=True)
class GetWebhook:
    """Gets webhooks."""

    database: Database

    async def __call__(self, webhook_id: UUID) -> WebhookRow:
        """Return a webhook.

        Raises:
            WebhookNotFound: There is no such webhook.
        """
        found = await webhooks.get(self.database, webhook_id)
        if found is None:
            raise WebhookNotFound
        return found
