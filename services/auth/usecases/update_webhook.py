"""Change a webhook."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.audit import Audit
from services.auth.domain.webhooks import note_change
from services.auth.errors import WebhookNotFound
from services.auth.store import webhooks
from services.auth.store.webhooks import WebhookRow
from services.kernel.db.database import Database, Transaction
from services.kernel.rpc.call import Caller


@dataclass(frozen=True, slots=True)
class WebhookChanges:
    """The new values of a webhook; None: the value stays."""

    url: str | None = None
    description: str | None = None
    types: list[str] | None = None
    disabled: bool | None = None


@dataclass(frozen=True, slots=True)
class UpdateWebhook:
    """Changes webhooks."""

    database: Database
    audit: Audit

    async def __call__(
        self, webhook_id: UUID, changes: WebhookChanges, *, caller: Caller, client_ip: str | None
    ) -> WebhookRow:
        """Change a webhook, and return it.

        Raises:
            WebhookNotFound: There is no such webhook.
            SessionEnded: The caller's account has gone meanwhile.
        """

        async def work(tx: Transaction) -> WebhookRow:
            old = await webhooks.lock(tx, webhook_id)
            if old is None:
                raise WebhookNotFound
            await _change(tx, old, changes)
            await note_change(
                self.audit, tx, webhook_id, "updated", caller=caller, client_ip=client_ip
            )
            return await webhooks.get(tx, webhook_id) or old

        return await self.database.transact("webhook.update", work)


async def _change(tx: Transaction, old: WebhookRow, changes: WebhookChanges) -> None:
    await webhooks.change(
        tx,
        old.id,
        url=old.url if changes.url is None else changes.url,
        description=old.description if changes.description is None else changes.description,
        types=old.types if changes.types is None else changes.types,
    )
    if changes.disabled is True and old.disabled_reason is None:
        await webhooks.disable(tx, old.id, reason=webhooks.BY_ADMINISTRATOR)
    if changes.disabled is False and old.disabled_reason is not None:
        await webhooks.enable(tx, old.id)
