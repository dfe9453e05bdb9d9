"""Make a webhook."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.domain.audit import Audit
from services.auth.domain.webhook_secrets import WebhookSecrets, new_secret
from services.auth.domain.webhooks import note_change
from services.auth.store import webhooks
from services.auth.store.webhooks import WEBHOOKS_MAX, NewWebhook, WebhookRow
from services.kernel.db.database import Database, Transaction
from services.kernel.errors import IllegalState
from services.kernel.ids import new_id
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class CreateWebhook:
    """Makes webhooks. The database has their secrets encrypted."""

    database: Database
    audit: Audit
    secrets: WebhookSecrets

    async def __call__(
        self,
        *,
        url: str,
        description: str,
        types: list[str],
        disabled: bool,
        caller: Caller,
        client_ip: str | None,
    ) -> tuple[WebhookRow, str]:
        """Make a webhook, and return it with its secret.

        Raises:
            IllegalState: There are as many as there may be.
            SessionEnded: The caller's account has gone meanwhile.
        """
        secret = new_secret()
        new = NewWebhook(
            webhook_id=new_id(),
            url=url,
            description=description,
            types=types,
            sealed=self.secrets.seal([secret]),
            disabled_reason=webhooks.BY_ADMINISTRATOR if disabled else None,
        )

        async def work(tx: Transaction) -> WebhookRow:
            if await webhooks.count_locked(tx) >= WEBHOOKS_MAX:
                raise IllegalState(f"There are {WEBHOOKS_MAX} webhooks at most. Delete one first.")
            row = await webhooks.insert_webhook(tx, new)
            await note_change(self.audit, tx, row.id, "created", caller=caller, client_ip=client_ip)
            return row

        return await self.database.transact("webhook.create", work), secret
