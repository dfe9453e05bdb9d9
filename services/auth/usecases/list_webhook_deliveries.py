"""List the deliveries of a webhook."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.errors import WebhookNotFound
from services.auth.store import webhook_deliveries, webhooks
from services.auth.store.webhook_deliveries import LAST_PLACE, DeliveryRow
from services.kernel.db.database import Database
from services.kernel.paging import PageTokens, listing_of


@dataclass(frozen=True, slots=True)
class ListWebhookDeliveries:
    """Lists deliveries, the newest first."""

    database: Database
    tokens: PageTokens

    async def __call__(
        self, webhook_id: UUID, *, state: str | None, size: int, page_token: str
    ) -> tuple[list[DeliveryRow], str]:
        """Return a page, and the token of the next page, which is empty on the last.

        Raises:
            WebhookNotFound: There is no such webhook.
            InvalidField: The token belongs to another list, or to another state.
        """
        listing = listing_of("webhook deliveries", webhook=webhook_id, state=state)
        before = LAST_PLACE
        if page_token:
            [before] = self.tokens.read(page_token, listing=listing)
        if await webhooks.get(self.database, webhook_id) is None:
            raise WebhookNotFound
        found = await webhook_deliveries.list_deliveries(
            self.database, webhook_id, state=state, before=before, limit=size + 1
        )
        if len(found) <= size:
            return found, ""
        return found[:size], self.tokens.make([found[size - 1].place], listing=listing)
