"""List all webhooks."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.store import webhooks
from services.auth.store.webhooks import WebhookRow
from services.kernel.db.database import Database


@dataclass(frozen=True, slots=True)
class ListWebhooks:
    """Lists webhooks."""

    database: Database

    async def __call__(self) -> list[WebhookRow]:
        """Return all webhooks, newest first."""
        return await webhooks.list_webhooks(self.database)
